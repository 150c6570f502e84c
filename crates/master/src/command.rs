//! The command line of `dovecot`, with 2.3's words and exit statuses.

use std::path::{Path, PathBuf};

use crate::{Tools, start, version};

/// Where the configuration is when `-c` does not say.
const CONFIG_DEFAULT: &str = "/etc/dovecot/dovecot.conf";

const HELP: &str = "Usage: dovecot [-F] [-c <config file>] [-p] [-n] [-a] [--help] [--version]
       [--build-options] [--hostdomain] [reload] [stop]
";

/// The options: how they are written, what value they take, what they do.
pub const OPTIONS: &[(&str, &str, &str)] = &[
    ("-F", "", "Stays in the foreground"),
    ("-c", "FILE", "Reads this configuration file"),
    ("-p", "", "Asks for the password of the TLS key"),
    ("-n", "", "Shows the settings that differ from their default, like doveconf -n"),
    ("-a", "", "Shows all settings, like doveconf -a"),
    ("--help", "", "Shows a short help"),
    ("--version", "", "Shows the version"),
    ("--build-options", "", "Shows what is built in"),
    ("--hostdomain", "", "Shows the host's name with its domain"),
];

/// 2.3's `FATAL_DEFAULT`.
pub(crate) const STATUS_FATAL: i32 = 89;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Start {
        config: PathBuf,
        foreground: bool,
        ask_password: bool,
    },
    /// `doveconf` with these arguments.
    Doveconf(Vec<String>),
    /// `doveadm` with these.
    Doveadm(Vec<String>),
    Say(String),
    /// Usage on standard error, an error behind it, exit status.
    Refuse(String),
}

pub(crate) fn run(args: &[String], tools: Tools) -> i32 {
    match parse(args) {
        Wish::Start { config, foreground, ask_password } => {
            start::run(&absolute(&config), start::How { foreground, ask_password }, tools)
        }
        Wish::Doveconf(args) => (tools.doveconf)(&args),
        Wish::Doveadm(args) => (tools.doveadm)(&args),
        Wish::Say(text) => {
            print!("{text}");
            0
        }
        Wish::Refuse(text) => {
            eprint!("{HELP}{text}");
            STATUS_FATAL
        }
    }
}

fn parse(args: &[String]) -> Wish {
    let mut config = PathBuf::from(CONFIG_DEFAULT);
    let mut is_config_given = false;
    let (mut foreground, mut ask_password, mut show) = (false, false, None);
    let mut words = args.iter().skip(1);
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            return match show {
                Some(letter) => doveconf(letter, &config),
                None => parse_long(long),
            };
        }
        let Some(letters) =
            word.strip_prefix('-').filter(|letters| !letters.is_empty() && !letters.starts_with('-'))
        else {
            let rest = std::iter::once(word).chain(words).cloned();
            let name = "doveadm".to_owned();
            let config = config.display().to_string();
            return match is_config_given {
                true => Wish::Doveadm([name, "-c".to_owned(), config].into_iter().chain(rest).collect()),
                false => Wish::Doveadm(std::iter::once(name).chain(rest).collect()),
            };
        };
        for (at, letter) in letters.char_indices() {
            match letter {
                'F' => foreground = true,
                'p' => ask_password = true,
                'n' | 'a' => show = Some(letter),
                'c' => {
                    let own = &letters[at + 1..];
                    let path = if own.is_empty() { words.next().map(String::as_str) } else { Some(own) };
                    let Some(path) = path else {
                        return Wish::Refuse(format!("{}: option requires an argument -- 'c'\n", name(args)));
                    };
                    config = PathBuf::from(path);
                    is_config_given = true;
                    break;
                }
                other => return Wish::Refuse(format!("{}: invalid option -- '{other}'\n", name(args))),
            }
        }
    }
    match show {
        Some(letter) => doveconf(letter, &config),
        None => Wish::Start { config, foreground, ask_password },
    }
}

fn doveconf(letter: char, config: &Path) -> Wish {
    let config = config.display().to_string();
    Wish::Doveconf(vec!["doveconf".to_owned(), format!("-{letter}"), "-c".to_owned(), config])
}

fn parse_long(word: &str) -> Wish {
    match word {
        "version" => Wish::Say(format!("{}\n", version())),
        "hostdomain" => Wish::Say(format!("{}\n", host_domain())),
        "build-options" => Wish::Say(BUILD_OPTIONS.to_owned()),
        "help" => {
            // 2.3 writes its help to standard error, and succeeds.
            eprint!("{HELP}");
            Wish::Say(String::new())
        }
        other => Wish::Refuse(format!("Fatal: Unknown argument: --{other}\n")),
    }
}

const BUILD_OPTIONS: &str = "Build options: ioloop=epoll notify=inotify rustls io_block_size=8192
SQL drivers: mysql sqlite
Passdb: passwd-file sql static
Userdb: passwd passwd-file prefetch sql static
";

fn name(args: &[String]) -> &str {
    args.first().map_or("dovecot", String::as_str)
}

/// The host's name with its domain, as far as the system knows it.
fn host_domain() -> String {
    sys::accounts::host_domain()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Wish) {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(parse(&args), expected, "{line}");
    }

    #[test]
    fn every_option_is_known() {
        for (option, value, _) in OPTIONS {
            let args: Vec<String> = ["dovecot", option, value].map(str::to_owned).to_vec();
            assert!(!matches!(parse(&args), Wish::Refuse(_)), "{option}");
            assert!(HELP.contains(option), "{option}");
        }
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn command_lines() {
        let start =
            |config: &str, foreground| Wish::Start { config: config.into(), foreground, ask_password: false };
        check("dovecot", start(CONFIG_DEFAULT, false));
        check("dovecot -F -c /x", start("/x", true));
        check("dovecot -Fc/x", start("/x", true));
        check("dovecot stop", Wish::Doveadm(words("doveadm stop")));
        check("dovecot -c /x reload", Wish::Doveadm(words("doveadm -c /x reload")));
        check("dovecot -n -c /x", Wish::Doveconf(words("doveconf -n -c /x")));
        check("dovecot -a", Wish::Doveconf(words("doveconf -a -c /etc/dovecot/dovecot.conf")));
        check("dovecot --bogus", Wish::Refuse("Fatal: Unknown argument: --bogus\n".into()));
        check("dovecot -x", Wish::Refuse("dovecot: invalid option -- 'x'\n".into()));
    }
}
