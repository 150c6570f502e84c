//! `anvil` knows who is connected, how often an address has failed to log in, and who is banned.
//!
//! A process does not say who it is: the master writes [`Hello`] as the first frame of each
//! connection that it hands to a child. On the listener `anvil` (root only) the peer is doveadm.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The first frame of a connection that the master made for a child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// The service's name.
    pub service: String,
    /// The process id.
    pub pid: u32,
}

/// One session of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Unique within the process that has it.
    pub id: u64,
    /// The user's name.
    pub username: String,
    /// `imap`, `pop3`, …
    pub service: String,
    /// The client's address, if it has one.
    pub remote_ip: Option<IpAddr>,
    /// The session id of the log lines.
    pub session_id: String,
}

/// One client of a login process that is proxied to another server, or about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxied {
    /// Unique within the process that has it, among its [`Session`]s as well.
    pub id: u64,
    /// The user's name.
    pub username: String,
    /// Other names of the user: the passdb's fields `user_*`, with their values.
    pub alt_usernames: Vec<(String, String)>,
    /// `imap`, `pop3`, …
    pub service: String,
    /// The client's address, if it has one.
    pub remote_ip: Option<IpAddr>,
    /// The other server as the passdb names it.
    pub host: String,
    /// Its address.
    pub dest_ip: IpAddr,
    /// Its port.
    pub dest_port: u16,
}

/// From a process to anvil.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToAnvil {
    /// A session begins, unless `userip_limit` (0: none) is reached; answered with
    /// [`FromAnvil::Connected`].
    Connect {
        /// Which.
        session: Session,
        /// `mail_max_userip_connections`.
        userip_limit: u32,
    },
    /// Sent again after anvil was restarted: no limit, no answer.
    Resume(Session),
    /// The session [`Session::id`] ended, or the proxying of [`Proxied::id`].
    Disconnect(u64),
    /// A client is to be proxied. Sent again after anvil was restarted. No answer.
    Proxy(Proxied),
    /// How many failed logins count against `ip`; answered with [`FromAnvil::Penalty`].
    PenaltyGet {
        /// Chosen by the asker.
        request: u64,
        /// Whose.
        ip: IpAddr,
    },
    /// A login from `ip` failed (`value` more than before) or succeeded (0).
    PenaltySet {
        /// Whose.
        ip: IpAddr,
        /// The new value, see `auth_penalty` of 2.3.
        value: u32,
        /// A checksum of the credentials: the same ones tried again do not count.
        checksum: u32,
    },
    /// From a login process: this many strangers are connected to it now.
    Strangers(u32),
    /// A login failed; answered with [`FromAnvil::Failed`].
    Failed {
        /// Chosen by the asker.
        request: u64,
        /// What is counted.
        failure: Failure,
    },
    /// Sent again after anvil was restarted: no answer.
    ResumeBan(Ban),
    /// A code that may be used once was used; answered with [`FromAnvil::Once`].
    Once {
        /// Chosen by the asker.
        request: u64,
        /// Whose codes these are.
        name: String,
        /// The code's number. Codes with lower numbers are void as well.
        counter: u64,
    },
}

/// Who is banned.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BanSubject {
    /// A user's name.
    User(String),
    /// A network, as its first address and the prefix length.
    Net(IpAddr, u8),
}

impl BanSubject {
    /// The network of `bits` that an address is in. IPv4 in IPv6's clothes is IPv4.
    pub fn net(ip: IpAddr, bits: u8) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let bits = bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Self::Net(IpAddr::V4((ip.to_bits() & mask).into()), bits)
            }
            IpAddr::V6(ip) => {
                let bits = bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Self::Net(IpAddr::V6((ip.to_bits() & mask).into()), bits)
            }
        }
    }
}

impl std::fmt::Display for BanSubject {
    /// A name, or an address with its prefix length unless it is a single one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => f.write_str(name),
            Self::Net(ip @ IpAddr::V4(_), 32) | Self::Net(ip @ IpAddr::V6(_), 128) => write!(f, "{ip}"),
            Self::Net(ip, bits) => write!(f, "{ip}/{bits}"),
        }
    }
}

/// Somebody who may not log in for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Who.
    pub subject: BanSubject,
    /// From when, in seconds since 1970.
    pub since_s: u64,
    /// Until when.
    pub until_s: u64,
    /// Why.
    pub reason: String,
}

