//! `mailbox NAME {}` in a namespace: what is special about a mailbox.

use super::flags::NO_EFFECT_YET;
use super::roots::MAIL_USER;
use crate::key::{Enum, Str, Time};

settings! { Mailbox from 0;
    /// Name of the mailbox, from the section.
    NAME: Str = "", MAIL_USER;
    /// Whether it is made and subscribed to by itself.
    AUTO: Enum = "no:create:subscribe", MAIL_USER;
    /// SPECIAL-USE attributes, separated by spaces.
    SPECIAL_USE: Str = "", MAIL_USER;
    /// Storage driver for this mailbox only.
    DRIVER: Str = "", MAIL_USER, NO_EFFECT_YET;
    /// Comment for METADATA.
    COMMENT: Str = "", MAIL_USER;
    /// Age at which messages are expunged.
    AUTOEXPUNGE: Time = "0", MAIL_USER;
    /// Number of messages above which the oldest are expunged.
    AUTOEXPUNGE_MAX_MAILS: u64 = "0", MAIL_USER;
}
