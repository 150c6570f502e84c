//! Log lines of programs that the master did not start (`dovecot-lda`): they go straight to where the
//! configuration says, without the `log` process. The files are opened while all rights are there.
//!
//! Before [`open`] lines go to standard error, as `lda: Fatal: text`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

use base::Level;
use jiff::Zoned;
use jiff::fmt::strtime::{BrokenDownTime, Config};
use jiff::tz::TimeZone;
use settings::{Settings, key};

/// A log file that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("Can't open log file {path}")]
pub struct OpenError {
    path: String,
    #[source]
    source: io::Error,
}

impl OpenError {
    /// The line for standard error, in 2.3's words.
    pub fn line(&self) -> String {
        format!("{self}: {}", base::reason(&self.source))
    }
}

#[derive(Debug)]
struct Outputs {
    error: Target,
    info: Target,
    debug: Target,
    timestamp: String,
    is_json: bool,
    ident: String,
    facility: u8,
    /// Looked up once: the process may be chrooted later.
    zone: TimeZone,
}

#[derive(Debug)]
enum Target {
    Stderr,
    File(File),
    /// Connected early, for the same reason; nothing when nobody listens.
    Syslog(Option<UnixDatagram>),
}

static OUTPUTS: OnceLock<Outputs> = OnceLock::new();

/// Sends all further log lines of this process to where `settings` say.
///
/// # Errors
/// A log file cannot be opened.
pub fn open(settings: &Settings) -> Result<(), OpenError> {
    let or = |path: &str, other: &str| if path.is_empty() { other.to_owned() } else { path.to_owned() };
    let error = or(settings.get(key::LOG_PATH), "syslog");
    let info = or(settings.get(key::INFO_LOG_PATH), &error);
    let debug = or(settings.get(key::DEBUG_LOG_PATH), &info);
    let outputs = Outputs {
        error: Target::open(&error)?,
        info: Target::open(&info)?,
        debug: Target::open(&debug)?,
        timestamp: settings.get(key::LOG_TIMESTAMP).to_owned(),
        is_json: settings.get(key::LOG_FORMAT) == "json",
        ident: settings.get(key::INSTANCE_NAME).to_owned(),
        facility: facility(settings.get(key::SYSLOG_FACILITY)),
        zone: TimeZone::system(),
    };
    let _ = OUTPUTS.set(outputs);
    base::log::install(write);
    Ok(())
}

fn write(level: Level, prefix: &str, text: &str) {
    match OUTPUTS.get() {
        Some(outputs) => outputs.write(level, prefix, text),
        None => eprintln!("{prefix}{}: {text}", level.word()),
    }
}

impl Target {
    fn open(path: &str) -> Result<Self, OpenError> {
        Ok(match path {
            "/dev/stderr" => Self::Stderr,
            "syslog" => Self::Syslog(syslog().ok()),
            path => {
                // 2.3 creates log files for their owner alone.
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
                Self::File(file.map_err(|source| OpenError { path: path.to_owned(), source })?)
            }
        })
    }
}

fn syslog() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect("/dev/log")?;
    Ok(socket)
}

impl Outputs {
    fn write(&self, level: Level, prefix: &str, text: &str) {
        let target = match level {
            Level::Debug => &self.debug,
            Level::Info => &self.info,
            _ => &self.error,
        };
        let now = Zoned::now().with_time_zone(self.zone.clone());
        // There is nowhere to say that the log cannot be written to.
        let _ = match target {
            Target::Stderr => io::stderr().write_all(self.file_line(&now, level, prefix, text).as_bytes()),
            Target::File(file) => {
                let mut file = file;
                file.write_all(self.file_line(&now, level, prefix, text).as_bytes())
            }
            Target::Syslog(Some(socket)) => {
                socket.send(self.datagram(&now, level, prefix, text).as_bytes()).map(drop)
            }
            Target::Syslog(None) => Ok(()),
        };
    }

    fn file_line(&self, now: &Zoned, level: Level, prefix: &str, text: &str) -> String {
        if self.is_json {
            return json(now, level, prefix, text) + "\n";
        }
        let format = self.timestamp.replace("%{usecs}", &format!("{:06}", now.subsec_nanosecond() / 1000));
        format!("{}{prefix}{}: {text}\n", strftime(&format, now), level.word())
    }

    /// As the C library's `syslog()` would send it. The level's word is left out of infos.
    fn datagram(&self, now: &Zoned, level: Level, prefix: &str, text: &str) -> String {
        let (severity, word) = match level {
            Level::Debug => (7, "Debug: "),
            Level::Info => (6, ""),
            Level::Warning => (4, "Warning: "),
            Level::Error => (3, "Error: "),
            Level::Fatal => (2, "Fatal: "),
            Level::Panic => (2, "Panic: "),
        };
        let priority = self.facility * 8 + severity;
        if self.is_json {
            let (now, json) = (strftime("%b %e %H:%M:%S", now), json(now, level, prefix, text));
            return format!("<{priority}>{now} {}: {json}", self.ident);
        }
        format!("<{priority}>{} {}: {prefix}{word}{text}", strftime("%b %e %H:%M:%S", now), self.ident)
    }
}

fn json(now: &Zoned, level: Level, prefix: &str, text: &str) -> String {
    let time = format!("{:.6}", now.timestamp());
    base::json_line(&time, level, Some(std::process::id()), prefix, text)
}

/// Lenient: what is not known stays as it was written, as with the C library's strftime.
fn strftime(format: &str, now: &Zoned) -> String {
    let mut text = String::new();
    let config = Config::new().lenient(true);
    match BrokenDownTime::from(now).format_with_config(&config, format, &mut text) {
        Ok(()) => text,
        Err(_) => format.to_owned(),
    }
}

/// The names of `syslog.conf(5)`; the configuration was checked, so others do not occur.
fn facility(name: &str) -> u8 {
    const MAIL: u8 = 2;
    const NAMES: [&str; 12] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    ];
    let local = name.strip_prefix("local").and_then(|number| number.parse::<u8>().ok());
    let named = (0..).zip(NAMES).find(|(_, known)| *known == name).map(|(code, _)| code);
    local.filter(|number| *number < 8).map(|number| 16 + number).or(named).unwrap_or(MAIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(timestamp: &str) -> Outputs {
        Outputs {
            error: Target::Stderr,
            info: Target::Stderr,
            debug: Target::Stderr,
            timestamp: timestamp.to_owned(),
            is_json: false,
            ident: "dovecot".to_owned(),
            facility: facility("local1"),
            zone: TimeZone::UTC,
        }
    }

    #[test]
    fn lines_look_as_in_2_3() {
        let now = jiff::Timestamp::from_microsecond(1_795_431_940_633_183).unwrap().to_zoned(TimeZone::UTC);
        let line = |timestamp, level| outputs(timestamp).file_line(&now, level, "lda(u): ", "x");
        assert_eq!(line("%b %d %H:%M:%S ", Level::Info), "Nov 23 11:05:40 lda(u): Info: x\n");
        assert_eq!(line("%H.%{usecs} ", Level::Error), "11.633183 lda(u): Error: x\n");
        let datagram = |level| outputs("").datagram(&now, level, "lda(u): ", "x");
        assert_eq!(datagram(Level::Info), "<142>Nov 23 11:05:40 dovecot: lda(u): x");
        assert_eq!(datagram(Level::Fatal), "<138>Nov 23 11:05:40 dovecot: lda(u): Fatal: x");
    }
}
