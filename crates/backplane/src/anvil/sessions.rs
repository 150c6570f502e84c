//! Who is connected.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use base::filter::wildcard_match_icase;
use ipc::anvil::Session;

use crate::limits::SESSIONS_PER_PROCESS_MAX;

/// A connection of a process to anvil. Numbers are not used twice.
pub(crate) type PeerId = u64;

/// What is counted together for `mail_max_userip_connections`, as in 2.3: a user's sessions of one
/// service from one address.
type UserIp = (String, String, Option<IpAddr>);

/// All sessions of all processes.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    peers: BTreeMap<PeerId, Peer>,
    userips: HashMap<UserIp, u32>,
}

#[derive(Debug)]
struct Peer {
    service: String,
    pid: u32,
    sessions: BTreeMap<u64, Session>,
    strangers: u32,
}

/// What an administrator names: users by masks, addresses by networks; both empty for everyone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) users: Vec<String>,
    pub(crate) nets: Vec<(IpAddr, u8)>,
}

impl Selection {
    pub(crate) fn has_ip(&self, ip: Option<IpAddr>) -> bool {
        self.nets.is_empty()
            || ip.is_some_and(|ip| self.nets.iter().any(|(net, bits)| is_in_network(ip, *net, *bits)))
    }

    fn has(&self, session: &Session) -> bool {
        let named = |mask: &String| wildcard_match_icase(&session.username, mask);
        (self.users.is_empty() || self.users.iter().any(named)) && self.has_ip(session.remote_ip)
    }
}

impl Sessions {
    /// A process has connected.
    pub(crate) fn add_peer(&mut self, id: PeerId, service: String, pid: u32) {
        self.peers.insert(id, Peer { service, pid, sessions: BTreeMap::new(), strangers: 0 });
    }

    /// A process is gone, and all its sessions with it.
    pub(crate) fn remove_peer(&mut self, id: PeerId) {
        let Some(peer) = self.peers.remove(&id) else { return };
        for session in peer.sessions.into_values() {
            self.uncount(&session);
        }
    }

    /// Adds a session unless its user has `limit` (0: no limit) from its address already; says
    /// whether it did.
    pub(crate) fn connect(&mut self, peer: PeerId, session: Session, limit: u32) -> bool {
        let present = self.userips.get(&userip(&session)).copied().unwrap_or(0);
        if limit != 0 && present >= limit {
            return false;
        }
        self.resume(peer, session)
    }

    /// Adds a session without asking; false only for a process beyond all reason.
    pub(crate) fn resume(&mut self, peer: PeerId, session: Session) -> bool {
        let Some(peer) = self.peers.get_mut(&peer) else { return false };
        if peer.sessions.len() >= SESSIONS_PER_PROCESS_MAX {
            return false;
        }
        *self.userips.entry(userip(&session)).or_insert(0) += 1;
        if let Some(replaced) = peer.sessions.insert(session.id, session) {
            self.uncount(&replaced);
        }
        true
    }

    /// A session has ended.
    pub(crate) fn disconnect(&mut self, peer: PeerId, id: u64) {
        let session = self.peers.get_mut(&peer).and_then(|peer| peer.sessions.remove(&id));
        if let Some(session) = session {
            self.uncount(&session);
        }
    }

    /// A login process tells how many strangers it has.
    pub(crate) fn strangers(&mut self, peer: PeerId, count: u32) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.strangers = count;
        }
    }

    /// The sessions that `selection` names, with the connection and the pid of their process.
    pub(crate) fn select<'a>(
        &'a self,
        selection: &'a Selection,
    ) -> impl Iterator<Item = (PeerId, u32, &'a Session)> {
        self.peers
            .iter()
            .flat_map(|(id, peer)| peer.sessions.values().map(move |session| (*id, peer.pid, session)))
            .filter(|(_, _, session)| selection.has(session))
    }

    /// Users and strangers, for the process's title.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let sessions = self.peers.values().map(|peer| peer.sessions.len()).sum();
        (sessions, self.peers.values().map(|peer| u64::from(peer.strangers)).sum())
    }

    /// Service and pid of a connected process.
    pub(crate) fn peer_name(&self, id: PeerId) -> String {
        self.peers.get(&id).map_or_else(String::new, |peer| format!("{}({})", peer.service, peer.pid))
    }

    fn uncount(&mut self, session: &Session) {
        let userip = userip(session);
        if let Some(count) = self.userips.get_mut(&userip) {
            *count -= 1;
            if *count == 0 {
                self.userips.remove(&userip);
            }
        }
    }
}

