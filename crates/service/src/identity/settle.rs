//! From a login process's connection to a client whose user is known.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Logger;
use ipc::control::Birth;
use ipc::handover::{FailureKind, Known, Reply, Request};
use settings::{Filter, Settings, Snapshot};

use crate::authmaster::{Client, LoginId, Lookup, User};
use crate::entry::Opening;
use crate::fatal::Fatal;
use crate::identity::postlogin::{PostLogin, PostLoginError};
use crate::identity::target::Target;
use crate::limits::HANDOVER_TIMEOUT;
use crate::link::{Link, LinkError};

/// 2.3's `MASTER_AUTH_ERRMSG_INTERNAL_FAILURE`.
const INTERNAL: &str = "Internal error occurred. Refer to server log for more information.";

/// Reads hand-overs and asks auth about them. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    auth: Client,
    pub(crate) birth: Arc<Birth>,
    log: Logger,
    settings: Arc<std::sync::RwLock<Arc<Snapshot>>>,
    postlogin: PostLogin,
}

/// A hand-over that has arrived.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) request: Request,
    pub(crate) client: OwnedFd,
    /// The connection on which the login process waits.
    pub(crate) reply: OwnedFd,
}

/// A client whose user and identity are known.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) arrived: Arc<Arrived>,
    pub(crate) user: User,
    /// The user as auth told it: for [`Target::of`] changes what a chroot is about.
    pub(crate) told: Known,
    pub(crate) target: Target,
}

/// What the login process is told instead of "ok", once the log knows why.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) kind: FailureKind,
    pub(crate) client_text: String,
}

impl Refused {
    pub(crate) fn internal() -> Self {
        Self { kind: FailureKind::Internal, client_text: INTERNAL.to_owned() }
    }

    /// The auth process that vouched is not there any more.
    fn expired() -> Self {
        Self { kind: FailureKind::Expired, ..Self::internal() }
    }

    pub(crate) fn into_reply(self) -> Reply {
        Reply::Failed { client_text: self.client_text, kind: self.kind, pid: std::process::id() }
    }
}

