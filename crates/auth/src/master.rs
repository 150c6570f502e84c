//! The master protocol 1.1 (`auth-master`, `auth-userdb`): mail processes ask who logged in, and
//! delivery and tools look users up.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use ipc::auth_worker::{PassdbResult, UserdbResult};
use nix::sys::socket::{UnixCredentials, getsockopt, sockopt::PeerCredentials};
use sasl::Secret;
use service::{Client, Shutdown};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::chain::Want;
use crate::client::cut;
use crate::limits::MASTER_LINE_BYTES_MAX;
use crate::lines::{Broken, Lines, Output, without_passwords};
use crate::listing;
use crate::proxy;
use crate::request::Request;
use crate::server::Auth;
use crate::tab;

/// Mode and owner of a socket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SocketOwner {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A connection.
pub(crate) struct MasterConnection {
    pub(crate) auth: Rc<Auth>,
    pub(crate) output: Rc<Output>,
    /// The socket's path, for log lines.
    name: String,
    peer: Option<UnixCredentials>,
    /// It may look up users, but not ask for logins.
    is_userdb: bool,
    /// It may look up only users of this uid.
    restricted_uid: Option<u32>,
    since: Instant,
    greeted: Cell<Option<Instant>>,
}

/// Why a line ends the connection; the text is for the log.
struct Bug(String);

/// Serves one connection of the socket `path` until it ends. `owner` is given for `auth-userdb`.
pub(crate) async fn serve(
    auth: &Rc<Auth>,
    client: Client,
    path: &Path,
    owner: Option<SocketOwner>,
    shutdown: &Shutdown,
) {
    let Client { stream, guard: _guard, .. } = client;
    let peer = getsockopt(&stream, PeerCredentials).ok();
    talk(auth, stream, &path.display().to_string(), owner, peer, shutdown.stopping()).await;
}

/// The same over any stream, until it or `stop` ends.
pub(crate) async fn talk(
    auth: &Rc<Auth>,
    stream: impl AsyncRead + AsyncWrite + 'static,
    name: &str,
    owner: Option<SocketOwner>,
    peer: Option<UnixCredentials>,
    stop: impl Future<Output = ()>,
) {
    let (reader, writer) = tokio::io::split(stream);
    let output = Rc::<Output>::default();
    let writing = tokio::task::spawn_local(output.clone().write_to(writer));
    output.send(&format!("VERSION\t1\t1\nSPID\t{}", std::process::id()));
    match owner.map_or(Ok(None), |owner| owner.restriction(peer.as_ref())) {
        Ok(restricted_uid) => {
            let connection = Rc::new(MasterConnection {
                auth: auth.clone(),
                output: output.clone(),
                name: name.to_owned(),
                peer,
                is_userdb: owner.is_some(),
                restricted_uid,
                since: Instant::now(),
                greeted: Cell::new(None),
            });
            let mut lines = Lines::new(reader, MASTER_LINE_BYTES_MAX);
            tokio::select! {
                () = connection.read(&mut lines) => {}
                () = stop => {}
            }
        }
        Err(error) => auth.scope.log.error(error),
    }
    output.close();
    let _ = writing.await;
}

impl SocketOwner {
    /// The uid whose users the peer may look up, if not all. A socket that everybody may write to
    /// is for everybody to look up himself; with an execute bit set (0777) it means what it says.
    fn restriction(self, peer: Option<&UnixCredentials>) -> Result<Option<u32>, &'static str> {
        if self.mode != 0o666 {
            return Ok(None);
        }
        let peer = peer.ok_or("userdb connection: Failed to get peer's credentials")?;
        let is_free = peer.uid() == 0 || peer.uid() == self.uid || peer.gid() == self.gid;
        Ok((!is_free).then_some(peer.uid()))
    }
}

