//! Where all lines come together: the outputs, and the ring of the last errors.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base::Level;
use base::filter::Filter;
use ipc::log::{KeptLine, level_byte};
use settings::{Settings, Snapshot, key};

use super::output::{Outputs, Paths};
use super::ring::Ring;
use super::source::Line;

/// Writes lines and remembers the bad ones.
#[derive(Debug)]
pub(super) struct Writer(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    outputs: Outputs,
    ring: Ring,
    settings: Arc<Snapshot>,
    paths: Paths,
}

impl Writer {
    /// `outputs` were opened as `settings` say.
    pub(super) fn new(outputs: Outputs, settings: Arc<Snapshot>) -> Self {
        let root = settings.root();
        let writer =
            Self(Mutex::new(Inner { outputs, ring: Ring::default(), paths: Paths::of(&root), settings }));
        writer.check_filters(&root);
        writer
    }

    /// Goes over to `settings` if they are others. Where their files cannot be opened, the old
    /// ones go on.
    pub(super) fn use_settings(&self, settings: &Arc<Snapshot>) {
        let root = {
            let mut inner = self.inner();
            if Arc::ptr_eq(&inner.settings, settings) {
                return;
            }
            inner.settings = settings.clone();
            settings.root()
        };
        self.check_filters(&root);
        let paths = Paths::of(&root);
        if paths == self.inner().paths {
            return;
        }
        match Outputs::open(&paths) {
            Ok(outputs) => {
                let mut inner = self.inner();
                inner.outputs = outputs;
                inner.paths = paths;
            }
            Err(error) => self.own(Level::Error, &format!("{} - keeping the old log", base::chain(&error))),
        }
    }

    /// Opens all files anew.
    pub(super) fn reopen(&self) {
        let errors = self.inner().outputs.reopen();
        for error in errors {
            self.own(Level::Error, &base::chain(&error).to_string());
        }
    }

    /// Writes one line now.
    pub(super) fn write(&self, line: &Line) {
        let time_us = now_us();
        let mut inner = self.inner();
        inner.outputs.write(line, time_us);
        if line.level >= Level::Warning {
            let (prefix, text) = (line.prefix.clone(), line.text.clone());
            inner.ring.push(KeptLine { time_us, level: level_byte(line.level), prefix, text });
        }
    }

    /// A line of the log process's own.
    pub(super) fn own(&self, level: Level, text: &str) {
        self.write(&Line::new(level, "log: ", text));
    }

    /// The warnings and errors at or after `since_s`, in seconds since 1970.
    pub(super) fn errors_since(&self, since_s: u64) -> Vec<KeptLine> {
        self.inner().ring.since(since_s)
    }

    /// A filter that is none would silently match nothing.
    fn check_filters(&self, settings: &Settings) {
        for setting in [key::LOG_DEBUG, key::LOG_CORE_FILTER] {
            if let Err(error) = Filter::parse(settings.get(setting)) {
                self.own(Level::Error, &format!("Invalid {}: {error}", setting.name()));
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paths {
    /// As the settings have them.
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            log_path: settings.get(key::LOG_PATH).to_owned(),
            info_log_path: settings.get(key::INFO_LOG_PATH).to_owned(),
            debug_log_path: settings.get(key::DEBUG_LOG_PATH).to_owned(),
            log_timestamp: settings.get(key::LOG_TIMESTAMP).to_owned(),
            syslog_facility: settings.get(key::SYSLOG_FACILITY).to_owned(),
            instance_name: settings.get(key::INSTANCE_NAME).to_owned(),
            is_json: settings.get(key::LOG_FORMAT) == "json",
        }
    }
}

pub(super) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
