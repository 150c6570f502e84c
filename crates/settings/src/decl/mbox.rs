//! The mbox driver.

use super::roots::*;
use crate::key::{Enum, Size, Str, Time};

settings! { Root from super::maildir::END;
    /// Locks for reading, in order.
    MBOX_READ_LOCKS: Str = "fcntl", MBOX;
    /// Locks for writing, in order.
    MBOX_WRITE_LOCKS: Str = "fcntl dotlock", MBOX;
    /// Longest wait for a lock.
    MBOX_LOCK_TIMEOUT: Time = "5 mins", MBOX;
    /// Age at which an unchanged dotlock is overridden.
    MBOX_DOTLOCK_CHANGE_TIMEOUT: Time = "2 mins", MBOX;
    /// Smallest mailbox that gets an index.
    MBOX_MIN_INDEX_SIZE: Size = "0", MBOX;
    /// Leaves changes for later reads to sort out.
    MBOX_DIRTY_SYNCS: bool = "yes", MBOX;
    /// Does so even at SELECT, EXAMINE, EXPUNGE and CHECK.
    MBOX_VERY_DIRTY_SYNCS: bool = "no", MBOX;
    /// Writes headers only when necessary.
    MBOX_LAZY_WRITES: bool = "yes", MBOX;
    /// Headers that the message digest is taken of.
    MBOX_MD5: Enum = "apop3d:all", MBOX;
}
