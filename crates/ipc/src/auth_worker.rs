//! `auth` lets `auth -w` do what may take long: slow hashes and lookups in databases that block.
//!
//! `auth` connects to `auth-worker`, writes [`ToWorker::Hello`], and then one request at a time;
//! each is answered by one message (a list by several) with the request's id.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What is known about a request, which is what `%` variables and log lines need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the auth protocol")]
pub struct Facts {
    /// The user, as the databases know it; `None` until a mechanism told it.
    pub user: Option<String>,
    /// What the client called itself.
    pub original_user: Option<String>,
    /// The same after `auth_username_translation` and `auth_username_format`.
    pub translated_user: Option<String>,
    /// Who a master user wants to be, while it still has to prove who it is itself.
    pub login_user: Option<String>,
    /// The master user who now is somebody else.
    pub master_user: Option<String>,
    pub service: String,
    pub mechanism: Option<String>,
    pub session: Option<String>,
    pub client_id: Option<String>,
    pub local_name: Option<String>,
    pub local_ip: Option<IpAddr>,
    pub remote_ip: Option<IpAddr>,
    pub local_port: u16,
    pub remote_port: u16,
    pub real_local_ip: Option<IpAddr>,
    pub real_remote_ip: Option<IpAddr>,
    pub real_local_port: u16,
    pub real_remote_port: u16,
    pub client_pid: u32,
    pub session_pid: Option<u32>,
    pub secured: Secured,
    pub valid_client_cert: bool,
    pub cert_username: bool,
    pub no_penalty: bool,
    /// Authentication has succeeded: this is the userdb lookup after it.
    pub successful: bool,
    /// An earlier passdb has verified the password.
    pub skip_password_check: bool,
}

/// How the client is connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Secured {
    /// In the clear.
    #[default]
    No,
    /// From this very host, or a trusted network.
    Trusted,
    /// By TLS.
    Tls,
}

/// A field that a database gave or that goes to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub key: String,
    /// What stands after `=`; `None` without one.
    pub value: Option<String>,
    /// Not for the client.
    pub hidden: bool,
    /// Set by the present database.
    pub changed: bool,
}

/// A request as it goes to a worker and comes back changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// What is known.
    pub facts: Facts,
    /// Fields of passdbs.
    pub fields: Vec<Field>,
    /// Fields of userdbs, once there are any.
    pub userdb: Option<Vec<Field>>,
    /// A passdb gave `userdb_*` fields.
    pub prefetched: bool,
    /// A check other than that of the password failed (`allow_nets`).
    pub failed: bool,
    /// A userdb field said that the lookup failed for now.
    pub tempfailed: bool,
    /// A database changed the user's name.
    pub user_changed: bool,
    /// Not before this second since 1970 may the answer go out.
    pub delay_until_s: u64,
}

/// From `auth` to a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToWorker {
    /// The first message.
    Hello {
        /// A hash of the databases' settings: both sides must number them alike.
        databases: u64,
    },
    /// Is this the password?
    Verify {
        /// Chosen by the asker.
        id: u32,
        /// The user's name, which is part of some hashes.
        user: String,
        /// What the client gave.
        password: Vec<u8>,
        /// The hash with its `{SCHEME}`.
        stored: String,
    },
    /// Look the user up in a passdb.
    Passdb {
        /// Chosen by the asker.
        id: u32,
        /// Which database.
        passdb: u32,
        /// The request.
        subject: Box<Subject>,
        /// The password to verify; `None` asks for credentials.
        password: Option<Vec<u8>>,
    },
    /// Let a passdb keep another password.
    Store {
        /// Chosen by the asker.
        id: u32,
        /// Which database.
        passdb: u32,
        /// The request.
        subject: Box<Subject>,
        /// The password with its `{SCHEME}`.
        stored: String,
    },
    /// Look the user up in a userdb.
    Userdb {
        /// Chosen by the asker.
        id: u32,
        /// Which database.
        userdb: u32,
        /// The request.
        subject: Box<Subject>,
    },
    /// Store another hash of the same password.
    Rehash {
        /// Chosen by the asker.
        id: u32,
        /// Which database.
        passdb: u32,
        /// The request whose password it was.
        subject: Box<Subject>,
        /// The hash that is stored, with its `{SCHEME}`.
        old: String,
        /// The hash to store, with its `{SCHEME}`.
        new: String,
    },
    /// List all users of a userdb.
    List {
        /// Chosen by the asker.
        id: u32,
        /// Which database.
        userdb: u32,
        /// The request; the user is a mask.
        subject: Box<Subject>,
    },
}

