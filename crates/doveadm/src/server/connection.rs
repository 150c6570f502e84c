//! A client of the `doveadm-server` process: greeting, authentication, then a command in each line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use base::Logger;
use base::tab::unescape;
use ipc::control::{Listener, ListenerKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use sasl::Secret;
use sasl::encoding::from_base64;
use service::{Phase, Process};
use settings::{Settings, key};

use super::{Ends, Serving};
use crate::args::Args;
use crate::commands;
use crate::config::Config;
use crate::context::{Context, Failure, status};
use crate::globals::Globals;
use crate::limits::{CLIENT_WRITE_TIMEOUT, SERVER_LINE_MAX};
use crate::output::Output;
use crate::wire::channels::{Channels, LOG, OUTPUT, code_of_level};
use crate::wire::tls::{self, Relay};
use crate::wire::{CLIENT_VERSION, minor_version, name_of_status};

/// How often a server with a silent client looks whether it is to end.
const IDLE_LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// See the module.
pub(super) struct Connection<'a> {
    process: &'a Process,
    log: Logger,
    config: Config,
    ends: Option<Ends>,
    /// Who may connect is known already.
    is_known: bool,
    input: BufReader<File>,
    output: Channels,
    /// What speaks TLS with the client, if it does.
    relay: Option<Relay>,
}

/// The client is not to be talked to any more; it has been said why.
struct Hangup;

