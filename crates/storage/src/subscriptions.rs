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
    let (version, lines) = load(path)?;
    Ok(lines.iter().map(|line| decode(line, version, separator)).collect())
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
    let (version, mut lines) = load(path)?;
    let line = encode(name, version, separator);
    let found = lines.contains(&line);
    if found == subscribe {
        return Ok(false);
    }
    match subscribe {
        true => lines.push(line),
        false => lines.retain(|known| *known != line),
    }
    let mut text = if version >= 2 { "V\t2\n\n".to_owned() } else { String::new() };
    lines.iter().for_each(|line| {
        text.push_str(line);
        text.push('\n');
    });
    lock.write(text.as_bytes()).map_err(|error| Error::io("write", path, error))?;
    lock.replace(path, settings.mail_fsync != FsyncMode::Never)?;
    Ok(true)
}

fn load(path: &Path) -> Result<(u32, Vec<String>)> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if crate::fs::is_missing(&error) => return Ok((2, Vec::new())),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let (version, rest) = match text.strip_prefix("V\t2\n\n") {
        Some(rest) => (2, rest),
        None if text.is_empty() => (2, ""),
        None => (1, &*text),
    };
    Ok((version, rest.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()))
}

fn encode(name: &str, version: u32, separator: char) -> String {
    if version < 2 {
        return name.to_owned();
    }
    let parts: Vec<String> = name.split(separator).map(escape).collect();
    parts.join("\t")
}

fn decode(line: &str, version: u32, separator: char) -> String {
    if version < 2 {
        return line.to_owned();
    }
    let parts: Vec<String> = line.split('\t').map(unescape).collect();
    parts.join(&separator.to_string())
}

/// 2.3's tab-escaping: `\001` and a digit or letter.
pub(crate) fn escape(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for c in part.chars() {
        match c {
            '\u{1}' => out.push_str("\u{1}1"),
            '\t' => out.push_str("\u{1}t"),
            '\r' => out.push_str("\u{1}r"),
            '\n' => out.push_str("\u{1}n"),
            c => out.push(c),
        }
    }
    out
}

pub(crate) fn unescape(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\u{1}' { chars.next() } else { None }) {
            ('\u{1}', Some('1')) => out.push('\u{1}'),
            ('\u{1}', Some('t')) => out.push('\t'),
            ('\u{1}', Some('r')) => out.push('\r'),
            ('\u{1}', Some('n')) => out.push('\n'),
            ('\u{1}', Some(other)) => out.push(other),
            ('\u{1}', None) => {}
            (c, _) => out.push(c),
        }
    }
    out
}

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
    }
}
