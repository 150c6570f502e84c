//! `checkpassword`: a program of the administrator's says who may come in. Asked in workers only.
//!
//! The program reads name and password from descriptor 3 and then executes what its arguments say,
//! `checkpassword-reply`, which writes fields to descriptor 4.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ipc::auth_worker::{PassdbResult, UserdbResult};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sys::spawn::{Program, spawn};
use zeroize::Zeroizing;

use crate::limits::{CHECKPASSWORD_REPLY_BYTES_MAX, CHECKPASSWORD_REQUEST_BYTES_MAX, CHECKPASSWORD_TIMEOUT};
use crate::request::Request;
use crate::{tab, vars};

/// What a program is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Is the password right?
    Verify,
    /// The stored password.
    Credentials,
    /// The fields of the userdb.
    User,
}

enum Status {
    Fields(Vec<String>),
    No,
    Failed,
}

/// A command line.
pub(crate) struct Checkpassword {
    command: String,
}

impl Checkpassword {
    pub(super) fn parse(kind: &str, args: &str) -> Result<Self, String> {
        match args.starts_with('/') {
            true => Ok(Self { command: args.to_owned() }),
            false => Err(format!("{kind} checkpassword: args must be the path of a program")),
        }
    }

    pub(super) fn verify(&self, request: &mut Request) -> PassdbResult {
        verified(request, self.ask(request, Asked::Verify))
    }

    pub(super) fn lookup(&self, request: &mut Request) -> PassdbResult {
        looked_up(request, self.ask(request, Asked::Credentials))
    }

    pub(super) fn userdb(&self, request: &mut Request) -> UserdbResult {
        found(request, self.ask(request, Asked::User))
    }

    fn ask(&self, request: &Request, asked: Asked) -> Status {
        let Some(input) = input(request, asked) else {
            request.info("Username+password combination too long");
            return Status::No;
        };
        let command = match vars::expand(&self.command, request, vars::plain) {
            Ok(command) => format!("{command} {}", reply_program()),
            Err(error) => {
                request.error(format_args!("Failed to expand checkpassword_path={}: {error}", self.command));
                return Status::Failed;
            }
        };
        request.debug(format_args!("execute: {command}"));
        match run(request, asked, &command, &input) {
            Ok((reply, status)) => judge(request, asked, &reply, status),
            Err(error) => {
                request.error(error);
                Status::Failed
            }
        }
    }
}

fn verified(request: &mut Request, status: Status) -> PassdbResult {
    match status {
        Status::Fields(fields) => {
            for word in &fields {
                match word.strip_prefix("password=") {
                    // For the cache.
                    Some(password) if password.starts_with('{') && password.contains('}') => {
                        request.set_field("password", password, "PLAIN");
                    }
                    Some(_) => request.error("password field returned without {scheme} prefix"),
                    None => request.set_field_word(word, "PLAIN"),
                }
            }
            PassdbResult::Ok
        }
        Status::No => PassdbResult::PasswordMismatch,
        Status::Failed => PassdbResult::InternalFailure,
    }
}

fn looked_up(request: &mut Request, status: Status) -> PassdbResult {
    match status {
        Status::Fields(fields) => {
            fields.iter().for_each(|word| request.set_field_word(word, "PLAIN"));
            PassdbResult::Ok
        }
        Status::No => PassdbResult::UserUnknown,
        Status::Failed => PassdbResult::InternalFailure,
    }
}

fn found(request: &mut Request, status: Status) -> UserdbResult {
    match status {
        Status::Fields(fields) => {
            for field in fields.iter().filter_map(|word| word.strip_prefix("userdb_")) {
                let (name, value) = tab::pair(field);
                request.set_userdb_field(name, value);
            }
            UserdbResult::Ok
        }
        Status::No => UserdbResult::UserUnknown,
        Status::Failed => UserdbResult::InternalFailure,
    }
}

/// Takes a reply as each of the lookups does.
pub(crate) fn hear(request: &mut Request, reply: &[u8]) {
    let status = judge(request, Asked::Verify, reply, Ended::Status(0));
    verified(request, status);
    let status = judge(request, Asked::Credentials, reply, Ended::Status(2));
    looked_up(request, status);
    let status = judge(request, Asked::User, reply, Ended::Status(2));
    found(request, status);
}

