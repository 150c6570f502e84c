//! The `anvil` process: knows who is connected, limits how many sessions a user may have, remembers
//! which addresses keep failing to log in and who is banned for it, and ends sessions for an
//! administrator.
//!
//! It holds no files and no network, and nothing that it knows outlives it: after a restart all
//! processes tell it their sessions again. What a process claims concerns only its own sessions,
//! and its death takes them with it.

mod bans;
mod penalty;
mod proxies;
mod recent;
mod sessions;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Logger;
use ipc::anvil::{Answer, Ban, FromAnvil, Hello, Query, ToAnvil};
use service::{Entry, Fatal, Link, Process};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use self::bans::Bans;
use self::penalty::Penalties;
use self::proxies::Proxies;
use self::sessions::{PeerId, Selection, Sessions};
use crate::limits::ADMIN_TIMEOUT;
use crate::listen;

/// The process as the binary knows it.
pub fn entry() -> Entry {
    // The master is our parent. It connects on behalf of each child, everybody else is doveadm.
    Entry::new("anvil", |_| Ok(std::os::unix::process::parent_id()), run)
}

async fn run(process: Process, master_pid: u32) -> Result<(), Fatal> {
    let shared = Arc::new(Shared::new(process.log().clone()));
    let each = {
        let shared = shared.clone();
        move |link: Link| {
            let shared = shared.clone();
            async move {
                match link.peer() {
                    Ok(peer) if peer.pid == master_pid => shared.serve_process(link).await,
                    Ok(_) => shared.serve_admin(link).await,
                    Err(error) => {
                        shared.log.error(format_args!("getsockopt() failed: {}", base::reason(&error)))
                    }
                }
            }
        }
    };
    let mut accepting = listen::serve(process.take_listeners(), process.log(), each)
        .map_err(|error| Fatal::new(format_args!("listeners failed: {}", base::reason(&error))))?;
    let mut peers = shared.peers.subscribe();
    let title = tokio::spawn(show_counts(process.clone(), shared.clone()));
    let shutdown = process.shutdown();
    tokio::select! {
        () = shutdown.stopping() => {}
        // Those who stay when the master has gone (shutdown_clients = no) still count their
        // sessions here.
        () = async {
            shutdown.retiring().await;
            accepting.abort_all();
            let _ = peers.wait_for(|peers| *peers == 0).await;
        } => {}
    }
    title.abort();
    Ok(())
}

/// Shows the figures in the process's title, if titles are on.
async fn show_counts(process: Process, shared: Arc<Shared>) {
    let mut peers = shared.peers.subscribe();
    while peers.changed().await.is_ok() {
        let (sessions, strangers) = shared.state().sessions.counts();
        process.set_title(&format!("[{sessions} sessions, {strangers} logging in]"));
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// How many processes are connected.
    peers: watch::Sender<usize>,
    log: Logger,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    sessions: Sessions,
    proxies: Proxies,
    penalties: Penalties,
    bans: Bans,
    /// What processes are told that they did not ask for.
    news: HashMap<PeerId, mpsc::UnboundedSender<FromAnvil>>,
    /// Those that are told of bans.
    auths: BTreeSet<PeerId>,
    peers_ever: PeerId,
}

impl Shared {
    fn new(log: Logger) -> Self {
        Self { state: Mutex::default(), peers: watch::Sender::new(0), log }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One process's connection, from its hello to its death.
    async fn serve_process(&self, mut link: Link) {
        let hello = match timeout(ADMIN_TIMEOUT, link.expect::<Hello>()).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(error)) => return self.log.error(format_args!("hello: {}", base::chain(&error))),
            Err(_) => return self.log.error("A process did not say hello"),
        };
        let (tell, mut news) = mpsc::unbounded_channel();
        let id = self.state().add_peer(hello, tell, sys_time_s());
        self.peers.send_modify(|peers| *peers += 1);
        loop {
            let answer = tokio::select! {
                message = link.receive::<ToAnvil>() => match message {
                    Ok(Some(message)) => self.state().hear(id, message, sys_time_s()),
                    Ok(None) => break,
                    Err(error) => {
                        let name = self.state().sessions.peer_name(id);
                        self.log.error(format_args!("{name}: {}", base::chain(&error)));
                        break;
                    }
                },
                Some(news) = news.recv() => Some(news),
            };
            if let Some(answer) = answer
                && link.send(&answer).await.is_err()
            {
                break;
            }
        }
        self.state().remove_peer(id);
        self.peers.send_modify(|peers| *peers -= 1);
    }

    /// One question of doveadm.
    async fn serve_admin(&self, mut link: Link) {
        let asked = timeout(ADMIN_TIMEOUT, async {
            while let Some(query) = link.receive::<Query>().await? {
                self.log_ban(&query);
                let answers = self.state().answer(query, sys_time_s());
                for answer in &answers {
                    link.send(answer).await?;
                }
                link.send(&Answer::End).await?;
            }
            Ok::<(), service::LinkError>(())
        });
        match asked.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.log.warning(format_args!("doveadm: {}", base::chain(&error))),
            Err(_) => self.log.warning("doveadm: connection timed out"),
        }
    }
}