impl<'a> Connection<'a> {
    /// `ends` are those of a TCP connection, as its load balancer has them where there is one.
    pub(super) fn new(
        process: &'a Process,
        listener: &Listener,
        socket: OwnedFd,
        ends: Option<Ends>,
    ) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, false)?;
        set_socket_timeout(&socket, Timeout::Send, Some(CLIENT_WRITE_TIMEOUT))?;
        let is_known = ends.is_none() && is_owners_only(process, listener);
        let log = match ends {
            Some(Ends { remote, .. }) => Logger::new(format!("doveadm({remote}): ")),
            None => Logger::new("doveadm: "),
        };
        let config = config_for(process, ends);
        let (socket, relay) = match listener.kind {
            ListenerKind::Inet { ssl: true, .. } => {
                let (socket, relay) =
                    tls::accept(socket, &config.mail_settings(), &log).map_err(io::Error::other)?;
                (socket, Some(relay))
            }
            _ => (socket, None),
        };
        let input = File::from(socket);
        let output = Channels::new(input.try_clone()?);
        Ok(Self { process, log, config, ends, is_known, input: BufReader::new(input), output, relay })
    }

    /// Serves the client until it goes.
    pub(super) fn live(mut self) {
        let Ok(minor) = self.greet() else { return };
        if minor > 0 {
            self.output.multiplex();
            let output = self.output.clone();
            base::log::listen(Some(Box::new(move |level, prefix, text| {
                let line = [&[code_of_level(level)], prefix.as_bytes(), text.as_bytes(), b"\n"].concat();
                // The client may be gone; the log has the line, too.
                let _ = output.send(LOG, &line);
            })));
        }
        while let Some(line) = self.next_line() {
            let name = self.ends.map_or("<local>".to_owned(), |ends| ends.remote.to_string());
            let words: Vec<String> = line.split('\t').map(unescape).collect();
            let command = words.get(2).map_or("", String::as_str);
            self.process.set_title(&format!("[{name} {command}]"));
            let Ok(same) = self.command(&words) else { break };
            self = same;
            self.process.set_title(&format!("[{name}]"));
        }
        base::log::listen(None);
    }

    fn say(&self, text: &str) -> Result<(), Hangup> {
        self.output.send(OUTPUT, text.as_bytes()).map_err(|_| Hangup)
    }

    /// Gives the minor version of the client's protocol once it may send commands.
    fn greet(&mut self) -> Result<u32, Hangup> {
        let Some(line) = self.next_line() else {
            self.log.error("doveadm client disconnected before handshake: EOF");
            return Err(Hangup);
        };
        let Some(minor) = minor_version(&line, "doveadm-server") else {
            self.log.error("doveadm client not compatible with this server (mixed old and new binaries?)");
            return Err(Hangup);
        };
        if minor > 0 {
            self.say(CLIENT_VERSION)?;
        }
        if !self.is_known {
            self.say("-\n")?;
            if let Err(why) = self.authenticate() {
                self.log.error(why);
                self.say("-\n")?;
                return Err(Hangup);
            }
        }
        self.say("+\n")?;
        Ok(minor)
    }

    fn authenticate(&mut self) -> Result<(), String> {
        let mut line = self.next_line().ok_or("doveadm client disconnected before handshake: EOF")?;
        let settings = self.config.mail_settings();
        let password = settings.get(key::DOVEADM_PASSWORD);
        if password.is_empty() {
            return Err("doveadm_password not set, remote authentication disabled".to_owned());
        }
        if line == "STARTTLS" && self.relay.is_none() {
            self.start_tls(&settings)?;
            line = self.next_line().ok_or("doveadm client disconnected before handshake: EOF")?;
        }
        let Some(encoded) = line.strip_prefix("PLAIN\t") else {
            return Err(format!("doveadm client attempted non-PLAIN authentication: {line}"));
        };
        let plain = from_base64(encoded.as_bytes()).map(zeroize::Zeroizing::new);
        let plain = plain.ok_or("doveadm client sent invalid base64 auth PLAIN data")?;
        let given = plain.strip_prefix(b"\0doveadm\0").filter(|given| !given.is_empty());
        let given = given.ok_or("doveadm client didn't authenticate as 'doveadm'")?;
        match Secret::new(given.to_vec()) == Secret::new(password.as_bytes().to_vec()) {
            true => Ok(()),
            false => Err("doveadm client authenticated with wrong password".to_owned()),
        }
    }

    fn start_tls(&mut self, settings: &Settings) -> Result<(), String> {
        if !self.input.buffer().is_empty() {
            // What came in plain text must not be taken for what came in TLS.
            return Err("doveadm client sent more than STARTTLS".to_owned());
        }
        let system = |error: io::Error| base::reason(&error).to_string();
        let socket = self.input.get_ref().try_clone().map_err(system)?;
        let (socket, relay) = tls::accept(socket.into(), settings, &self.log)?;
        let input = File::from(socket);
        self.output = Channels::new(input.try_clone().map_err(system)?);
        self.input = BufReader::new(input);
        self.relay = Some(relay);
        Ok(())
    }

    /// The next line, without its end; `None` if there is none or the process is to end.
    fn next_line(&mut self) -> Option<String> {
        while self.input.buffer().is_empty() {
            let mut waiting = [PollFd::new(self.input.get_ref(), PollFlags::IN)];
            match poll(&mut waiting, Some(&IDLE_LOOK)) {
                Ok(0) if self.process.shutdown().phase() == Phase::Running => {}
                Ok(0) => return None,
                Ok(_) | Err(rustix::io::Errno::INTR) => break,
                Err(_) => return None,
            }
        }
        let mut line = Vec::new();
        (&mut self.input).take(SERVER_LINE_MAX).read_until(b'\n', &mut line).ok()?;
        match line.pop() {
            Some(b'\n') => Some(String::from_utf8_lossy(&line).into_owned()),
            // Too long, or cut.
            _ => None,
        }
    }

    fn command(self, words: &[String]) -> Result<Self, Hangup> {
        let refuse = |connection: &Self, why: std::fmt::Arguments<'_>| {
            connection.log.error(why);
            Err(Hangup)
        };
        let [flags, user, name, rest @ ..] = words else {
            return refuse(&self, format_args!("doveadm client: No command given"));
        };
        if let Some(flag) = flags.chars().find(|flag| !matches!(flag, 'D' | 'v')) {
            return refuse(&self, format_args!("doveadm client: Unknown flag: {flag}"));
        }
        let settings = self.config.mail_settings();
        let allowed = settings.get(key::DOVEADM_ALLOWED_COMMANDS);
        if !allowed.is_empty() && !allowed.split(',').any(|one| one == name) {
            return refuse(&self, format_args!("doveadm client isn't allowed to use command: {name}"));
        }
        let line: Vec<String> = name.split(' ').map(str::to_owned).chain(rest.iter().cloned()).collect();
        let Some((command, rest)) = commands::find(&line) else {
            self.log.error(format_args!("doveadm: Client sent unknown command: {name}"));
            self.say("\n-\n")?;
            return Ok(self);
        };
        let debug = flags.contains('D');
        let globals = Globals { debug, verbose: !flags.is_empty(), ..Globals::default() };
        let Self { process, log, config, ends, is_known, input, output, relay } = self;
        let serving = Serving {
            user: user.clone(),
            remote: ends.map(|ends| ends.remote),
            input,
            output: output.clone(),
            has_answered: false,
        };
        let printed = Output::to_client(Box::new(output.clone()));
        let again = config_for(process, ends);
        let mut cx = Context::serving(globals, printed, serving, config);
        let outcome = Args::parse(command, name, rest)
            .map_err(|error| Failure::Said(error.to_string(), status::USAGE))
            .and_then(|args| (command.run)(&mut cx, &args));
        cx.output.finish();
        let ended = ended(&log, outcome, cx.status);
        let serving = cx.serving.ok_or(Hangup)?;
        let connection =
            Self { process, log, config: again, ends, is_known, input: serving.input, output, relay };
        if serving.has_answered {
            // What was said since is no command.
            return Err(Hangup);
        }
        connection.say(&ended)?;
        Ok(connection)
    }
}

fn config_for(process: &Process, ends: Option<Ends>) -> Config {
    Config::of_process(process, ends.map(|ends| ends.local), ends.map(|ends| ends.remote))
}

/// The reply's last line.
fn ended(log: &Logger, outcome: Result<(), Failure>, status: i32) -> String {
    let status = match outcome {
        Ok(()) => status,
        Err(Failure::Exit(status)) => status,
        Err(Failure::Fatal(text, status)) => {
            log.error(text);
            status
        }
        Err(Failure::Said(text, status)) => {
            // A user's job says who it is.
            match text.split_once("Fatal: ") {
                Some((prefix, text)) => log.with_prefix(prefix).error(text),
                None => log.error(text.strip_prefix("Error: ").unwrap_or(&text)),
            }
            status
        }
    };
    match status {
        0 => "\n+\n".to_owned(),
        status => format!("\n-{}\n", name_of_status(status)),
    }
}

/// A socket that its owner alone can connect to needs no password, as in 2.3.
fn is_owners_only(process: &Process, listener: &Listener) -> bool {
    let found = std::fs::metadata(process.socket(&listener.name));
    found.is_ok_and(|found| found.file_type().is_socket() && found.permissions().mode() & 0o777 == 0o600)
}
