//! Makes [`UserSettings`] from the parsed configuration.

use base::Logger;
use settings::key::{self, mailbox, namespace};
use settings::vars::Expander;
use settings::{Section, SectionKind, Settings};
use storage::attachment::detect::Detection;
use storage::attachment::{self, HashFormat};
use storage::mbox::md5::HeaderMd5;
use storage::settings::{FsyncMode, LockMethod, MboxSettings};
use storage::{Compression, Error, MailSettings, Result};

use crate::input::{Auto, MailboxSettings, NamespaceList, NamespaceSettings, NamespaceType, UserSettings};

impl UserSettings {
    /// The settings of one user: `settings` with the userdb's fields over them; `expander` knows the
    /// user's `%` variables; `hostname` goes into the names of files. Settings of plugins that are wrong, and
    /// that 2.3 goes on without, are told to `log`.
    ///
    /// # Errors
    /// A location or prefix with a variable that does not exist.
    pub fn from_settings(
        settings: &Settings,
        expander: &Expander<'_>,
        hostname: &str,
        log: &Logger,
    ) -> Result<Self> {
        let expand =
            |text: &str| expander.expand(text).map_err(|error| Error::Unsupported(error.to_string()));
        let sections = settings.section_list(SectionKind::Namespace);
        let namespaces =
            sections.iter().map(|section| namespace_of(section, &expand)).collect::<Result<_>>()?;
        Ok(Self {
            mail_location: expand(settings.get(key::MAIL_LOCATION))?,
            mail: MailSettings {
                compression: compression_of(settings, log),
                attachments: attachments_of(settings, &expand)?,
                attachment_detection: Detection::parse(settings.get(key::MAIL_ATTACHMENT_DETECTION_OPTIONS))
                    .map_err(Error::Unsupported)?,
                attribute_dict: expand(settings.get(key::MAIL_ATTRIBUTE_DICT))?,
                ..mail_of(settings, hostname)
            },
            namespaces,
        })
    }
}

fn mail_of(settings: &Settings, hostname: &str) -> MailSettings {
    MailSettings {
        mail_fsync: match settings.get(key::MAIL_FSYNC) {
            "never" => FsyncMode::Never,
            "always" => FsyncMode::Always,
            _ => FsyncMode::Optimized,
        },
        mail_nfs_storage: settings.get(key::MAIL_NFS_STORAGE),
        mail_sort_max_read_count: u32_of(settings.get(key::MAIL_SORT_MAX_READ_COUNT)),
        mail_vsize_bg_after_count: u32_of(settings.get(key::MAIL_VSIZE_BG_AFTER_COUNT)),
        mail_nfs_index: settings.get(key::MAIL_NFS_INDEX),
        mail_max_lock_timeout: settings.get(key::MAIL_MAX_LOCK_TIMEOUT),
        dotlock_use_excl: settings.get(key::DOTLOCK_USE_EXCL),
        mail_max_keyword_length: usize::try_from(settings.get(key::MAIL_MAX_KEYWORD_LENGTH))
            .unwrap_or(usize::MAX),
        mail_full_filesystem_access: settings.get(key::MAIL_FULL_FILESYSTEM_ACCESS),
        mail_save_crlf: settings.get(key::MAIL_SAVE_CRLF),
        mail_temp_scan_interval: settings.get(key::MAIL_TEMP_SCAN_INTERVAL),
        mailbox_list_index: settings.get(key::MAILBOX_LIST_INDEX),
        mailbox_list_index_very_dirty_syncs: settings.get(key::MAILBOX_LIST_INDEX_VERY_DIRTY_SYNCS),
        mailbox_list_index_include_inbox: settings.get(key::MAILBOX_LIST_INDEX_INCLUDE_INBOX),
        maildir_stat_dirs: settings.get(key::MAILDIR_STAT_DIRS),
        maildir_copy_with_hardlinks: settings.get(key::MAILDIR_COPY_WITH_HARDLINKS),
        maildir_very_dirty_syncs: settings.get(key::MAILDIR_VERY_DIRTY_SYNCS),
        maildir_broken_filename_sizes: settings.get(key::MAILDIR_BROKEN_FILENAME_SIZES),
        maildir_empty_new: settings.get(key::MAILDIR_EMPTY_NEW),
        mdbox_rotate_size: settings.get(key::MDBOX_ROTATE_SIZE),
        mdbox_rotate_interval: settings.get(key::MDBOX_ROTATE_INTERVAL),
        mdbox_preallocate_space: settings.get(key::MDBOX_PREALLOCATE_SPACE),
        mbox: mbox_of(settings),
        hostname: hostname.to_owned(),
        server_comment: settings.get(key::MAIL_SERVER_COMMENT).to_owned(),
        server_admin: settings.get(key::MAIL_SERVER_ADMIN).to_owned(),
        mail_index: index_of(settings),
        mail_cache: cache_of(settings),
        ..MailSettings::default()
    }
}

