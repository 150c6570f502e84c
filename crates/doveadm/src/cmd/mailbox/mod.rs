//! `doveadm mailbox …`: a file for each command.

pub(crate) mod cache;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod metadata;
pub(crate) mod mutf7;
pub(crate) mod path;
pub(crate) mod rename;
pub(crate) mod status;
pub(crate) mod subscribe;
pub(crate) mod update;

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{self, Failure, Outcome};

/// The names of mailboxes, of which there must be some.
fn names<'a>(args: &'a Args, command: &str) -> Outcome<&'a [String]> {
    match args.list("mailbox") {
        [] => Err(help(command)),
        names => Ok(names),
    }
}

/// Refuses what cannot be the name of something new. Names of the command line that are not UTF-8 have been
/// replaced where they are not.
fn check_new(name: &str) -> Outcome {
    match name.contains(char::REPLACEMENT_CHARACTER) {
        true => Err(Failure::Fatal(format!("Mailbox name not valid UTF-8: {name}"), context::status::DATA)),
        false => Ok(()),
    }
}

/// The one mailbox that a command is about.
fn one<'a>(args: &'a Args, command: &str) -> Outcome<&'a str> {
    match args.list("mailbox") {
        [name] => Ok(name),
        _ => Err(help(command)),
    }
}
