//! Splits a command line as `getopt_long` does, whose messages administrators know: options may
//! stand behind arguments, long names may be cut short, `--` ends the options.

use std::collections::HashMap;

use crate::spec::{Command, Kind, Param};

/// What was given to a command.
#[derive(Debug, Default)]
pub(crate) struct Args {
    command: &'static str,
    params: &'static [Param],
    values: HashMap<&'static str, Vec<String>>,
}

/// Why a command line was refused. `Display` is what goes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgError {
    #[error("{0}: invalid option -- '{1}'")]
    InvalidOption(String, char),
    #[error("{0}: option requires an argument -- '{1}'")]
    MissingArgument(String, char),
    #[error("{0}: unrecognized option '--{1}'")]
    Unrecognized(String, String),
    #[error("{0}: option '--{1}' requires an argument")]
    MissingLongArgument(String, String),
    #[error("{0}: option '--{1}' doesn't allow an argument")]
    NoArgumentAllowed(String, String),
    #[error("{0}: option '--{1}' is ambiguous; possibilities:{2}")]
    Ambiguous(String, String, String),
    #[error("Error: Extraneous arguments found: {0}")]
    Extraneous(String),
}

impl Args {
    /// Parses what follows the command's name. `program` is the word that messages start with.
    pub(crate) fn parse(command: &Command, program: &str, words: &[String]) -> Result<Self, ArgError> {
        let mut args = Self { command: command.name, params: command.params, values: HashMap::new() };
        let arguments = match command.takes_all {
            true => words.to_vec(),
            false => args.take_options(command.params, program, words)?,
        };
        let mut rest = arguments.as_slice();
        while let Some((first, others)) = rest.split_first() {
            let free = command.params.iter().find(|param| {
                param.positional
                    && (matches!(param.kind, Kind::List | Kind::Command)
                        || !args.values.contains_key(param.name))
            });
            match free {
                Some(param) => args.fill(param, first),
                None => return Err(ArgError::Extraneous(rest.join(" "))),
            }
            rest = others;
        }
        Ok(args)
    }

    /// Whether a flag was given.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The text given for `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.last().map(String::as_str)
    }

    /// All texts given for `name`.
    pub(crate) fn list(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The number given for `name`.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// The command's words, joined by spaces.
    pub(crate) fn command(&self) -> &'static str {
        self.command
    }

    /// The command line as a doveadm server wants it: options by their letters, then arguments. Which
    /// server it is stays here, and so does the list of users: the server is told only that there may be
    /// several.
    pub(crate) fn for_server(&self) -> Vec<String> {
        let (mut options, mut arguments) = (Vec::new(), vec!["--".to_owned()]);
        for param in self.params {
            let Some(values) = self.values.get(param.name) else { continue };
            match (param.name, param.short) {
                ("socket-path" | "file", _) => {}
                ("user-file", _) => options.push("-A".to_owned()),
                ("field" | "flag", _) => arguments.push(values.join(" ")),
                (_, Some(letter)) => {
                    for value in values {
                        options.push(format!("-{letter}"));
                        options.extend((param.kind != Kind::Flag).then(|| value.clone()));
                    }
                }
                (_, None) => arguments.extend(values.iter().cloned()),
            }
        }
        options.extend(arguments);
        options
    }

    fn fill(&mut self, param: &Param, value: &str) {
        self.values.entry(param.name).or_default().push(value.to_owned());
    }

    /// Takes the options out and returns the arguments.
    fn take_options(
        &mut self,
        params: &[Param],
        program: &str,
        words: &[String],
    ) -> Result<Vec<String>, ArgError> {
        let mut arguments = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                arguments.extend(words.by_ref().cloned());
            } else if let Some(long) = word.strip_prefix("--") {
                self.long_option(params, program, long, &mut words)?;
            } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                self.short_options(params, program, letters, &mut words)?;
            } else {
                arguments.push(word.clone());
                if params.iter().any(|param| param.positional && param.kind == Kind::Command) {
                    arguments.extend(words.by_ref().cloned());
                }
            }
        }
        Ok(arguments)
    }

    fn short_options<'a>(
        &mut self,
        params: &[Param],
        program: &str,
        letters: &str,
        words: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), ArgError> {
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            let param = params.iter().find(|param| param.short == Some(letter));
            let param = param.ok_or_else(|| ArgError::InvalidOption(program.to_owned(), letter))?;
            if param.kind == Kind::Flag {
                self.fill(param, "");
                continue;
            }
            let missing = || ArgError::MissingArgument(program.to_owned(), letter);
            match letters.as_str() {
                "" => self.fill(param, words.next().ok_or_else(missing)?),
                attached => self.fill(param, attached),
            }
            break;
        }
        Ok(())
    }

    fn long_option<'a>(
        &mut self,
        params: &[Param],
        program: &str,
        long: &str,
        words: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), ArgError> {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let param = long_param(params, program, name, long)?;
        let full = || param.name.to_owned();
        match (param.kind, value) {
            (Kind::Flag, None) => self.fill(param, ""),
            (Kind::Flag, Some(_)) => return Err(ArgError::NoArgumentAllowed(program.to_owned(), full())),
            (_, Some(value)) => self.fill(param, value),
            (_, None) => {
                let missing = || ArgError::MissingLongArgument(program.to_owned(), full());
                self.fill(param, words.next().ok_or_else(missing)?);
            }
        }
        Ok(())
    }
}

