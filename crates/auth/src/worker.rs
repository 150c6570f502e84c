//! `auth -w`: one connection from the auth process, one request after the other, all of it
//! blocking. The auth process goes on with others meanwhile.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use base::Logger;
use ipc::Decoder;
use ipc::auth_worker::{FromWorker, PassdbResult, Subject, ToWorker, UserdbResult};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use sasl::Secret;
use sasl::scheme::{self, Params};

use crate::chain::lookup;
use crate::db::{self, Check, Passdb, Userdb};
use crate::limits::LIST_CHUNK;
use crate::request::{Label, Request, Scope};
use crate::server::Services;

/// A worker and the one whom it serves.
pub(crate) struct Worker<'s> {
    services: &'s Services,
    log: Logger,
    /// `conn unix:auth-worker (pid=1,uid=2): `
    peer: String,
}

impl<'s> Worker<'s> {
    pub(crate) fn new(services: &'s Services, log: Logger, stream: &UnixStream) -> Self {
        let peer = match getsockopt(stream, PeerCredentials) {
            Ok(peer) => format!("conn unix:auth-worker (pid={},uid={}): ", peer.pid(), peer.uid()),
            Err(_) => "conn unix:auth-worker: ".to_owned(),
        };
        Self { services, log, peer }
    }

    /// Serves until the auth process closes the connection.
    ///
    /// # Errors
    /// The connection broke, or something came that is not permitted.
    pub(crate) fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut decoder = Decoder::new();
        let mut buffer = [0; 4096];
        let mut greeted = false;
        loop {
            while let Some(message) = decoder.message().map_err(io::Error::other)? {
                match message {
                    ToWorker::Hello { databases } if databases != self.services.hash => {
                        self.log.error(format_args!(
                            "{}Auth worker sees different passdbs/userdbs than auth server. Maybe config just \
                             changed and this goes away automatically?",
                            self.peer
                        ));
                        return Ok(());
                    }
                    ToWorker::Hello { .. } => greeted = true,
                    _ if !greeted => return Err(io::Error::other("request before the greeting")),
                    request => {
                        let passdb = match &request {
                            ToWorker::Passdb { passdb, .. } => self.services.passdb(*passdb),
                            _ => None,
                        };
                        self.handle(request, &mut stream)?;
                        // The auth process connects to another one when it needs one.
                        if passdb.is_some_and(Passdb::is_worn_out) {
                            return Ok(());
                        }
                    }
                }
            }
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => decoder.push(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn handle(&self, request: ToWorker, stream: &mut UnixStream) -> io::Result<()> {
        let id = request.id();
        self.log_step(id, format_args!("Handling {} request", name(&request)));
        let mut is_last = false;
        let answer = match request {
            ToWorker::Hello { .. } => return Ok(()),
            ToWorker::Verify { id, user, password, stored } => {
                let params = Params { user: &user, rounds: 0 };
                let password = Secret::new(password);
                let verdict = scheme::verify_stored(password.expose(), &params, "PLAIN", &stored);
                FromWorker::Verified { id, verdict: verdict.map_err(|error| error.to_string()) }
            }
            ToWorker::Passdb { id, passdb, subject, password } => {
                let passdb =
                    self.services.passdb(passdb).ok_or_else(|| io::Error::other("no such passdb"))?;
                let answer = self.passdb(id, passdb, *subject, password.map(Secret::new));
                is_last = passdb.is_worn_out();
                answer
            }
            ToWorker::Store { id, passdb, subject, stored } => {
                let passdb =
                    self.services.passdb(passdb).ok_or_else(|| io::Error::other("no such passdb"))?;
                let mut request = self.request(id, *subject, &passdb.label, passdb.id);
                FromWorker::Stored { id, done: passdb.store(&mut request, Secret::new(stored)) }
            }
            ToWorker::Userdb { id, userdb, subject } => {
                let userdb =
                    self.services.userdb(userdb).ok_or_else(|| io::Error::other("no such userdb"))?;
                self.userdb(id, userdb, *subject)
            }
            ToWorker::Rehash { id, passdb, subject, old, new } => {
                let passdb =
                    self.services.passdb(passdb).ok_or_else(|| io::Error::other("no such passdb"))?;
                let request = self.request(id, *subject, &passdb.label, passdb.id);
                FromWorker::Rehashed { id, result: passdb.replace(&request, &old, &new) }
            }
            ToWorker::List { id, userdb, subject } => {
                let userdb =
                    self.services.userdb(userdb).ok_or_else(|| io::Error::other("no such userdb"))?;
                self.list(id, userdb, *subject, stream)?
            }
        };
        if is_last {
            // Before the answer, so that nobody sends another request meanwhile.
            send(stream, &FromWorker::Leaving { id })?;
        }
        send(stream, &answer)?;
        self.log_step(id, format_args!("Finished{}", failure(&answer)));
        Ok(())
    }

    fn log_step(&self, id: u32, text: impl std::fmt::Display) {
        if self.services.default().config.debug {
            let log = self.log.clone().with_debug(true);
            log.debug(format_args!("{}auth-worker<{id}>: {text}", self.peer));
        }
    }

    fn request(&self, id: u32, subject: Subject, label: &Label, database_id: usize) -> Request {
        let config = self.services.find(&subject.facts.service).config.clone();
        let before: Rc<str> = format!("{}auth-worker<{id}>: ", self.peer).into();
        let scope = Scope { log: self.log.clone(), before, debug: config.debug };
        let mut request = Request::from_subject(config, scope, subject);
        request.label = Some(label.clone());
        request.database_id = database_id;
        request
    }

    fn passdb(&self, id: u32, passdb: &Passdb, subject: Subject, password: Option<Secret>) -> FromWorker {
        let mut request = self.request(id, subject, &passdb.label, passdb.id);
        let wants_verdict = password.is_some();
        request.password = password;
        request.debug("Performing passdb lookup");
        let mut result = lookup(&mut request, passdb, wants_verdict);
        if result == PassdbResult::Ok && wants_verdict && !passdb.verifies() {
            result = match db::check(&request, passdb) {
                Check::Done(result) => result,
                Check::Slow(stored) => {
                    let verdict = compute(&request, &stored);
                    db::finish(&request, verdict, &stored)
                }
            };
        }
        request.debug("Finished passdb lookup");
        let stored = request.stored.as_ref().map(|stored| stored.expose_lossy().to_string());
        FromWorker::Passdb { id, result, subject: Box::new(request.subject()), stored }
    }

    fn userdb(&self, id: u32, userdb: &Userdb, subject: Subject) -> FromWorker {
        let mut request = self.request(id, subject, &userdb.label, userdb.id);
        request.debug("Performing userdb lookup");
        let result: UserdbResult = userdb.lookup(&mut request);
        request.debug("Finished userdb lookup");
        FromWorker::Userdb { id, result, subject: Box::new(request.subject()) }
    }

    fn list(
        &self,
        id: u32,
        userdb: &Userdb,
        subject: Subject,
        stream: &mut UnixStream,
    ) -> io::Result<FromWorker> {
        let mut request = self.request(id, subject, &userdb.label, userdb.id);
        request.debug("Performing userdb lookup");
        let mut names = Vec::with_capacity(LIST_CHUNK);
        let mut sent = Ok(());
        let complete = userdb.list(&mut request, &mut |name| {
            names.push(name.to_owned());
            if names.len() == LIST_CHUNK && sent.is_ok() {
                sent = send(stream, &FromWorker::Users { id, names: std::mem::take(&mut names) });
            }
        });
        sent?;
        send(stream, &FromWorker::Users { id, names })?;
        request.debug("Finished userdb lookup");
        Ok(FromWorker::ListEnd { id, complete })
    }
}

fn compute(request: &Request, stored: &Secret) -> Result<bool, String> {
    let password = request.password.as_ref().map(Secret::expose).unwrap_or_default();
    let params = Params { user: request.facts.original_user.as_deref().unwrap_or_default(), rounds: 0 };
    scheme::verify_stored(password, &params, "PLAIN", &stored.expose_lossy())
        .map_err(|error| error.to_string())
}

/// A request's name in 2.3's protocol, which is what log lines show.
fn name(request: &ToWorker) -> &'static str {
    match request {
        ToWorker::Hello { .. } => "VERSION",
        ToWorker::Verify { .. } => "PASSW",
        ToWorker::Passdb { password: Some(_), .. } => "PASSV",
        ToWorker::Passdb { password: None, .. } => "PASSL",
        ToWorker::Store { .. } => "SETCRED",
        ToWorker::Userdb { .. } => "USER",
        ToWorker::List { .. } => "LIST",
        ToWorker::Rehash { .. } => "SETCRED",
    }
}

/// What went wrong, if anything did, in 2.3's words.
fn failure(answer: &FromWorker) -> &'static str {
    match answer {
        FromWorker::Verified { verdict: Ok(true), .. } | FromWorker::Leaving { .. } => "",
        FromWorker::Stored { done: true, .. } => "",
        FromWorker::Stored { done: false, .. } => ": fail",
        FromWorker::Verified { .. } => ": password_mismatch",
        FromWorker::Passdb { result, .. } => match result {
            PassdbResult::Ok => "",
            PassdbResult::PasswordMismatch => ": password_mismatch",
            PassdbResult::UserUnknown => ": user_unknown",
            PassdbResult::UserDisabled => ": user_disabled",
            PassdbResult::PassExpired => ": pass_expired",
            PassdbResult::SchemeNotAvailable => ": scheme_not_available",
            PassdbResult::Next => ": next",
            PassdbResult::InternalFailure => ": internal_failure",
        },
        FromWorker::Rehashed { result: Ok(_), .. } => "",
        FromWorker::Rehashed { result: Err(_), .. } => ": fail",
        FromWorker::Userdb { result: UserdbResult::Ok, .. } => "",
        FromWorker::Userdb { result: UserdbResult::UserUnknown, .. } => ": user_unknown",
        FromWorker::Userdb { result: UserdbResult::InternalFailure, .. } => ": internal_failure",
        FromWorker::Users { .. } | FromWorker::ListEnd { complete: true, .. } => "",
        FromWorker::ListEnd { complete: false, .. } => ": fail",
    }
}

fn send(stream: &mut UnixStream, message: &FromWorker) -> io::Result<()> {
    stream.write_all(&ipc::encode(message).map_err(io::Error::other)?)
}
