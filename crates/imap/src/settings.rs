//! The `imap_*` settings as values.

use std::time::Duration;

use settings::{Settings, key};

/// What to do when a message cannot be read during FETCH (`imap_fetch_failure`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FetchFailure {
    /// Disconnect at once: the client sees that the answer is incomplete.
    #[default]
    DisconnectImmediately,
    /// Fetch all that can be, then disconnect.
    DisconnectAfter,
    /// Fetch all that can be, then answer NO.
    NoAfter,
}

/// `imap_client_workarounds`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Workarounds {
    /// `delay-newmail`: tell of new mail only in answer to NOOP and CHECK.
    pub delay_newmail: bool,
    /// `tb-extra-mailbox-sep`: ignore a separator at the end of a mailbox name.
    pub tb_extra_mailbox_sep: bool,
    /// `tb-lsub-flags`: LSUB tells what LIST would.
    pub tb_lsub_flags: bool,
}

/// The settings of a session, after expansion of variables.
#[derive(Debug, Clone)]
pub struct ImapSettings {
    /// `imap_max_line_length`, in bytes.
    pub max_line_bytes: usize,
    /// `imap_client_workarounds`
    pub workarounds: Workarounds,
    /// `imap_capability`: empty, a whole list, or `+` and more capabilities.
    pub capability: String,
    /// `imap_logout_format`, not expanded.
    pub logout_format: String,
    /// `imap_id_send`
    pub id_send: String,
    /// `imap_id_log`
    pub id_log: String,
    /// `imap_fetch_failure`
    pub fetch_failure: FetchFailure,
    /// `imap_idle_notify_interval`; zero is never.
    pub idle_notify_interval: Duration,
    /// `mailbox_idle_check_interval`: how often IDLE looks at the disk even without news, since not
    /// every file system gives any.
    pub idle_check_interval: Duration,
    /// `mail_max_keyword_length`, in bytes.
    pub keyword_bytes_max: usize,
    /// `imap_literal_minus`: LITERAL- instead of LITERAL+ (RFC 7888 §5).
    pub literal_minus: bool,
}

impl ImapSettings {
    /// Takes them from the settings that apply to the user.
    ///
    /// # Errors
    /// A word that a setting does not know, as the log line says it.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let text = |key: key::Key<key::Str>| settings.get(key).to_owned();
        let failure = settings.get(key::IMAP_FETCH_FAILURE);
        Ok(Self {
            max_line_bytes: usize::try_from(settings.get(key::IMAP_MAX_LINE_LENGTH)).unwrap_or(usize::MAX),
            workarounds: Workarounds::parse(settings.get(key::IMAP_CLIENT_WORKAROUNDS))?,
            capability: text(key::IMAP_CAPABILITY),
            logout_format: text(key::IMAP_LOGOUT_FORMAT),
            id_send: text(key::IMAP_ID_SEND),
            id_log: text(key::IMAP_ID_LOG),
            fetch_failure: FetchFailure::parse(failure)
                .ok_or_else(|| format!("imap_fetch_failure: Invalid value: {failure}"))?,
            idle_notify_interval: settings.get(key::IMAP_IDLE_NOTIFY_INTERVAL),
            idle_check_interval: settings.get(key::MAILBOX_IDLE_CHECK_INTERVAL),
            keyword_bytes_max: usize::try_from(settings.get(key::MAIL_MAX_KEYWORD_LENGTH))
                .unwrap_or(usize::MAX),
            literal_minus: settings.get(key::IMAP_LITERAL_MINUS),
        })
    }
}

impl Default for ImapSettings {
    /// Dovecot 2.3's defaults.
    fn default() -> Self {
        Self {
            max_line_bytes: 64 * 1024,
            workarounds: Workarounds::default(),
            capability: String::new(),
            logout_format: "in=%i out=%o deleted=%{deleted} expunged=%{expunged} trashed=%{trashed} \
                hdr_count=%{fetch_hdr_count} hdr_bytes=%{fetch_hdr_bytes} \
                body_count=%{fetch_body_count} body_bytes=%{fetch_body_bytes}"
                .to_owned(),
            id_send: "name *".to_owned(),
            id_log: String::new(),
            fetch_failure: FetchFailure::default(),
            idle_notify_interval: Duration::from_secs(120),
            idle_check_interval: Duration::from_secs(30),
            keyword_bytes_max: 50,
            literal_minus: false,
        }
    }
}

impl Workarounds {
    /// Parses the setting: words with spaces between them; unknown ones come back as an error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut workarounds = Self::default();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            match word {
                "delay-newmail" => workarounds.delay_newmail = true,
                "tb-extra-mailbox-sep" => workarounds.tb_extra_mailbox_sep = true,
                "tb-lsub-flags" => workarounds.tb_lsub_flags = true,
                _ => return Err(format!("imap_client_workarounds: Unknown client workaround: {word}")),
            }
        }
        Ok(workarounds)
    }
}

impl FetchFailure {
    /// Parses the setting; `None` for a word that is none.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "disconnect-immediately" => Self::DisconnectImmediately,
            "disconnect-after" => Self::DisconnectAfter,
            "no-after" => Self::NoAfter,
            _ => return None,
        })
    }
}
