//! How the program ends: what the transfer agent understands (`sysexits.h`), and the last words.

use std::io::Write as _;

use super::args::USAGE;

/// The exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// `EX_USAGE`: the transfer agent's configuration is wrong.
    Usage = 64,
    /// `EX_NOUSER`
    NoUser = 67,
    /// `EX_TEMPFAIL`: it should try again later.
    TempFail = 75,
    /// `EX_NOPERM`: rejected for good (`-e`).
    NoPerm = 77,
}

/// An end without delivery.
#[derive(Debug)]
pub(super) struct Exit {
    pub(super) status: Status,
    /// For standard error; empty where the log has it already.
    pub(super) text: String,
    pub(super) usage: bool,
}

impl Exit {
    /// Everything has been said.
    pub(super) fn quietly(status: Status) -> Self {
        Self { status, text: String::new(), usage: false }
    }

    /// With a line on standard error.
    pub(super) fn said(text: impl Into<String>, status: Status) -> Self {
        Self { status, text: text.into(), usage: false }
    }

    /// With a line and the usage text.
    pub(super) fn usage(text: String) -> Self {
        Self { status: Status::Usage, text, usage: true }
    }

    /// Says it, and gives the status as a number.
    pub(super) fn finish(self) -> i32 {
        if self.usage {
            // Nobody may be reading.
            let _ = std::io::stdout().write_all(USAGE.as_bytes());
        }
        if !self.text.is_empty() {
            let _ = writeln!(std::io::stderr(), "{}", self.text);
        }
        self.status as i32
    }
}
