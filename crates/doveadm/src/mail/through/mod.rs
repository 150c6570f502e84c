//! Commands on mail that a doveadm server does: `-S`, `doveadm_worker_count`, or a passdb that says where
//! a user is. Several users are worked on at once, as many as `doveadm_worker_count` says, each on a
//! connection of its own; what they print comes in their order.

mod connection;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use service::authmaster::Lookup;
use service::authmaster::blocking::Client;
use settings::{Settings, key};

use self::connection::{Connection, Credentials, Heard, Trouble};
pub(crate) use self::connection::{Reply, Stream};
use super::job::Job;
use super::login;
use crate::context::{Context, Outcome, status};
use crate::limits::HEARD_MAX;
use crate::wire::escape_into;
use crate::wire::tls::{Secure, Tls};

/// Where the work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// A socket's path, or a host and perhaps a port.
    pub(crate) target: String,
    /// The user's name there.
    pub(crate) user: String,
    /// How TLS is spoken there, if it is.
    pub(crate) tls: Option<Tls>,
}

/// What decides about places.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    target: String,
    port: u16,
    workers: usize,
    is_server: bool,
    auth_socket: String,
    credentials: Credentials,
    settings: Settings,
}

impl Routes {
    /// From the settings, and `-S`.
    pub(crate) fn of(cx: &mut Context, socket: Option<&str>) -> Outcome<Self> {
        let is_server = cx.serving.is_some();
        let config = cx.config()?;
        let settings: Settings = config.mail_settings();
        let workers = usize::try_from(settings.get(key::DOVEADM_WORKER_COUNT)).unwrap_or(usize::MAX);
        let path = settings.get(key::DOVEADM_SOCKET_PATH);
        let is_host = path.contains(':') && !path.contains('/');
        let target = match (socket, is_host) {
            (Some(socket), _) => socket.to_owned(),
            (None, true) => path.to_owned(),
            (None, false) => Path::new(config.base_dir()).join(path).display().to_string(),
        };
        Ok(Self {
            target,
            port: settings.get(key::DOVEADM_PORT),
            workers: workers.max(usize::from(socket.is_some())),
            is_server,
            auth_socket: config.auth_socket_path(),
            credentials: Credentials {
                username: settings.get(key::DOVEADM_USERNAME).to_owned(),
                password: settings.get(key::DOVEADM_PASSWORD).to_owned(),
            },
            settings,
        })
    }

    /// Where this user's mail is worked on; `None` for here, the inner error is why it cannot be told.
    pub(crate) fn place(&self, cx: &mut Context, user: &str) -> Outcome<Result<Option<Place>, String>> {
        if self.port != 0 {
            match self.proxied(cx, user)? {
                Ok(None) => {}
                found => return Ok(found),
            }
        }
        if self.workers == 0 || self.is_server {
            return Ok(Ok(None));
        }
        Ok(Ok(Some(Place { target: self.target.clone(), user: user.to_owned(), tls: self.tls() })))
    }

    /// `doveadm_ssl`, which is about hosts and, as in 2.3, of no effect without `doveadm_port`.
    fn tls(&self) -> Option<Tls> {
        if self.port == 0 || self.target.contains('/') {
            return None;
        }
        match self.settings.get(key::DOVEADM_SSL) {
            "no" => None,
            word => Some(Tls { start: word == "starttls", any_cert: false }),
        }
    }

    /// Connects to a place.
    fn connect(&self, place: &Place) -> Result<Connection, Trouble> {
        let secure =
            place.tls.map(|tls| Secure::of(&self.settings, tls)).transpose().map_err(Trouble::Fatal)?;
        Connection::open(&place.target, self.port, &self.credentials, secure.as_ref())
    }

    fn proxied(&self, cx: &mut Context, user: &str) -> Outcome<Result<Option<Place>, String>> {
        let facts = login::facts(cx)?;
        let asked =
            Client::connect(Path::new(&self.auth_socket)).and_then(|mut client| client.pass(user, &facts));
        let failed = |why: &str| {
            format!("{}: {why} (to see if user is proxied, because doveadm_port is set)", self.auth_socket)
        };
        let found = match asked {
            Ok(Lookup::Found(found)) => found,
            // It may be in the userdb all the same.
            Ok(Lookup::NotFound) => return Ok(Ok(None)),
            Ok(Lookup::Failed { reason, .. }) => {
                return Ok(Err(failed(reason.as_deref().unwrap_or("passdb lookup failed"))));
            }
            Err(error) => return Ok(Err(failed(&base::chain(&error).to_string()))),
        };
        if found.field("proxy").is_none() {
            return Ok(Ok(None));
        }
        let fields = [found.field("ssl"), found.field("starttls")];
        let asked = fields
            .iter()
            .any(Option::is_some)
            .then(|| Tls { start: fields[1].is_some(), any_cert: fields.contains(&Some("any-cert")) });
        let tls = asked.or_else(|| self.tls());
        let Some(host) = found.field("hostip").or(found.field("host")) else {
            return Ok(Err(format!("{}: Proxy is missing destination host", self.auth_socket)));
        };
        let port = found.field("port").and_then(|port| port.parse().ok()).unwrap_or(self.port);
        let name = found.field("destuser").or(found.field("user")).unwrap_or(user);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Ok(Ok(Some(Place { target: format!("{host}:{port}"), user: name.to_owned(), tls })))
    }