impl Shared {
    /// What an administrator does to bans is worth a line.
    fn log_ban(&self, query: &Query) {
        match query {
            Query::Ban(Ban { subject, since_s, until_s, reason }) => {
                let seconds = until_s.saturating_sub(*since_s);
                self.log.info(format_args!("{subject} banned for {seconds} secs by doveadm: {reason}"));
            }
            Query::Unban(subjects) => {
                subjects.iter().for_each(|subject| {
                    self.log.info(format_args!("ban of {subject} lifted by doveadm"));
                });
            }
            Query::Who
            | Query::Kick { .. }
            | Query::Proxies
            | Query::KickProxies(_)
            | Query::Bans
            | Query::Penalties { .. } => {}
        }
    }
}

impl State {
    pub(crate) fn add_peer(
        &mut self,
        hello: Hello,
        tell: mpsc::UnboundedSender<FromAnvil>,
        now_s: u64,
    ) -> PeerId {
        self.peers_ever += 1;
        let id = self.peers_ever;
        if hello.service == "auth" {
            self.auths.insert(id);
            for ban in self.bans.all(now_s) {
                let _ = tell.send(FromAnvil::Ban(ban.clone()));
            }
        }
        self.sessions.add_peer(id, hello.service, hello.pid);
        self.news.insert(id, tell);
        id
    }

    pub(crate) fn remove_peer(&mut self, id: PeerId) {
        self.auths.remove(&id);
        self.news.remove(&id);
        self.sessions.remove_peer(id);
        self.proxies.remove_peer(id);
    }

    pub(crate) fn hear(&mut self, id: PeerId, message: ToAnvil, now_s: u64) -> Option<FromAnvil> {
        match message {
            ToAnvil::Connect { session, userip_limit } => {
                let session_id = session.id;
                let allowed = self.sessions.connect(id, session, userip_limit);
                return Some(FromAnvil::Connected { id: session_id, allowed });
            }
            ToAnvil::Resume(session) => drop(self.sessions.resume(id, session)),
            ToAnvil::Disconnect(session) => {
                self.sessions.disconnect(id, session);
                self.proxies.remove(id, session);
            }
            ToAnvil::Proxy(proxied) => self.proxies.add(id, proxied),
            ToAnvil::PenaltyGet { request, ip } => {
                let (value, last_update_s) = self.penalties.of(ip, now_s);
                return Some(FromAnvil::Penalty { request, value, last_update_s });
            }
            ToAnvil::PenaltySet { ip, value, checksum } => self.penalties.set(ip, value, checksum, now_s),
            ToAnvil::Strangers(count) => self.sessions.strangers(id, count),
            ToAnvil::Failed { request, failure } => {
                let ban = self.bans.fail(&failure, now_s);
                if let Some(ban) = &ban {
                    self.tell_auths(&FromAnvil::Ban(ban.clone()));
                }
                return Some(FromAnvil::Failed { request, ban });
            }
            ToAnvil::ResumeBan(ban) => self.bans.add(ban, now_s),
            ToAnvil::Once { request, name, counter } => {
                let is_new = self.bans.once(name, counter);
                return Some(FromAnvil::Once { request, is_new });
            }
        }
        None
    }

    fn tell_auths(&self, news: &FromAnvil) {
        for line in self.auths.iter().filter_map(|id| self.news.get(id)) {
            // A process that is just ending need not know.
            let _ = line.send(news.clone());
        }
    }

