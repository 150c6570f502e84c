//! The settings that storage obeys, as values of their own, so that this crate can be used and
//! tested without a configuration file. `mail-user` fills them in from the parsed configuration.

use std::sync::Arc;
use std::time::Duration;

pub use index::cache::CacheSettings;
pub use index::{FsyncMode, LockMethod, Settings as IndexSettings};

use crate::attachment;
use crate::attachment::detect::Detection;
use crate::compress::Compression;

/// All `mail_*`, `maildir_*` and related settings that storage obeys, named as in the configuration.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// `mail_fsync`
    pub mail_fsync: FsyncMode,
    /// `mail_nfs_storage`: several hosts change the mail over NFS.
    pub mail_nfs_storage: bool,
    /// `mail_nfs_index`: the same for index files.
    pub mail_nfs_index: bool,
    /// `mail_max_lock_timeout`; zero means none.
    pub mail_max_lock_timeout: Duration,
    /// `dotlock_use_excl`: create the lock file in place with O_EXCL rather than by link(2).
    pub dotlock_use_excl: bool,
    /// `mail_max_keyword_length`, in bytes.
    pub mail_max_keyword_length: usize,
    /// `mail_full_filesystem_access`
    pub mail_full_filesystem_access: bool,
    /// `mail_save_crlf`
    pub mail_save_crlf: bool,
    /// `mail_temp_prefix` of list and subscription files.
    pub mail_temp_prefix: String,
    /// `mail_temp_scan_interval`: how often stale files in tmp/ are looked for.
    pub mail_temp_scan_interval: Duration,
    /// `lock_method` and the `mail_index_*` settings; what else is in it follows from the others here.
    pub mail_index: index::Settings,
    /// The `mail_cache_*` settings.
    pub mail_cache: index::cache::CacheSettings,
    /// `mailbox_list_index`: keep counts of all mailboxes in one file, so that STATUS opens none.
    pub mailbox_list_index: bool,
    /// `mailbox_list_index_very_dirty_syncs`: believe that file without a look at the mailboxes.
    pub mailbox_list_index_very_dirty_syncs: bool,
    /// `mailbox_list_index_include_inbox`: keep INBOX's counts there as well.
    pub mailbox_list_index_include_inbox: bool,
    /// `maildir_stat_dirs`: stat entries to tell directories from files.
    pub maildir_stat_dirs: bool,
    /// `maildir_copy_with_hardlinks`
    pub maildir_copy_with_hardlinks: bool,
    /// `maildir_very_dirty_syncs`: trust that whoever else changes cur/ changes its time.
    pub maildir_very_dirty_syncs: bool,
    /// `maildir_broken_filename_sizes`: do not trust `,S=` in file names.
    pub maildir_broken_filename_sizes: bool,
    /// `maildir_empty_new`: always move everything from new/ to cur/ when opening.
    pub maildir_empty_new: bool,
    /// `mail_plugins = zlib` and its settings.
    pub compression: Compression,
    /// `mdbox_rotate_size`, in bytes: no message is added to a file that would become larger.
    pub mdbox_rotate_size: u64,
    /// `mdbox_rotate_interval`: nor to one that is older; zero for no limit.
    pub mdbox_rotate_interval: Duration,
    /// `mdbox_preallocate_space`
    pub mdbox_preallocate_space: bool,
    /// The `mbox_*` settings.
    pub mbox: MboxSettings,
    /// `mail_sort_max_read_count`: messages that one sort may look at; 0 for all.
    pub mail_sort_max_read_count: u32,
    /// `mail_vsize_bg_after_count`: messages that STATUS SIZE may look at before the rest is left to the
    /// background; 0 for all.
    pub mail_vsize_bg_after_count: u32,
    /// `mail_attachment_dir` and what belongs to it, if parts are to be stored apart. Only dbox does it.
    pub attachments: Option<attachment::Settings>,
    /// `mail_attachment_detection_options`
    pub attachment_detection: Detection,
    /// The host's name, for names of files and in lock files.
    pub hostname: String,
    /// `mail_attribute_dict`, expanded; see [`crate::attributes`].
    pub attribute_dict: String,
    /// `mail_server_comment`
    pub server_comment: String,
    /// `mail_server_admin`
    pub server_admin: String,
}

