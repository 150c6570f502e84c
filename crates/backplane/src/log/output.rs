//! Where lines go: files, standard error, syslog.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use base::Level;
use jiff::tz::TimeZone;

use super::source::Line;
use super::stamp::Stamp;

/// The system's log socket.
const SYSLOG_SOCKET: &str = "/dev/log";

/// The settings that say where lines go, in 2.3's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paths {
    pub(crate) log_path: String,
    pub(crate) info_log_path: String,
    pub(crate) debug_log_path: String,
    pub(crate) log_timestamp: String,
    pub(crate) syslog_facility: String,
    pub(crate) instance_name: String,
    /// `log_format = json`
    pub(crate) is_json: bool,
}

/// A log file that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("Can't open log file {}", path.display())]
pub(crate) struct OpenError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// All three logs. Levels share a target where their settings name the same one.
#[derive(Debug)]
pub(crate) struct Outputs {
    targets: Vec<Target>,
    /// Index into `targets` for errors, infos and debug lines.
    error: usize,
    info: usize,
    debug: usize,
    layout: Layout,
    ident: String,
}

/// What the line of a log file looks like.
#[derive(Debug, Clone)]
pub(crate) enum Layout {
    /// `2026-11-23 11:05:40.633183 imap-login: Info: Login: …`
    Text(Stamp),
    /// An object.
    Json,
}

#[derive(Debug)]
enum Target {
    Stderr,
    File(LogFile),
    Syslog(Syslog),
}

impl Outputs {
    /// Opens what `paths` name. An empty `info_log_path` means that of `log_path`, an empty
    /// `debug_log_path` that of `info_log_path`.
    pub(crate) fn open(paths: &Paths) -> Result<Self, OpenError> {
        let mut outputs = Self {
            targets: Vec::new(),
            error: 0,
            info: 0,
            debug: 0,
            layout: match paths.is_json {
                true => Layout::Json,
                false => Layout::Text(Stamp::new(&paths.log_timestamp, TimeZone::system())),
            },
            ident: paths.instance_name.clone(),
        };
        let or = |path: &str, other: &str| if path.is_empty() { other.to_owned() } else { path.to_owned() };
        let error = or(&paths.log_path, "syslog");
        let info = or(&paths.info_log_path, &error);
        let debug = or(&paths.debug_log_path, &info);
        let mut named: Vec<(String, usize)> = Vec::new();
        let mut target = |path: String| -> Result<usize, OpenError> {
            if let Some((_, at)) = named.iter().find(|(name, _)| *name == path) {
                return Ok(*at);
            }
            outputs.targets.push(Target::open(&path, paths)?);
            named.push((path, outputs.targets.len() - 1));
            Ok(outputs.targets.len() - 1)
        };
        (outputs.error, outputs.info, outputs.debug) = (target(error)?, target(info)?, target(debug)?);
        Ok(outputs)
    }

    /// Opens all files anew (SIGUSR1). A file that cannot be opened goes on as it was, and the
    /// error is returned for the log.
    pub(crate) fn reopen(&mut self) -> Vec<OpenError> {
        let files = self.targets.iter_mut().filter_map(|target| match target {
            Target::File(file) => Some(file),
            _ => None,
        });
        files.filter_map(|file| file.reopen().err()).collect()
    }

    /// Writes one line. It never fails: a target that cannot take it counts what was lost and
    /// says so once it can again.
    pub(crate) fn write(&mut self, line: &Line, time_us: u64) {
        let at = match line.level {
            Level::Debug => self.debug,
            Level::Info => self.info,
            _ => self.error,
        };
        let Self { targets, layout, ident, .. } = self;
        match targets.get_mut(at) {
            Some(Target::Stderr) => {
                // Standard error has nobody to tell when it fails.
                let _ = io::stderr().write_all(layout.line(line, time_us).as_bytes());
            }
            Some(Target::File(file)) => file.write(layout, line, time_us),
            Some(Target::Syslog(syslog)) => syslog.write(ident, layout, line, time_us),
            None => {}
        }
    }
}

impl Target {
    fn open(path: &str, paths: &Paths) -> Result<Self, OpenError> {
        Ok(match path {
            "/dev/stderr" => Self::Stderr,
            "syslog" => Self::Syslog(Syslog::new(&paths.syslog_facility)),
            _ => Self::File(LogFile::open(Path::new(path))?),
        })
    }
}

impl Layout {
    /// A line with its end.
    fn line(&self, line: &Line, time_us: u64) -> String {
        match self {
            Self::Text(stamp) => {
                let mut text = String::with_capacity(64 + line.prefix.len() + line.text.len());
                stamp.write(&mut text, time_us);
                for part in [&line.prefix, line.level.word(), ": ", &line.text, "\n"] {
                    text.push_str(part);
                }
                text
            }
            Self::Json => as_json(line, time_us) + "\n",
        }
    }
}