impl MasterConnection {
    async fn read(self: &Rc<Self>, lines: &mut Lines<impl AsyncRead + Unpin>) {
        loop {
            if self.output.has_room().await.is_err() {
                return;
            }
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) | Err(Broken::Io(_)) => return,
                Err(Broken::TooLong) => {
                    return self
                        .error(format_args!("BUG: Master sent us more than {MASTER_LINE_BYTES_MAX} bytes"));
                }
            };
            let result = match self.greeted.get().is_some() {
                true => self.command(&line).await,
                false if line == "VERSION\t1" || line.starts_with("VERSION\t1\t") => {
                    self.greeted.set(Some(Instant::now()));
                    Ok(())
                }
                false => {
                    Err(Bug("Master not compatible with this server (mixed old and new binaries?)".into()))
                }
            };
            if let Err(Bug(text)) = result {
                return self.error(text);
            }
        }
    }

    pub(crate) fn error(&self, text: impl std::fmt::Display) {
        let created = self.since.elapsed().as_millis();
        let handshake = match self.greeted.get() {
            Some(greeted) => format!(", handshake {} msecs ago", greeted.elapsed().as_millis()),
            None => String::new(),
        };
        self.auth
            .scope
            .log
            .error(format_args!("auth-master client: {text} (created {created} msecs ago{handshake})"));
    }

    async fn command(self: &Rc<Self>, line: &str) -> Result<(), Bug> {
        self.auth.debug(format_args!("master in: {line}"));
        let (word, rest) = line.split_once('\t').unwrap_or((line, ""));
        let words: Vec<String> = tab::words(rest).collect();
        match word {
            "USER" => self.user(&words),
            "PASS" => self.pass(&words),
            "LIST" => {
                let id = words.first().and_then(|id| id.parse().ok());
                let id = id.ok_or_else(|| Bug("BUG: Master sent broken LIST".into()))?;
                match &self.restricted_uid {
                    Some(_) => {
                        self.error(format_args!(
                            "Auth client doesn't have permissions to list users: {}",
                            self.restriction()
                        ));
                        self.output.send(&format!("DONE\t{id}\tfail"));
                    }
                    None => listing::run(self, id, words.get(1..).unwrap_or_default()).await,
                }
                Ok(())
            }
            "REQUEST" if !self.is_userdb => self.request(&words),
            "CACHE-FLUSH" if !self.is_userdb => self.flush_cache(&words),
            "CACHE-STATUS" if !self.is_userdb => self.cache_status(&words),
            "CPID" if !self.is_userdb => {
                Err(Bug("Authentication client trying to connect to master socket".into()))
            }
            _ => {
                let kind = if self.is_userdb { "userdb" } else { "master" };
                Err(Bug(format!("BUG: Unknown command in {kind} socket: {}", cut(line))))
            }
        }
    }

    /// `<id> <user> service=… [parameters]`
    fn lookup_request(
        &self,
        command: &str,
        words: &[String],
    ) -> Result<(u32, Request, Result<(), String>), Bug> {
        let id = words.first().and_then(|id| id.parse().ok());
        let (Some(id), Some(name)) = (id, words.get(1)) else {
            return Err(Bug(format!("BUG: Master sent broken {command}")));
        };
        let parameters = words.get(2..).unwrap_or_default();
        let service = parameters.iter().rev().find_map(|word| word.strip_prefix("service="));
        let service =
            service.ok_or_else(|| Bug(format!("BUG: Master sent {command} request without service")))?;
        let mut request = self.auth.request(service);
        for word in parameters {
            let (key, value) = tab::pair(word);
            request.import_info(key, value);
        }
        // As in 2.3 `login*master` is looked up here, too: a USER finds the master.
        let masters = &self.auth.services.find(service).databases.masters;
        let masters = masters.first().map(|passdb| passdb.label.name.clone());
        let named = request.set_username(name, masters.as_deref());
        Ok((id, request, named))
    }

    fn user(self: &Rc<Self>, words: &[String]) -> Result<(), Bug> {
        let (id, mut request, named) = self.lookup_request("USER", words)?;
        let connection = self.clone();
        crate::client::run(async move {
            let auth = &connection.auth;
            let result = match named {
                Ok(()) => {
                    let service = auth.services.find(&request.facts.service.clone());
                    auth.ask_userdbs(service, &mut request, false).await
                }
                Err(error) => {
                    request.info_if_verbose(error);
                    UserdbResult::UserUnknown
                }
            };
            connection.answer_user(id, &request, result);
        });
        Ok(())
    }

    fn answer_user(&self, id: u32, request: &Request, result: UserdbResult) {
        let result = match result {
            _ if request.progress.tempfailed => UserdbResult::InternalFailure,
            UserdbResult::Ok if !self.may_see(request) => UserdbResult::InternalFailure,
            result => result,
        };
        let line = match result {
            UserdbResult::InternalFailure => failure(id, request),
            UserdbResult::UserUnknown => format!("NOTFOUND\t{id}"),
            UserdbResult::Ok => {
                let mut line = user_line(id, request);
                if request.is_anonymous() {
                    line.push_str("\tanonymous");
                }
                line
            }
        };
        self.reply("userdb out", &line);
    }

    /// Whether the peer may look this user up; logs why not.
    fn may_see(&self, request: &Request) -> bool {
        let Some(uid) = self.restricted_uid else { return true };
        let value = request.userdb.as_ref().and_then(|fields| fields.find("uid"));
        let reason = match value.map(str::parse::<u32>) {
            None => "userdb reply doesn't contain uid".to_owned(),
            Some(Err(_)) => "userdb reply contains invalid uid".to_owned(),
            Some(Ok(found)) if found == uid => return true,
            Some(Ok(found)) => format!("userdb uid ({found}) doesn't match peer uid ({uid})"),
        };
        request.error(format_args!(
            "client doesn't have lookup permissions for this user: {reason} (to bypass this check, set: \
             service auth {{ unix_listener {} {{ mode=0777 }} }})",
            self.name
        ));
        false
    }

    fn restriction(&self) -> String {
        let uid = self.restricted_uid.unwrap_or_default();
        let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
        let user = user.map_or_else(String::new, |user| format!("({})", user.name));
        format!("{} mode=0666, but not owned by UID {uid}{user}", self.name)
    }

    fn pass(self: &Rc<Self>, words: &[String]) -> Result<(), Bug> {
        let (id, mut request, named) = self.lookup_request("PASS", words)?;
        let connection = self.clone();
        crate::client::run(async move {
            let auth = &connection.auth;
            let result = match named {
                Err(error) => {
                    request.info_if_verbose(error);
                    PassdbResult::UserUnknown
                }
                Ok(()) if connection.restricted_uid.is_some() => {
                    request.error(format_args!(
                        "Auth client doesn't have permissions to do a PASS lookup: {}",
                        connection.restriction()
                    ));
                    PassdbResult::InternalFailure
                }
                Ok(()) => {
                    let service = auth.services.find(&request.facts.service.clone());
                    let result = auth.ask_passdbs(service, &mut request, Want::Credentials("")).await.result;
                    match result {
                        PassdbResult::Ok if proxy::settle(&mut request).await.is_err() => {
                            PassdbResult::InternalFailure
                        }
                        result => result,
                    }
                }
            };
            connection.answer_pass(id, &request, result);
        });
        Ok(())
    }

    fn answer_pass(&self, id: u32, request: &Request, result: PassdbResult) {
        let line = match result {
            PassdbResult::Ok if request.progress.failed || !request.progress.passdb_success => {
                format!("FAIL\t{id}")
            }
            PassdbResult::Ok => {
                let mut line = format!("PASS\t{id}");
                tab::push_pair(&mut line, "user", request.user());
                if !request.fields.is_empty() {
                    line.push('\t');
                    request.fields.append_visible(&mut line);
                }
                line
            }
            PassdbResult::UserUnknown | PassdbResult::UserDisabled | PassdbResult::PassExpired => {
                format!("NOTFOUND\t{id}")
            }
            PassdbResult::SchemeNotAvailable => {
                format!("FAIL\t{id}\treason=Configured passdbs don't support credentials lookups")
            }
            PassdbResult::Next | PassdbResult::PasswordMismatch | PassdbResult::InternalFailure => {
                format!("FAIL\t{id}")
            }
        };
        self.reply("passdb out", &line);
    }

    /// `<id> <client pid> <client's request id> <cookie> [parameters]`
    fn request(self: &Rc<Self>, words: &[String]) -> Result<(), Bug> {
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u32>().ok());
        let (Some(id), Some(pid), Some(client_id), Some(cookie)) =
            (number(0), number(1), number(2), words.get(3))
        else {
            return Err(Bug("BUG: Master sent broken REQUEST".into()));
        };
        let cookie = sasl::encoding::from_hex(cookie.as_bytes());
        let cookie = cookie.ok_or_else(|| Bug("BUG: Master sent broken REQUEST cookie".into()))?;
        match self.redeem(pid, client_id, &cookie, words.get(4..).unwrap_or_default()) {
            Ok(request) => {
                let connection = self.clone();
                crate::client::run(async move { connection.look_up_login(id, *request).await });
            }
            Err(reason) => {
                self.error(reason);
                self.reply("master userdb out", &format!("FAIL\t{id}"));
            }
        }
        Ok(())
    }

    /// The successful request of a login process's client, or why it is not to be had.
    fn redeem(
        &self,
        pid: u32,
        id: u32,
        cookie: &[u8],
        parameters: &[String],
    ) -> Result<Box<Request>, String> {
        let client = self.auth.logins.borrow().get(&pid).and_then(std::rc::Weak::upgrade);
        let client = client.ok_or_else(|| format!("Master requested auth for nonexistent client {pid}"))?;
        if sasl::Secret::new(cookie) != sasl::Secret::new(client.cookie) {
            return Err(format!("Master requested auth for client {pid} with invalid cookie"));
        }
        let mut request = client.take(id).map_err(|exists| match exists {
            true => format!("Master requested unfinished authentication request {pid}.{id}"),
            false => format!("Master request {pid}.{id} not found"),
        })?;
        for word in parameters {
            match tab::pair(word) {
                ("session_pid", value) => request.facts.session_pid = value.parse().ok(),
                ("request_auth_token", _) => request.wants_token = true,
                _ => {}
            }
        }
        if let (Some(session_pid), Some(peer)) = (request.facts.session_pid, &self.peer)
            && i64::from(session_pid) != i64::from(peer.pid())
        {
            return Err(format!(
                "Session pid {session_pid} provided by master for request {pid}.{id} did not match peer \
                 credentials (pid={}, uid={})",
                peer.pid(),
                peer.uid()
            ));
        }
        Ok(request)
    }

    async fn look_up_login(&self, id: u32, mut request: Request) {
        let service = self.auth.services.find(&request.facts.service.clone());
        let result = self.auth.ask_userdbs(service, &mut request, true).await;
        let result = if request.progress.tempfailed { UserdbResult::InternalFailure } else { result };
        let line = match result {
            UserdbResult::InternalFailure => failure(id, &request),
            UserdbResult::UserUnknown => format!("NOTFOUND\t{id}"),
            UserdbResult::Ok => {
                let mut line = user_line(id, &request);
                append_login_fields(&mut line, &request, &self.auth.services.token_secret);
                line
            }
        };
        self.reply("master userdb out", &line);
    }

    /// `<id> [users]`
    fn flush_cache(&self, words: &[String]) -> Result<(), Bug> {
        let id = words.first().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Bug("BUG: doveadm sent broken CACHE-FLUSH".into()))?;
        let users = words.get(1..).unwrap_or_default();
        let mut cache = self.auth.cache.borrow_mut();
        let count = match cache.as_mut() {
            None => 0,
            Some(cache) if users.is_empty() => cache.clear(),
            Some(cache) => cache.clear_users(users),
        };
        self.output.send(&format!("OK\t{id}\t{count}"));
        Ok(())
    }

    /// `<id>`; ours, 2.3 does not have it.
    fn cache_status(&self, words: &[String]) -> Result<(), Bug> {
        let id = words.first().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Bug("BUG: doveadm sent broken CACHE-STATUS".into()))?;
        let mut line = format!("OK\t{id}");
        if let Some(cache) = self.auth.cache.borrow().as_ref() {
            for (name, value) in cache.figures() {
                tab::push_pair(&mut line, name, &value.to_string());
            }
        }
        self.output.send(&line);
        Ok(())
    }

    fn reply(&self, what: &str, line: &str) {
        if self.auth.config().debug {
            let shown = match self.auth.config().debug_passwords {
                true => line.to_owned(),
                false => without_passwords(line, false),
            };
            self.auth.debug(format_args!("{what}: {shown}"));
        }
        self.output.send(line);
    }
}

