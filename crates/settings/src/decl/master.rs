//! What the master process and every other process need to know.

use super::flags::*;
use super::roots::*;
use crate::key::{Enum, Size, Str, Time};

settings! { Root from super::auth::END;
    /// Directory of sockets, pid file and chroots while running.
    BASE_DIR: Str = "/run/dovecot", AUTH | DICT | DOVEADM | IMAP_URLAUTH | MASTER_SERVICE | MAIL_USER | MASTER;
    /// Directory for state that outlives a restart.
    STATE_DIR: Str = "/var/lib/dovecot", MASTER_SERVICE | MASTER;
    /// Directory that relative `executable`s are looked up in.
    LIBEXEC_DIR: Str = "/usr/lib/dovecot", DOVEADM | MASTER;
    /// Name of this instance, in `ps` and for `doveadm -i`.
    INSTANCE_NAME: Str = "dovecot", MASTER_SERVICE | MASTER;
    /// Protocols to serve, separated by spaces; `none` for none.
    PROTOCOLS: Str = "", MASTER;
    /// Addresses to listen on, separated by commas.
    LISTEN: Str = "*, ::", MASTER;
    /// TLS for clients: `required` also refuses plain logins.
    SSL: Enum = "yes:no:required", SSL_BASE | MASTER;
    /// User of processes that need no rights.
    DEFAULT_INTERNAL_USER: Str = "dovecot", MASTER;
    /// Group that internal sockets belong to.
    DEFAULT_INTERNAL_GROUP: Str = "dovecot", MASTER;
    /// User of login processes; must own nothing.
    DEFAULT_LOGIN_USER: Str = "dovenull", MASTER;
    /// Most processes of a service that sets no limit.
    DEFAULT_PROCESS_LIMIT: u64 = "100", MASTER;
    /// Most clients per process of a service that sets no limit.
    DEFAULT_CLIENT_LIMIT: u64 = "1000", MASTER;
    /// How long an idle process of a service lives on.
    DEFAULT_IDLE_KILL: Time = "1 mins", MASTER;
    /// Most address space of a process that sets no limit.
    DEFAULT_VSZ_LIMIT: Size = "256 M", MASTER;
    /// Accepts processes of another version.
    VERSION_IGNORE: bool = "no", MASTER_SERVICE | MASTER, NO_EFFECT_YET;
    /// Lowest user id that mail may be accessed with.
    FIRST_VALID_UID: u64 = "500", AUTH | MAIL_USER | MASTER;
    /// Highest user id that mail may be accessed with; 0 for no limit.
    LAST_VALID_UID: u64 = "0", AUTH | MAIL_USER | MASTER;
    /// Lowest group id that mail may be accessed with.
    FIRST_VALID_GID: u64 = "1", AUTH | MAIL_USER | MASTER;
    /// Highest group id that mail may be accessed with; 0 for no limit.
    LAST_VALID_GID: u64 = "0", AUTH | MAIL_USER | MASTER;
    /// Whether stopping the master also ends the sessions.
    SHUTDOWN_CLIENTS: bool = "yes", MASTER_SERVICE;
    /// Shows users and addresses in process titles.
    VERBOSE_PROCTITLE: bool = "no", AUTH | DICT | IMAP_URLAUTH | IMAP_URLAUTH_WORKER | IMAP | MASTER_SERVICE | LOGIN | POP3 | SUBMISSION | MANAGESIEVE;
    /// Environment variables that are passed on to processes.
    IMPORT_ENVIRONMENT: Str = "TZ CORE_OUTOFMEM CORE_ERROR LISTEN_PID LISTEN_FDS NOTIFY_SOCKET", MASTER_SERVICE;
    /// Memory for cached answers of the config process.
    CONFIG_CACHE_SIZE: Size = "1 M", MASTER_SERVICE, NO_EFFECT_YET;
    /// Networks whose PROXY protocol headers are believed.
    HAPROXY_TRUSTED_NETWORKS: Str = "", MASTER_SERVICE;
    /// How long to wait for a PROXY protocol header.
    HAPROXY_TIMEOUT: Time = "3 secs", MASTER_SERVICE;
    /// Event filter: a process that sent a matching event ends after its client.
    PROCESS_SHUTDOWN_FILTER: Str = "", MASTER_SERVICE, NO_EFFECT_YET;
}
