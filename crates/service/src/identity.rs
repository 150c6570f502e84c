//! Mail processes: one process per identity (uid, gid, groups, chroot) serves all sessions of its
//! users, and no process ever serves two identities.
//!
//! A mail process is born a *spare*: it still has root's rights and takes hand-overs from login
//! processes. It asks auth who the client is. If a process of that identity lives and has room, the
//! client is passed on to it; if not, the spare becomes that process, for good, and the master
//! starts another spare. Started by an ordinary user there is one identity only, and every process
//! serves what it is handed.

use std::path::PathBuf;
use std::sync::Arc;

use base::Logger;
use ipc::control::ToMaster;
use ipc::handover::Request;
use settings::Settings;
use sys::privilege::PrivilegeError;

use crate::anvil::AnvilSession;
use crate::authmaster::User;
use crate::birth::{Newborn, runtime};
use crate::entry::Opening;
use crate::fatal::Fatal;
use crate::limits::STOP_GRACE;
use crate::process::Process;
use crate::sandbox;
use crate::serve::ClientGuard;
use crate::stream::Stream;
use crate::table::Threads;

mod house;
mod postlogin;
mod settle;
mod spare;
mod target;

use house::House;
use settle::{Asker, Settled};
use spare::{Fate, Spare};

/// Directory below `base_dir` with the sockets of identity processes.
pub const DIRECTORY: &str = "identity";

/// A logged-in client, in the process of its user's identity.
#[derive(Debug)]
pub struct Session {
    /// The client, or where TLS is on the login process's end of it.
    pub stream: Stream,
    /// What the login process said: addresses, session id, tag, input that came already.
    pub request: Request,
    /// The user, with the userdb's fields.
    pub user: User,
    /// Writes lines with `mail_log_prefix` (`imap(user)<pid><session>: `).
    pub log: Logger,
    /// The process.
    pub process: Process,
    anvil: Option<AnvilSession>,
    _guard: ClientGuard,
}

/// Why a session is to end though its client is content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The process stops: "Server shutting down".
    Shutdown,
    /// An administrator kicked the user.
    Kicked,
}

/// Tells when a session is to end, apart from the session itself.
#[derive(Debug, Clone)]
pub struct Endings {
    shutdown: crate::Shutdown,
    kicked: Option<crate::anvil::Kicked>,
}

impl Endings {
    /// Waits until the session is to end, and says why.
    pub async fn wait(self) -> Ending {
        let kicked = async {
            match &self.kicked {
                Some(kicked) => kicked.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.shutdown.stopping() => Ending::Shutdown,
            () = kicked => Ending::Kicked,
        }
    }
}

impl Session {
    /// For selecting on, beside the client's input.
    pub fn endings(&self) -> Endings {
        Endings { shutdown: self.process.shutdown(), kicked: self.anvil.as_ref().map(AnvilSession::kicks) }
    }

