//! The mbox driver.

use super::flags::*;
use super::roots::*;
use crate::key::{Enum, Size, Str, Time};

settings! { Root from super::maildir::END;
    /// Locks for reading, in order.
    MBOX_READ_LOCKS: Str = "fcntl", MBOX, NO_EFFECT_YET;
    /// Locks for writing, in order.
    MBOX_WRITE_LOCKS: Str = "fcntl dotlock", MBOX, NO_EFFECT_YET;
    /// Longest wait for a lock.
    MBOX_LOCK_TIMEOUT: Time = "5 mins", MBOX, NO_EFFECT_YET;
    /// Age at which an unchanged dotlock is overridden.
    MBOX_DOTLOCK_CHANGE_TIMEOUT: Time = "2 mins", MBOX, NO_EFFECT_YET;
    /// Smallest mailbox that gets an index.
    MBOX_MIN_INDEX_SIZE: Size = "0", MBOX, NO_EFFECT_YET;
    /// Leaves changes for later reads to sort out.
    MBOX_DIRTY_SYNCS: bool = "yes", MBOX, NO_EFFECT_YET;
    /// Does so even at SELECT, EXAMINE, EXPUNGE and CHECK.
    MBOX_VERY_DIRTY_SYNCS: bool = "no", MBOX, NO_EFFECT_YET;
    /// Writes headers only when necessary.
    MBOX_LAZY_WRITES: bool = "yes", MBOX, NO_EFFECT_YET;
    /// Headers that the message digest is taken of.
    MBOX_MD5: Enum = "apop3d:all", MBOX, NO_EFFECT_YET;
}