/// Times are in UTC, to the microsecond (RFC 3339).
fn as_json(line: &Line, time_us: u64) -> String {
    let time = i64::try_from(time_us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    let time = format!("{:.6}", time.unwrap_or(jiff::Timestamp::UNIX_EPOCH));
    base::json_line(&time, line.level, line.pid, &line.prefix, &line.text)
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    trouble: Option<Trouble>,
}

/// Lines that could not be written (disk full).
#[derive(Debug)]
struct Trouble {
    reason: String,
    lines_lost: u64,
    /// The last write left the beginning of a line.
    torn: bool,
}

impl LogFile {
    fn open(path: &Path) -> Result<Self, OpenError> {
        let file = open_appending(path).map_err(|source| OpenError { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, trouble: None })
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        self.file =
            open_appending(&self.path).map_err(|source| OpenError { path: self.path.clone(), source })?;
        Ok(())
    }

    fn write(&mut self, layout: &Layout, line: &Line, time_us: u64) {
        let bytes = layout.line(line, time_us);
        match self.trouble.take() {
            None => {
                if let Err((written, error)) = append(&self.file, bytes.as_bytes()) {
                    let text = format!("write({}) failed: {}", self.path.display(), base::reason(&error));
                    // The log itself is what fails, so whoever started us is told.
                    let _ = writeln!(io::stderr(), "log: Error: {text}");
                    self.trouble = Some(Trouble { reason: text, lines_lost: 1, torn: written > 0 });
                }
            }
            Some(trouble) => self.write_after(trouble, layout, &bytes, time_us),
        }
    }

    /// Tries again after a failure: first the notice about what is missing, then the line.
    fn write_after(&mut self, mut trouble: Trouble, layout: &Layout, bytes: &str, time_us: u64) {
        let lost = trouble.lines_lost;
        let notice = format!("{} - {lost} line{} lost", trouble.reason, if lost == 1 { "" } else { "s" });
        let notice = layout.line(&Line::new(Level::Warning, "log: ", &notice), time_us);
        let end_of_torn = if trouble.torn { "\n" } else { "" };
        let all = format!("{end_of_torn}{notice}{bytes}");
        if let Err((written, _)) = append(&self.file, all.as_bytes()) {
            trouble.lines_lost += 1;
            trouble.torn |= written > 0;
            self.trouble = Some(trouble);
        }
    }
}

/// 2.3 creates log files for their owner alone.
fn open_appending(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Writes all of `bytes`, or says how many went out before which error.
fn append(mut file: &File, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err((written, io::Error::from(io::ErrorKind::WriteZero))),
            Ok(some) => written += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Syslog {
    facility: u8,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    fn new(facility: &str) -> Self {
        // Connected early, while the process still sees the whole file system.
        Self { facility: facility_code(facility).unwrap_or(FACILITY_MAIL), socket: connect().ok() }
    }

    /// As the C library's `syslog()`, lines are dropped silently while nobody listens, and the
    /// connection is made anew when the daemon was restarted.
    fn write(&mut self, ident: &str, layout: &Layout, line: &Line, time_us: u64) {
        let datagram = self.datagram(ident, layout, line, time_us);
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = connect().ok();
            }
            match self.socket.as_ref().map(|socket| socket.send(datagram.as_bytes())) {
                Some(Ok(_)) | None => return,
                Some(Err(_)) => self.socket = None,
            }
        }
    }

    /// `<22>Nov 23 11:05:40 dovecot: imap-login: Login: …`. The level's word is left out of infos.
    fn datagram(&self, ident: &str, layout: &Layout, line: &Line, time_us: u64) -> String {
        let (severity, word) = match line.level {
            Level::Debug => (7, "Debug: "),
            Level::Info => (6, ""),
            Level::Warning => (4, "Warning: "),
            Level::Error => (3, "Error: "),
            Level::Fatal => (2, "Fatal: "),
            Level::Panic => (2, "Panic: "),
        };
        let mut datagram = format!("<{}>", self.facility * 8 + severity);
        Stamp::new("%b %e %H:%M:%S ", TimeZone::system()).write(&mut datagram, time_us);
        match layout {
            Layout::Text(_) => {
                for part in [ident, ": ", &line.prefix, word, &line.text] {
                    datagram.push_str(part);
                }
            }
            Layout::Json => datagram.push_str(&format!("{ident}: {}", as_json(line, time_us))),
        }
        datagram
    }
}

/// The socket stays blocking: 2.3 too waits for a syslog that is slow, rather than lose lines.
fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SYSLOG_SOCKET)?;
    Ok(socket)
}

const FACILITY_MAIL: u8 = 2;

