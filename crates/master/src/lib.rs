//! The master process: opens the listeners, starts, counts, restarts, reloads and stops all other
//! processes. It has root's rights for as long as the server runs, so it is kept dull: one thread,
//! no parser of configuration text (a `config` child does that), not a byte from a stranger.
//!
//! In reading order: [`command`] is the command line, [`start`] the way up, [`plan`] what the
//! settings ask for, [`server`] the loop, [`family`] what it does about [`service`]s and their
//! [`child`]ren, [`reload`] and [`stop`] the rest of life.

mod admin;
mod child;
mod command;
mod death;
mod family;
mod instances;
mod listen;
mod loader;
mod notify;
mod own_log;
mod plan;
mod reload;
mod rundir;
mod server;
mod service;
mod spawn;
mod start;
mod stop;
mod throttle;
mod timers;
mod wire;

pub use command::OPTIONS;

use std::process::ExitCode;
use zeroize::Zeroizing;

/// What other programs of the same executable do for `dovecot stop`, `dovecot -n` and the like.
#[derive(Clone, Copy)]
pub struct Tools {
    /// `doveadm` with its command line; gives the exit status.
    pub doveadm: fn(&[String]) -> i32,
    /// `doveconf` likewise.
    pub doveconf: fn(&[String]) -> i32,
    /// Asks for a password on the terminal, with a prompt.
    pub ask_password: fn(&str) -> Result<Zeroizing<String>, String>,
    /// Writes lines to the log where there is no log process yet.
    pub note: fn(&settings::Snapshot, &[(base::Level, String)]),
    /// A process that the master may start: whether there is one of this name, and whether it
    /// talks to anvil.
    pub program: fn(&str) -> Option<Program>,
}

/// What the master has to know of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Whether it gets a connection to anvil.
    pub anvil: bool,
}

/// Runs the command `dovecot` with `args`, the program's name first.
pub fn main(args: &[String], tools: Tools) -> ExitCode {
    let status = command::run(args, tools);
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

/// The version as `--version` and the log's first line show it.
pub fn version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), " (Culver)")
}
