//! The `subscriptions` file: version 2 (`V\t2`, empty line, levels separated by tabs) as 2.3 writes it,
//! and version 1 (one name per line), which is kept where it is found.

use std::io;
use std::path::Path;
use std::time::Duration;

use base::Logger;

use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions};
use crate::settings::{FsyncMode, MailSettings};
use index::dotlock::{Dotlock, DotlockSettings};

/// The names in the file, with `separator` between levels, encoded as they stand there.
pub(crate) fn read(path: &Path, separator: char) -> Result<Vec<String>> {
    let bytes = load(path)?;
    let (version, lines) = split(&bytes);
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(|line| decode(&String::from_utf8_lossy(line), version, separator)).collect())
}

/// The names as users know them, but for those that are none: each level is decoded by itself, as it stands on
/// disk.
pub(crate) fn decoded(
    names: &[String],
    separator: char,
    decode: &dyn Fn(&[u8]) -> Option<String>,
) -> Vec<String> {
    let name = |name: &String| {
        let levels = name.split(separator).map(|level| decode(level.as_bytes()));
        levels.collect::<Option<Vec<_>>>().map(|levels| levels.join(&separator.to_string()))
    };
    names.iter().filter_map(name).collect()
}

/// Adds or removes a name; `false` if it was so already.
pub(crate) fn change(
    fs: &Fs,
    path: &Path,
    separator: char,
    name: &str,
    subscribe: bool,
    settings: &MailSettings,
    logger: &Logger,
) -> Result<bool> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let permissions = Permissions::of_dir(dir);
    let lock_settings = DotlockSettings {
        timeout: TIMEOUT,
        stale: STALE,
        use_excl: settings.dotlock_use_excl,
        hostname: settings.hostname.clone(),
    };
    let take = || Dotlock::open(fs, path, &permissions, &lock_settings, logger);
    let lock = match take() {
        Err(index::Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            fs.mkdir_all(dir, &permissions).map_err(|error| Error::io("mkdir", dir, error))?;
            take()?
        }
        Err(index::Error::Busy(_)) => {
            return Err(Error::InUse("Timeout waiting for subscription file lock".to_owned()));
        }
        result => result?,
    };
    let bytes = load(path)?;
    let (version, lines) = split(&bytes);
    let line = encode(name, version, separator);
    let Some(lines) = changed(lines, line.as_bytes(), subscribe) else { return Ok(false) };
    let mut text = if version >= 2 { HEADER.to_vec() } else { Vec::new() };
    text.extend_from_slice(&lines);
    lock.write(&text).map_err(|error| Error::io("write", path, error))?;
    lock.replace(path, settings.mail_fsync != FsyncMode::Never)?;
    Ok(true)
}

fn load(path: &Path) -> Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if crate::fs::is_missing(&error) => Ok(Vec::new()),
        result => result.map_err(|error| Error::io("open", path, error)),
    }
}

/// The version of a file, and its names.
fn split(bytes: &[u8]) -> (u32, &[u8]) {
    match bytes.strip_prefix(HEADER) {
        Some(rest) => (2, rest),
        None if bytes.is_empty() => (2, bytes),
        None => (1, bytes),
    }
}

/// The names with one more, or without one; `None` if that is so already. Nobody wants to take tens of
/// thousands of names apart because of one.
fn changed(lines: &[u8], line: &[u8], add: bool) -> Option<Vec<u8>> {
    if line.is_empty() {
        return None;
    }
    let whole = [line, b"\n"].concat();
    let is_last_whole = lines.is_empty() || lines.ends_with(b"\n");
    let (mut rest, mut at, mut found) = (lines, 0, false);
    let mut kept = Vec::with_capacity(lines.len() + whole.len() + 1);
    while let Some(place) = memchr::memmem::find(rest, line) {
        let (start, end) = (at + place, at + place + line.len());
        let begins = start == 0 || lines.get(start - 1) == Some(&b'\n');
        let ends = matches!(lines.get(end), None | Some(b'\n'));
        let next = if ends { lines.len().min(end + 1) } else { end };
        let upto = if begins && ends { start } else { next };
        found |= begins && ends;
        kept.extend_from_slice(lines.get(at..upto)?);
        (at, rest) = (next, lines.get(next..)?);
    }
    kept.extend_from_slice(rest);
    match (add, found) {
        (true, true) | (false, false) => None,
        (false, true) => Some(kept),
        (true, false) => {
            if !is_last_whole {
                kept.push(b'\n');
            }
            kept.extend_from_slice(&whole);
            Some(kept)
        }
    }
}

fn encode(name: &str, version: u32, separator: char) -> String {
    if version < 2 {
        return name.to_owned();
    }
    let parts: Vec<_> = name.split(separator).map(base::tab::escape).collect();
    parts.join("\t")
}

fn decode(line: &str, version: u32, separator: char) -> String {
    if version < 2 {
        return line.to_owned();
    }
    if !line.contains('\u{1}') {
        return line.replace('\t', separator.encode_utf8(&mut [0; 4]));
    }
    let parts: Vec<String> = line.split('\t').map(base::tab::unescape).collect();
    parts.join(&separator.to_string())
}

/// What a file of version 2 begins with.
const HEADER: &[u8] = b"V\t2\n\n";

// 2.3's SUBSCRIPTION_FILE_LOCK_TIMEOUT and SUBSCRIPTION_FILE_CHANGE_TIMEOUT.
const TIMEOUT: Duration = Duration::from_secs(120);
const STALE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: Option<&str>, name: &str, subscribe: bool, changed: bool, after: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("subscriptions");
        before.iter().for_each(|text| std::fs::write(&path, text).unwrap());
        let logger = Logger::new("test: ");
        let result = change(&Fs::default(), &path, '.', name, subscribe, &MailSettings::default(), &logger);
        assert_eq!(result.unwrap(), changed);
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), after);
        assert!(!dir.path().join("subscriptions.lock").exists());
    }

    #[test]
    fn both_versions() {
        check(None, "a.b", true, true, "V\t2\n\na\tb\n");
        check(Some("V\t2\n\na\tb\n"), "a.b", true, false, "V\t2\n\na\tb\n");
        check(Some("V\t2\n\na\tb\nc\n"), "a.b", false, true, "V\t2\n\nc\n");
        check(Some("a.b\n"), "c.d", true, true, "a.b\nc.d\n");
        check(Some("a.b\n"), "x", false, false, "a.b\n");
        check(None, "x", false, false, "");
        check(Some("V\t2\n\nab\na\nba\n"), "a", false, true, "V\t2\n\nab\nba\n");
        check(Some("V\t2\n\na\nb\na\n"), "a", false, true, "V\t2\n\nb\n");
        check(Some("V\t2\n\naa\nxa"), "a", true, true, "V\t2\n\naa\nxa\na\n");
        check(Some("V\t2\n\naa\na"), "a", true, false, "V\t2\n\naa\na");
        check(Some("V\t2\n\naa\na"), "a", false, true, "V\t2\n\naa\n");
    }
}
