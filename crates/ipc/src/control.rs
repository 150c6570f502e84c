//! The control socket between the master and each child (descriptor 3 in the child).

use serde::{Deserialize, Serialize};

/// What a child is told first: who it is and who it shall become. The settings snapshot follows as
/// descriptor [`SETTINGS_FD`], the listeners from [`FIRST_LISTENER_FD`] on in the order of
/// [`Birth::listeners`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Birth {
    /// The service's name in the configuration (`imap-login`), which need not be the executable's.
    pub service: String,
    /// `instance_name`.
    pub instance: String,
    /// `base_dir`.
    pub base_dir: String,
    /// The configuration file the instance was started with.
    pub config_path: String,
    /// The identity to take before any client is served; `None` keeps the master's.
    pub identity: Option<Identity>,
    /// Directory to chroot to, before the identity is taken. Empty means none.
    pub chroot: String,
    /// The inherited listening sockets.
    pub listeners: Vec<Listener>,
    /// How many clients this process may have at once.
    pub client_limit: u32,
    /// After this many clients the process ends; 0 means never.
    pub service_count: u32,
    /// Address space limit in bytes; 0 means none.
    pub vsz_limit_bytes: u64,
    /// Whether a connection to anvil follows as the last descriptor of this message.
    pub anvil: bool,
    /// Counts the reloads: a child of an older generation is retired.
    pub generation: u32,
}

/// Descriptor of the sealed memory file with the settings.
pub const SETTINGS_FD: i32 = 4;
/// Descriptor of the control socket.
pub const CONTROL_FD: i32 = 3;
/// Descriptor of the first listener.
pub const FIRST_LISTENER_FD: i32 = 5;

/// A user and the groups that go with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// `extra_groups`, resolved.
    pub extra_gids: Vec<u32>,
    /// `privileged_group`, resolved; held as saved group so that it can be taken for a moment.
    pub privileged_gid: Option<u32>,
}

/// One inherited listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The listener's name in the configuration: `imaps`, or the path of a socket below `base_dir`.
    pub name: String,
    /// What kind of socket it is.
    pub kind: ListenerKind,
}

/// The kinds of listener a service may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenerKind {
    /// `unix_listener`.
    Unix,
    /// `fifo_listener`.
    Fifo,
    /// `inet_listener`.
    Inet {
        /// TLS from the first byte (`ssl = yes`).
        ssl: bool,
        /// A PROXY protocol header comes first (`haproxy = yes`).
        haproxy: bool,
    },
}

/// From the master to a child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToChild {
    /// Always the first message. Descriptor: the anvil connection, if [`Birth::anvil`].
    Birth(Box<Birth>),
    /// End now: say goodbye to clients, then exit (`shutdown_clients = yes`).
    Stop,
    /// Take no new clients, finish those you have, then exit.
    Retire,
    /// To an idle process that is one too many: exit if you still have no clients.
    ExitIfIdle,
    /// anvil was started anew. Descriptor: the connection; tell it all sessions again.
    NewAnvil,
    /// Fresh settings for new sessions of a process that goes on. Descriptor: the snapshot.
    NewSettings,
    /// Clients wait at a listener while all processes of the service are full: a login process makes
    /// room.
    Crowded,
    /// To `log` only.
    Log(ToLog),
    /// To `config` only.
    Config(ToConfig),
}

/// From the master to the `log` process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToLog {
    /// Descriptor: the reading end of a service's log pipe.
    Pipe {
        /// The service whose processes write to it.
        service: String,
    },
    /// A line of the master's own.
    Line {
        /// [`crate::log::level_byte`].
        level: u8,
        /// Text without prefix.
        text: String,
    },
    /// A child ended in a way worth a line, which goes under the last prefix of that process.
    ChildDied {
        /// The service it belonged to.
        service: String,
        /// Its process id.
        pid: u32,
        /// The line, or empty when it ended well and only its prefix is to be forgotten.
        text: String,
    },
    /// Close and open the log files (SIGUSR1).
    Reopen,
}

/// From the master to the `config` process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToConfig {
    /// Read the configuration files and answer with [`FromConfig`].
    Load {
        /// The main file.
        path: String,
    },
}

/// From a child to the master.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToMaster {
    /// The run-up is over: privileges are dropped, the sandbox is on, clients are welcome.
    Ready,
    /// How things stand; sent when it changes.
    Status {
        /// How many more clients the process can take now.
        available: u32,
        /// How many it has served in all.
        total: u32,
    },
    /// A mail process has taken its user's identity and accepts no more hand-overs of strangers.
    BecameIdentity,
    /// From `config` only. Descriptor with [`FromConfig::Snapshot`]: the sealed snapshot.
    Config(FromConfig),
}

/// The `config` process's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromConfig {
    /// The configuration is good. Descriptor: a sealed memory file with the whole snapshot.
    Snapshot {
        /// Settings without effect and the like, a line each, to be logged once.
        warnings: Vec<String>,
    },
    /// A certificate or other `<file` changed though nobody asked. Descriptor as above.
    Changed,
    /// The configuration is broken.
    Failed {
        /// `Error in configuration file …`, in 2.3's words.
        message: String,
        /// More lines: the line itself, a suggestion.
        explanation: String,
    },
}