impl ToWorker {
    /// The request's id; 0 for the greeting.
    pub fn id(&self) -> u32 {
        match self {
            Self::Hello { .. } => 0,
            Self::Verify { id, .. }
            | Self::Passdb { id, .. }
            | Self::Store { id, .. }
            | Self::Userdb { id, .. }
            | Self::Rehash { id, .. }
            | Self::List { id, .. } => *id,
        }
    }
}

/// From a worker to `auth`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromWorker {
    /// The answer to [`ToWorker::Verify`]: yes, no, or why the hash is of no use.
    Verified {
        /// Of the request.
        id: u32,
        /// The verdict.
        verdict: Result<bool, String>,
    },
    /// The answer to [`ToWorker::Passdb`].
    Passdb {
        /// Of the request.
        id: u32,
        /// What came of it.
        result: PassdbResult,
        /// The request as the lookup left it.
        subject: Box<Subject>,
        /// The hash with its `{SCHEME}`, for the cache and for credentials.
        stored: Option<String>,
    },
    /// The answer to [`ToWorker::Store`].
    Stored {
        /// Of the request.
        id: u32,
        /// Whether the database has it now.
        done: bool,
    },
    /// The answer to [`ToWorker::Userdb`].
    Userdb {
        /// Of the request.
        id: u32,
        /// What came of it.
        result: UserdbResult,
        /// The request as the lookup left it.
        subject: Box<Subject>,
    },
    /// The answer to [`ToWorker::Rehash`]: whether the hash was replaced, or why not.
    Rehashed {
        /// Of the request.
        id: u32,
        /// What came of it; `false` if another one was stored meanwhile.
        result: Result<bool, String>,
    },
    /// Some of the users of a list.
    Users {
        /// Of the request.
        id: u32,
        /// Their names.
        names: Vec<String>,
    },
    /// The end of a list.
    ListEnd {
        /// Of the request.
        id: u32,
        /// Whether it is complete.
        complete: bool,
    },
    /// Comes before the last answer of a worker: it takes no more requests.
    Leaving {
        /// Of the request.
        id: u32,
    },
}

impl FromWorker {
    /// The id of the request that this answers.
    pub fn id(&self) -> u32 {
        match self {
            Self::Verified { id, .. }
            | Self::Passdb { id, .. }
            | Self::Stored { id, .. }
            | Self::Userdb { id, .. }
            | Self::Rehashed { id, .. }
            | Self::Users { id, .. }
            | Self::ListEnd { id, .. }
            | Self::Leaving { id } => *id,
        }
    }
}

/// What a passdb says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PassdbResult {
    /// The password is right.
    Ok,
    /// It is not.
    PasswordMismatch,
    /// There is no such user.
    UserUnknown,
    /// The user may not log in.
    UserDisabled,
    /// The password is too old.
    PassExpired,
    /// There is no password in the scheme that is needed.
    SchemeNotAvailable,
    /// This database does not want to decide (`noauthenticate`).
    Next,
    /// The lookup failed.
    InternalFailure,
}

/// What a userdb says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserdbResult {
    /// Here is the user.
    Ok,
    /// There is no such user.
    UserUnknown,
    /// The lookup failed.
    InternalFailure,
}
