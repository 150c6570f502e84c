//! doveadm, its server and dsync.

use super::flags::*;
use super::roots::*;
use crate::key::{Enum, Port, Str};

settings! { Root from super::lmtp::END;
    /// Socket or host of the doveadm server.
    DOVEADM_SOCKET_PATH: Str = "doveadm-server", DOVEADM | REPLICATOR;
    /// Processes for commands over many users.
    DOVEADM_WORKER_COUNT: u64 = "0", DOVEADM;
    /// Port for host names in `doveadm_socket_path`.
    DOVEADM_PORT: Port = "0", DOVEADM;
    /// TLS to doveadm servers, which are refused where it is on.
    DOVEADM_SSL: Enum = "no:ssl:starttls", DOVEADM;
    /// User name between doveadm servers.
    DOVEADM_USERNAME: Str = "doveadm", DOVEADM;
    /// Password between doveadm servers.
    DOVEADM_PASSWORD: Str = "", DOVEADM, SECRET;
    /// Commands that the server runs; empty for all.
    DOVEADM_ALLOWED_COMMANDS: Str = "", DOVEADM;
    /// Key of the HTTP API.
    DOVEADM_API_KEY: Str = "", DOVEADM, SECRET | NO_EFFECT_YET;
    /// Directory for transcripts of the HTTP API.
    DOVEADM_HTTP_RAWLOG_DIR: Str = "", DOVEADM, NO_EFFECT_YET;
    /// Replacement for characters that a name may not have.
    DSYNC_ALT_CHAR: Str = "_", DOVEADM;
    /// Command that starts the other side.
    DSYNC_REMOTE_CMD: Str = "ssh -l%{login} %{host} doveadm dsync-server -u%u -U", DOVEADM;
    /// Features to use.
    DSYNC_FEATURES: Str = "", DOVEADM, NO_EFFECT_YET;
    /// Messages between commits.
    DSYNC_COMMIT_MSGS_INTERVAL: u64 = "100", DOVEADM, NO_EFFECT_YET;
    /// Headers that tell messages apart.
    DSYNC_HASHED_HEADERS: Str = "Date Message-ID", DOVEADM, NO_EFFECT_YET;
}
