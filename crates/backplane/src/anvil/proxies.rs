//! Who is proxied to another server, for `doveadm proxy`.

use std::collections::BTreeMap;

use ipc::anvil::{KickProxies, Proxied};

use super::sessions::PeerId;
use crate::limits::SESSIONS_PER_PROCESS_MAX;

/// All proxied clients of all login processes.
#[derive(Debug, Default)]
pub(crate) struct Proxies(BTreeMap<PeerId, BTreeMap<u64, Proxied>>);

impl Proxies {
    /// One more; a process beyond all reason is not listened to.
    pub(crate) fn add(&mut self, peer: PeerId, proxied: Proxied) {
        let own = self.0.entry(peer).or_default();
        if own.len() < SESSIONS_PER_PROCESS_MAX {
            own.insert(proxied.id, proxied);
        }
    }

    /// One less.
    pub(crate) fn remove(&mut self, peer: PeerId, id: u64) {
        if let Some(own) = self.0.get_mut(&peer) {
            own.remove(&id);
        }
    }

    /// A process is gone.
    pub(crate) fn remove_peer(&mut self, peer: PeerId) {
        self.0.remove(&peer);
    }

    /// All of them, or those that are to be kicked.
    pub(crate) fn select<'a>(
        &'a self,
        kick: Option<&'a KickProxies>,
    ) -> impl Iterator<Item = (PeerId, &'a Proxied)> {
        let all = self.0.iter().flat_map(|(peer, own)| own.values().map(|proxied| (*peer, proxied)));
        all.filter(move |(_, proxied)| kick.is_none_or(|kick| names(kick, proxied)))
    }
}

fn names(kick: &KickProxies, proxied: &Proxied) -> bool {
    match kick {
        KickProxies::Users(users) => users.contains(&proxied.username),
        KickProxies::Hosts(hosts) => hosts.contains(&proxied.host),
        KickProxies::Field { field, values } => {
            proxied.alt_usernames.iter().any(|(name, value)| name == field && values.contains(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections() {
        let mut proxies = Proxies::default();
        let proxied = |id, username: &str, alt: &str, host: &str| Proxied {
            id,
            username: username.into(),
            alt_usernames: vec![("user_alt".into(), alt.into())],
            service: "imap".into(),
            remote_ip: None,
            host: host.into(),
            dest_ip: [10, 0, 0, 1].into(),
            dest_port: 143,
        };
        proxies.add(1, proxied(1, "u", "a", "h1"));
        proxies.add(1, proxied(2, "v", "b", "h2"));
        proxies.add(2, proxied(1, "u", "c", "h2"));
        let ids = |proxies: &Proxies, kick: Option<KickProxies>| -> Vec<(u64, u64)> {
            proxies.select(kick.as_ref()).map(|(peer, proxied)| (peer, proxied.id)).collect()
        };
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(&proxies, None), [(1, 1), (1, 2), (2, 1)]);
        assert_eq!(ids(&proxies, Some(KickProxies::Users(words(&["u"])))), [(1, 1), (2, 1)]);
        assert_eq!(ids(&proxies, Some(KickProxies::Hosts(words(&["h2", "h3"])))), [(1, 2), (2, 1)]);
        let field = KickProxies::Field { field: "user_alt".into(), values: words(&["c"]) };
        assert_eq!(ids(&proxies, Some(field)), [(2, 1)]);
        proxies.remove(1, 2);
        proxies.remove_peer(2);
        assert_eq!(ids(&proxies, None), [(1, 1)]);
    }
}
