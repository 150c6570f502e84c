//! What a command is: one declaration from which come the parser, the usage texts of 2.3, the
//! manual pages and the shell completions.

use crate::args::Args;
use crate::context::{Context, Outcome};

/// A command.
#[derive(Debug)]
pub(crate) struct Command {
    /// Its words, joined by spaces: `log test`.
    pub(crate) name: &'static str,
    /// What follows the name in 2.3's usage texts.
    pub(crate) usage: &'static str,
    /// One sentence on what it does.
    pub(crate) about: &'static str,
    /// Its options and arguments, positional ones in their order.
    pub(crate) params: &'static [Param],
    /// Everything after the name is an argument, also what looks like an option.
    pub(crate) takes_all: bool,
    /// Its code.
    pub(crate) run: fn(&mut Context, &Args) -> Outcome,
}

/// An option or argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Param {
    /// The option's letter.
    pub(crate) short: Option<char>,
    /// The option's long name, and the name in code.
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Filled from arguments that are no options.
    pub(crate) positional: bool,
    /// One sentence.
    pub(crate) about: &'static str,
}

/// What an option or argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Flag,
    /// One text.
    Text,
    /// One whole number; anything else counts as not given, as in 2.3.
    Number,
    /// Any number of texts.
    List,
    /// A command with its arguments: from the first of them on nothing is an option.
    Command,
}

/// An option.
pub(crate) const fn option(short: char, name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { short: Some(short), name, kind, positional: false, about }
}

/// An option without a letter.
pub(crate) const fn long(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { short: None, name, kind, positional: false, about }
}

/// An argument.
pub(crate) const fn argument(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { short: None, name, kind, positional: true, about }
}