/// `name NUL password NUL timestamp NUL`, the last one empty; `None` if it does not fit.
fn input(request: &Request, asked: Asked) -> Option<Zeroizing<Vec<u8>>> {
    let password = request.password.clone().filter(|_| asked == Asked::Verify).unwrap_or_default();
    let parts = [request.user().as_bytes(), password.expose(), b""];
    if parts.iter().any(|part| part.contains(&0)) {
        return None;
    }
    let mut input = Zeroizing::new(Vec::with_capacity(CHECKPASSWORD_REQUEST_BYTES_MAX));
    for part in parts {
        if input.len() + part.len() + 1 > CHECKPASSWORD_REQUEST_BYTES_MAX {
            return None;
        }
        input.extend_from_slice(part);
        input.push(0);
    }
    Some(input)
}

/// Runs the program; gives what came from descriptor 4, and how it ended.
fn run(request: &Request, asked: Asked, command: &str, input: &[u8]) -> Result<(Vec<u8>, Ended), String> {
    let failed = |error: std::io::Error| base::reason(&error);
    let words = command.split(' ').filter(|word| !word.is_empty());
    let text = |text: &str| CString::new(text).map_err(|_| "NUL in the command".to_owned());
    let arguments = words.map(text).collect::<Result<Vec<_>, _>>()?;
    let path = arguments.first().cloned().ok_or("No program")?;
    let null = File::options().read(true).write(true).open("/dev/null").map_err(failed)?;
    let (input_reader, input_writer) = std::io::pipe().map_err(failed)?;
    let (reply_reader, reply_writer) = std::io::pipe().map_err(failed)?;
    let stderr = std::io::stderr();
    let program = Program {
        path,
        arguments,
        environment: environment(request, asked),
        descriptors: vec![
            null.as_fd(),
            null.as_fd(),
            stderr.as_fd(),
            input_reader.as_fd(),
            reply_writer.as_fd(),
        ],
        identity: None,
        chroot: None,
        forbid_core_dumps: false,
    };
    let shown = program.path.to_string_lossy().into_owned();
    let pid = spawn(&program).map_err(|error| format!("execv({shown}) failed: {}", base::reason(&error)))?;
    drop(program);
    drop((input_reader, reply_writer));
    let child = Child(pid);
    // It fits into any pipe. A program that reads nothing may have its reasons.
    let mut writer = input_writer;
    let _ = writer.write_all(input);
    drop(writer);
    let deadline = Instant::now() + CHECKPASSWORD_TIMEOUT;
    let reply = read_reply(reply_reader, deadline)?;
    Ok((reply, child.wait(deadline)?))
}

/// A program that runs; dropped, it is killed.
struct Child(u32);

/// How a program ended.
enum Ended {
    Status(i32),
    Signal(i32),
}

impl Child {
    fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.0).unwrap_or(0))
    }

    fn wait(self, deadline: Instant) -> Result<Ended, String> {
        use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
        loop {
            match waitpid(self.pid(), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, status)) => {
                    std::mem::forget(self);
                    return Ok(Ended::Status(status));
                }
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    std::mem::forget(self);
                    return Ok(Ended::Signal(signal as i32));
                }
                Ok(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                Ok(_) => return Err(format!("Child {} takes too long, killed", self.0)),
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(format!("waitpid() failed: {}", error.desc())),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.0 != 0 {
            // It may have ended already; then there is only the waiting left.
            let _ = nix::sys::signal::kill(self.pid(), nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(self.pid(), None);
        }
    }
}

fn read_reply(mut reader: std::io::PipeReader, deadline: Instant) -> Result<Vec<u8>, String> {
    let mut reply = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&reader, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err("The program takes too long, killed".into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("poll() failed: {}", base::reason(&error.into()))),
        }
        if Instant::now() >= deadline {
            return Err("The program takes too long, killed".into());
        }
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(reply),
            Ok(count) => reply.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("read() failed: {}", base::reason(&error))),
        }
        if reply.len() > CHECKPASSWORD_REPLY_BYTES_MAX {
            return Err("The program's reply is too long".into());
        }
    }
}

