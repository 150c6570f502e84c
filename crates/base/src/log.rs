//! A log line on its way out. A [`Logger`] carries the prefix that 2.3 puts before the level
//! (`imap(user)<pid><session>: `) and hands finished lines to the process's one [`Sink`], which the
//! `service` crate installs: the pipe to the `log` process in a child, standard error in a tool.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How bad it is, in the words of 2.3's log lines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Level {
    /// Only written where debugging is on.
    Debug,
    /// Normal events.
    Info,
    /// Something an administrator should look at.
    Warning,
    /// Something failed, the process goes on.
    Error,
    /// The process ends because of it.
    Fatal,
    /// A bug ended the process or session.
    Panic,
}

impl Level {
    /// The word in the log line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Debug => "Debug",
            Self::Info => "Info",
            Self::Warning => "Warning",
            Self::Error => "Error",
            Self::Fatal => "Fatal",
            Self::Panic => "Panic",
        }
    }
}

/// Takes a finished line: level, prefix (`imap-login: `) and text, without a newline.
pub type Sink = fn(Level, &str, &str);

static SINK: OnceLock<Sink> = OnceLock::new();

/// Installs the process's sink. Only the first call counts; before it lines go to standard error.
pub fn install(sink: Sink) {
    let _ = SINK.set(sink);
}

/// Hears lines beside the sink, with the same arguments.
pub type Listener = Box<dyn FnMut(Level, &str, &str) + Send>;

static LISTENS: AtomicBool = AtomicBool::new(false);
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);

/// Lets `listener` hear every line of the process, too, in place of who heard them before. A doveadm
/// server tells its client so what happens there.
pub fn listen(listener: Option<Listener>) {
    let mut place = LISTENER.lock().unwrap_or_else(PoisonError::into_inner);
    LISTENS.store(listener.is_some(), Ordering::Release);
    *place = listener;
}

/// A listener that logs itself does not hear that.
fn tell(level: Level, prefix: &str, text: &str) {
    if LISTENS.load(Ordering::Acquire)
        && let Ok(mut listener) = LISTENER.try_lock()
        && let Some(listener) = &mut *listener
    {
        listener(level, prefix, text);
    }
}

/// Writes log lines with one prefix. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Logger {
    prefix: Arc<str>,
    debug: bool,
}

impl Logger {
    /// A logger whose lines start with `prefix`, which usually ends in `: `.
    pub fn new(prefix: impl Into<Arc<str>>) -> Self {
        Self { prefix: prefix.into(), debug: false }
    }

    /// The same with debug lines on or off.
    pub fn with_debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// The same with another prefix.
    pub fn with_prefix(&self, prefix: impl Into<Arc<str>>) -> Self {
        Self { prefix: prefix.into(), debug: self.debug }
    }

    /// What comes before the level.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether debug lines are written, so that costly ones need not be made.
    pub fn is_debug(&self) -> bool {
        self.debug
    }

    /// Writes one line. Control characters in it become `?`, so that a line stays one line.
    pub fn log(&self, level: Level, text: impl Display) {
        if level == Level::Debug && !self.debug {
            return;
        }
        let mut line = Clean(String::with_capacity(128));
        // Writing to a String cannot fail; a Display that fails has written what it could.
        let _ = fmt::Write::write_fmt(&mut line, format_args!("{text}"));
        tell(level, &self.prefix, &line.0);
        match SINK.get() {
            Some(sink) => sink(level, &self.prefix, &line.0),
            None => eprintln!("{}{}: {}", self.prefix, level.word(), line.0),
        }
    }

    /// Writes a debug line, if they are on.
    pub fn debug(&self, text: impl Display) {
        self.log(Level::Debug, text);
    }

    /// Writes an info line.
    pub fn info(&self, text: impl Display) {
        self.log(Level::Info, text);
    }

    /// Writes a warning.
    pub fn warning(&self, text: impl Display) {
        self.log(Level::Warning, text);
    }

    /// Writes an error.
    pub fn error(&self, text: impl Display) {
        self.log(Level::Error, text);
    }

    /// Writes the line that says why the process ends; the caller ends it.
    pub fn fatal(&self, text: impl Display) {
        self.log(Level::Fatal, text);
    }
}

struct Clean(String);

impl fmt::Write for Clean {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }));
        Ok(())
    }
}