fn userip(session: &Session) -> UserIp {
    (session.service.clone(), session.username.clone(), session.remote_ip)
}

/// Whether `ip` lies in `net`/`bits`. IPv4 in IPv6's clothes is IPv4.
pub(crate) fn is_in_network(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    let bits = u32::from(bits);
    match (ip.to_canonical(), net.to_canonical()) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            ip.to_bits() & mask == net.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(net)) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            ip.to_bits() & mask == net.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: u64, user: &str, ip: &str) -> Session {
        Session {
            id,
            username: user.into(),
            service: "imap".into(),
            remote_ip: ip.parse().ok(),
            session_id: String::new(),
        }
    }

    fn ids(sessions: &Sessions, users: &[&str], nets: &[(&str, u8)]) -> Vec<u64> {
        let selection = Selection {
            users: users.iter().map(|&user| user.to_owned()).collect(),
            nets: nets.iter().map(|(net, bits)| (net.parse().unwrap(), *bits)).collect(),
        };
        sessions.select(&selection).map(|(.., session)| session.id).collect()
    }

    #[test]
    fn a_users_sessions_from_one_address_are_limited() {
        let mut all = Sessions::default();
        all.add_peer(1, "imap".into(), 100);
        all.add_peer(2, "imap".into(), 101);
        assert!(all.connect(1, session(1, "u", "10.0.0.1"), 2));
        assert!(all.connect(2, session(1, "u", "10.0.0.1"), 2));
        assert!(!all.connect(2, session(2, "u", "10.0.0.1"), 2));
        assert!(all.connect(2, session(2, "u", "10.0.0.2"), 2));
        assert!(all.connect(2, session(3, "v", "10.0.0.1"), 2));
        assert!(all.connect(2, session(4, "u", "10.0.0.1"), 0));
        // The death of a process frees what it held.
        all.disconnect(2, 4);
        all.remove_peer(1);
        assert!(all.connect(2, session(5, "u", "10.0.0.1"), 2));
        assert!(!all.connect(2, session(6, "u", "10.0.0.1"), 2));
        all.remove_peer(2);
        assert!(all.userips.is_empty());
    }

    #[test]
    fn a_session_resumed_twice_counts_once() {
        let mut all = Sessions::default();
        all.add_peer(1, "imap".into(), 100);
        assert!(all.resume(1, session(1, "u", "10.0.0.1")));
        assert!(all.resume(1, session(1, "u", "10.0.0.1")));
        assert!(all.connect(1, session(2, "u", "10.0.0.1"), 2));
        all.disconnect(1, 1);
        all.disconnect(1, 1);
        all.disconnect(9, 1);
        assert!(all.connect(1, session(3, "u", "10.0.0.1"), 2));
        assert!(!all.connect(1, session(4, "u", "10.0.0.1"), 2));
    }

    #[test]
    fn sessions_are_selected_by_user_and_network() {
        let mut all = Sessions::default();
        all.add_peer(1, "imap".into(), 100);
        all.resume(1, session(1, "Alice@example.com", "10.0.0.1"));
        all.resume(1, session(2, "bob@example.com", "2001:db8::1"));
        all.resume(1, session(3, "bob@example.org", ""));
        assert_eq!(ids(&all, &[], &[]), [1, 2, 3]);
        assert_eq!(ids(&all, &["alice*"], &[]), [1]);
        assert_eq!(ids(&all, &["*@example.com"], &[("10.0.0.0", 8)]), [1]);
        assert_eq!(ids(&all, &[], &[("2001:db8::", 32)]), [2]);
        assert_eq!(ids(&all, &[], &[("::ffff:10.0.0.1", 32)]), [1]);
        assert_eq!(ids(&all, &[], &[("0.0.0.0", 0)]), [1]);
        assert_eq!(ids(&all, &["bob*", "alice*"], &[]), [1, 2, 3]);
        assert_eq!(all.counts(), (3, 0));
    }
}
