//! A process that has its identity and serves sessions: those that spares pass on, or where there
//! is one identity only those that login processes hand over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ipc::handover::{FailureKind, Reply};
use ipc::identity::{Pass, PassReply};
use settings::{SectionKind, key};
use tokio::net::UnixListener;
use tokio::time::timeout;

use crate::anvil::AnvilSession;
use crate::authmaster::User;
use crate::fatal::Fatal;
use crate::identity::Session;
use crate::identity::settle::{Arrived, Asker, Refused, Settled, answer};
use crate::identity::spare::takes_hand_overs;
use crate::limits::STOP_GRACE;
use crate::link::{Link, LinkError};
use crate::logline;
use crate::process::Process;
use crate::serve::{Acceptor, ClientGuard, Count};
use crate::shutdown::Phase;
use crate::stream::Stream;

/// Memory of ended sessions is given back to the system at most this often.
const TRIM_INTERVAL: Duration = Duration::from_secs(5);

type Serve<F> = Arc<dyn Fn(Session) -> F + Send + Sync>;

pub(crate) struct House<F> {
    process: Process,
    asker: Asker,
    count: Arc<Count>,
    serve: Serve<F>,
}

impl<F: Future<Output = ()> + Send + 'static> House<F> {
    pub(crate) fn new(process: Process, asker: Asker, serve: Serve<F>) -> Self {
        Self { process, asker, count: Arc::default(), serve }
    }

    /// Serves until the process is to end and the last session has left.
    pub(crate) async fn live(
        self: Arc<Self>,
        first: Vec<Settled>,
        socket: Option<std::os::unix::net::UnixListener>,
    ) -> Result<(), Fatal> {
        let is_heir = !first.is_empty();
        for settled in first {
            let guard = self.count.enter();
            tokio::spawn(self.clone().welcome(settled.arrived, settled.user, guard));
        }
        let mut listeners = self.process.take_listeners();
        listeners.retain(|(listener, _)| takes_hand_overs(listener));
        let mut acceptor = Acceptor::new(listeners)?;
        let mut passes = socket.map(UnixListener::from_std).transpose()?;
        self.wait(is_heir, &mut acceptor, &mut passes).await;
        self.say_goodbye().await;
        Ok(())
    }

    async fn wait(
        self: &Arc<Self>,
        is_heir: bool,
        acceptor: &mut Acceptor,
        passes: &mut Option<UnixListener>,
    ) {
        let shutdown = self.process.shutdown();
        let mut trimmed = Instant::now();
        loop {
            self.count.tell(&self.process);
            let used_up = self.count.is_used_up(&self.process);
            let is_open = shutdown.phase() == Phase::Running && !used_up;
            if !is_open {
                acceptor.close();
                *passes = None;
            }
            let is_empty = self.count.here() == 0;
            // Without a socket nobody can come any more to a process that was a spare.
            if is_empty && (!is_open || (is_heir && passes.is_none())) {
                return;
            }
            tokio::select! {
                () = shutdown.stopping(), if shutdown.phase() < Phase::Stopping => return,
                () = shutdown.retiring(), if is_open => {}
                () = self.count.changed() => {
                    if trimmed.elapsed() > TRIM_INTERVAL {
                        trimmed = Instant::now();
                        sys::malloc::trim();
                    }
                }
                accepted = accept_pass(passes), if is_open => match accepted {
                    Ok(link) => drop(tokio::spawn(self.clone().take_passes(link))),
                    Err(error) => self.accept_failed(&error).await,
                },
                accepted = acceptor.accept(), if is_open && self.count.has_room(&self.process) => match accepted {
                    Ok((Stream::Unix(stream), _)) => {
                        let guard = self.count.enter();
                        tokio::spawn(self.clone().take_hand_over(Link::new(stream), guard));
                    }
                    Ok((Stream::Tcp(_) | Stream::Unwatched(_), _)) => self.process.log().error("hand-overs come by unix sockets only"),
                    Err(error) => self.accept_failed(&error).await,
                },
                () = self.idle_long_enough(), if is_empty && is_heir => {
                    *passes = None;
                }
            }
        }
    }

    /// Gives sessions the time to say goodbye that they may have.
    async fn say_goodbye(&self) {
        let all_gone = async {
            while self.count.here() > 0 {
                self.count.changed().await;
            }
        };
        if timeout(STOP_GRACE, all_gone).await.is_err() {
            let left = self.count.here();
            self.process.log().warning(format_args!("{left} sessions did not end in time"));
        }
    }

    async fn accept_failed(&self, error: &std::io::Error) {
        self.process.log().error(format_args!("accept() failed: {}", base::reason(error)));
        tokio::time::sleep(TRIM_INTERVAL / 10).await;
    }

    async fn idle_long_enough(&self) {
        let root = self.process.settings().root();
        let service = root.section(SectionKind::Service, self.process.name());
        let own = service.map_or(Duration::ZERO, |service| service.get(key::service::IDLE_KILL));
        let interval = if own.is_zero() { root.get(key::DEFAULT_IDLE_KILL) } else { own };
        tokio::time::sleep(interval).await;
    }

    /// Clients that a spare passes on over one connection.
    async fn take_passes(self: Arc<Self>, mut link: Link) {
        let shutdown = self.process.shutdown();
        loop {
            let pass = tokio::select! {
                pass = link.receive::<Pass>() => pass,
                () = shutdown.retiring() => return,
            };
            let taken = match pass {
                Ok(Some(pass)) => self.take_pass(pass, &mut link).await,
                Ok(None) => return,
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                return self.process.log().error(format_args!("spare: {}", base::chain(&error)));
            }
        }
    }

    async fn take_pass(self: &Arc<Self>, pass: Pass, link: &mut Link) -> Result<(), LinkError> {
        let (client, reply) = (link.descriptor()?, link.descriptor()?);
        let is_open = self.process.shutdown().phase() == Phase::Running;
        if !is_open || !self.count.has_room(&self.process) {
            return link.send(&PassReply::Full).await;
        }
        let guard = self.count.enter();
        link.send(&PassReply::Taken).await?;
        let user = User { name: pass.username, fields: pass.fields };
        let arrived = Arc::new(Arrived { request: pass.request, client, reply });
        tokio::spawn(self.clone().welcome(arrived, user, guard));
        Ok(())
    }

    /// A client that a login process hands over to a process that has one identity anyway.
    async fn take_hand_over(self: Arc<Self>, link: Link, guard: ClientGuard) {
        let Some(arrived) = self.asker.arrive(link).await.map(Arc::new) else { return };
        let settled = match self.asker.settle(&arrived).await {
            Ok(settled) => self.check_own(settled, &arrived),
            Err(refused) => Err(refused),
        };
        match settled {
            Ok(settled) => self.welcome(settled.arrived, settled.user, guard).await,
            Err(refused) => answer(&arrived.reply, &refused.into_reply()),
        }
    }

    /// A process without root's rights serves nobody but its own user.
    fn check_own(&self, settled: Settled, arrived: &Arrived) -> Result<Settled, Refused> {
        let own = sys::privilege::effective_uid();
        let target = &settled.target;
        let log = || self.asker.session_log(&settled.user.name, &arrived.request);
        if target.identity.uid != own {
            log().error(format_args!(
                "setuid({} from userdb lookup) failed with euid={own}: Operation not permitted",
                target.identity.uid
            ));
            return Err(Refused::internal());
        }
        if !target.chroot.is_empty() {
            log().error(format_args!("chroot({}) failed: Operation not permitted", target.chroot));
            return Err(Refused::internal());
        }
        Ok(settled)
    }

    /// Counts the session at anvil, tells the login process, and lives the session.
    async fn welcome(self: Arc<Self>, arrived: Arc<Arrived>, user: User, guard: ClientGuard) {
        let anvil = match self.announce(&arrived, &user).await {
            Ok(anvil) => anvil,
            Err(reply) => return answer(&arrived.reply, &reply),
        };
        let taken = arrived.take().and_then(|Arrived { request, client, reply }| {
            // The login process waits until `reply` is answered or closed.
            Ok((Stream::from_descriptor(client)?, request, reply))
        });
        let (stream, request, reply) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                return self.process.log().error(format_args!("client's socket: {}", base::reason(&error)));
            }
        };
        answer(&reply, &Reply::Ok { pid: std::process::id() });
        drop(reply);
        let log = self.asker.session_log(&user.name, &request);
        let process = self.process.clone();
        let session = Session { stream, request, user, log: log.clone(), process, anvil, _guard: guard };
        logline::scope(log, (self.serve)(session)).await;
    }

    async fn announce(&self, arrived: &Arrived, user: &User) -> Result<Option<AnvilSession>, Reply> {
        let Some(anvil) = self.process.anvil() else { return Ok(None) };
        let request = &arrived.request;
        let limit = self.asker.settings(request).get(key::MAIL_MAX_USERIP_CONNECTIONS);
        // Connections from this very host are webmail's and count like all others, as in 2.3.
        let limit = u32::try_from(limit).unwrap_or(0);
        let service = self.process.name();
        anvil
            .connect(&user.name, service, request.remote_ip, &request.session_id, limit)
            .await
            .map(Some)
            .map_err(|too_many| {
                Refused { kind: FailureKind::Limit, client_text: too_many.to_string() }.into_reply()
            })
    }
}

async fn accept_pass(socket: &Option<UnixListener>) -> std::io::Result<Link> {
    match socket {
        Some(socket) => socket.accept().await.map(|(stream, _)| Link::new(stream)),
        None => std::future::pending().await,
    }
}