    pub(crate) fn answer(&mut self, query: Query, now_s: u64) -> Vec<Answer> {
        match query {
            Query::Who => {
                self.selected(&Selection::default()).into_iter().map(|(_, answer)| answer).collect()
            }
            Query::Kick { users, nets } => {
                let selected = self.selected(&Selection { users, nets });
                for (peer, answer) in &selected {
                    if let (Some(line), Answer::Session { session, .. }) = (self.news.get(peer), answer) {
                        // A process that is just ending has no session left to end.
                        let _ = line.send(FromAnvil::Kick(session.id));
                    }
                }
                selected.into_iter().map(|(_, answer)| answer).collect()
            }
            Query::Proxies => {
                self.proxies.select(None).map(|(_, proxied)| Answer::Proxied(proxied.clone())).collect()
            }
            Query::KickProxies(kick) => {
                let selected = self.proxies.select(Some(&kick));
                let kicked = selected.map(|(peer, proxied)| {
                    if let Some(line) = self.news.get(&peer) {
                        let _ = line.send(FromAnvil::Kick(proxied.id));
                    }
                    Answer::Proxied(proxied.clone())
                });
                kicked.collect()
            }
            Query::Penalties { nets } => self.penalties_of(nets, now_s),
            Query::Bans => self.bans.all(now_s).cloned().map(Answer::Ban).collect(),
            Query::Ban(ban) => {
                self.bans.add(ban.clone(), now_s);
                self.tell_auths(&FromAnvil::Ban(ban.clone()));
                vec![Answer::Ban(ban)]
            }
            Query::Unban(subjects) => {
                let lifted = subjects.iter().filter_map(|subject| self.bans.lift(subject, now_s));
                let lifted: Vec<Ban> = lifted.collect();
                lifted.iter().for_each(|ban| self.tell_auths(&FromAnvil::Unban(ban.subject.clone())));
                lifted.into_iter().map(Answer::Ban).collect()
            }
        }
    }

    fn selected(&self, selection: &Selection) -> Vec<(PeerId, Answer)> {
        let selected = self.sessions.select(selection);
        selected
            .map(|(peer, pid, session)| (peer, Answer::Session { session: session.clone(), pid }))
            .collect()
    }

    fn penalties_of(&mut self, nets: Vec<(IpAddr, u8)>, now_s: u64) -> Vec<Answer> {
        let selection = Selection { users: Vec::new(), nets };
        let all = self.penalties.all(now_s).filter(|(ip, _)| selection.has_ip(Some(*ip)));
        all.map(|(ip, penalty)| Answer::Penalty {
            ip,
            value: penalty.value,
            last_penalty_s: penalty.last_penalty_s,
            last_update_s: penalty.last_update_s,
        })
        .collect()
    }
}