    /// Runs a command that answers with a conversation of its own, and gives the connection.
    /// The other end may be silent for so long.
    pub(crate) fn converse(
        &self,
        place: &Place,
        line: &[u8],
        timeout: Duration,
    ) -> Result<(Stream, File), Vec<String>> {
        let told = |trouble| match trouble {
            Trouble::Fatal(text) => vec![text],
            Trouble::Lost(mut texts, why) => {
                texts.push(why);
                texts
            }
        };
        let mut logged = Vec::new();
        let mut connection = self.connect(place).map_err(told)?;
        let done = connection.run(line, None::<&[u8]>, &mut |heard| {
            if let Heard::Log(_, text) = heard {
                logged.push(text);
            }
        });
        match done.map_err(told)? {
            0 => connection.into_stream(timeout).map_err(|error| vec![base::reason(&error).to_string()]),
            status::NO_USER => Err(vec!["Unknown user in remote".to_owned()]),
            status => {
                Err(if logged.is_empty() { vec![format!("Failed with status {status}")] } else { logged })
            }
        }
    }
}

/// A command's line: flags, user, command, arguments.
pub(crate) fn command_line(cx: &Context, user: &str, command: &str, words: &[String]) -> Vec<u8> {
    let flags = match (cx.globals.debug, cx.globals.verbose) {
        (true, _) => "D",
        (false, true) => "v",
        (false, false) => "",
    };
    let mut line = flags.as_bytes().to_vec();
    for word in [user, command].into_iter().chain(words.iter().map(String::as_str)) {
        line.push(b'\t');
        escape_into(word.as_bytes(), &mut line);
    }
    line.push(b'\n');
    line
}

/// Connections that nobody uses now, by their targets.
type Idle = Arc<Mutex<HashMap<(String, Option<Tls>), Vec<Connection>>>>;

/// A command for one user after the other.
pub(super) struct Through {
    pub(super) routes: Routes,
    command: &'static str,
    words: Vec<String>,
    input: Option<Arc<File>>,
    idle: Idle,
    running: VecDeque<Running>,
}

/// A user whose command runs.
struct Running {
    place: Place,
    events: Receiver<Event>,
}

enum Event {
    Heard(Heard),
    Ended(Result<i32, Trouble>),
}

impl Through {
    pub(super) fn new(
        routes: Routes,
        command: &'static str,
        words: Vec<String>,
        input: Option<Arc<File>>,
    ) -> Self {
        Self { routes, command, words, input, idle: Idle::default(), running: VecDeque::new() }
    }

    /// Begins with a user. `false` if a server failed so that there is no sense in going on.
    pub(super) fn start(&mut self, job: &mut Job<'_>, place: Place) -> Outcome<bool> {
        let line = command_line(job.cx, &place.user, self.command, &self.words);
        let (sender, events) = sync_channel(HEARD_MAX);
        let errand = Errand {
            place: place.clone(),
            routes: self.routes.clone(),
            line,
            input: self.input.clone(),
            idle: self.idle.clone(),
        };
        std::thread::spawn(move || errand.run(&sender));
        self.running.push_back(Running { place, events });
        match self.running.len() >= self.routes.workers.max(1) {
            true => self.first_ends(job),
            false => Ok(true),
        }
    }

    /// Waits for all.
    pub(super) fn finish(&mut self, job: &mut Job<'_>) -> Outcome<bool> {
        let mut good = true;
        while !self.running.is_empty() {
            good &= self.first_ends(job)?;
        }
        Ok(good)
    }

    fn first_ends(&mut self, job: &mut Job<'_>) -> Outcome<bool> {
        let Some(Running { place, events }) = self.running.pop_front() else { return Ok(true) };
        job.begin(&place.user);
        if let Some(table) = &mut job.table {
            // The server sends the user's name with each row.
            table.unfix();
        }
        let target = &place.target;
        for event in events {
            match event {
                Event::Heard(Heard::Value(value)) => job.print_bytes(&value),
                Event::Heard(Heard::Piece(piece)) => job.print_piece(&piece)?,
                Event::Heard(Heard::Log(level, text)) => {
                    job.log().log(level, format_args!("remote({target}): {text}"));
                }
                Event::Ended(Ok(0)) => return Ok(true),
                Event::Ended(Ok(failed)) => {
                    if failed == status::NO_USER {
                        job.log().error(format_args!("{target}: No such user: {}", place.user));
                    }
                    job.fail_as(failed);
                    return Ok(true);
                }
                Event::Ended(Err(Trouble::Fatal(text))) => return Err(job.fatal(text, status::TEMPFAIL)),
                Event::Ended(Err(Trouble::Lost(texts, why))) => {
                    texts.iter().for_each(|text| job.log().error(text));
                    let (command, user) = (self.command, &place.user);
                    job.log().error(format_args!("{target}: Command {command} failed for {user}: {why}"));
                    break;
                }
            }
        }
        job.fail_as(status::TEMPFAIL);
        Ok(false)
    }
}

/// What a thread does for one user.
struct Errand {
    place: Place,
    routes: Routes,
    line: Vec<u8>,
    input: Option<Arc<File>>,
    idle: Idle,
}

impl Errand {
    fn run(self, events: &SyncSender<Event>) {
        // Nobody listens when the program ends early, and then it does not matter.
        let _ = events.send(Event::Ended(self.outcome(events)));
    }

    fn outcome(&self, events: &SyncSender<Event>) -> Result<i32, Trouble> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.place.target.clone(), self.place.tls);
        let known = idle().get_mut(&key).and_then(Vec::pop);
        let mut connection = match known {
            Some(connection) => connection,
            None => self.routes.connect(&self.place)?,
        };
        let input = self.input.as_deref().map(|file| FromStart { file, offset: 0 });
        let status =
            connection.run(&self.line, input, &mut |heard| drop(events.send(Event::Heard(heard))))?;
        idle().entry(key).or_default().push(connection);
        Ok(status)
    }
}

/// Reads a file that others read, too.
struct FromStart<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