impl MailSettings {
    /// Which files need care.
    pub(crate) fn nfs(&self) -> index::fs::Nfs {
        index::fs::Nfs { index: self.mail_nfs_index, mail: self.mail_nfs_storage }
    }

    /// What of it caches obey.
    pub(crate) fn cache_settings(&self) -> index::cache::CacheSettings {
        let longest = self.mail_cache.lock_timeout;
        let limit = self.mail_max_lock_timeout;
        index::cache::CacheSettings {
            fsync: self.mail_fsync,
            lock_method: self.mail_index.lock_method,
            lock_timeout: if limit.is_zero() { longest } else { longest.min(limit) },
            dotlock_use_excl: self.dotlock_use_excl,
            hostname: self.hostname.clone(),
            ..self.mail_cache.clone()
        }
    }

    /// What of it indexes obey.
    pub(crate) fn index_settings(&self) -> Arc<index::Settings> {
        let timeout = self.mail_max_lock_timeout;
        Arc::new(index::Settings {
            fsync: self.mail_fsync,
            lock_timeout: (!timeout.is_zero()).then_some(timeout),
            dotlock_use_excl: self.dotlock_use_excl,
            hostname: self.hostname.clone(),
            ..self.mail_index.clone()
        })
    }
}

impl Default for MailSettings {
    /// Dovecot 2.3's defaults.
    fn default() -> Self {
        Self {
            mail_fsync: FsyncMode::Optimized,
            mail_nfs_storage: false,
            mail_nfs_index: false,
            mail_max_lock_timeout: Duration::ZERO,
            dotlock_use_excl: true,
            mail_max_keyword_length: 50,
            mail_full_filesystem_access: false,
            mail_save_crlf: false,
            mail_temp_prefix: ".temp.".to_owned(),
            mail_temp_scan_interval: Duration::from_secs(7 * 24 * 3600),
            mail_index: index::Settings::default(),
            mail_cache: index::cache::CacheSettings::default(),
            mailbox_list_index: true,
            mailbox_list_index_very_dirty_syncs: false,
            mailbox_list_index_include_inbox: false,
            maildir_stat_dirs: false,
            maildir_copy_with_hardlinks: true,
            maildir_very_dirty_syncs: false,
            maildir_broken_filename_sizes: false,
            maildir_empty_new: false,
            compression: Compression::default(),
            mdbox_rotate_size: 10 << 20,
            mdbox_rotate_interval: Duration::ZERO,
            mdbox_preallocate_space: false,
            mbox: MboxSettings::default(),
            mail_sort_max_read_count: 0,
            mail_vsize_bg_after_count: 0,
            attachments: None,
            attachment_detection: Detection::default(),
            hostname: String::new(),
            attribute_dict: String::new(),
            server_comment: String::new(),
            server_admin: String::new(),
        }
    }
}

/// The `mbox_*` settings.
#[derive(Clone, Debug)]
pub struct MboxSettings {
    /// `mbox_read_locks`: words of [`Method`](crate::mbox::lock::Method), the first taken first.
    pub read_locks: String,
    /// `mbox_write_locks`
    pub write_locks: String,
    /// `mbox_lock_timeout`
    pub lock_timeout: Duration,
    /// `mbox_dotlock_change_timeout`: a lock file beside an mbox that neither changes for so long is
    /// overridden.
    pub dotlock_change_timeout: Duration,
    /// `mbox_min_index_size`, in bytes: smaller files have no index on disk.
    pub min_index_size: u64,
    /// `mbox_dirty_syncs`: where a file has grown, only what is new is read.
    pub dirty_syncs: bool,
    /// `mbox_very_dirty_syncs`: not even CHECK reads all again.
    pub very_dirty_syncs: bool,
    /// `mbox_lazy_writes`: flags are written to the file when it is closed, or at CHECK.
    pub lazy_writes: bool,
    /// `mbox_md5`
    pub md5: crate::mbox::md5::HeaderMd5,
}

impl Default for MboxSettings {
    fn default() -> Self {
        Self {
            read_locks: "fcntl".to_owned(),
            write_locks: "fcntl dotlock".to_owned(),
            lock_timeout: Duration::from_secs(5 * 60),
            dotlock_change_timeout: Duration::from_secs(2 * 60),
            min_index_size: 0,
            dirty_syncs: true,
            very_dirty_syncs: false,
            lazy_writes: true,
            md5: crate::mbox::md5::HeaderMd5::Apop3d,
        }
    }
}
