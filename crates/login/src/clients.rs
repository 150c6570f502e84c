//! The clients of this process: who has not logged in yet, oldest first, and whose TLS is proxied.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::oneshot;

/// Why a client is sent away before it has logged in. `Display` is what it is told and what the log
/// says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Eviction {
    /// Others wait, and it has been here longest.
    #[error("Connection queue full")]
    Full,
    /// The process stops.
    #[error("Shutting down")]
    Stopping,
}

/// All clients of the process. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clients(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    strangers: BTreeMap<u64, Stranger>,
    proxies: BTreeMap<u64, Option<IpAddr>>,
}

#[derive(Debug)]
struct Stranger {
    ip: Option<IpAddr>,
    finishing: Arc<AtomicBool>,
    evict: Option<oneshot::Sender<Eviction>>,
}

/// A client's place in the table; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Seat {
    clients: Clients,
    number: u64,
    finishing: Arc<AtomicBool>,
}

/// How many clients there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) strangers: usize,
    pub(crate) proxies: usize,
}

impl Clients {
    /// A client has connected. The receiver hears when it is to be sent away.
    pub(crate) fn enter(&self, ip: Option<IpAddr>) -> (Seat, oneshot::Receiver<Eviction>) {
        let (evict, evicted) = oneshot::channel();
        let finishing = Arc::new(AtomicBool::new(false));
        let mut table = self.table();
        table.last += 1;
        let number = table.last;
        table.strangers.insert(number, Stranger { ip, finishing: finishing.clone(), evict: Some(evict) });
        drop(table);
        self.0.changed.notify_one();
        (Seat { clients: self.clone(), number, finishing }, evicted)
    }

    /// Sends the oldest stranger away, one that is about to be handed over only if there is no other.
    pub(crate) fn evict_oldest(&self) {
        let mut table = self.table();
        let waiting = |stranger: &&mut Stranger| stranger.evict.is_some();
        let idle =
            |stranger: &&mut Stranger| waiting(stranger) && !stranger.finishing.load(Ordering::Relaxed);
        let mut oldest = table.strangers.values_mut().find(idle);
        if oldest.is_none() {
            oldest = table.strangers.values_mut().find(waiting);
        }
        if let Some(evict) = oldest.and_then(|stranger| stranger.evict.take()) {
            let _ = evict.send(Eviction::Full);
        }
    }

    /// Sends all strangers away.
    pub(crate) fn evict_all(&self) {
        for stranger in self.table().strangers.values_mut() {
            if let Some(evict) = stranger.evict.take() {
                let _ = evict.send(Eviction::Stopping);
            }
        }
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> Counts {
        let table = self.table();
        Counts { strangers: table.strangers.len(), proxies: table.proxies.len() }
    }

    /// Waits until someone came or went since the last call.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// What `ps` shows with `verbose_proctitle`.
    pub(crate) fn title(&self) -> String {
        let table = self.table();
        let (strangers, proxies) = (table.strangers.len(), table.proxies.len());
        let alone = |ip: Option<&Option<IpAddr>>, what: &str| match ip {
            Some(Some(ip)) => format!("{ip} {what}"),
            _ => what.to_owned(),
        };
        match (strangers, proxies) {
            (0, 0) => String::new(),
            (1, 0) => alone(table.strangers.values().next().map(|stranger| &stranger.ip), "pre-login"),
            (0, 1) => alone(table.proxies.values().next(), "TLS proxy"),
            (strangers, 0) => format!("{strangers} pre-login"),
            (strangers, proxies) => format!("{strangers} pre-login + {proxies} TLS proxies"),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The client is about to be handed over.
    pub(crate) fn set_finishing(&self, finishing: bool) {
        self.finishing.store(finishing, Ordering::Relaxed);
    }

    /// The client has logged in, and its TLS goes on here.
    pub(crate) fn becomes_proxy(&self) {
        let mut table = self.clients.table();
        if let Some(stranger) = table.strangers.remove(&self.number) {
            table.proxies.insert(self.number, stranger.ip);
        }
        drop(table);
        self.clients.0.changed.notify_one();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.clients.table();
        table.strangers.remove(&self.number);
        table.proxies.remove(&self.number);
        drop(table);
        self.clients.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_first_but_not_in_the_middle_of_a_login() {
        let clients = Clients::default();
        let ip = Some([10, 0, 0, 1].into());
        let (first, mut first_evicted) = clients.enter(ip);
        assert_eq!(clients.title(), "10.0.0.1 pre-login");
        let (second, mut second_evicted) = clients.enter(ip);
        let (_third, mut third_evicted) = clients.enter(None);
        first.set_finishing(true);
        clients.evict_oldest();
        assert_eq!(second_evicted.try_recv(), Ok(Eviction::Full));
        assert!(first_evicted.try_recv().is_err() && third_evicted.try_recv().is_err());
        drop(second);
        first.becomes_proxy();
        assert_eq!(clients.title(), "1 pre-login + 1 TLS proxies");
        assert_eq!(clients.counts(), Counts { strangers: 1, proxies: 1 });
        clients.evict_all();
        assert_eq!(third_evicted.try_recv(), Ok(Eviction::Stopping));
        drop(first);
        assert_eq!(clients.counts(), Counts { strangers: 1, proxies: 0 });
    }
}
