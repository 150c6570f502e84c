//! Mail users, storage and mailbox list.

use super::flags::*;
use super::roots::*;
use crate::key::{Enum, Size, Str, Time};

settings! { Root from super::login::END;
    /// Socket for user lookups.
    AUTH_SOCKET_PATH: Str = "auth-userdb", DOVEADM | MAIL_USER | REPLICATOR;
    /// Directory for temporary files.
    MAIL_TEMP_DIR: Str = "/tmp", DOVEADM | MAIL_USER, VARIABLES;
    /// User id or name for mail when the userdb gives none.
    MAIL_UID: Str = "", MAIL_USER;
    /// Group id or name for mail when the userdb gives none.
    MAIL_GID: Str = "", MAIL_USER;
    /// Home directory template when the userdb gives none.
    MAIL_HOME: Str = "", MAIL_USER, VARIABLES;
    /// Directory to chroot mail processes to.
    MAIL_CHROOT: Str = "", MAIL_USER, VARIABLES;
    /// Further groups of mail processes.
    MAIL_ACCESS_GROUPS: Str = "", MAIL_USER;
    /// Group that is taken only for creating and locking files in the INBOX directory.
    MAIL_PRIVILEGED_GROUP: Str = "", MAIL_USER;
    /// Directories below which a userdb may chroot.
    VALID_CHROOT_DIRS: Str = "", MAIL_USER;
    /// Mail plugins to load, separated by spaces.
    MAIL_PLUGINS: Str = "", DOVEADM | MAIL_USER | LMTP;
    /// Directory of mail plugins.
    MAIL_PLUGIN_DIR: Str = "/usr/lib/dovecot/modules", DOVEADM | MAIL_USER | LMTP, NO_EFFECT_YET;
    /// Prefix of log lines of mail processes.
    MAIL_LOG_PREFIX: Str = "%s(%u)<%{pid}><%{session}>: ", MAIL_USER;
    /// Name of this host for sent mail and log lines; empty for the system's.
    HOSTNAME: Str = "", LDA | SUBMIT | MAIL | MAIL_USER | SUBMISSION_LOGIN | SUBMISSION;
    /// Sender of bounces and rejections.
    POSTMASTER_ADDRESS: Str = "postmaster@%{if;%d;ne;;%d;%{hostname}}", MAIL_USER, VARIABLES;
    /// Where mail is, as `driver:path:key=value`.
    MAIL_LOCATION: Str = "", MAIL, VARIABLES;
    /// File system driver for attachments stored apart.
    MAIL_ATTACHMENT_FS: Str = "sis posix", MAIL, VARIABLES;
    /// Directory for attachments stored apart.
    MAIL_ATTACHMENT_DIR: Str = "", MAIL, VARIABLES;
    /// Template of the names of attachments stored apart.
    MAIL_ATTACHMENT_HASH: Str = "%{sha1}", MAIL;
    /// Size from which attachments are stored apart.
    MAIL_ATTACHMENT_MIN_SIZE: Size = "128 k", MAIL;
    /// How `$HasAttachment` is found out.
    MAIL_ATTACHMENT_DETECTION_OPTIONS: Str = "", MAIL;
    /// Dictionary for mailbox attributes.
    MAIL_ATTRIBUTE_DICT: Str = "", MAIL, VARIABLES;
    /// Messages to read ahead.
    MAIL_PREFETCH_COUNT: u64 = "0", MAIL, NO_EFFECT_YET;
    /// Fields that are put into new caches.
    MAIL_CACHE_FIELDS: Str = "flags", MAIL;
    /// Fields that are always put into caches.
    MAIL_ALWAYS_CACHE_FIELDS: Str = "", MAIL;
    /// Fields that are never put into caches.
    MAIL_NEVER_CACHE_FIELDS: Str = "imap.envelope", MAIL;
    /// Server comment for METADATA.
    MAIL_SERVER_COMMENT: Str = "", MAIL;
    /// Administrator's address for METADATA.
    MAIL_SERVER_ADMIN: Str = "", MAIL;
    /// When a field that nobody reads is dropped from the cache.
    MAIL_CACHE_UNACCESSED_FIELD_DROP: Time = "30 days", MAIL, HIDDEN;
    /// Largest record in the cache.
    MAIL_CACHE_RECORD_MAX_SIZE: Size = "64 k", MAIL, HIDDEN;
    /// Largest cache file.
    MAIL_CACHE_MAX_SIZE: Size = "1 G", MAIL, HIDDEN;
    /// Messages a mailbox needs before it gets a cache.
    MAIL_CACHE_MIN_MAIL_COUNT: u64 = "0", MAIL, HIDDEN;
    /// Smallest cache that is purged.
    MAIL_CACHE_PURGE_MIN_SIZE: Size = "32 k", MAIL, HIDDEN;
    /// Share of deleted records that leads to a purge.
    MAIL_CACHE_PURGE_DELETE_PERCENTAGE: u64 = "20", MAIL, HIDDEN;
    /// Share of continued records that leads to a purge.
    MAIL_CACHE_PURGE_CONTINUED_PERCENTAGE: u64 = "200", MAIL, HIDDEN;
    /// Number of continued headers that leads to a purge.
    MAIL_CACHE_PURGE_HEADER_CONTINUE_COUNT: u64 = "4", MAIL, HIDDEN;
    /// Least log to have been read before the index is rewritten.
    MAIL_INDEX_REWRITE_MIN_LOG_BYTES: Size = "8 k", MAIL, HIDDEN;
    /// Most log to have been read before the index is rewritten.
    MAIL_INDEX_REWRITE_MAX_LOG_BYTES: Size = "128 k", MAIL, HIDDEN;
    /// Size from which an old log is rotated.
    MAIL_INDEX_LOG_ROTATE_MIN_SIZE: Size = "32 k", MAIL, HIDDEN;
    /// Size from which any log is rotated.
    MAIL_INDEX_LOG_ROTATE_MAX_SIZE: Size = "1 M", MAIL, HIDDEN;
    /// Age from which a log is rotated.
    MAIL_INDEX_LOG_ROTATE_MIN_AGE: Time = "5 mins", MAIL, HIDDEN;
    /// Age at which a rotated log is removed.
    MAIL_INDEX_LOG2_MAX_AGE: Time = "2 days", MAIL, HIDDEN;
    /// How often an idle mailbox is looked at when nothing notifies of changes.
    MAILBOX_IDLE_CHECK_INTERVAL: Time = "30 secs", MAIL;
    /// Longest keyword in bytes.
    MAIL_MAX_KEYWORD_LENGTH: u64 = "50", MAIL;
    /// Longest wait for a lock; 0 for each lock's own default.
    MAIL_MAX_LOCK_TIMEOUT: Time = "0", MAIL;
    /// How often leftover temporary files are looked for.
    MAIL_TEMP_SCAN_INTERVAL: Time = "1 weeks", MAIL;
    /// Messages from which virtual sizes are counted in the background.
    MAIL_VSIZE_BG_AFTER_COUNT: u64 = "0", MAIL;
    /// Messages that a sort may open.
    MAIL_SORT_MAX_READ_COUNT: u64 = "0", MAIL;
    /// Saves messages with CRLF.
    MAIL_SAVE_CRLF: bool = "no", MAIL;
    /// When files are synced: `optimized`, `always` or `never`.
    MAIL_FSYNC: Enum = "optimized:never:always", MAIL;
    /// Avoids mmap for index files, which are never mapped in any case.
    MMAP_DISABLE: bool = "no", MAIL;
    /// Creates dotlock files with O_EXCL.
    DOTLOCK_USE_EXCL: bool = "yes", MAIL;
    /// Flushes NFS caches for mail.
    MAIL_NFS_STORAGE: bool = "no", MAIL;
    /// Flushes NFS caches for indexes.
    MAIL_NFS_INDEX: bool = "no", MAIL;
    /// Keeps an index of the mailbox list.
    MAILBOX_LIST_INDEX: bool = "yes", MAIL;
    /// Trusts the index of the mailbox list.
    MAILBOX_LIST_INDEX_VERY_DIRTY_SYNCS: bool = "no", MAIL;
    /// Keeps INBOX in the index of the mailbox list.
    MAILBOX_LIST_INDEX_INCLUDE_INBOX: bool = "no", MAIL;
    /// Logs what mail access does, for finding mistakes.
    MAIL_DEBUG: bool = "no", IMAP_URLAUTH | SUBMIT | MAIL;
    /// Allows `~` and absolute paths in mailbox names.
    MAIL_FULL_FILESYSTEM_ACCESS: bool = "no", MAIL;
    /// Shows a shared INBOX as `INBOX` of its own.
    MAIL_SHARED_EXPLICIT_INBOX: bool = "no", MAIL, NO_EFFECT_YET;
    /// Locks for index files.
    LOCK_METHOD: Enum = "fcntl:flock:dotlock", MAIL;
    /// Characters between user and detail of an address.
    RECIPIENT_DELIMITER: Str = "+", LDA | MAIL | QUOTA_STATUS | SUBMISSION, NO_EFFECT_YET;
    /// Template of POP3 unique ids.
    POP3_UIDL_FORMAT: Str = "%08Xu%08Xv", MAIL;
    /// Directory for transcripts of sessions.
    RAWLOG_DIR: Str = "", IMAP | POP3 | SUBMISSION | MANAGESIEVE, NO_EFFECT_YET | VARIABLES;
}
