//! `checkpassword-reply`: what a checkpassword program executes when it has found its user. Tells
//! `auth -w` over descriptor 4 what the environment says.

use std::fs::File;
use std::io::Write;

use crate::tab;

/// A temporary failure, in checkpassword's protocol.
const TEMPORARY: i32 = 111;
/// A successful lookup without a password; not 0, so that a program that knows nothing of such
/// lookups can't be mistaken for one that verified a password.
const FOUND: i32 = 2;

/// Writes the reply; gives the exit status.
pub fn main() -> i32 {
    let get = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let own = nix::unistd::getuid();
    let owner = get("ORIG_UID");
    // A process of another uid can be traced by all others of it, who could then reply as they like.
    let is_safe = owner.as_deref() == Some(own.to_string().as_str())
        || own != nix::unistd::geteuid()
        || nix::unistd::getgid() != nix::unistd::getegid();
    if get("INSECURE_SETUID").is_none() && !is_safe {
        return fail(match owner {
            None => "ORIG_UID environment was dropped by checkpassword. Can't verify if we're safe to run.",
            Some(_) => "The checkpassword couldn't be run securely.",
        });
    }
    let reply = match reply(get, own.as_raw(), nix::unistd::getgid().as_raw()) {
        Ok(reply) => reply,
        Err(text) => {
            eprintln!("Error: checkpassword: {text}");
            return 1;
        }
    };
    let written = File::options().write(true).open("/proc/self/fd/4");
    if let Err(error) = written.and_then(|mut file| file.write_all(reply.as_bytes())) {
        return fail(&format!("write_full() failed: {}", base::reason(&error)));
    }
    match get("AUTHORIZED").as_deref() {
        None => 0,
        Some("2") => FOUND,
        Some(_) => fail("Script doesn't support passdb/userdb lookup"),
    }
}

fn fail(text: &str) -> i32 {
    eprintln!("Error: checkpassword: {text}");
    TEMPORARY
}

fn reply(get: impl Fn(&str) -> Option<String>, uid: u32, gid: u32) -> Result<String, String> {
    let mut text = String::new();
    let mut put = |key: &str, value: &str| {
        tab::push(&mut text, key);
        text.push('=');
        tab::push(&mut text, value);
        text.push('\t');
    };
    for (name, key) in [("USER", "user"), ("HOME", "userdb_home")] {
        if let Some(value) = get(name) {
            if value.contains('\t') {
                return Err(format!("{name} contains TAB"));
            }
            put(key, &value);
        }
    }
    let (mut has_uid, mut has_gid) = (false, false);
    let extra = get("EXTRA").unwrap_or_default();
    for name in extra.split(' ').filter(|name| !name.is_empty()) {
        if let Some(value) = get(name) {
            let key = name.to_ascii_lowercase();
            has_uid |= key == "userdb_uid";
            has_gid |= key == "userdb_gid";
            put(&key, &value);
        }
    }
    if !has_uid {
        put("userdb_uid", &uid.to_string());
    }
    if !has_gid {
        put("userdb_gid", &gid.to_string());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(environment: &[(&str, &str)], expect: Result<&str, &str>) {
        let get = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let got = reply(get, 5, 6);
        assert_eq!(got.as_deref().map_err(String::as_str), expect);
    }

    #[test]
    fn what_the_environment_says() {
        check(&[], Ok("userdb_uid=5\tuserdb_gid=6\t"));
        check(
            &[
                ("USER", "joe"),
                ("HOME", "/h"),
                ("EXTRA", "userdb_uid x NONE"),
                ("userdb_uid", "7"),
                ("x", "a\tb"),
            ],
            Ok("user=joe\tuserdb_home=/h\tuserdb_uid=7\tx=a\u{1}tb\tuserdb_gid=6\t"),
        );
        check(&[("USER", "a\tb")], Err("USER contains TAB"));
    }
}
