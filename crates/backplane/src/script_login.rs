//! The `script-login` process: becomes a program of the administrator's that looks at a user who has
//! just logged in (`service imap-postlogin { executable = script-login /path/to/script }`), and what that
//! program executes in the end, which tells the mail process who goes on. Environment and protocol are
//! 2.3's.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use base::{Logger, tab};
use ipc::control::{ListenerKind, ToMaster};
use service::authmaster::User;
use service::{Entry, Fatal, Opening, Process};
use settings::{Filter, key};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::limits::{SCRIPT_INPUT_BYTES_MAX, SCRIPT_READ_TIMEOUT};

/// The name that the finish goes by.
pub const NAME: &str = "script-login";

const KEYS: &str = "USERDB_KEYS";
/// The script can't be executed; 2.3's `FATAL_EXEC`.
const STATUS_EXEC: u8 = 84;
/// Where the mail process waits, for the last program.
const WIRE_FD: i32 = 3;

/// The process as the binary knows it.
pub(crate) fn entry() -> Entry {
    Entry::new(NAME, open, run)
}

/// What is to be executed for whom.
struct Script {
    /// `-d`: as the user.
    drops: bool,
    program: String,
    arguments: Vec<String>,
}

fn open(opening: &Opening<'_>) -> Result<Script, Fatal> {
    let (drops, words) = match opening.arguments.split_first() {
        Some((first, rest)) if first == "-d" => (true, rest),
        _ => (false, opening.arguments),
    };
    let (program, arguments) = words.split_first().ok_or_else(|| Fatal::new("Missing script path"))?;
    if program.starts_with('-') {
        return Err(Fatal::new(format_args!("Unknown argument: {program}")));
    }
    let libexec = opening.settings.root();
    let program = Path::new(libexec.get(key::LIBEXEC_DIR)).join(program).display().to_string();
    Ok(Script { drops, program, arguments: arguments.to_vec() })
}

/// Takes one client and becomes its script.
async fn run(process: Process, script: Script) -> Result<(), Fatal> {
    let mut listeners = Vec::new();
    for (listener, socket) in process.take_listeners() {
        if listener.kind == ListenerKind::Unix {
            let socket = std::os::unix::net::UnixListener::from(socket);
            socket.set_nonblocking(true)?;
            listeners.push(UnixListener::from_std(socket)?);
        }
    }
    let shutdown = process.shutdown();
    let stream = tokio::select! {
        accepted = accept(&listeners) => accepted?,
        () = shutdown.retiring() => return Ok(()),
        () = shutdown.stopping() => return Ok(()),
    };
    drop(listeners);
    process.tell_master(ToMaster::Status { available: 0, total: 1 }, None);
    let client = match timeout(SCRIPT_READ_TIMEOUT, Client::receive(&stream)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(Fatal::new(error)),
        Err(_) => return Err(Fatal::new("read() failed: Timeout")),
    };
    process.told_master().await;
    Err(Fatal::new(become_script(&process, &script, client, stream)).with_status(STATUS_EXEC))
}

async fn accept(listeners: &[UnixListener]) -> std::io::Result<UnixStream> {
    std::future::poll_fn(|context| {
        for listener in listeners {
            if let std::task::Poll::Ready(accepted) = listener.poll_accept(context) {
                return std::task::Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// A client as the mail process describes it.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    local_ip: String,
    remote_ip: String,
    user: User,
}

impl Client {
    async fn receive(stream: &UnixStream) -> Result<Self, String> {
        let (mut text, mut sockets) = (Vec::new(), Vec::new());
        // Two lines: who speaks, and about whom.
        while text.iter().filter(|&&byte| byte == b'\n').count() < 2 {
            let mut buffer = [0; 1024];
            let read = stream
                .async_io(Interest::READABLE, || {
                    sys::pass::receive(stream.as_fd(), &mut buffer, &mut sockets)
                })
                .await
                .map_err(|error| format!("read() failed: {}", base::reason(&error)))?;
            if read == 0 || text.len() > SCRIPT_INPUT_BYTES_MAX {
                return Err("read() failed: disconnected".to_owned());
            }
            text.extend_from_slice(buffer.get(..read).unwrap_or_default());
        }
        let socket = sockets.pop().ok_or("client fd not received")?;
        Self::parse(&String::from_utf8_lossy(&text), socket)
    }

    pub(crate) fn parse(text: &str, socket: OwnedFd) -> Result<Self, String> {
        let (version, data) = text.split_once('\n').unwrap_or_default();
        if !version.starts_with("VERSION\tscript-login\t1\t") {
            return Err("Client not compatible with this binary (connecting to wrong socket?)".to_owned());
        }
        let mut words = data.trim_end_matches('\n').split('\t').map(tab::unescape);
        let (Some(local_ip), Some(remote_ip), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Err("Missing input fields".to_owned());
        };
        let fields = words.map(|word| match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (word, String::new()),
        });
        Ok(Self { socket, local_ip, remote_ip, user: User { name, fields: fields.collect() } })
    }

    /// The script's whole environment.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let fields = self.user.fields.iter().filter(|(_, value)| !value.is_empty());
        let fields: Vec<(String, String)> = fields
            .map(|(name, value)| (name.to_uppercase(), value.clone()))
            // What no variable can be.
            .filter(|(name, value)| !name.is_empty() && !name.contains('\0') && !value.contains('\0'))
            .collect();
        let keys: String = fields.iter().map(|(name, _)| format!("{name} ")).collect();
        let own = [("LOCAL_IP", &self.local_ip), ("IP", &self.remote_ip), ("USER", &self.user.name)];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.clone()));
        own.chain(fields).chain([(KEYS.to_owned(), keys)]).collect()
    }
}

