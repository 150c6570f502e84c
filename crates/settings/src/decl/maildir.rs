//! The Maildir driver.

use super::roots::*;

settings! { Root from super::mail::END;
    /// Looks whether names in the mailbox tree are directories.
    MAILDIR_STAT_DIRS: bool = "no", MAIL;
    /// Copies messages by hard links.
    MAILDIR_COPY_WITH_HARDLINKS: bool = "yes", MAILDIR;
    /// Trusts that nobody else changes `cur/`.
    MAILDIR_VERY_DIRTY_SYNCS: bool = "no", MAILDIR;
    /// Distrusts sizes in file names.
    MAILDIR_BROKEN_FILENAME_SIZES: bool = "no", MAILDIR;
    /// Moves all messages out of `new/` at once.
    MAILDIR_EMPTY_NEW: bool = "no", MAILDIR;
}
