//! `dovecot-uidvalidity` and `dovecot-uidvalidity.xxxxxxxx` in the control directory: UIDVALIDITY for
//! a new mailbox, larger than that of any mailbox that was ever here. The empty file's name holds the
//! last one given out, the other file repeats it for a fast look.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base::Logger;

use crate::fs::{Fs, Permissions, join};

const RETRIES: usize = 10;

/// The next UIDVALIDITY. Never fails: at worst it is the present time, with an error logged.
pub(crate) fn next(fs: &Fs, control: &Path, permissions: &Permissions, logger: &Logger) -> u32 {
    let path = control.join("dovecot-uidvalidity");
    let current = std::fs::read_to_string(&path).ok();
    let current = current.and_then(|text| u32::from_str_radix(text.trim_end().get(..8)?, 16).ok());
    if let Some(current) = current.filter(|&current| current != 0)
        && let Some(value) = advance(fs, &path, current, None)
    {
        write(fs, &path, value, permissions, logger);
        return value;
    }
    rescan(fs, control, &path, permissions, logger)
}

fn rescan(fs: &Fs, control: &Path, path: &Path, permissions: &Permissions, logger: &Logger) -> u32 {
    let mut found = Vec::new();
    let _ = fs.mkdir_all(control, permissions);
    let result = fs.read_dir(control, |name, _| {
        let hex = name.strip_prefix(b"dovecot-uidvalidity.").and_then(|hex| std::str::from_utf8(hex).ok());
        found.extend(hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()));
    });
    if let Err(error) = result {
        logger.error(format_args!("opendir({}) failed: {error}", control.display()));
        return now();
    }
    let Some(&highest) = found.iter().max().filter(|&&highest| highest != 0) else {
        return start(fs, path, permissions, logger);
    };
    for &old in found.iter().filter(|&&value| value != highest) {
        let _ = fs.unlink(&numbered(path, old));
    }
    match advance(fs, path, highest, Some(logger)) {
        Some(value) => {
            write(fs, path, value, permissions, logger);
            value
        }
        None => now(),
    }
}

/// The first mailbox here.
fn start(fs: &Fs, path: &Path, permissions: &Permissions, logger: &Logger) -> u32 {
    let mut value = now();
    for _ in 0..RETRIES {
        let readable = Permissions { file_mode: 0o444, ..*permissions };
        match fs.create_new(&numbered(path, value), &readable) {
            Ok(_) => {
                write(fs, path, value, permissions, logger);
                return value;
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                value = value.wrapping_add(1).max(1)
            }
            Err(error) => {
                logger.error(format_args!("creat({}) failed: {error}", numbered(path, value).display()));
                return value;
            }
        }
    }
    value
}

/// Renames the numbered file to the next number, which only one of several callers can do.
fn advance(fs: &Fs, path: &Path, mut value: u32, logger: Option<&Logger>) -> Option<u32> {
    for _ in 0..RETRIES {
        let next = value.wrapping_add(1).max(1);
        match fs.rename(&numbered(path, value), &numbered(path, next)) {
            Ok(()) => return Some(next),
            // Perhaps somebody else was faster: try its number.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => value = next,
            Err(error) => {
                if let Some(logger) = logger {
                    logger.error(format_args!("rename({}) failed: {error}", numbered(path, value).display()));
                }
                return None;
            }
        }
    }
    None
}

fn write(fs: &Fs, path: &Path, value: u32, permissions: &Permissions, logger: &Logger) {
    let file = fs.open_write(path).or_else(|_| fs.create(path, permissions));
    let result = file.and_then(|file| fs.write(&file, path, format!("{value:08x}").as_bytes()));
    if let Err(error) = result {
        logger.error(format_args!("write({}) failed: {error}", path.display()));
    }
}

fn numbered(path: &Path, value: u32) -> PathBuf {
    let dir = path.parent().unwrap_or(Path::new("."));
    join(dir, format!("dovecot-uidvalidity.{value:08x}").as_bytes())
}

fn now() -> u32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now.as_secs() as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (fs, permissions, logger) = (Fs::default(), Permissions::default(), Logger::new("test: "));
        let next = || next(&fs, dir.path(), &permissions, &logger);
        let first = next();
        assert_eq!((next(), next()), (first + 1, first + 2));
        std::fs::remove_file(dir.path().join("dovecot-uidvalidity")).unwrap();
        assert_eq!(next(), first + 3);
        std::fs::write(dir.path().join("dovecot-uidvalidity"), "zzz").unwrap();
        assert_eq!(next(), first + 4);
    }
}
