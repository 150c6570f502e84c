//! The command line of `doveconf`.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use settings::config::{Config, ParseOptions};
use settings::error::Warning;
use settings::{Diagnostic, Filter, Network, StdFiles};

use super::show::{self, Scope, Show};
use super::sysinfo;

/// Exit status for everything that is wrong with the configuration or the command line.
const STATUS_FATAL: i32 = 89;

/// Where the configuration is unless `-c` says something else.
const CONFIG_PATH: &str = "/etc/dovecot/dovecot.conf";

/// The options: how they are written, what value they take, what they do.
pub(crate) const OPTIONS: &[(&str, &str, &str)] = &[
    ("-a", "", "Shows all settings with their values; so it does by default"),
    ("-c", "FILE", "Reads this configuration file"),
    ("-d", "", "Shows the defaults, and reads no file"),
    (
        "-f",
        "FILTER",
        "Shows what holds for protocol=NAME, lname=NAME, local=IP or remote=IP; may be given several times",
    ),
    ("-h", "", "Shows values without the settings' names"),
    ("-m", "MODULE", "Shows the settings that this module reads; may be given several times"),
    ("-n", "", "Shows the settings that differ from their default"),
    ("-N", "", "Shows the settings that are set, even to their default"),
    ("-p", "", "Checks everything even where -m shows a part"),
    ("-P", "", "Shows passwords and keys"),
    ("-s", "", "Shows hidden settings too"),
    ("-S", "", "Shows each setting in a line of its own, as path=value"),
    ("-x", "", "Expands variables, and shows the content of files"),
];

#[derive(Default)]
struct Wish {
    path: Option<String>,
    scope: Option<Scope>,
    protocol: Option<String>,
    local_name: Option<String>,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    modules: Vec<String>,
    defaults: bool,
    bare: bool,
    expand: bool,
    full: bool,
    passwords: bool,
    simple: bool,
    names: Vec<String>,
}

/// What to say before giving up, without the program's name.
enum Stop {
    /// With `Fatal: ` before it.
    Fatal(String),
    /// As it is.
    Usage(String),
}

/// Runs `doveconf` with its arguments, the program's own name first; gives the exit status.
pub fn main(args: &[String]) -> i32 {
    run(args, &mut std::io::stdout().lock(), &mut std::io::stderr().lock())
}

/// [`main`] with its output going elsewhere.
pub fn run(args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> i32 {
    let mut say = Say { out, err };
    let text =
        match Wish::read(args.get(1..).unwrap_or_default()).and_then(|wish| show_wished(&wish, &mut say)) {
            Ok(()) => return 0,
            Err(Stop::Usage(text)) => text,
            Err(Stop::Fatal(text)) => format!("Fatal: {text}"),
        };
    say.complain(&text);
    STATUS_FATAL
}

/// Where words go.
struct Say<'w> {
    out: &'w mut dyn Write,
    err: &'w mut dyn Write,
}

impl Say<'_> {
    /// To standard output, at once.
    fn show(&mut self, text: &str) -> Result<(), Stop> {
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        written.map_err(|error| Stop::Fatal(format!("write(stdout) failed: {}", base::error::reason(&error))))
    }

    /// To standard error. Nobody can be told if that fails.
    fn complain(&mut self, text: &str) {
        let _ = writeln!(self.err, "doveconf: {text}");
    }

    fn warn(&mut self, warning: &Warning) {
        let level = if matches!(warning, Warning::Ignored(_)) { "Error" } else { "Warning" };
        self.complain(&format!("{level}: {warning}"));
    }
}

impl Wish {
    /// Options may be joined (`-Pn`), have their value at once (`-cFILE`), and stand after names.
    fn read(args: &[String]) -> Result<Self, Stop> {
        let mut wish = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                wish.names.extend(args.cloned());
                break;
            }
            let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                wish.names.push(arg.clone());
                continue;
            };
            let mut rest = letters.chars();
            while let Some(letter) = rest.next() {
                let known = OPTIONS
                    .iter()
                    .find(|(option, ..)| option.strip_prefix('-') == Some(letter.encode_utf8(&mut [0; 4])));
                if known.is_none_or(|(_, value, _)| value.is_empty()) {
                    wish.flag(letter)?;
                    continue;
                }
                let joined = rest.as_str();
                let value = if joined.is_empty() { args.next().cloned() } else { Some(joined.to_owned()) };
                let value =
                    value.ok_or_else(|| Stop::Usage(format!("option requires an argument -- '{letter}'")))?;
                wish.value(letter, value)?;
                break;
            }
        }
        Ok(wish)
    }

    fn flag(&mut self, letter: char) -> Result<(), Stop> {
        match letter {
            'a' => {}
            'd' => self.defaults = true,
            'h' => self.bare = true,
            'n' => self.scope = Some(Scope::Changed),
            'N' => self.scope = Some(Scope::Set),
            'p' => self.full = true,
            'P' => self.passwords = true,
            's' => self.scope = Some(Scope::AllHidden),
            'S' => self.simple = true,
            'x' => self.expand = true,
            _ => return Err(Stop::Usage(format!("invalid option -- '{letter}'"))),
        }
        Ok(())
    }

    fn value(&mut self, letter: char, value: String) -> Result<(), Stop> {
        match letter {
            'c' => self.path = Some(value),
            'm' => self.modules.push(value),
            _ => self.filter(&value)?,
        }
        Ok(())
    }

    fn filter(&mut self, text: &str) -> Result<(), Stop> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let address = |what: &str| {
            let net = Network::parse(value).map(|net| net.ip);
            let found = net.or_else(|| settings::Files::resolve(&StdFiles, value).ok()?.first().copied());
            let failed = format!("{what} filter: gethostbyname({value}) failed: Name or service not known");
            found.ok_or(Stop::Fatal(failed))
        };
        match key {
            "service" | "protocol" => self.protocol = Some(value.to_owned()),
            "lname" => self.local_name = Some(value.to_owned()),
            "local" => self.local = Some(address("local")?),
            "remote" => self.remote = Some(address("remote")?),
            _ => return Err(Stop::Fatal(format!("Unknown filter argument: {text}"))),
        }
        Ok(())
    }

    fn show(&self) -> Show<'_> {
        let named = !self.names.is_empty();
        let scope = self.scope.unwrap_or(if named { Scope::AllHidden } else { Scope::All });
        Show {
            scope,
            filter: Filter {
                protocol: self.protocol.as_deref(),
                service: None,
                local_ip: self.local,
                remote_ip: self.remote,
                local_name: self.local_name.as_deref(),
            },
            modules: (!self.modules.is_empty() && (!named || self.simple)).then(|| self.modules.clone()),
            passwords: self.passwords,
        }
    }
}

