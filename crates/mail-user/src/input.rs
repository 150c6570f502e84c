//! What is needed to make a [`MailUser`](crate::MailUser): who it is and which settings apply, as
//! values, after `%` variables have been expanded and userdb fields have overridden settings.

use std::path::PathBuf;

use base::Logger;
use storage::MailSettings;

/// Who the user is. The process already runs under the user's uid and gid.
#[derive(Clone, Debug)]
pub struct MailUserInput {
    /// The full user name.
    pub username: String,
    /// `imap`, `pop3`, `lda`, `lmtp`, `doveadm` …
    pub service: String,
    /// The session id of the log lines; empty for tools.
    pub session_id: String,
    /// The home directory, if userdb gave one.
    pub home: Option<PathBuf>,
    /// The settings that apply to this user and service.
    pub settings: UserSettings,
    /// Where the log lines go.
    pub logger: Logger,
}

/// The settings of one user, named as in the configuration.
#[derive(Clone, Debug, Default)]
pub struct UserSettings {
    /// `mail_location`, expanded; empty means auto-detection as in 2.3.
    pub mail_location: String,
    /// `mail_*` and `maildir_*` settings for the storages.
    pub mail: MailSettings,
    /// `namespace {}` blocks. Empty gives 2.3's built-in default: one private namespace with INBOX.
    pub namespaces: Vec<NamespaceSettings>,
}

/// One `namespace name {}` block.
#[derive(Clone, Debug)]
pub struct NamespaceSettings {
    /// The block's name; `alias_for` and `mailbox` blocks do not use it.
    pub name: String,
    /// `type`
    pub kind: NamespaceType,
    /// `separator`; empty means the storage's own.
    pub separator: String,
    /// `prefix`, expanded, with the separator at its end.
    pub prefix: String,
    /// `location`, expanded; empty means `mail_location`.
    pub location: String,
    /// `alias_for`: the prefix of the namespace of which this is another name.
    pub alias_for: Option<String>,
    /// `inbox`
    pub inbox: bool,
    /// `hidden`
    pub hidden: bool,
    /// `list`
    pub list: NamespaceList,
    /// `subscriptions`
    pub subscriptions: bool,
    /// `ignore_on_failure`
    pub ignore_on_failure: bool,
    /// `disabled`
    pub disabled: bool,
    /// `order`
    pub order: u32,
    /// `mailbox name {}` blocks in it.
    pub mailboxes: Vec<MailboxSettings>,
}

impl NamespaceSettings {
    /// Whether it stands for one namespace of each other user, with variables about that user, which is not
    /// done yet.
    pub fn is_of_others(&self) -> bool {
        self.kind == NamespaceType::Shared && self.prefix.contains('%')
    }
}

impl Default for NamespaceSettings {
    /// Dovecot 2.3's defaults of a namespace block.
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: NamespaceType::Private,
            separator: String::new(),
            prefix: String::new(),
            location: String::new(),
            alias_for: None,
            inbox: false,
            hidden: false,
            list: NamespaceList::Yes,
            subscriptions: true,
            ignore_on_failure: false,
            disabled: false,
            order: 0,
            mailboxes: Vec::new(),
        }
    }
}

/// `type` of a namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NamespaceType {
    /// The user's own.
    #[default]
    Private,
    /// Other users'.
    Shared,
    /// Everybody's.
    Public,
}

/// `list` of a namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NamespaceList {
    /// Listed.
    #[default]
    Yes,
    /// Not listed unless asked for by its prefix.
    No,
    /// Its mailboxes are listed, the prefix itself only if there are some.
    Children,
}

/// One `mailbox name {}` block.
#[derive(Clone, Debug, Default)]
pub struct MailboxSettings {
    /// Without the namespace's prefix; UTF-8; may hold wildcards for `autoexpunge` only.
    pub name: String,
    /// `auto`
    pub auto: Auto,
    /// `special_use`, each with its backslash: `\Drafts`.
    pub special_use: Vec<String>,
    /// `comment`
    pub comment: String,
    /// `autoexpunge`, in seconds; zero is off.
    pub autoexpunge_secs: u64,
    /// `autoexpunge_max_mails`; zero is no limit.
    pub autoexpunge_max_mails: u64,
}

/// `auto` of a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Auto {
    /// Only if somebody creates it.
    #[default]
    No,
    /// Exists always; made on disk when first used.
    Create,
    /// That, and subscribed.
    Subscribe,
}