/// Seconds since 1970.
fn sys_time_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use ipc::anvil::{BanSubject, Failure, Session};
    use tokio::net::UnixStream;

    use super::*;

    fn pair() -> (Link, Link) {
        let (here, there) = UnixStream::pair().unwrap();
        (Link::new(here), Link::new(there))
    }

    fn session(id: u64, user: &str) -> Session {
        Session {
            id,
            username: user.into(),
            service: "imap".into(),
            remote_ip: "10.0.0.1".parse().ok(),
            session_id: "s".into(),
        }
    }

    struct Anvil(Arc<Shared>);

    impl Anvil {
        fn new() -> Self {
            Self(Arc::new(Shared::new(Logger::new("anvil: "))))
        }

        async fn process(&self, pid: u32) -> Link {
            self.process_of("imap", pid).await
        }

        async fn process_of(&self, service: &str, pid: u32) -> Link {
            let (here, there) = pair();
            let shared = self.0.clone();
            tokio::spawn(async move { shared.serve_process(there).await });
            here.send(&Hello { service: service.into(), pid }).await.unwrap();
            here
        }

        async fn ask(&self, query: Query) -> Vec<Answer> {
            let (mut here, there) = pair();
            let shared = self.0.clone();
            tokio::spawn(async move { shared.serve_admin(there).await });
            here.send(&query).await.unwrap();
            let mut answers = Vec::new();
            loop {
                match here.expect().await.unwrap() {
                    Answer::End => return answers,
                    answer => answers.push(answer),
                }
            }
        }

        async fn users(&self) -> Vec<String> {
            let answers = self.ask(Query::Who).await.into_iter();
            let name = |answer| match answer {
                Answer::Session { session, pid } => format!("{} {pid}", session.username),
                other => format!("{other:?}"),
            };
            answers.map(name).collect()
        }
    }

    async fn connect(link: &mut Link, session: Session, userip_limit: u32) -> bool {
        link.send(&ToAnvil::Connect { session, userip_limit }).await.unwrap();
        match link.expect().await.unwrap() {
            FromAnvil::Connected { allowed, .. } => allowed,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn sessions_come_and_go_with_their_process() {
        let anvil = Anvil::new();
        let (mut first, mut second) = (anvil.process(100).await, anvil.process(101).await);
        assert!(connect(&mut first, session(1, "u"), 1).await);
        assert!(!connect(&mut second, session(1, "u"), 1).await);
        assert!(connect(&mut second, session(2, "v"), 1).await);
        assert_eq!(anvil.users().await, ["u 100", "v 101"]);
        drop(first);
        let mut peers = anvil.0.peers.subscribe();
        peers.wait_for(|peers| *peers == 1).await.unwrap();
        assert_eq!(anvil.users().await, ["v 101"]);
        assert!(connect(&mut second, session(3, "u"), 1).await);
    }

    #[tokio::test]
    async fn a_kick_reaches_the_session() {
        let anvil = Anvil::new();
        let mut process = anvil.process(100).await;
        assert!(connect(&mut process, session(7, "u"), 0).await);
        assert!(connect(&mut process, session(8, "v"), 0).await);
        let query = Query::Kick { users: vec!["U*".into()], nets: vec![] };
        assert_eq!(anvil.ask(query).await.len(), 1);
        assert!(matches!(process.expect().await.unwrap(), FromAnvil::Kick(7)));
    }

    #[tokio::test]
    async fn penalties_are_kept() {
        let anvil = Anvil::new();
        let mut auth = anvil.process(50).await;
        let ip = "10.0.0.9".parse().unwrap();
        auth.send(&ToAnvil::PenaltySet { ip, value: 3, checksum: 1 }).await.unwrap();
        auth.send(&ToAnvil::PenaltyGet { request: 5, ip }).await.unwrap();
        let answer = auth.expect().await.unwrap();
        assert!(matches!(answer, FromAnvil::Penalty { request: 5, value: 3, .. }), "{answer:?}");
        let net = |net: &str| vec![(net.parse().unwrap(), 8)];
        assert_eq!(anvil.ask(Query::Penalties { nets: net("10.0.0.0") }).await.len(), 1);
        assert_eq!(anvil.ask(Query::Penalties { nets: net("11.0.0.0") }).await.len(), 0);
    }

    #[tokio::test]
    async fn auth_processes_are_told_of_bans() {
        let anvil = Anvil::new();
        let subject = BanSubject::net("10.1.2.3".parse().unwrap(), 24);
        let failure =
            Failure { subject: subject.clone(), checksum: 0, failures_max: 1, interval_s: 60, ban_s: 600 };
        let mut first = anvil.process_of("auth", 50).await;
        first.send(&ToAnvil::Failed { request: 9, failure }).await.unwrap();
        let (mut answered, mut told) = (false, false);
        for _ in 0..2 {
            match first.expect().await.unwrap() {
                FromAnvil::Failed { request: 9, ban: Some(_) } => answered = true,
                FromAnvil::Ban(ban) => told = ban.subject == subject,
                other => panic!("{other:?}"),
            }
        }
        assert!(answered && told);
        let mut second = anvil.process_of("auth", 51).await;
        assert!(matches!(second.expect().await.unwrap(), FromAnvil::Ban(_)), "one that starts later, too");
        assert_eq!(anvil.ask(Query::Bans).await.len(), 1);
        assert_eq!(anvil.ask(Query::Unban(vec![subject.clone()])).await.len(), 1);
        assert!(matches!(second.expect().await.unwrap(), FromAnvil::Unban(lifted) if lifted == subject));
        assert_eq!(anvil.ask(Query::Bans).await.len(), 0);
    }

    #[tokio::test]
    async fn nonsense_ends_the_connection_only() {
        let anvil = Anvil::new();
        let mut process = anvil.process(100).await;
        assert!(connect(&mut process, session(1, "u"), 0).await);
        let mut bad = anvil.process(101).await;
        bad.send(&u64::MAX).await.unwrap();
        assert!(bad.receive::<FromAnvil>().await.unwrap().is_none());
        assert_eq!(anvil.users().await, ["u 100"]);
    }
}
