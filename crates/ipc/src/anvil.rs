//! `anvil` knows who is connected, and how often an address has failed to log in.
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
    /// That was all.
    End,
}
