//! `doveadm log test|find|errors`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::Level;
use ipc::log::{ErrorsQuery, KeptLine, level_of};

use crate::args::Args;
use crate::context::{Context, Outcome, status};
use crate::frames::Asked;
use crate::localtime;
use crate::logtest::{self, Target};
use crate::print::{Format, column};

/// What test lines begin with, and how they are found again.
const TEST_TEXT: &str = "This is Dovecot's ";
const LEVELS: [Level; 5] = [Level::Debug, Level::Info, Level::Warning, Level::Error, Level::Fatal];

/// How long syslog gets to write its files, as in 2.3.
const SYSLOG_DELAY: Duration = Duration::from_secs(1);

/// Directories below the log directory; deeper ones are not a syslog's.
const DEPTH_MAX: usize = 16;

/// How much of a file's new part is searched for the test lines.
const NEW_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(crate) fn test(cx: &mut Context, _args: &Args) -> Outcome {
    let settings = cx.config()?.settings().clone();
    for level in LEVELS {
        // The time makes each test's lines differ, lest syslog says "repeated".
        let text = format!("{TEST_TEXT}{} log ({})", level.word().to_lowercase(), sys::clock::unix_seconds());
        logtest::write(&settings, level, &text)?;
    }
    Ok(())
}

pub(crate) fn find(cx: &mut Context, args: &Args) -> Outcome {
    let settings = cx.config()?.settings().clone();
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut by_syslog = false;
    for level in LEVELS {
        match logtest::target(&settings, level) {
            Target::File(path) => found.entry(level.word()).or_default().push(path),
            Target::Syslog => by_syslog = true,
        }
    }
    if let Some(directory) = log_directory(args).filter(|_| by_syslog) {
        cx.output.line(&format!("Looking for log files from {}", directory.display()));
        let before = files_below(cx, &directory);
        test(cx, args)?;
        std::thread::sleep(SYSLOG_DELAY);
        for (path, length) in &before {
            for level in levels_written(path, *length) {
                found.entry(level.word()).or_default().push(path.display().to_string());
            }
        }
    }
    for level in LEVELS {
        match found.get(level.word()) {
            Some(paths) => paths.iter().for_each(|path| cx.output.line(&format!("{}: {path}", level.word()))),
            None => cx.output.line(&format!("{}: Not found", level.word())),
        }
    }
    Ok(())
}

fn log_directory(args: &Args) -> Option<PathBuf> {
    match args.text("log-dir") {
        Some(directory) => Some(directory.into()),
        None => ["/var/log", "/var/adm"].iter().map(PathBuf::from).find(|path| path.is_dir()),
    }
}

/// All files below `top` with their lengths.
fn files_below(cx: &mut Context, top: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    let mut open = vec![(top.to_owned(), 0)];
    while let Some((directory, depth)) = open.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                cx.error(
                    format_args!("opendir({}) failed: {}", directory.display(), base::reason(&error)),
                    cx.status,
                );
                continue;
            }
        };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            match fs::metadata(&path) {
                Ok(found) if found.is_dir() && depth < DEPTH_MAX && !hidden => open.push((path, depth + 1)),
                Ok(found) if found.is_file() && !hidden => files.push((path, found.len())),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

/// The levels of the test lines that `path` got beyond `length`.
fn levels_written(path: &Path, length: u64) -> Vec<Level> {
    use std::io::{Read, Seek, SeekFrom};
    let read = || {
        let mut file = fs::File::open(path)?;
        file.seek(SeekFrom::Start(length))?;
        let mut bytes = Vec::new();
        file.take(NEW_BYTES_MAX).read_to_end(&mut bytes).map(|_| bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let written = |level: &Level| text.contains(&format!("{TEST_TEXT}{} log", level.word().to_lowercase()));
    LEVELS.into_iter().filter(written).collect()
}

pub(crate) fn errors(cx: &mut Context, args: &Args) -> Outcome {
    let path = cx.in_base_dir("log-errors")?;
    let since_s = args.number("since").and_then(|since| u64::try_from(since).ok()).unwrap_or(0);
    let mut asked = Asked::ask(&path, &ErrorsQuery { since_s })?;
    let columns = ["timestamp", "prefix", "type", "text"].map(column);
    let mut table = cx.table(Format::Formatted("%{timestamp} %{type}: %{prefix}: %{text}\n"), &columns)?;
    while let Some(line) = asked.next::<KeptLine>()? {
        let Some(level) = level_of(line.level) else {
            cx.error(format_args!("Invalid input from log: {}", line.text), status::PROTOCOL);
            continue;
        };
        let time = localtime::format("%b %d %H:%M:%S", line.time_us);
        table.row(&[&time, trim(&line.prefix), level.word(), &line.text], &mut cx.output);
    }
    table.end(&mut cx.output);
    Ok(())
}

/// Without the colon and the spaces at the end.
fn trim(prefix: &str) -> &str {
    let trimmed = prefix.trim_end_matches(' ');
    trimmed.strip_suffix(':').unwrap_or(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    #[test]
    fn test_lines_are_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mail.log");
        fs::write(&path, "old: This is Dovecot's fatal log (1)\n").unwrap();
        let length = fs::metadata(&path).unwrap().len();
        let more = fs::read_to_string(&path).unwrap() + "Nov 23 x: Error: This is Dovecot's error log (2)\n";
        fs::write(&path, more).unwrap();
        assert_eq!(levels_written(&path, length), [Level::Error]);
        assert_eq!(levels_written(&path, 0), [Level::Error, Level::Fatal]);
        assert_eq!(levels_written(&directory.path().join("nosuch"), 0), []);
    }

    #[test]
    fn the_log_is_found_and_written() {
        let doveadm = Doveadm::new();
        let path = doveadm.path().join("log");
        let found = format!("Debug: {0}\nInfo: {0}\nWarning: {0}\nError: {0}\nFatal: {0}\n", path.display());
        assert_eq!(doveadm.run("log find"), (found, Ok(0)));
        assert_eq!(doveadm.run("log test"), (String::new(), Ok(0)));
        let written = fs::read_to_string(&path).unwrap();
        let begins: Vec<&str> = written.lines().map(|line| line.split(" (").next().unwrap()).collect();
        assert_eq!(begins[0], "doveadm: Debug: This is Dovecot's debug log");
        assert_eq!(begins[4], "doveadm: Fatal: This is Dovecot's fatal log");
    }

    #[test]
    fn the_last_errors() {
        let doveadm = Doveadm::new();
        let kept =
            |level, text: &str| KeptLine { time_us: 0, level, prefix: "imap(u): ".into(), text: text.into() };
        let log = doveadm.play::<ErrorsQuery, _>("log-errors", vec![kept(b'E', "broken"), kept(b'?', "x")]);
        let (output, status) = doveadm.run("log errors -s 7");
        assert!(output.ends_with(" Error: imap(u): broken\n") && output.lines().count() == 1, "{output}");
        assert_eq!(status, Ok(status::PROTOCOL));
        assert_eq!(log.join().unwrap().since_s, 7);
    }

    #[test]
    fn prefixes_lose_their_colon() {
        for (prefix, expected) in [("imap(u): ", "imap(u)"), ("x:", "x"), ("x ", "x"), ("", "")] {
            assert_eq!(trim(prefix), expected);
        }
    }
}
