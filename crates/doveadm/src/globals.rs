//! Options before the command: `-D -v -f -h -c -i -k -o`.

use crate::context::status;
use crate::print::Format;

/// The global options.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globals {
    pub(crate) debug: bool,
    pub(crate) verbose: bool,
    pub(crate) format: Option<Format>,
    pub(crate) hide_titles: bool,
    /// `-c`, or the file of the instance named by `-i`.
    pub(crate) config_path: Option<String>,
    /// `-k`: programs that are executed get the whole environment.
    pub(crate) keep_environment: bool,
    /// `-o name=value`, in order.
    pub(crate) overrides: Vec<String>,
    pub(crate) wish: Wish,
}

/// What is wanted besides a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Wish {
    #[default]
    Run,
    Help,
    Version,
}

/// Why the options were refused. `Display` is what goes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GlobalError {
    #[error("{0}: invalid option -- '{1}'")]
    InvalidOption(String, char),
    #[error("{0}: option requires an argument -- '{1}'")]
    MissingArgument(String, char),
    #[error("doveadm: Fatal: Unknown print formatter: {0}")]
    UnknownFormat(String),
    #[error("doveadm: Fatal: {0}")]
    Instance(String),
}

impl GlobalError {
    /// The exit status.
    pub(crate) fn status(&self) -> i32 {
        match self {
            Self::InvalidOption(..) | Self::MissingArgument(..) => status::FATAL,
            Self::UnknownFormat(_) | Self::Instance(_) => status::TEMPFAIL,
        }
    }
}

/// Parses the options of `args`, whose first word is the program's name, and returns the words
/// from the command on.
pub(crate) fn parse(args: &[String]) -> Result<(Globals, Vec<String>), GlobalError> {
    let program = args.first().map_or("doveadm", String::as_str);
    let mut globals = Globals::default();
    let mut words = args.iter().skip(1);
    let mut rest = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--" => break,
            "--help" => globals.wish = Wish::Help,
            "--version" => globals.wish = Wish::Version,
            _ => match word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                Some(letters) => globals.take(program, letters, &mut words)?,
                None => {
                    rest.push(word.clone());
                    break;
                }
            },
        }
    }
    rest.extend(words.cloned());
    Ok((globals, rest))
}

impl Globals {
    fn take<'a>(
        &mut self,
        program: &str,
        letters: &str,
        words: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), GlobalError> {
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            match letter {
                'D' => (self.debug, self.verbose) = (true, true),
                'v' => self.verbose = true,
                'h' => self.hide_titles = true,
                'k' => self.keep_environment = true,
                'f' | 'c' | 'i' | 'o' => {
                    let attached = letters.as_str();
                    let value = match attached {
                        "" => words.next().map(String::as_str),
                        attached => Some(attached),
                    };
                    let missing = || GlobalError::MissingArgument(program.to_owned(), letter);
                    self.set(letter, value.ok_or_else(missing)?)?;
                    break;
                }
                _ => return Err(GlobalError::InvalidOption(program.to_owned(), letter)),
            }
        }
        Ok(())
    }

    fn set(&mut self, letter: char, value: &str) -> Result<(), GlobalError> {
        match letter {
            'f' => {
                let format = Format::named(value);
                self.format = Some(format.ok_or_else(|| GlobalError::UnknownFormat(value.to_owned()))?);
            }
            'c' => self.config_path = Some(value.to_owned()),
            'i' => {
                let path = crate::instances::config_path_of(value).map_err(GlobalError::Instance)?;
                self.config_path = Some(path);
            }
            _ => self.overrides.push(value.to_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<(Globals, Vec<String>), GlobalError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn options_end_at_the_command() {
        let (globals, rest) = parse_line("doveadm -Dftab -c x -o a=b -oc=d who -f -x").unwrap();
        assert!(globals.debug && globals.verbose);
        assert_eq!(globals.format, Some(Format::Tab));
        assert_eq!(globals.config_path.as_deref(), Some("x"));
        assert_eq!(globals.overrides, ["a=b", "c=d"]);
        assert_eq!(rest, ["who", "-f", "-x"]);
    }

    /// Recorded from 2.3.19.
    #[test]
    fn mistakes() {
        for (line, expected, status) in [
            ("doveadm -Z", "doveadm: invalid option -- 'Z'", 89),
            ("doveadm -f", "doveadm: option requires an argument -- 'f'", 89),
            ("doveadm -f xx who", "doveadm: Fatal: Unknown print formatter: xx", 75),
            ("doveadm -i no/such who", "doveadm: Fatal: Unknown instance name: no/such", 75),
        ] {
            let error = parse_line(line).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.status()), (expected, status), "{line}");
        }
    }
}
