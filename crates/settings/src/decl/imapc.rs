//! The IMAP proxy driver.

use super::flags::*;
use super::roots::*;
use crate::key::{Enum, Millis, Port, Size, Str, Time};

settings! { Root from super::mdbox::END;
    /// Remote IMAP server.
    IMAPC_HOST: Str = "", IMAPC, NO_EFFECT_YET;
    /// Its port.
    IMAPC_PORT: Port = "143", IMAPC, NO_EFFECT_YET;
    /// User name there.
    IMAPC_USER: Str = "", IMAPC, NO_EFFECT_YET | VARIABLES;
    /// Master user name there.
    IMAPC_MASTER_USER: Str = "", IMAPC, NO_EFFECT_YET | VARIABLES;
    /// Password there.
    IMAPC_PASSWORD: Str = "", IMAPC, SECRET | NO_EFFECT_YET;
    /// SASL mechanisms to try.
    IMAPC_SASL_MECHANISMS: Str = "", IMAPC, NO_EFFECT_YET;
    /// TLS to the server.
    IMAPC_SSL: Enum = "no:imaps:starttls", IMAPC, NO_EFFECT_YET;
    /// Verifies the server's certificate.
    IMAPC_SSL_VERIFY: bool = "yes", IMAPC, NO_EFFECT_YET;
    /// Extensions and workarounds to use.
    IMAPC_FEATURES: Str = "", IMAPC, NO_EFFECT_YET;
    /// Directory for transcripts.
    IMAPC_RAWLOG_DIR: Str = "", IMAPC, NO_EFFECT_YET;
    /// Only mailboxes below this prefix.
    IMAPC_LIST_PREFIX: Str = "", IMAPC, NO_EFFECT_YET;
    /// Longest wait for an answer.
    IMAPC_CMD_TIMEOUT: Time = "5 mins", IMAPC, NO_EFFECT_YET;
    /// How often to talk to keep the connection alive.
    IMAPC_MAX_IDLE_TIME: Time = "29 mins", IMAPC, NO_EFFECT_YET;
    /// How often to try again to connect.
    IMAPC_CONNECTION_RETRY_COUNT: u64 = "1", IMAPC, NO_EFFECT_YET;
    /// Wait between tries.
    IMAPC_CONNECTION_RETRY_INTERVAL: Millis = "1 secs", IMAPC, NO_EFFECT_YET;
    /// Longest line of an answer; 0 for no limit.
    IMAPC_MAX_LINE_LENGTH: Size = "0", IMAPC, NO_EFFECT_YET;
    /// Keyword that hides messages deleted over POP3.
    POP3_DELETED_FLAG: Str = "", IMAPC | POP3;
}
