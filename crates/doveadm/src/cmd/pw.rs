//! `doveadm pw`: makes and checks password hashes.

use sasl::scheme::{self, Params, SCHEMES};
use sasl::{Secret, scheme::SchemeError};

use crate::args::Args;
use crate::askpass::ask;
use crate::context::{Context, Failure, Outcome};

const SCHEME_DEFAULT: &str = "CRYPT";
const TRIES: u32 = 3;

pub(crate) fn pw(cx: &mut Context, args: &Args) -> Outcome {
    let rounds = rounds(args)?;
    if args.flag("list") {
        let names: String = SCHEMES.iter().map(|scheme| format!("{} ", scheme.name)).collect();
        cx.output.line(&names);
        return Ok(());
    }
    let scheme = args.text("scheme").map_or(SCHEME_DEFAULT.to_owned(), str::to_ascii_uppercase);
    let test_hash = args.text("test-hash");
    let tested = test_hash.and_then(|test| scheme::split_prefix(test).0);
    if args.text("user").is_none() && [Some(&*scheme), tested].into_iter().flatten().any(holds_user) {
        return Err(Failure::fatal("digest_md5_generate(): username not given"));
    }
    let password = password(args, test_hash.is_some())?;
    let params = Params { user: args.text("user").unwrap_or_default(), rounds };
    let hash =
        scheme::generate(password.expose(), &params, &scheme, &mut random).map_err(|error| match error {
            SchemeError::UnknownScheme => Failure::fatal(format_args!("Unknown scheme: {scheme}")),
            error => Failure::fatal(error),
        })?;
    if test_hash.is_none() && !args.flag("reverse-verify") {
        cx.output.line(&format!("{{{scheme}}}{hash}"));
        return Ok(());
    }
    let (scheme, hash) = match test_hash {
        None => (scheme.as_str(), hash.as_str()),
        Some(test) => match scheme::split_prefix(test) {
            (Some(scheme), hash) => (scheme, hash),
            (None, _) => return Err(Failure::fatal("Missing {scheme} prefix from hash")),
        },
    };
    verify(&password, &params, scheme, hash)?;
    cx.output.line(&format!("{{{scheme}}}{hash} (verified)"));
    Ok(())
}

/// Whether hashes of a scheme are made of the user's name too.
fn holds_user(scheme: &str) -> bool {
    scheme.split('.').next().is_some_and(|name| name.eq_ignore_ascii_case("DIGEST-MD5"))
}

fn rounds(args: &Args) -> Outcome<u32> {
    match args.number("rounds") {
        None => Ok(0),
        Some(rounds) => u32::try_from(rounds)
            .map_err(|_| Failure::fatal(format_args!("Invalid number of rounds: {rounds}"))),
    }
}

fn password(args: &Args, to_verify: bool) -> Outcome<Secret> {
    if let Some(password) = args.text("plaintext") {
        return Ok(Secret::new(password));
    }
    if to_verify {
        return ask("Enter password to verify: ");
    }
    for _ in 0..TRIES {
        let password = ask("Enter new password: ")?;
        if ask("Retype new password: ")?.expose() == password.expose() {
            return Ok(password);
        }
        eprintln!("Error: Passwords don't match!");
    }
    Err(Failure::Exit(1))
}

fn verify(password: &Secret, params: &Params<'_>, scheme: &str, hash: &str) -> Outcome {
    let raw = scheme::decode(hash, scheme)
        .map_err(|error| Failure::fatal(format_args!("reverse decode check failed: {error}")))?;
    let failed = |reason: &dyn std::fmt::Display| {
        Failure::fatal(format_args!("reverse password verification check failed: {reason}"))
    };
    match scheme::verify(password.expose(), params, scheme, raw.expose()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(failed(&"Password mismatch")),
        Err(error) => Err(failed(&error)),
    }
}

/// Fills `bytes` from the kernel, which never fails once the system has started.
pub(super) fn random(bytes: &mut [u8]) {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
            Ok(more) => filled += more,
            Err(rustix::io::Errno::INTR) => {}
            // A salt that is not random would be a lie; there is no way to go on.
            Err(error) => panic!("getrandom() failed: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    #[track_caller]
    fn check(line: &str, expected: Result<&str, &str>) {
        let (output, ended) = Doveadm::new().run(line);
        match expected {
            Ok(text) => assert_eq!((output.as_str(), ended), (text, Ok(0)), "{line}"),
            Err(text) => assert_eq!(ended, Err(Failure::fatal(text)), "{line}"),
        }
    }

    /// Recorded from 2.3.19.
    #[test]
    fn passwords() {
        check("pw -s plain -p x", Ok("{PLAIN}x\n"));
        check("pw -s plain -p x -V", Ok("{PLAIN}x (verified)\n"));
        check("pw -t {PLAIN}x -p x", Ok("{PLAIN}x (verified)\n"));
        check("pw -t {PLAIN}y -p x", Err("reverse password verification check failed: Password mismatch"));
        check("pw -t x -p x", Err("Missing {scheme} prefix from hash"));
        check("pw -s digest-md5.b64 -p x", Err("digest_md5_generate(): username not given"));
        check("pw -t {DIGEST-MD5}x -p x", Err("digest_md5_generate(): username not given"));
        check("pw -s digest-md5 -p x -u u@r", Ok("{DIGEST-MD5}cf4f79795ce19be46f2b47d187cbf365\n"));
        check("pw -s foo -p x", Err("Unknown scheme: FOO"));
        check("pw -p x -r 99999999999", Err("Invalid number of rounds: 99999999999"));
        let (listed, _) = Doveadm::new().run("pw -l");
        assert!(
            listed.starts_with("SHA1 SSHA512 SCRAM-SHA-256 BLF-CRYPT PLAIN ")
                && listed.ends_with("LDAP-MD5 \n")
        );
    }
}
