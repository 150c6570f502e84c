//! Changes one user's hash in a passwd-file; everything else stays byte for byte.

use std::path::Path;

use base::Logger;
use index::fs::Fs;
use zeroize::Zeroizing;

use crate::limits::PASSWD_FILE_BYTES_MAX;
use crate::rewrite::{RewriteError, rewrite};

/// Puts `new` in the place of a user's password if that is still the one that `is_old` knows. Gives
/// whether it did: somebody else may have changed it meanwhile.
///
/// # Errors
/// The file is as it was.
pub fn replace_password(
    fs: &Fs,
    path: &Path,
    user: &str,
    is_old: &dyn Fn(&str) -> bool,
    new: &str,
    log: &Logger,
) -> Result<bool, RewriteError> {
    rewrite(fs, path, PASSWD_FILE_BYTES_MAX, log, |old| match old {
        Some(old) => replaced(old, user, is_old, new),
        None => Ok(None),
    })
}

fn replaced(
    text: &[u8],
    user: &str,
    is_old: &dyn Fn(&str) -> bool,
    new: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    if new.contains([':', '\n', '\r', '\0']) {
        return Err("the new hash cannot stand in a passwd-file".into());
    }
    let mut start = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let mut fields = line.splitn(3, |&byte| byte == b':');
        let (name, password) = (fields.next().unwrap_or_default(), fields.next());
        if name == user.as_bytes()
            && let Some(password) = password
        {
            let password = password.strip_suffix(b"\n").unwrap_or(password);
            let password = password.strip_suffix(b"\r").unwrap_or(password);
            let is_it = std::str::from_utf8(password).is_ok_and(is_old);
            if !is_it {
                return Ok(None);
            }
            let begin = start + name.len() + 1;
            let end = begin + password.len();
            let parts = [text.get(..begin), Some(new.as_bytes()), text.get(end..)];
            return Ok(Some(Zeroizing::new(parts.map(Option::unwrap_or_default).concat())));
        }
        start += line.len();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::sync::Arc;

    use index::fs::Hook;

    use super::*;

    const FILE: &str = "# users\n\njoe:old:1:2::/j::a=b\nann:{X}y\r\nbob:last";

    #[test]
    fn one_field_changes() {
        let check = |user: &str, old: &str, expect: Option<&str>| {
            let new = replaced(FILE.as_bytes(), user, &|password| password == old, "{N}w").unwrap();
            let new = new.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
            assert_eq!(new.as_deref(), expect, "{user} {old}");
        };
        check("joe", "old", Some("# users\n\njoe:{N}w:1:2::/j::a=b\nann:{X}y\r\nbob:last"));
        check("ann", "{X}y", Some("# users\n\njoe:old:1:2::/j::a=b\nann:{N}w\r\nbob:last"));
        check("bob", "last", Some("# users\n\njoe:old:1:2::/j::a=b\nann:{X}y\r\nbob:{N}w"));
        check("joe", "other", None);
        check("zoe", "old", None);
        assert!(replaced(FILE.as_bytes(), "joe", &|_| true, "a:b").is_err());
    }

    /// Fails at the change number `at`, counted down.
    struct Failing(std::sync::Mutex<usize>);

    impl Hook for Failing {
        fn before(&self, _: &'static str, _: &Path, bytes: usize) -> io::Result<usize> {
            let mut left = self.0.lock().unwrap();
            match left.checked_sub(1) {
                None => Err(io::Error::from_raw_os_error(28)),
                Some(less) => {
                    *left = less;
                    Ok(bytes)
                }
            }
        }
    }

    #[test]
    fn whatever_fails_there_is_a_whole_file() {
        let log = Logger::new("test: ");
        let mut done = 0;
        for at in 0..8 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("users");
            fs::write(&path, FILE).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let hooked = Fs::with_hook(Arc::new(Failing(at.into())));
            let result = replace_password(&hooked, &path, "joe", &|old| old == "old", "new", &log);
            let text = fs::read_to_string(&path).unwrap();
            let is_new = text == FILE.replace("old", "new");
            assert!(is_new || text == FILE, "{at}: {text}");
            assert!(is_new || result.is_err(), "{at}: {result:?}");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
            done += usize::from(result.is_ok());
        }
        assert!(done > 0, "in the end nothing fails");
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("users"), dir.path().join("link"));
        fs::write(&path, FILE).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let log = Logger::new("test: ");
        assert!(replace_password(&Fs::default(), &link, "joe", &|_| true, "new", &log).unwrap());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&path).unwrap().contains("joe:new:"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no lock is left");
    }
}
