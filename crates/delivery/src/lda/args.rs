//! The command line, split as `getopt(3)` does.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::exit::{Exit, Status};
use crate::deliver::address::{Address, PathError};

/// 2.3's usage text.
pub(super) const USAGE: &str = "\
Usage: dovecot-lda [-c <config file>] [-d <username>] [-p <path>]
                   [-m <mailbox>] [-e] [-k] [-f <envelope sender>]
                   [-a <original envelope recipient>]
                   [-r <final envelope recipient>] 
";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// `-d`: the user to look up.
    pub(super) user: Option<String>,
    /// `-f`: the envelope's sender, as it was given.
    pub(super) sender: Option<String>,
    /// `-a`
    pub(super) recipient: Option<Address>,
    /// `-r`
    pub(super) final_recipient: Option<Address>,
    /// `-m`: the mailbox, in UTF-8.
    pub(super) mailbox: Option<String>,
    /// `-p`: the message, instead of standard input.
    pub(super) path: Option<PathBuf>,
    /// `-e`
    pub(super) stderr_rejection: bool,
    /// `-k`
    pub(super) keep_environment: bool,
    /// `-c`
    pub(super) config_path: Option<String>,
    /// `-o name=value`, in order.
    pub(super) overrides: Vec<String>,
}

impl Options {
    /// Reads the words of the command line, the program's name first. `prefix` begins lines on
    /// standard error.
    pub(super) fn parse(words: &[OsString], prefix: &str) -> Result<Self, Exit> {
        let program = words.first().map_or_else(|| "dovecot-lda".into(), |word| word.to_string_lossy());
        let usage = |line: String| Exit::usage(line);
        let mut options = Self::default();
        let mut unknown = None;
        let mut words = words.iter().skip(1).map(OsString::as_os_str);
        while let Some(word) = words.next() {
            let letters = word.as_bytes();
            if letters == b"--" {
                unknown = unknown.or_else(|| words.next());
                break;
            }
            let Some(mut letters) = letters.strip_prefix(b"-").filter(|letters| !letters.is_empty()) else {
                unknown = unknown.or(Some(word));
                continue;
            };
            while let Some((&letter, rest)) = letters.split_first() {
                letters = rest;
                match letter {
                    b'e' => options.stderr_rejection = true,
                    b'k' => options.keep_environment = true,
                    b'a' | b'c' | b'd' | b'f' | b'm' | b'o' | b'p' | b'r' => {
                        let attached = Some(OsStr::from_bytes(std::mem::take(&mut letters)));
                        let value = attached.filter(|word| !word.is_empty()).or_else(|| words.next());
                        let letter = char::from(letter);
                        let value = value.ok_or_else(|| {
                            usage(format!("{program}: option requires an argument -- '{letter}'"))
                        })?;
                        options.set(letter, value, prefix)?;
                    }
                    letter => {
                        let letter = char::from(letter);
                        return Err(usage(format!("{program}: invalid option -- '{letter}'")));
                    }
                }
            }
        }
        match unknown {
            Some(word) => {
                Err(usage(format!("{prefix}: Fatal: Unknown argument: {}", word.to_string_lossy())))
            }
            None => Ok(options),
        }
    }

    fn set(&mut self, letter: char, value: &OsStr, prefix: &str) -> Result<(), Exit> {
        let text = || value.to_string_lossy().into_owned();
        let address = || {
            let address = Address::parse_path(&text()).and_then(|address| address.ok_or(PathError::Null));
            address.map(Some).map_err(|error| {
                Exit::said(format!("{prefix}: Fatal: Invalid -{letter} parameter: {error}"), Status::Usage)
            })
        };
        match letter {
            'a' => self.recipient = address()?,
            'r' => self.final_recipient = address()?,
            'c' => self.config_path = Some(text()),
            'd' => self.user = Some(text()),
            'f' => self.sender = Some(text()),
            'm' => {
                let name = value.to_str().ok_or_else(|| {
                    let line = format!("{prefix}: Fatal: Mailbox name not UTF-8: {}", text());
                    Exit::said(line, Status::TempFail)
                })?;
                self.mailbox = Some(name.to_owned());
            }
            'o' => self.overrides.push(text()),
            // `-p`, the only one left.
            _ => self.path = Some(PathBuf::from(OsString::from_vec(value.as_bytes().to_vec()))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Options, Exit> {
        let words: Vec<OsString> = ["dovecot-lda"].iter().chain(line).map(OsString::from).collect();
        Options::parse(&words, "lda")
    }

    #[test]
    fn options_stand_in_any_order() {
        let options =
            parse(&["-ed", "joe", "-mINBOX", "-c", "x", "-o", "a=b", "-oc=d", "-f", "", "-p", "/m"]);
        let options = options.unwrap();
        assert!(options.stderr_rejection && !options.keep_environment);
        assert_eq!(options.user.as_deref(), Some("joe"));
        assert_eq!(options.mailbox.as_deref(), Some("INBOX"));
        assert_eq!(options.sender.as_deref(), Some(""));
        assert_eq!(options.overrides, ["a=b", "c=d"]);
    }

    /// Recorded from 2.3.19.
    #[test]
    fn mistakes() {
        let check = |line: &[&str], text: &str, status: Status, usage: bool| {
            let exit = parse(line).unwrap_err();
            assert_eq!((exit.text.as_str(), exit.status, exit.usage), (text, status, usage), "{line:?}");
        };
        check(&["-Z"], "dovecot-lda: invalid option -- 'Z'", Status::Usage, true);
        check(&["--help"], "dovecot-lda: invalid option -- '-'", Status::Usage, true);
        check(&["-d"], "dovecot-lda: option requires an argument -- 'd'", Status::Usage, true);
        check(&["foo", "-d", "joe"], "lda: Fatal: Unknown argument: foo", Status::Usage, true);
        check(&["-d", "joe", "--", "-e"], "lda: Fatal: Unknown argument: -e", Status::Usage, true);
        let bad = "lda: Fatal: Invalid -a parameter: Invalid character in path";
        check(&["-a", "foo bar@@"], bad, Status::Usage, false);
        check(&["-r", "<>"], "lda: Fatal: Invalid -r parameter: Null path not allowed", Status::Usage, false);
        let words = ["dovecot-lda".into(), OsString::from_vec(b"-mx\xff".to_vec())];
        let exit = Options::parse(&words, "lda").unwrap_err();
        assert_eq!(exit.text, "lda: Fatal: Mailbox name not UTF-8: x\u{fffd}");
        assert_eq!(exit.status, Status::TempFail);
    }
}
