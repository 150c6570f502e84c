//! The commands as clap sees them: help texts, manual pages and shell completions come from here,
//! and so from the very table that command lines are parsed by.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use clap::{Arg, ArgAction, Command as Clap, ValueHint};

use crate::commands;
use crate::spec::{Command, Kind, Param};

/// All of `doveadm` as a clap command.
pub fn command() -> Clap {
    let mut root = Clap::new("doveadm")
        .about("Manages a running mail server and its mail")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        // `-h` leaves titles out, so help has its long name only.
        .disable_help_flag(true)
        .subcommand_required(true)
        .args([
            Arg::new("help").long("help").help("Shows this help").action(ArgAction::HelpLong),
            flag("debug", 'D', "Writes debug lines"),
            flag("verbose", 'v', "Says more"),
            value('f', "formatter", "Output format: flow, json, pager, tab or table"),
            flag("no-titles", 'h', "Leaves titles out"),
            value('c', "file", "Reads this configuration file"),
            value('i', "instance", "Uses the configuration of this instance"),
            flag("keep-environment", 'k', "Keeps the whole environment for programs that are executed"),
            value('o', "setting=value", "Overrides a setting").action(ArgAction::Append),
        ]);
    let mut groups: BTreeMap<&str, Vec<(&str, &Command)>> = BTreeMap::new();
    for command in commands::present() {
        match command.name.split_once(' ') {
            None => root = root.subcommand(leaf(command.name, command)),
            Some((group, rest)) => groups.entry(group).or_default().push((rest, command)),
        }
    }
    for (name, members) in groups {
        root = root.subcommand(group(name, members));
    }
    root
}

/// The help of the whole, or of the command that `words` begin with.
pub(crate) fn help(words: &[String]) -> String {
    let mut at = command();
    at.build();
    for word in words {
        match at.find_subcommand(word) {
            Some(below) => at = below.clone(),
            None => break,
        }
    }
    at.render_long_help().to_string()
}

/// A program that is not `doveadm`, for its manual page and completions.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// One sentence on what it does.
    pub about: &'static str,
    /// How an option is written, what value it takes (empty for none), what it does.
    pub options: &'static [(&'static str, &'static str, &'static str)],
    /// Commands that may follow, with what they do.
    pub commands: &'static [(&'static str, &'static str)],
    /// Any number of further arguments: their name and what they are.
    pub arguments: Option<(&'static str, &'static str)>,
}

/// `doveconf`, as its own parser knows it.
const DOVECONF: Program = Program {
    name: "doveconf",
    about: "Shows the configuration as it was understood",
    options: crate::doveconf::OPTIONS,
    commands: &[],
    arguments: Some(("setting", "Only these settings or sections, such as ssl or service/imap")),
};

/// Writes manual pages (`man1/`) and completions for bash, zsh and fish (`completions/`) of
/// `doveadm`, `doveconf` and `others` below `directory`.
///
/// # Errors
/// Those of creating and writing the files.
pub fn generate(directory: &Path, others: &[Program]) -> io::Result<()> {
    let man = directory.join("man1");
    let completions = directory.join("completions");
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    let others = std::iter::once(&DOVECONF).chain(others).map(|program| program.command());
    for mut command in std::iter::once(command()).chain(others) {
        let name = command.get_name().to_owned();
        clap_mangen::generate_to(command.clone(), &man)?;
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            clap_complete::generate_to(shell, &mut command, name.clone(), &completions)?;
        }
    }
    Ok(())
}

