//! Writes lines straight to where the configuration sends the log, without the running instance:
//! `doveadm log test` shows whether a log works at all.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::{SystemTime, UNIX_EPOCH};

use base::Level;
use settings::{Settings, key};

use crate::context::{Failure, Outcome};
use crate::localtime;

/// Where one level's lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Syslog,
    File(String),
}

/// Where lines of `level` go. An empty `info_log_path` means that of `log_path`, an empty
/// `debug_log_path` that of `info_log_path`.
pub(crate) fn target(settings: &Settings, level: Level) -> Target {
    let paths =
        [settings.get(key::DEBUG_LOG_PATH), settings.get(key::INFO_LOG_PATH), settings.get(key::LOG_PATH)];
    let first = match level {
        Level::Debug => 0,
        Level::Info => 1,
        _ => 2,
    };
    match paths.iter().skip(first).find(|path| !path.is_empty()) {
        None => Target::Syslog,
        Some(&"syslog") => Target::Syslog,
        Some(path) => Target::File((*path).to_owned()),
    }
}

/// Writes one line.
pub(crate) fn write(settings: &Settings, level: Level, text: &str) -> Outcome {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    match target(settings, level) {
        Target::File(path) => {
            let stamp =
                settings.get(key::LOG_TIMESTAMP).replace("%{usecs}", &format!("{:06}", time_us % 1_000_000));
            let stamp = localtime::format(&stamp, time_us);
            let line = format!("{stamp}doveadm: {}: {text}\n", level.word());
            append(&path, &line).map_err(|error| {
                Failure::fatal(format_args!("Can't open log file {path}: {}", base::reason(&error)))
            })
        }
        Target::Syslog => {
            let stamp = localtime::format("%b %e %H:%M:%S", time_us);
            let (severity, word) = match level {
                Level::Debug => (7, "Debug: "),
                Level::Info => (6, ""),
                Level::Warning => (4, "Warning: "),
                Level::Error => (3, "Error: "),
                Level::Fatal => (2, "Fatal: "),
                Level::Panic => (2, "Panic: "),
            };
            let priority = facility(settings.get(key::SYSLOG_FACILITY)) * 8 + severity;
            let ident = settings.get(key::INSTANCE_NAME);
            let datagram = format!("<{priority}>{stamp} {ident}: doveadm: {word}{text}");
            // As the C library's syslog(), silently when nobody listens.
            let _ =
                UnixDatagram::unbound().and_then(|socket| socket.send_to(datagram.as_bytes(), "/dev/log"));
            Ok(())
        }
    }
}

fn append(path: &str, line: &str) -> std::io::Result<()> {
    if path == "/dev/stderr" {
        return std::io::stderr().write_all(line.as_bytes());
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(line.as_bytes())
}

/// The names of `syslog.conf(5)`; the configuration was checked, so others do not occur.
fn facility(name: &str) -> u8 {
    const NAMES: [&str; 12] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    ];
    let local = name.strip_prefix("local").and_then(|number| number.parse::<u8>().ok());
    let named = (0..).zip(NAMES).find(|(_, known)| *known == name).map(|(code, _)| code);
    local.filter(|number| *number < 8).map(|number| 16 + number).or(named).unwrap_or(2)
}
