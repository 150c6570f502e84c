//! IMAP sessions.

use super::flags::*;
use super::roots::*;
use crate::key::{Enum, Port, Size, Str, Time};

settings! { Root from super::pop3c::END;
    /// Longest command line.
    IMAP_MAX_LINE_LENGTH: Size = "64 k", IMAP;
    /// How often IDLE says that it still lives.
    IMAP_IDLE_NOTIFY_INTERVAL: Time = "2 mins", IMAP;
    /// Capabilities after login; `+X` adds.
    IMAP_CAPABILITY: Str = "", IMAP_LOGIN | IMAP;
    /// Workarounds for client bugs.
    IMAP_CLIENT_WORKAROUNDS: Str = "", IMAP;
    /// Statistics in the log line at the end.
    IMAP_LOGOUT_FORMAT: Str = "in=%i out=%o deleted=%{deleted} expunged=%{expunged} trashed=%{trashed} hdr_count=%{fetch_hdr_count} hdr_bytes=%{fetch_hdr_bytes} body_count=%{fetch_body_count} body_bytes=%{fetch_body_bytes}", IMAP;
    /// What ID tells about the server.
    IMAP_ID_SEND: Str = "name *", IMAP_LOGIN | IMAP;
    /// Fields of the client's ID to log.
    IMAP_ID_LOG: Str = "", IMAP_LOGIN | IMAP;
    /// Keeps the client's ID for the session and for authentication.
    IMAP_ID_RETAIN: bool = "no", IMAP_LOGIN;
    /// What to do when a message cannot be read.
    IMAP_FETCH_FAILURE: Enum = "disconnect-immediately:disconnect-after:no-after", IMAP;
    /// Offers METADATA.
    IMAP_METADATA: bool = "no", IMAP, NO_EFFECT_YET;
    /// Offers LITERAL- instead of LITERAL+.
    IMAP_LITERAL_MINUS: bool = "no", IMAP_LOGIN | IMAP;
    /// Idle time after which a session hibernates.
    IMAP_HIBERNATE_TIMEOUT: Time = "0", IMAP, NO_EFFECT_YET;
    /// Host in URLAUTH URLs.
    IMAP_URLAUTH_HOST: Str = "", IMAP_URLAUTH_WORKER | IMAP | SUBMISSION, NO_EFFECT_YET;
    /// Port in URLAUTH URLs.
    IMAP_URLAUTH_PORT: Port = "143", IMAP_URLAUTH_WORKER | IMAP | SUBMISSION, NO_EFFECT_YET;
    /// Statistics in the log line of a URLAUTH session.
    IMAP_URLAUTH_LOGOUT_FORMAT: Str = "in=%i out=%o", IMAP_URLAUTH, NO_EFFECT_YET;
    /// User that may fetch submission URLs.
    IMAP_URLAUTH_SUBMIT_USER: Str = "", IMAP_URLAUTH, NO_EFFECT_YET | UNSET;
    /// User that may stream URLs.
    IMAP_URLAUTH_STREAM_USER: Str = "", IMAP_URLAUTH, NO_EFFECT_YET | UNSET;
}