impl Program {
    fn command(&self) -> Clap {
        let mut command = Clap::new(self.name)
            .about(self.about)
            .version(env!("CARGO_PKG_VERSION"))
            .disable_help_flag(true)
            .disable_help_subcommand(true)
            .disable_version_flag(true);
        for (at, (option, value, about)) in self.options.iter().enumerate() {
            let arg = Arg::new(*option).help(*about).display_order(at);
            let arg = match (option.strip_prefix("--"), option.chars().nth(1)) {
                (Some(long), _) => arg.long(long),
                (None, Some(letter)) => arg.short(letter),
                (None, None) => arg,
            };
            command = command.arg(match *value {
                "" => arg.action(ArgAction::SetTrue),
                name => arg.value_name(name).value_hint(hint(name)).action(ArgAction::Append),
            });
        }
        for (name, about) in self.commands {
            let below = Clap::new(*name).about(*about).disable_help_flag(true).disable_version_flag(true);
            command = command.subcommand(below);
        }
        match self.arguments {
            Some((name, about)) => command.arg(Arg::new(name).help(about).num_args(0..)),
            None => command,
        }
    }
}

/// What a shell may complete.
fn hint(value: &str) -> ValueHint {
    if value.eq_ignore_ascii_case("file") { ValueHint::FilePath } else { ValueHint::Unknown }
}

fn group(name: &'static str, members: Vec<(&'static str, &'static Command)>) -> Clap {
    let mut group = Clap::new(name).subcommand_required(true).disable_help_subcommand(true);
    let names: Vec<&str> = members.iter().map(|(rest, _)| *rest).collect();
    group = group.about(format!("Commands: {}", names.join(", ")));
    let mut below: BTreeMap<&str, Vec<(&'static str, &'static Command)>> = BTreeMap::new();
    for (rest, command) in members {
        match rest.split_once(' ') {
            None => group = group.subcommand(leaf(rest, command)),
            Some((first, rest)) => below.entry(first).or_default().push((rest, command)),
        }
    }
    for (name, members) in below {
        group = group.subcommand(self::group(name, members));
    }
    group
}

fn leaf(name: &'static str, command: &'static Command) -> Clap {
    let args = command.params.iter().enumerate().map(|(at, param)| arg(at, param, command.takes_all));
    Clap::new(name).about(command.about).args(args).disable_version_flag(true)
}

fn arg(at: usize, param: &Param, takes_all: bool) -> Arg {
    let mut arg = Arg::new(param.name).help(param.about).display_order(at);
    if !param.positional {
        arg = arg.long(param.name);
        if let Some(short) = param.short {
            arg = arg.short(short);
        }
    }
    match param.kind {
        Kind::Flag => arg.action(ArgAction::SetTrue),
        Kind::List | Kind::Command if param.positional => {
            arg.num_args(0..).trailing_var_arg(takes_all).allow_hyphen_values(takes_all)
        }
        Kind::List | Kind::Command => arg.value_name(param.name).action(ArgAction::Append),
        Kind::Text | Kind::Number if param.positional => arg,
        Kind::Text | Kind::Number => arg.value_name(param.name),
    }
}

fn flag(id: &'static str, letter: char, about: &'static str) -> Arg {
    Arg::new(id).short(letter).help(about).action(ArgAction::SetTrue)
}

fn value(letter: char, name: &'static str, about: &'static str) -> Arg {
    let arg = Arg::new(name).short(letter).value_name(name).value_hint(hint(name)).help(about);
    // Any text is parsed elsewhere; the shells complete these.
    if name == "formatter" { arg.value_parser(["flow", "json", "pager", "tab", "table"]) } else { arg }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_a_page_and_completions() {
        let directory = tempfile::tempdir().unwrap();
        generate(directory.path(), &[]).unwrap();
        let page = std::fs::read_to_string(directory.path().join("man1/doveadm-log-test.1")).unwrap();
        assert!(page.contains("Writes a line of each level to the log"));
        let bash = std::fs::read_to_string(directory.path().join("completions/doveadm.bash")).unwrap();
        assert!(bash.contains("separate\\-connections") || bash.contains("separate-connections"));
        let page = std::fs::read_to_string(directory.path().join("man1/doveconf.1")).unwrap();
        assert!(page.contains("differ from their default"));
        assert!(help(&["who".to_owned()]).contains("A line for each session"));
    }
}