/// The parameter of that name, or the only one that begins so.
fn long_param<'a>(params: &'a [Param], program: &str, name: &str, word: &str) -> Result<&'a Param, ArgError> {
    if let Some(param) = params.iter().find(|param| param.name == name) {
        return Ok(param);
    }
    let mut likely = params.iter().filter(|param| param.name.starts_with(name));
    match (likely.next(), likely.next()) {
        (Some(param), None) => Ok(param),
        (Some(_), Some(_)) => {
            let all = params.iter().filter(|param| param.name.starts_with(name));
            let all = all.map(|param| format!(" '--{}'", param.name)).collect();
            Err(ArgError::Ambiguous(program.to_owned(), name.to_owned(), all))
        }
        (None, _) => Err(ArgError::Unrecognized(program.to_owned(), word.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{argument, option};

    const PARAMS: &[Param] = &[
        option('a', "socket-path", Kind::Text, ""),
        option('s', "since", Kind::Number, ""),
        option('1', "separate-connections", Kind::Flag, ""),
        option('x', "auth-info", Kind::List, ""),
        argument("mask", Kind::Text, ""),
        argument("rest", Kind::List, ""),
    ];
    const COMMAND: Command =
        Command { name: "who", usage: "", about: "", params: PARAMS, takes_all: false, run: |_, _| Ok(()) };

    fn parse(line: &str) -> Result<Args, ArgError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Args::parse(&COMMAND, "who", &words)
    }

    #[track_caller]
    fn refused(line: &str, expected: &str) {
        assert_eq!(parse(line).unwrap_err().to_string(), expected, "{line}");
    }

    #[test]
    fn options_and_arguments_mix() {
        let args = parse("one -1a path -x=1 two -xb --auth=c three -s5").unwrap();
        assert_eq!(args.text("mask"), Some("one"));
        assert_eq!(args.list("rest"), ["two", "three"]);
        assert_eq!(args.text("socket-path"), Some("path"));
        assert_eq!(args.list("auth-info"), ["=1", "b", "c"]);
        assert!(args.flag("separate-connections"));
        assert_eq!(args.number("since"), Some(5));
        assert_eq!(parse("-s x").unwrap().number("since"), None);
        assert_eq!(parse("-- -1 -").unwrap().list("rest"), ["-"]);
        assert_eq!(parse("--socket p").unwrap().text("socket-path"), Some("p"));
    }

    #[test]
    fn a_server_gets_what_was_given() {
        let args = parse("mask -1 rest1 --socket-path=s rest2 -x=1 -xb").unwrap();
        assert_eq!(args.for_server(), ["-1", "-x", "=1", "-x", "b", "--", "mask", "rest1", "rest2"]);
    }

    /// Worded as by the C library.
    #[test]
    fn mistakes() {
        refused("-q", "who: invalid option -- 'q'");
        refused("-1q", "who: invalid option -- 'q'");
        refused("-a", "who: option requires an argument -- 'a'");
        refused("--nosuch", "who: unrecognized option '--nosuch'");
        refused("--socket-path", "who: option '--socket-path' requires an argument");
        refused("--separate-connections=1", "who: option '--separate-connections' doesn't allow an argument");
        refused(
            "--s=1",
            "who: option '--s' is ambiguous; possibilities: '--socket-path' '--since' '--separate-connections'",
        );
    }

    #[test]
    fn too_many_arguments() {
        const NONE: Command = Command { params: &[], ..COMMAND };
        let words = ["x".to_owned(), "y".to_owned()];
        let error = Args::parse(&NONE, "stop", &words).unwrap_err();
        assert_eq!(error.to_string(), "Error: Extraneous arguments found: x y");
    }
}
