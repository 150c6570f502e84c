//! ManageSieve, as the Pigeonhole add-on declares it.

use super::flags::*;
use super::roots::*;
use crate::key::{Size, Str};

settings! { Root from super::submission::END;
    /// Workarounds for client bugs.
    MANAGESIEVE_CLIENT_WORKAROUNDS: Str = "", MANAGESIEVE, NO_EFFECT_YET;
    /// Name of the implementation that clients are told.
    MANAGESIEVE_IMPLEMENTATION_STRING: Str = "Dovecot (Debian) Pigeonhole", MANAGESIEVE | MANAGESIEVE_LOGIN, NO_EFFECT_YET;
    /// Statistics in the log line at the end.
    MANAGESIEVE_LOGOUT_FORMAT: Str = "bytes=%i/%o", MANAGESIEVE, NO_EFFECT_YET;
    /// Most errors to report.
    MANAGESIEVE_MAX_COMPILE_ERRORS: u64 = "5", MANAGESIEVE, NO_EFFECT_YET;
    /// Longest command line.
    MANAGESIEVE_MAX_LINE_LENGTH: Size = "64 k", MANAGESIEVE, NO_EFFECT_YET;
    /// Notification methods that clients are told.
    MANAGESIEVE_NOTIFY_CAPABILITY: Str = "", MANAGESIEVE_LOGIN, NO_EFFECT_YET;
    /// Sieve extensions that clients are told.
    MANAGESIEVE_SIEVE_CAPABILITY: Str = "", MANAGESIEVE_LOGIN, NO_EFFECT_YET;
}