/// Executes the script; what comes back is why that failed.
fn become_script(process: &Process, script: &Script, client: Client, wire: UnixStream) -> String {
    let environment = client.environment();
    // What the script says on standard error comes under this name.
    let log = Logger::new(format!("script-login({}): ", client.user.name));
    if script.drops {
        let mut user = client.user.clone();
        let settings = process.settings().view(&Filter { protocol: None, ..Filter::default() });
        if let Err(error) = service::identity::become_user_outside(&mut user, &settings) {
            log.error(&error);
            return error;
        }
    }
    let prepared = || -> std::io::Result<(OwnedFd, OwnedFd)> {
        let wire = OwnedFd::from(wire.into_std()?);
        rustix::io::ioctl_fionbio(&wire, false)?;
        // The line to the master was there; from now on this is a program like any other.
        sys::inherit::place(WIRE_FD, &wire)?;
        Ok((client.socket.try_clone()?, client.socket))
    };
    let (input, output) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) => return format!("dup2() failed: {}", base::reason(&error)),
    };
    let mut command = Command::new(&script.program);
    command.args(&script.arguments).args(last_program()).env_clear().envs(environment);
    let error = command.stdin(Stdio::from(input)).stdout(Stdio::from(output)).exec();
    format!("execv({}) failed: {}", script.program, base::reason(&error))
}

/// What the script executes in the end: `script-login` beside this executable, or this executable and
/// what it is to be.
fn last_program() -> Vec<OsString> {
    let Ok(own) = std::env::current_exe() else { return vec![NAME.into()] };
    let beside = own.parent().map(|directory| directory.join(NAME)).filter(|path| path.is_file());
    match beside {
        Some(path) => vec![path.into()],
        None => vec![own.into(), NAME.into()],
    }
}

/// The last program: sends the environment to the mail process, and the client. Gives the exit status.
pub fn finish() -> i32 {
    match reply(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())) {
        Ok(text) => {
            let sent = sys::inherit::take(WIRE_FD).and_then(|wire| {
                let client = std::io::stdout();
                sys::pass::send(&wire, text.as_bytes(), &[client.as_fd()])
            });
            // As in 2.3 a mail process that has gone is no failure of the script.
            match sent {
                Ok(count) if count == text.len() => {}
                Ok(_) => eprintln!("script-login: Error: fd_send() sent partial output"),
                Err(error) => eprintln!("script-login: Error: fd_send() failed: {}", base::reason(&error)),
            }
            0
        }
        Err(error) => {
            eprintln!("script-login: Fatal: {error}");
            service::STATUS_DEFAULT.into()
        }
    }
}

fn reply(variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let missing = |name: &str| format!("{name} environment missing");
    let keys = variable(KEYS).ok_or_else(|| missing(KEYS))?;
    let user = variable("USER").ok_or_else(|| missing("USER"))?;
    let mut text = tab::escape(&user).into_owned();
    for key in keys.split(' ').filter(|key| !key.is_empty()) {
        if let Some(value) = variable(&key.to_uppercase()) {
            text.push('\t');
            text.push_str(&tab::escape(&format!("{}={value}", key.to_lowercase())));
        }
    }
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn fields_become_variables_and_variables_fields() {
        let socket = OwnedFd::from(std::os::unix::net::UnixStream::pair().unwrap().0);
        let line = "VERSION\tscript-login\t1\t0\n10.0.0.1\t10.0.0.9\tjoe\tuid=5\tnote=a\u{1}tb\tbare\n";
        let client = Client::parse(line, socket).unwrap();
        let mut variables: HashMap<String, String> = client.environment().into_iter().collect();
        assert_eq!(variables["IP"], "10.0.0.9");
        assert_eq!(variables["LOCAL_IP"], "10.0.0.1");
        assert_eq!(variables["NOTE"], "a\tb");
        assert_eq!(variables[KEYS], "UID NOTE ");
        variables.insert(KEYS.into(), "UID NOTE mail".into());
        variables.insert("MAIL".into(), "maildir:/x".into());
        variables.remove("UID");
        let text = reply(|name| variables.get(name).cloned()).unwrap();
        assert_eq!(text, "joe\tnote=a\u{1}tb\tmail=maildir:/x\n");
        assert_eq!(reply(|_| None).unwrap_err(), "USERDB_KEYS environment missing");
    }

    #[test]
    fn others_are_not_understood() {
        let socket = || OwnedFd::from(std::os::unix::net::UnixStream::pair().unwrap().0);
        assert!(Client::parse("VERSION\tx\t1\t0\na\tb\tc\n", socket()).is_err());
        assert_eq!(
            Client::parse("VERSION\tscript-login\t1\t0\na\tb\n", socket()).unwrap_err(),
            "Missing input fields"
        );
    }
}
