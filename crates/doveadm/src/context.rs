//! What commands share: global options, output, the configuration, and how they fail.

use std::fmt::Display;

use crate::config::Config;
use crate::globals::Globals;
use crate::output::Output;
use crate::print::{Column, Format, Printer};

/// Exit statuses, from sysexits(3) where nothing else is said.
pub(crate) mod status {
    /// Wrong command line.
    pub(crate) const USAGE: i32 = 64;
    /// No such user.
    pub(crate) const NO_USER: i32 = 67;
    /// 2.3's "not found" for everything else.
    pub(crate) const NOT_FOUND: i32 = 68;
    /// Anything that failed and may work later.
    pub(crate) const TEMPFAIL: i32 = 75;
    /// The other side does not speak our protocol.
    pub(crate) const PROTOCOL: i32 = 76;
    /// Authentication failed.
    pub(crate) const NO_PERMISSION: i32 = 77;
    /// A broken configuration or wrong global options.
    pub(crate) const FATAL: i32 = 89;
}

/// How a command ends before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// `Fatal: text`, and the status.
    Fatal(String, i32),
    /// The text as it is, and the status.
    Said(String, i32),
    /// Everything has been said.
    Exit(i32),
}

impl Failure {
    /// With the usual status.
    pub(crate) fn fatal(text: impl Display) -> Self {
        Self::Fatal(text.to_string(), status::TEMPFAIL)
    }
}

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// What commands share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) globals: Globals,
    pub(crate) output: Output,
    /// The exit status if the command goes on to its end.
    pub(crate) status: i32,
    config: Option<Config>,
}

impl Context {
    pub(crate) fn new(globals: Globals) -> Self {
        Self { globals, output: Output::new(), status: 0, config: None }
    }

    /// The configuration, read when first asked for.
    pub(crate) fn config(&mut self) -> Outcome<&Config> {
        if self.config.is_none() {
            self.config = Some(Config::read(&self.globals)?);
        }
        self.config.as_ref().ok_or(Failure::Exit(status::FATAL))
    }

    /// The path of a socket or file below `base_dir`.
    pub(crate) fn in_base_dir(&mut self, name: &str) -> Outcome<String> {
        Ok(format!("{}/{name}", self.config()?.base_dir()))
    }

    /// Reports an error and goes on; the command will end with `status`.
    pub(crate) fn error(&mut self, text: impl Display, status: i32) {
        eprintln!("Error: {text}");
        self.status = status;
    }

    /// Begins a table in the format that `-f` names, or in `format`.
    pub(crate) fn table(&mut self, format: Format, columns: &[Column]) -> Printer {
        let format = self.globals.format.unwrap_or(format);
        Printer::new(format, self.globals.hide_titles, columns, &mut self.output)
    }
}