    /// Takes the client out, for code that wants to own it. The session goes on being counted until
    /// what is left of it is dropped.
    pub fn into_parts(self) -> (Stream, Request, User, SessionGuard) {
        let guard = SessionGuard { _anvil: self.anvil, _guard: self._guard };
        (self.stream, self.request, self.user, guard)
    }
}

/// Keeps a session counted here and at anvil.
#[derive(Debug)]
pub struct SessionGuard {
    _anvil: Option<AnvilSession>,
    _guard: ClientGuard,
}

/// Whether there can be mail sessions of `user`, as far as is known.
///
/// # Errors
/// Why not, in 2.3's words: an identity that is out of bounds or unknown, a chroot that is not permitted.
pub fn check_user(user: User, settings: &Settings) -> Result<(), String> {
    target::Target::check(user, settings)
}

/// Becomes `user` for good, in a program that the master did not start, and returns the chroot (empty
/// for none). Where that comes from the home (`/chroot/./home`), the home in the user's fields becomes
/// the one seen from inside.
///
/// # Errors
/// What the log says, in 2.3's words. The process may be half changed then and must end.
pub fn become_user(user: &mut User, settings: &Settings) -> Result<String, String> {
    let target = target::Target::of(user, settings, None)?;
    target.take().map_err(|error| not_dropped(&error))?;
    Ok(target.chroot)
}

/// Becomes `user` for good, but without a chroot: for programs that start another one.
///
/// # Errors
/// As [`become_user`].
pub fn become_user_outside(user: &mut User, settings: &Settings) -> Result<(), String> {
    let target = target::Target::of(user, settings, None)?;
    sys::privilege::take_identity(&target.identity).map_err(|error| not_dropped(&error))
}

fn not_dropped(error: &PrivilegeError) -> String {
    format!("Couldn't drop privileges: {}", base::chain(error))
}

/// Runs `work` as `user`, in a program that goes on to the next user afterwards. Without a chroot, as
/// in 2.3: there would be no way back.
///
/// # Errors
/// What the log says, in 2.3's words; `work` has not run, or the process must end where it has.
pub fn act_as<T>(user: &mut User, settings: &Settings, work: impl FnOnce(&User) -> T) -> Result<T, String> {
    let target = target::Target::of(user, settings, None)?;
    let user = &*user;
    sys::privilege::act_as(&target.identity, || work(user)).map_err(|error| not_dropped(&error))
}

/// The life of a mail process.
pub(crate) fn live<S, F>(
    mut newborn: Newborn,
    open: impl FnOnce(&Process) -> Result<S, Fatal>,
    serve: Arc<impl Fn(Arc<S>, Session) -> F + Send + Sync + 'static>,
) -> Result<(), Fatal>
where
    S: Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let asker = Asker::new(&newborn.opening())?;
    newborn.become_what_it_shall_be()?;
    let mut first = Vec::new();
    let mut socket = None;
    if sys::privilege::effective_uid() == 0 {
        let spare = Spare::new(newborn, asker.clone());
        let (fate, same) = runtime(Threads::One)?.block_on(async { tokio::spawn(spare.live()).await })??;
        newborn = same;
        let Fate::Become(housemates) = fate else { return Ok(()) };
        let Some(settled) = housemates.first() else { return Ok(()) };
        if newborn.birth.client_limit > 1 {
            socket = Some(bind(&newborn, settled)?);
        }
        newborn.listeners.clear();
        settled.target.take()?;
        first = housemates;
    }
    sandbox::apply(newborn.row.sandbox, &newborn.log)?;
    let runtime = newborn.runtime(newborn.row.threads)?;
    let result = runtime.block_on(async {
        let (process, control) = newborn.start()?;
        let state = Arc::new(open(&process)?);
        let serve = move |session| serve(state.clone(), session);
        let house = Arc::new(House::new(process.clone(), asker, Arc::new(serve)));
        if first.is_empty() {
            process.tell_master(ToMaster::Ready, None);
        }
        let result = tokio::spawn(house.live(first, socket)).await.map_err(Fatal::from).flatten();
        control.finish().await;
        result
    });
    // Storage code that hangs on a dead disk must not keep a process that is to end.
    runtime.shutdown_timeout(STOP_GRACE / 5);
    result
}

fn bind(newborn: &Newborn, settled: &Settled) -> Result<std::os::unix::net::UnixListener, Fatal> {
    let path = socket_path(&newborn.opening(), &settled.target.key(), std::process::id());
    let listener = std::os::unix::net::UnixListener::bind(&path).map_err(|error| {
        Fatal::new(format_args!("bind({}) failed: {}", path.display(), base::reason(&error)))
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// `identity/imap.1.5000-5000.1234`: service, generation, identity, process id.
fn socket_path(opening: &Opening<'_>, key: &str, pid: u32) -> PathBuf {
    let birth = opening.birth;
    PathBuf::from(&birth.base_dir).join(DIRECTORY).join(format!("{}{key}.{pid}", socket_prefix(birth)))
}

fn socket_prefix(birth: &ipc::control::Birth) -> String {
    format!("{}.{}.", birth.service, birth.generation)
}