/// What an exit status means, in each of the two ways to ask.
fn judge(request: &Request, asked: Asked, reply: &[u8], ended: Ended) -> Status {
    let status = match ended {
        Ended::Status(status) => status,
        Ended::Signal(signal) => {
            request.error(format_args!("Child died with signal {signal}"));
            return Status::Failed;
        }
    };
    match (asked, status) {
        (Asked::Verify, 0) | (Asked::Credentials | Asked::User, 2) => parse(request, reply),
        (Asked::Verify, 1) => {
            request.info("Login failed (status=1)");
            Status::No
        }
        (Asked::Credentials | Asked::User, 3) => {
            request.info("User unknown");
            Status::No
        }
        (Asked::Verify, 2) => {
            request.error(
                "Child exited with status 2 (tried to use userdb-only checkpassword program for passdb?)",
            );
            Status::Failed
        }
        (_, status) => {
            request.error(format_args!("Child exited with status {status}"));
            Status::Failed
        }
    }
}

fn parse(request: &Request, reply: &[u8]) -> Status {
    let wrong = [(0, "NUL"), (b'\n', "LF")].into_iter().find(|(byte, _)| reply.contains(byte));
    if let Some((_, name)) = wrong {
        request.error(format_args!("{name} characters in checkpassword reply"));
        return Status::Failed;
    }
    if reply.is_empty() {
        request.error("Received no input");
        return Status::Failed;
    }
    let text = String::from_utf8_lossy(reply);
    if request.config.debug_passwords {
        request.debug(format_args!("Received input: {text}"));
    }
    Status::Fields(text.split('\t').filter(|word| !word.is_empty()).map(tab::unescape).collect())
}

/// What 2.3's programs find in theirs. Passwords are not in it.
fn environment(request: &Request, asked: Asked) -> Vec<CString> {
    let facts = &request.facts;
    let mut list: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: String| {
        list.retain(|(known, _)| known != name);
        list.push((name.to_owned(), value));
    };
    for name in ["PATH", "TZ", "HOSTNAME"] {
        if let Ok(value) = std::env::var(name) {
            put(name, value);
        }
    }
    if asked != Asked::Verify {
        put("AUTHORIZED", "1".into());
    }
    if asked == Asked::Credentials {
        put("CREDENTIALS_LOOKUP", "1".into());
        put("SCHEME", String::new());
    }
    put("PROTO", "TCP".into());
    put("ORIG_UID", nix::unistd::getuid().to_string());
    put("SERVICE", facts.service.clone());
    for (names, ip) in
        [(["TCPLOCALIP", "LOCAL_IP"], facts.local_ip), (["TCPREMOTEIP", "REMOTE_IP"], facts.remote_ip)]
    {
        if let Some(ip) = ip {
            names.iter().for_each(|name| put(name, ip.to_string()));
        }
    }
    for (name, port) in [("TCPLOCALPORT", facts.local_port), ("TCPREMOTEPORT", facts.remote_port)] {
        if port != 0 {
            put(name, port.to_string());
        }
    }
    if let Some(master) = &facts.master_user {
        put("MASTER_USER", master.clone());
    }
    for field in request.fields.list() {
        // Names come from databases; these few would change how the program itself runs.
        let name = field.key.to_ascii_uppercase();
        if !name.starts_with("LD_") && !["PATH", "IFS", "ENV", "BASH_ENV"].contains(&name.as_str()) {
            put(&name, field.value.clone().unwrap_or_else(|| "1".into()));
        }
    }
    let values = vars::Values::new(request, request.user(), vars::plain);
    for (_, name, value) in values.table() {
        if let Some(value) = value.filter(|_| !name.is_empty() && !name.eq_ignore_ascii_case("password")) {
            put(&format!("AUTH_{}", name.to_ascii_uppercase()), value.to_owned());
        }
    }
    list.into_iter().filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok()).collect()
}

/// `checkpassword-reply` beside this executable, or where distributions have 2.3's, which says the
/// same.
fn reply_program() -> String {
    let own = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join("checkpassword-reply")));
    let places = ["/usr/lib/dovecot", "/usr/libexec/dovecot", "/usr/local/libexec/dovecot"];
    let known = places.iter().map(|dir| std::path::Path::new(dir).join("checkpassword-reply"));
    let found = own.into_iter().chain(known).find(|path| path.is_file());
    found.map_or_else(|| "checkpassword-reply".into(), |path| path.display().to_string())
}