fn show_wished(wish: &Wish, say: &mut Say<'_>) -> Result<(), Stop> {
    let path =
        wish.path.clone().or_else(|| std::env::var("CONFIG_FILE").ok()).unwrap_or_else(|| CONFIG_PATH.into());
    let human = wish.names.is_empty() && !wish.simple;
    if human {
        // Before reading, so that it is there even if the file is wrong.
        say.show(&format!("{}\n", sysinfo::header(&path)))?;
    }
    let config = read(wish, &path).map_err(|error| {
        error.warnings().iter().for_each(|warning| say.warn(warning));
        Stop::Fatal(std::iter::once(error.to_string()).chain(error.explain()).collect::<Vec<_>>().join("\n"))
    })?;
    config.parse_warnings().iter().for_each(|warning| say.warn(warning));
    if human { whole(wish, &config, &path, say) } else { part(wish, &config, say) }
}

fn read(wish: &Wish, path: &str) -> Result<Config, Diagnostic> {
    if wish.defaults {
        return Ok(Config::defaults());
    }
    let modules = (!wish.modules.is_empty() && !wish.full).then(|| wish.modules.clone());
    let options = ParseOptions { expand: wish.expand, check_users: true, modules };
    Config::parse(&StdFiles, Path::new(path), &options)
}

/// All settings, with remarks on what is wrong with them.
fn whole(wish: &Wish, config: &Config, path: &str, say: &mut Say<'_>) -> Result<(), Stop> {
    let show = wish.show();
    let location = config.root().value(settings::key::MAIL_LOCATION.index()).text();
    let mut head = format!("{}\n# Hostname: {}\n", sysinfo::system(location), sysinfo::host());
    if show.scope == Scope::All {
        head.push_str("# NOTE: Send doveconf -n output instead when asking for help.\n");
    }
    if wish.path.is_none() {
        warn_of_other_config(config, path, say);
    }
    let text = show::whole(config, &show).map_err(Stop::Fatal)?;
    say.show(&(head + &text))?;
    if wish.defaults {
        return Ok(());
    }
    for error in config.errors(&show.filter) {
        say.complain(&format!("Error: {error}"));
    }
    let warnings = config.check().map_err(|error| Stop::Fatal(error.to_string()))?;
    let said = |warning: &&Warning| config.parse_warnings().contains(warning);
    warnings.iter().filter(|warning| !said(warning)).for_each(|warning| say.warn(warning));
    Ok(())
}

/// Single settings. What else may be wrong does not matter, so that scripts can look settings up
/// in a configuration that is not ready.
fn part(wish: &Wish, config: &Config, say: &mut Say<'_>) -> Result<(), Stop> {
    let show = wish.show();
    if wish.simple {
        say.show(&show::simple(config, &show, &wish.names).map_err(Stop::Fatal)?)?;
        for error in config.errors(&show.filter) {
            say.complain(&format!("Error: {error}"));
        }
        return config.check().map(drop).map_err(|error| Stop::Fatal(error.to_string()));
    }
    for name in &wish.names {
        say.show(&show::one(config, &show, name, wish.bare).map_err(Stop::Fatal)?)?;
    }
    Ok(())
}

/// The master leaves a link to the configuration that it runs with.
fn warn_of_other_config(config: &Config, path: &str, say: &mut Say<'_>) {
    let base_dir = config.root().value(settings::key::BASE_DIR.index()).text();
    let Ok(target) = std::fs::read_link(Path::new(base_dir).join("dovecot.conf")) else { return };
    if target != Path::new(path) {
        let target = target.display();
        say.complain(&format!("Warning: Dovecot was last started using {target}, but this config is {path}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_known() {
        for (option, value, _) in OPTIONS {
            let args = [(*option).to_owned(), if *value == "FILTER" { "lname=x" } else { "x" }.to_owned()];
            let wish = Wish::read(&args).unwrap_or_else(|_| panic!("{option} is refused"));
            assert_eq!(wish.names.is_empty(), !value.is_empty(), "{option}");
        }
        assert!(Wish::read(&["-z".to_owned()]).is_err());
    }
}