/// `FAIL`, with what the user may be told.
fn failure(id: u32, request: &Request) -> String {
    let mut line = format!("FAIL\t{id}");
    let reason = request.userdb.as_ref().and_then(|fields| fields.find("reason"));
    if let Some(reason) = reason.filter(|_| request.progress.tempfailed) {
        tab::push_pair(&mut line, "reason", reason);
    }
    line
}

fn user_line(id: u32, request: &Request) -> String {
    let mut line = format!("USER\t{id}\t");
    tab::push(&mut line, request.user());
    if let Some(fields) = request.userdb.as_ref().filter(|fields| !fields.is_empty()) {
        line.push('\t');
        fields.append_visible(&mut line);
    }
    line
}

/// What a mail process learns about a login besides the userdb's fields.
fn append_login_fields(line: &mut String, request: &Request, secret: &Secret) {
    let facts = &request.facts;
    let has_master = request.userdb.as_ref().is_some_and(|fields| fields.has("master_user"));
    if let Some(master) = facts.master_user.as_deref().filter(|_| !has_master) {
        tab::push_pair(line, "master_user", master);
    }
    if let Some(mechanism) = &facts.mechanism {
        tab::push_pair(line, "auth_mech", mechanism);
    }
    if request.is_anonymous() {
        line.push_str("\tanonymous");
    }
    if let Some(pid) = facts.session_pid.filter(|_| request.wants_token) {
        let token = crate::token::for_session(request, pid, secret);
        tab::push_pair(line, "auth_token", &token.expose_lossy());
    }
    let original = facts.original_user.as_ref().filter(|original| Some(*original) != facts.user.as_ref());
    if let Some(user) = facts.master_user.as_ref().or(original) {
        tab::push_pair(line, "auth_user", user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_for_everybody_restricts() {
        let own = nix::unistd::getuid().as_raw();
        let peer = UnixCredentials::new();
        for (mode, uid, restricted) in [
            (0o600, own + 1, false),
            (0o777, own + 1, false),
            (0o666, own, false),
            (0o666, own + 1, own != 0),
        ] {
            let owner = SocketOwner { mode, uid, gid: u32::MAX };
            let expect = restricted.then_some(own);
            assert_eq!(owner.restriction(Some(&peer)), Ok(expect), "{mode:o} {uid}");
        }
        assert!(SocketOwner { mode: 0o666, uid: 0, gid: 0 }.restriction(None).is_err());
    }
}