fn u32_of(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn mbox_of(settings: &Settings) -> MboxSettings {
    MboxSettings {
        read_locks: settings.get(key::MBOX_READ_LOCKS).to_owned(),
        write_locks: settings.get(key::MBOX_WRITE_LOCKS).to_owned(),
        lock_timeout: settings.get(key::MBOX_LOCK_TIMEOUT),
        dotlock_change_timeout: settings.get(key::MBOX_DOTLOCK_CHANGE_TIMEOUT),
        min_index_size: settings.get(key::MBOX_MIN_INDEX_SIZE),
        dirty_syncs: settings.get(key::MBOX_DIRTY_SYNCS),
        very_dirty_syncs: settings.get(key::MBOX_VERY_DIRTY_SYNCS),
        lazy_writes: settings.get(key::MBOX_LAZY_WRITES),
        md5: HeaderMd5::of(settings.get(key::MBOX_MD5)).unwrap_or_default(),
    }
}

fn index_of(settings: &Settings) -> storage::settings::IndexSettings {
    storage::settings::IndexSettings {
        lock_method: match settings.get(key::LOCK_METHOD) {
            "flock" => LockMethod::Flock,
            "dotlock" => LockMethod::Dotlock,
            _ => LockMethod::Fcntl,
        },
        rewrite_min_log_bytes: settings.get(key::MAIL_INDEX_REWRITE_MIN_LOG_BYTES),
        rewrite_max_log_bytes: settings.get(key::MAIL_INDEX_REWRITE_MAX_LOG_BYTES),
        log_rotate_min_size: settings.get(key::MAIL_INDEX_LOG_ROTATE_MIN_SIZE),
        log_rotate_max_size: settings.get(key::MAIL_INDEX_LOG_ROTATE_MAX_SIZE),
        log_rotate_min_age: settings.get(key::MAIL_INDEX_LOG_ROTATE_MIN_AGE),
        log2_max_age: settings.get(key::MAIL_INDEX_LOG2_MAX_AGE),
        ..Default::default()
    }
}

fn cache_of(settings: &Settings) -> storage::settings::CacheSettings {
    let number = u32_of;
    storage::settings::CacheSettings {
        fields: settings.get(key::MAIL_CACHE_FIELDS).to_owned(),
        always_fields: settings.get(key::MAIL_ALWAYS_CACHE_FIELDS).to_owned(),
        never_fields: settings.get(key::MAIL_NEVER_CACHE_FIELDS).to_owned(),
        min_mail_count: number(settings.get(key::MAIL_CACHE_MIN_MAIL_COUNT)),
        unaccessed_field_drop: settings.get(key::MAIL_CACHE_UNACCESSED_FIELD_DROP),
        record_size_max: number(settings.get(key::MAIL_CACHE_RECORD_MAX_SIZE)),
        file_size_max: settings.get(key::MAIL_CACHE_MAX_SIZE),
        purge_min_size: settings.get(key::MAIL_CACHE_PURGE_MIN_SIZE),
        purge_delete_percentage: number(settings.get(key::MAIL_CACHE_PURGE_DELETE_PERCENTAGE)),
        purge_continued_percentage: number(settings.get(key::MAIL_CACHE_PURGE_CONTINUED_PERCENTAGE)),
        purge_header_continue_count: number(settings.get(key::MAIL_CACHE_PURGE_HEADER_CONTINUE_COUNT)),
        ..Default::default()
    }
}

/// 2.3's zlib plugin, if it is on.
fn compression_of(settings: &Settings, log: &Logger) -> Compression {
    let plugins = settings.get(key::MAIL_PLUGINS);
    if !plugins.split([' ', ',']).any(|name| name == "zlib") {
        return Compression::default();
    }
    let plugin = settings.plugin();
    let (compression, errors) =
        Compression::of_plugin(plugin.get("zlib_save"), plugin.get("zlib_save_level"));
    errors.iter().for_each(|error| log.error(format_args!("{error}")));
    compression
}

/// Where attachments are stored apart, if they are.
fn attachments_of(
    settings: &Settings,
    expand: &dyn Fn(&str) -> Result<String>,
) -> Result<Option<attachment::Settings>> {
    let (dir, fs) = (settings.get(key::MAIL_ATTACHMENT_DIR), settings.get(key::MAIL_ATTACHMENT_FS));
    if dir.is_empty() || fs.is_empty() {
        return Ok(None);
    }
    let dir = match dir.strip_prefix("~/") {
        Some(below) => expand("%h")? + "/" + &expand(below)?,
        None => expand(dir)?,
    };
    let hash = HashFormat::parse(settings.get(key::MAIL_ATTACHMENT_HASH));
    Ok(Some(attachment::Settings {
        dir: dir.into(),
        fs: expand(fs)?,
        hash: hash
            .map_err(|why| Error::Unsupported(format!("Invalid mail_attachment_hash setting: {why}")))?,
        min_size: settings.get(key::MAIL_ATTACHMENT_MIN_SIZE),
        temp_dir: expand(settings.get(key::MAIL_TEMP_DIR))?.into(),
        syncs: settings.get(key::MAIL_FSYNC) != "never",
    }))
}

fn namespace_of(section: &Section, expand: &dyn Fn(&str) -> Result<String>) -> Result<NamespaceSettings> {
    let alias_for = match section.get(namespace::ALIAS_FOR) {
        "" if !section.is_set(namespace::ALIAS_FOR) => None,
        prefix => Some(expand(prefix)?),
    };
    Ok(NamespaceSettings {
        name: section.name().to_owned(),
        kind: match section.get(namespace::TYPE) {
            "shared" => NamespaceType::Shared,
            "public" => NamespaceType::Public,
            _ => NamespaceType::Private,
        },
        separator: section.get(namespace::SEPARATOR).to_owned(),
        prefix: expand(section.get(namespace::PREFIX))?,
        location: expand(section.get(namespace::LOCATION))?,
        alias_for,
        inbox: section.get(namespace::INBOX),
        hidden: section.get(namespace::HIDDEN),
        list: match section.get(namespace::LIST) {
            "no" => NamespaceList::No,
            "children" => NamespaceList::Children,
            _ => NamespaceList::Yes,
        },
        subscriptions: section.get(namespace::SUBSCRIPTIONS),
        ignore_on_failure: section.get(namespace::IGNORE_ON_FAILURE),
        disabled: section.get(namespace::DISABLED),
        order: u32::try_from(section.get(namespace::ORDER)).unwrap_or(u32::MAX),
        mailboxes: section.sub(SectionKind::Mailbox).iter().map(mailbox_of).collect(),
    })
}

fn mailbox_of(section: &Section) -> MailboxSettings {
    MailboxSettings {
        name: section.name().to_owned(),
        auto: match section.get(mailbox::AUTO) {
            "create" => Auto::Create,
            "subscribe" => Auto::Subscribe,
            _ => Auto::No,
        },
        special_use: section.get(mailbox::SPECIAL_USE).split_whitespace().map(str::to_owned).collect(),
        comment: section.get(mailbox::COMMENT).to_owned(),
        autoexpunge_secs: section.get(mailbox::AUTOEXPUNGE).as_secs(),
        autoexpunge_max_mails: section.get(mailbox::AUTOEXPUNGE_MAX_MAILS),
    }
}
