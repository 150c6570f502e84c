//! LMTP.

use super::flags::*;
use super::roots::*;
use crate::key::{Enum, Str};

settings! { Root from super::lda::END;
    /// Proxies to where the passdb says.
    LMTP_PROXY: bool = "no", LMTP, NO_EFFECT_YET;
    /// Saves `user+box` into `box`.
    LMTP_SAVE_TO_DETAIL_MAILBOX: bool = "no", LMTP, NO_EFFECT_YET;
    /// Checks quota at RCPT TO.
    LMTP_RCPT_CHECK_QUOTA: bool = "no", LMTP, NO_EFFECT_YET;
    /// Adds a Received header.
    LMTP_ADD_RECEIVED_HEADER: bool = "yes", LMTP, NO_EFFECT_YET;
    /// Tells clients more about failures.
    LMTP_VERBOSE_REPLIES: bool = "no", LMTP, NO_EFFECT_YET;
    /// Most deliveries to a user at once.
    LMTP_USER_CONCURRENCY_LIMIT: u64 = "0", LMTP, NO_EFFECT_YET;
    /// Address in the Delivered-To header.
    LMTP_HDR_DELIVERY_ADDRESS: Enum = "final:none:original", LMTP, NO_EFFECT_YET;
    /// Directory for transcripts.
    LMTP_RAWLOG_DIR: Str = "", LMTP, NO_EFFECT_YET | VARIABLES;
    /// Directory for transcripts of proxied connections.
    LMTP_PROXY_RAWLOG_DIR: Str = "", LMTP, NO_EFFECT_YET | VARIABLES;
    /// Workarounds for client bugs.
    LMTP_CLIENT_WORKAROUNDS: Str = "", LMTP, NO_EFFECT_YET;
}