impl Asker {
    pub(crate) fn new(opening: &Opening<'_>) -> Result<Self, Fatal> {
        let birth = opening.birth;
        let base_dir = std::path::Path::new(&birth.base_dir);
        let mut socket = "auth-master";
        let mut postlogin = PostLogin::none();
        let mut words = opening.arguments.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "-a" => socket = words.next().ok_or_else(|| Fatal::new("-a needs a socket"))?,
                "-t" => {
                    let text = words.next().unwrap_or_default();
                    let seconds = text.parse().ok().filter(|seconds| *seconds != 0);
                    let invalid = || Fatal::new(format_args!("Invalid -t parameter: {text}"));
                    postlogin.timeout = Duration::from_secs(seconds.ok_or_else(invalid)?);
                }
                // Raw logs and the like, which nobody writes here.
                "-D" => {}
                option if option.starts_with('-') => {
                    return Err(Fatal::new(format_args!("Unknown argument: {option}")));
                }
                name => postlogin.path = Some(base_dir.join(name)),
            }
        }
        let path = base_dir.join(socket);
        Ok(Self {
            auth: Client::new(path),
            birth: Arc::new(birth.clone()),
            log: Logger::new(format!("{}({}): ", birth.service, std::process::id())),
            settings: Arc::new(std::sync::RwLock::new(Arc::new(opening.settings.clone()))),
            postlogin,
        })
    }

    /// Whether a post-login script has a say about every client.
    pub(crate) fn has_script(&self) -> bool {
        self.postlogin.path.is_some()
    }

    pub(crate) fn replace_settings(&self, settings: Arc<Snapshot>) {
        *self.settings.write().unwrap_or_else(std::sync::PoisonError::into_inner) = settings;
    }

    /// The settings that hold for a client of this service.
    pub(crate) fn settings(&self, request: &Request) -> Settings {
        let settings = self.settings.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        settings.view(&Filter {
            protocol: Some(protocol(&self.birth.service)),
            service: Some(self.birth.service.as_str()),
            local_name: Some(request.local_name.as_str()).filter(|name| !name.is_empty()),
            local_ip: request.local_ip,
            remote_ip: request.remote_ip,
        })
    }

    /// Reads one hand-over. `None` when the peer had nothing to say.
    pub(crate) async fn arrive(&self, mut link: Link) -> Option<Arrived> {
        let request = match tokio::time::timeout(HANDOVER_TIMEOUT, link.receive::<Request>()).await {
            Ok(Ok(Some(request))) => request,
            Ok(Ok(None)) => return None,
            Ok(Err(error)) => {
                self.log.error(format_args!("hand-over: {}", base::chain(&error)));
                return None;
            }
            Err(_) => {
                self.log.error("hand-over: Timeout");
                return None;
            }
        };
        // Without root's rights there is one identity only, and nobody passes on what he knows.
        let is_trusted = || link.peer().is_ok_and(|peer| peer.uid == 0);
        if request.known.is_some() && !is_trusted() {
            self.log.error("hand-over: a process without root's rights told us who its client is");
            return None;
        }
        let parts = || -> Result<Arrived, LinkError> {
            let client = link.descriptor()?;
            // A spare that became something else passes on where the answer goes to.
            let reply = match link.descriptor_if_any() {
                Some(reply) => reply,
                None => link.into_socket()?,
            };
            Ok(Arrived { request, client, reply })
        };
        parts().map_err(|error| self.log.error(format_args!("hand-over: {}", base::chain(&error)))).ok()
    }

    /// Learns whose the client is, from auth or from the process that has asked auth already.
    pub(crate) async fn settle(&self, arrived: &Arc<Arrived>) -> Result<Settled, Refused> {
        let (mut user, arrived) = match arrived.request.known.clone() {
            Some(Known { username, fields }) => (User { name: username, fields }, arrived.clone()),
            None => {
                let user = self.ask(&arrived.request).await?;
                self.run_script(user, arrived).await?
            }
        };
        let told = Known { username: user.name.clone(), fields: user.fields.clone() };
        let settings = self.settings(&arrived.request);
        match Target::of(&mut user, &settings, self.birth.identity.as_ref()) {
            Ok(target) => Ok(Settled { arrived, user, told, target }),
            Err(reason) => {
                self.session_log(&user.name, &arrived.request).error(&reason);
                Err(Refused::internal())
            }
        }
    }

    /// Lets a post-login script have a say, if there is one. Whoever gets the client afterwards is told
    /// what came of it, so that it is run once.
    async fn run_script(&self, user: User, arrived: &Arc<Arrived>) -> Result<(User, Arc<Arrived>), Refused> {
        let base_dir = std::path::Path::new(&self.birth.base_dir);
        let Some(path) = self.postlogin.socket(&user, base_dir) else { return Ok((user, arrived.clone())) };
        let running = self.postlogin.run(&path, &arrived.request, arrived.client.as_fd(), &user);
        let failed = |reason: &dyn std::fmt::Display, kind| {
            self.session_log(&user.name, &arrived.request).error(reason);
            Refused { kind, ..Refused::internal() }
        };
        match running.await {
            Ok((user, None)) => Ok((user, arrived.clone())),
            Ok((user, Some(client))) => match arrived.reply.try_clone() {
                Ok(reply) => {
                    let request = arrived.request.clone();
                    Ok((user, Arc::new(Arrived { request, client, reply })))
                }
                Err(error) => Err(failed(&base::reason(&error), FailureKind::Internal)),
            },
            Err(error @ PostLoginError::Denied { .. }) => Err(failed(&error, FailureKind::Script)),
            Err(error) => Err(failed(&error, FailureKind::Internal)),
        }
    }

    async fn ask(&self, request: &Request) -> Result<User, Refused> {
        let login = LoginId {
            client_pid: request.client_pid,
            auth_id: request.auth_id,
            cookie: request.cookie.clone(),
        };
        let asked = Instant::now();
        let failed = async |reason: &str| {
            self.log.error(format_args!(
                "auth-master: login: request [{}]: Login auth request failed: {reason} \
                 (auth connected {} msecs ago, request took {} msecs, client-pid={} client-id={})",
                request.auth_id,
                self.auth.age().await.as_millis(),
                asked.elapsed().as_millis(),
                request.client_pid,
                request.auth_id
            ));
        };
        match self.auth.is_with(request.auth_pid).await {
            Ok(true) => {}
            // It has died or retired. The login process asks its successor.
            Ok(false) => return Err(Refused::expired()),
            Err(error) => {
                let reason = base::chain(&error).to_string();
                failed(&reason).await;
                return Err(Refused::expired());
            }
        }
        match self.auth.login(&login).await {
            Ok(Lookup::Found(user)) => Ok(user),
            Ok(Lookup::NotFound) => {
                failed("Authenticated user not found from userdb").await;
                Err(Refused::internal())
            }
            Ok(Lookup::Failed { reason: Some(reason), .. }) => {
                failed(&format!("Internal auth failure: {reason}")).await;
                Err(Refused { kind: FailureKind::Denied, client_text: reason })
            }
            Ok(Lookup::Failed { reason: None, .. }) => {
                failed("Internal auth failure").await;
                Err(Refused::internal())
            }
            Err(error) => {
                let reason = base::chain(&error).to_string();
                failed(&reason).await;
                Err(Refused::expired())
            }
        }
    }

    /// The logger of a session, with `mail_log_prefix`.
    pub(crate) fn session_log(&self, username: &str, request: &Request) -> Logger {
        let settings = self.settings(request);
        let pid = std::process::id().to_string();
        let ip = |ip: Option<std::net::IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
        let (remote, local) = (ip(request.remote_ip), ip(request.local_ip));
        let (name, domain) = username.split_once('@').unwrap_or((username, ""));
        let table = [
            ('u', "user", Some(username)),
            ('n', "username", Some(name)),
            ('d', "domain", Some(domain)),
            ('s', "service", Some(protocol(&self.birth.service))),
            ('r', "rip", Some(remote.as_str())),
            ('l', "lip", Some(local.as_str())),
            ('p', "pid", Some(pid.as_str())),
            ('\0', "session", Some(request.session_id.as_str())),
        ];
        let prefix = settings.get(settings::key::MAIL_LOG_PREFIX);
        let (prefix, _) = settings::vars::Expander::of(&table).expand_all(prefix);
        Logger::new(prefix).with_debug(settings.get(settings::key::MAIL_DEBUG))
    }
}

impl Arrived {
    /// The parts, with descriptors of their own where somebody else still looks at them.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(crate) fn take(self: Arc<Self>) -> io::Result<Self> {
        Arc::try_unwrap(self).or_else(|shared| {
            let (client, reply) = (shared.client.try_clone()?, shared.reply.try_clone()?);
            Ok(Self { request: shared.request.clone(), client, reply })
        })
    }
}

/// Tells the login process. It may have gone: then its client has, too.
///
/// Nothing was sent on this socket before, so it takes the answer at once, and the runtime need not
/// know of it.
pub(crate) fn answer(reply: &OwnedFd, message: &Reply) {
    if let Ok(frame) = ipc::encode(message) {
        let _ = sys::pass::send(reply, &frame, &[]);
    }
}

/// The protocol that `protocol NAME {}` means for a service: its name up to the first `-`.
fn protocol(service: &str) -> &str {
    service.split('-').next().unwrap_or(service)
}
