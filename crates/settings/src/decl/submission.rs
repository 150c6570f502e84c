//! Submission.

use super::flags::*;
use super::roots::*;
use crate::key::{Enum, Millis, Port, Size, Str, Time};

settings! { Root from super::replication::END;
    /// Largest message; 0 for what the relay allows.
    SUBMISSION_MAX_MAIL_SIZE: Size = "0", SUBMISSION_LOGIN | SUBMISSION, NO_EFFECT_YET;
    /// Most recipients; 0 for no limit.
    SUBMISSION_MAX_RECIPIENTS: u64 = "0", SUBMISSION, NO_EFFECT_YET;
    /// Workarounds for client bugs.
    SUBMISSION_CLIENT_WORKAROUNDS: Str = "", SUBMISSION_LOGIN | SUBMISSION, NO_EFFECT_YET;
    /// Capabilities of the relay.
    SUBMISSION_BACKEND_CAPABILITIES: Str = "", SUBMISSION_LOGIN | SUBMISSION, NO_EFFECT_YET | UNSET;
    /// Statistics in the log line at the end.
    SUBMISSION_LOGOUT_FORMAT: Str = "in=%i out=%o", SUBMISSION, NO_EFFECT_YET;
    /// Relay that mail is handed to.
    SUBMISSION_RELAY_HOST: Str = "", SUBMISSION, NO_EFFECT_YET;
    /// Its port.
    SUBMISSION_RELAY_PORT: Port = "25", SUBMISSION, NO_EFFECT_YET;
    /// The relay believes XCLIENT.
    SUBMISSION_RELAY_TRUSTED: bool = "no", SUBMISSION, NO_EFFECT_YET;
    /// User name there.
    SUBMISSION_RELAY_USER: Str = "", SUBMISSION, NO_EFFECT_YET;
    /// Master user name there.
    SUBMISSION_RELAY_MASTER_USER: Str = "", SUBMISSION, NO_EFFECT_YET;
    /// Password there.
    SUBMISSION_RELAY_PASSWORD: Str = "", SUBMISSION, SECRET | NO_EFFECT_YET;
    /// TLS to the relay.
    SUBMISSION_RELAY_SSL: Enum = "no:smtps:starttls", SUBMISSION, NO_EFFECT_YET;
    /// Verifies the relay's certificate.
    SUBMISSION_RELAY_SSL_VERIFY: bool = "yes", SUBMISSION, NO_EFFECT_YET;
    /// Directory for transcripts.
    SUBMISSION_RELAY_RAWLOG_DIR: Str = "", SUBMISSION, NO_EFFECT_YET | VARIABLES;
    /// How long an idle connection to the relay is kept.
    SUBMISSION_RELAY_MAX_IDLE_TIME: Time = "29 mins", SUBMISSION, NO_EFFECT_YET;
    /// Longest wait for a connection.
    SUBMISSION_RELAY_CONNECT_TIMEOUT: Millis = "30 secs", SUBMISSION, NO_EFFECT_YET;
    /// Longest wait for an answer.
    SUBMISSION_RELAY_COMMAND_TIMEOUT: Millis = "5 mins", SUBMISSION, NO_EFFECT_YET;
}
