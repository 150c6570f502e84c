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
    /// The session [`Session::id`] ended.
    Disconnect(u64),
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
    /// An administrator ended this session (`doveadm kick`).
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
    /// Penalties of addresses within the networks (empty for all).
    Penalties {
        /// Networks as (address, prefix length).
        nets: Vec<(IpAddr, u8)>,
    },
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