/// The names of `syslog.conf(5)`.
fn facility_code(name: &str) -> Option<u8> {
    const NAMES: &[(&str, u8)] = &[
        ("kern", 0),
        ("user", 1),
        ("mail", FACILITY_MAIL),
        ("daemon", 3),
        ("auth", 4),
        ("syslog", 5),
        ("lpr", 6),
        ("news", 7),
        ("uucp", 8),
        ("cron", 9),
        ("authpriv", 10),
        ("ftp", 11),
        ("local0", 16),
        ("local1", 17),
        ("local2", 18),
        ("local3", 19),
        ("local4", 20),
        ("local5", 21),
        ("local6", 22),
        ("local7", 23),
    ];
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME_US: u64 = 1_795_431_940_633_183;

    fn paths(directory: &Path) -> Paths {
        Paths {
            log_path: directory.join("error.log").display().to_string(),
            info_log_path: directory.join("info.log").display().to_string(),
            log_timestamp: "%{usecs} ".into(),
            ..Paths::default()
        }
    }

    #[test]
    fn levels_go_to_their_files() {
        let directory = tempfile::tempdir().unwrap();
        let mut outputs = Outputs::open(&paths(directory.path())).unwrap();
        for level in [Level::Debug, Level::Info, Level::Warning, Level::Panic] {
            outputs.write(&Line::new(level, "auth: ", "x"), TIME_US);
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(read("info.log"), "633183 auth: Debug: x\n633183 auth: Info: x\n");
        assert_eq!(read("error.log"), "633183 auth: Warning: x\n633183 auth: Panic: x\n");
        let mode = std::fs::metadata(directory.path().join("info.log")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&mode) & 0o777, 0o600);
    }

    #[test]
    fn reopening_follows_a_rename() {
        let directory = tempfile::tempdir().unwrap();
        let mut outputs = Outputs::open(&paths(directory.path())).unwrap();
        let old = directory.path().join("info.log");
        std::fs::rename(&old, directory.path().join("info.log.1")).unwrap();
        assert!(outputs.reopen().is_empty());
        outputs.write(&Line::new(Level::Info, "auth: ", "new"), TIME_US);
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "633183 auth: Info: new\n");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let broken = Paths { log_path: "/nonexistent/log".into(), ..Paths::default() };
        let error = Outputs::open(&broken).unwrap_err();
        assert!(error.to_string().contains("Can't open log file /nonexistent/log"));
    }

    #[test]
    fn a_full_disk_is_survived_and_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let layout = Layout::Text(Stamp::new("", TimeZone::UTC));
        let line = |text: &str| Line::new(Level::Info, "a: ", text);
        let mut log = LogFile::open(&path).unwrap();
        // Every write to this device fails with "no space left".
        log.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        log.write(&layout, &line("lost"), TIME_US);
        log.write(&layout, &line("lost too"), TIME_US);
        log.reopen().unwrap();
        log.write(&layout, &line("here"), TIME_US);
        log.write(&layout, &line("again"), TIME_US);
        let expected = format!(
            "log: Warning: write({}) failed: No space left on device - 2 lines lost\n\
             a: Info: here\na: Info: again\n",
            path.display()
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn lines_are_objects_on_demand() {
        let line = Line { pid: Some(9), ..Line::new(Level::Warning, "imap-login: ", "a \"b\"") };
        let expect = r#"{"time":"2026-11-23T11:05:40.633183Z","level":"warning","process":"imap-login","pid":9,"message":"a \"b\""}"#;
        assert_eq!(Layout::Json.line(&line, TIME_US), format!("{expect}\n"));
        let syslog = Syslog { facility: FACILITY_MAIL, socket: None };
        let datagram = syslog.datagram("dovecot", &Layout::Json, &line, TIME_US);
        assert!(datagram.ends_with(&format!(" dovecot: {expect}")), "{datagram}");
    }

    #[test]
    fn syslog_lines_look_as_in_2_3() {
        let syslog = Syslog { facility: FACILITY_MAIL, socket: None };
        let layout = Layout::Text(Stamp::new("", TimeZone::UTC));
        let show = |level| {
            let datagram =
                syslog.datagram("dovecot", &layout, &Line::new(level, "imap-login: ", "x"), TIME_US);
            let (priority, rest) = datagram.split_once('>').unwrap();
            // What stands between is the local time.
            format!("{priority}>{}", rest.split_once(" dovecot: ").unwrap().1)
        };
        assert_eq!(show(Level::Info), "<22>imap-login: x");
        assert_eq!(show(Level::Warning), "<20>imap-login: Warning: x");
        assert_eq!(show(Level::Fatal), "<18>imap-login: Fatal: x");
        assert_eq!(facility_code("local7"), Some(23));
        assert_eq!(facility_code("nosuch"), None);
    }
}