/// A failed login, and what follows if there were too many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose it is.
    pub subject: BanSubject,
    /// A checksum of the credentials: the same ones tried again do not count. 0 for none.
    pub checksum: u32,
    /// So many failures…
    pub failures_max: u32,
    /// …in so many seconds…
    pub interval_s: u64,
    /// …are followed by a ban for so many seconds.
    pub ban_s: u64,
}

/// From anvil to a process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromAnvil {
    /// The answer to [`ToAnvil::Connect`].
    Connected {
        /// [`Session::id`].
        id: u64,
        /// Whether the session may go on.
        allowed: bool,
    },
    /// The answer to [`ToAnvil::PenaltyGet`].
    Penalty {
        /// [`ToAnvil::PenaltyGet::request`].
        request: u64,
        /// The penalty's value; 0 for none.
        value: u32,
        /// When it last changed, in seconds since 1970; 0 for never.
        last_update_s: u64,
    },
    /// An administrator ended this session (`doveadm kick`, `doveadm proxy kick`).
    Kick(u64),
    /// To auth processes only: this ban is in force.
    Ban(Ban),
    /// To auth processes only: this one is not any more.
    Unban(BanSubject),
    /// The answer to [`ToAnvil::Failed`].
    Failed {
        /// [`ToAnvil::Failed::request`].
        request: u64,
        /// The ban that followed just now.
        ban: Option<Ban>,
    },
    /// The answer to [`ToAnvil::Once`].
    Once {
        /// [`ToAnvil::Once::request`].
        request: u64,
        /// It was not used before.
        is_new: bool,
    },
}

/// From doveadm to anvil, over its listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Query {
    /// All sessions, answered with [`Answer::Session`]s.
    Who,
    /// End sessions: those of users matching `users` (glob masks, empty for all) and of addresses
    /// within `nets` (empty for all); answered with the sessions and [`Answer::End`].
    Kick {
        /// Masks with `*` and `?`.
        users: Vec<String>,
        /// Networks as (address, prefix length).
        nets: Vec<(IpAddr, u8)>,
    },
    /// All bans, answered with [`Answer::Ban`]s.
    Bans,
    /// Puts a ban in force; answered with it.
    Ban(Ban),
    /// Lifts bans; answered with those that there were.
    Unban(Vec<BanSubject>),
    /// All clients that are proxied, answered with [`Answer::Proxied`]s.
    Proxies,
    /// End the proxying of those that match; answered with them and [`Answer::End`].
    KickProxies(KickProxies),
    /// Penalties of addresses within the networks (empty for all).
    Penalties {
        /// Networks as (address, prefix length).
        nets: Vec<(IpAddr, u8)>,
    },
}

/// Whose proxying is to end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum KickProxies {
    /// That of these users.
    Users(Vec<String>),
    /// That of users whose field `field` (`user_*` of the passdb) has one of these values.
    Field {
        /// The field's name.
        field: String,
        /// The values.
        values: Vec<String>,
    },
    /// That to these servers, by the names that the passdb gives.
    Hosts(Vec<String>),
}

/// From anvil to doveadm. A list ends with [`Answer::End`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// One session.
    Session {
        /// Which.
        session: Session,
        /// Its process.
        pid: u32,
    },
    /// One proxied client.
    Proxied(Proxied),
    /// One penalty.
    Penalty {
        /// Whose.
        ip: IpAddr,
        /// How much.
        value: u32,
        /// When it was last raised, in seconds since 1970.
        last_penalty_s: u64,
        /// When it last changed, in seconds since 1970.
        last_update_s: u64,
    },
    /// One ban.
    Ban(Ban),
    /// That was all.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_begin_with_their_first_address() {
        for (ip, bits, shown) in [
            ("10.1.2.3", 24, "10.1.2.0/24"),
            ("10.1.2.3", 32, "10.1.2.3"),
            ("10.1.2.3", 200, "10.1.2.3"),
            ("10.1.2.3", 0, "0.0.0.0/0"),
            ("::ffff:10.1.2.3", 8, "10.0.0.0/8"),
            ("2001:db8:1:2:3::4", 64, "2001:db8:1:2::/64"),
            ("2001:db8::1", 128, "2001:db8::1"),
        ] {
            assert_eq!(BanSubject::net(ip.parse().unwrap(), bits).to_string(), shown, "{ip}/{bits}");
        }
    }
}
