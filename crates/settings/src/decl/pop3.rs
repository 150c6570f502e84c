//! POP3 sessions.

use super::roots::*;
use crate::key::{Enum, Str};

settings! { Root from super::imap::END;
    /// Leaves flags alone.
    POP3_NO_FLAG_UPDATES: bool = "no", POP3;
    /// Offers LAST.
    POP3_ENABLE_LAST: bool = "no", POP3;
    /// Takes unique ids from X-UIDL headers.
    POP3_REUSE_XUIDL: bool = "no", POP3;
    /// Saves the unique ids that were given.
    POP3_SAVE_UIDL: bool = "no", POP3;
    /// Keeps the mailbox locked for the session.
    POP3_LOCK_SESSION: bool = "no", POP3;
    /// Takes sizes from where they are quick to find.
    POP3_FAST_SIZE_LOOKUPS: bool = "no", POP3;
    /// Workarounds for client bugs.
    POP3_CLIENT_WORKAROUNDS: Str = "", POP3;
    /// Statistics in the log line at the end.
    POP3_LOGOUT_FORMAT: Str = "top=%t/%p, retr=%r/%b, del=%d/%m, size=%s", POP3;
    /// What to do with equal unique ids.
    POP3_UIDL_DUPLICATES: Enum = "allow:rename", POP3;
    /// Whether deleting expunges or flags.
    POP3_DELETE_TYPE: Enum = "default:expunge:flag", POP3;
}
