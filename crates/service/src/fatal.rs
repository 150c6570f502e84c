//! Why a process ends before its time.

use std::error::Error;
use std::fmt;

/// 2.3's exit status for fatal errors (`FATAL_DEFAULT`).
pub const STATUS_DEFAULT: u8 = 89;
/// 2.3's exit status for "out of memory" (`FATAL_OUTOFMEM`).
pub const STATUS_OUT_OF_MEMORY: u8 = 83;

/// The line that goes to the log as `Fatal:` and the exit status. Any error turns into one with
/// `?`, its causes included.
#[derive(Debug)]
pub struct Fatal {
    text: String,
    status: u8,
}

impl Fatal {
    /// With the usual exit status.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), status: STATUS_DEFAULT }
    }

    /// With another exit status.
    pub fn with_status(mut self, status: u8) -> Self {
        self.status = status;
        self
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        self.status
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<E: Error + 'static> From<E> for Fatal {
    fn from(error: E) -> Self {
        Self::new(base::chain(&error))
    }
}
