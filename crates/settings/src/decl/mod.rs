//! Where each setting is declared: once, in the file of its area. Name, type, default, a sentence,
//! the parts of 2.3 that read it, and flags. Everything else that knows settings reads these
//! tables: parser, `doveconf`, the reference page, completions.

use std::sync::LazyLock;

use crate::value::Value;

/// Declares settings of one kind of section. Each gives a constant [`crate::key::Key`] and a
/// [`Decl`] in `DECLS`; `END` is where the next area's numbers start.
macro_rules! settings {
    ($section:ident from $base:expr;
     $($(#[doc = $doc:literal])+ $id:ident: $ty:ty = $default:literal, $roots:expr $(, $flags:expr)?;)+) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u16)]
        enum Index { $($id,)+ }
        const BASE: u16 = $base;
        pub(crate) const DECLS: &[crate::decl::Decl] = &[$(crate::decl::Decl {
            name: crate::decl::lower_name!($id),
            kind: <$ty as crate::key::SettingType>::KIND,
            default: $default,
            doc: &[$($doc),+],
            roots: $roots,
            flags: 0 $(| $flags)?,
        },)+];
        #[allow(dead_code)]
        pub(crate) const END: u16 = BASE + DECLS.len() as u16;
        $($(#[doc = $doc])+
        pub const $id: crate::key::Key<$ty> =
            crate::key::Key::new(crate::decl::SectionKind::$section, BASE + Index::$id as u16);)+
    };
}

/// `MAIL_LOCATION` becomes `"mail_location"` while compiling.
macro_rules! lower_name {
    ($id:ident) => {{
        const LEN: usize = stringify!($id).len();
        const BYTES: [u8; LEN] = crate::decl::lower::<LEN>(stringify!($id));
        match core::str::from_utf8(&BYTES) {
            Ok(name) => name,
            Err(_) => panic!("a setting's name is ASCII"),
        }
    }};
}
pub(crate) use lower_name;

pub mod auth;
pub mod dict;
pub mod director;
pub mod doveadm;
pub mod event_exporter;
pub mod fifo_listener;
pub mod imap;
pub mod imapc;
pub mod inet_listener;
pub mod lda;
pub mod lmtp;
pub mod log;
pub mod login;
pub mod mail;
pub mod mailbox;
pub mod maildir;
pub mod managesieve;
pub mod master;
pub mod mbox;
pub mod mdbox;
pub mod metric;
pub mod namespace;
pub mod passdb;
pub mod pop3;
pub mod pop3c;
pub mod replication;
pub mod service;
pub mod services;
pub mod ssl;
pub mod stats;
pub mod submission;
pub mod unix_listener;
pub mod userdb;

/// One setting.
#[derive(Debug)]
pub struct Decl {
    /// Its name in the configuration.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The default as it would be written; for [`Kind::Enum`] all choices, the default first.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static [&'static str],
    /// The parts of 2.3 that read it, see [`roots`].
    pub roots: u64,
    /// See [`flags`].
    pub flags: u8,
}

impl Decl {
    /// Whether a flag of [`flags`] is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The choices of an enumeration, the default first; empty for all other kinds.
    pub fn choices(&self) -> impl Iterator<Item = &'static str> {
        (self.kind == Kind::Enum).then(|| self.default.split(':')).into_iter().flatten()
    }

    /// What the setting does, as one text.
    pub fn description(&self) -> String {
        self.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A number of 32 bits.
    Uint,
    /// A size in bytes, `10 M`.
    Size,
    /// A time in whole seconds, `2 mins`.
    Time,
    /// A time in milliseconds.
    Millis,
    /// A mode, octal if it starts with 0.
    Octal,
    /// A port, 0 for none.
    Port,
    /// Any text.
    Str,
    /// One of a few words.
    Enum,
}

/// Flags of a [`Decl`].
pub mod flags {
    /// Only processes in [`crate::secrets`] may see the value.
    pub const SECRET: u8 = 1;
    /// Known, but without effect in this release.
    pub const NO_EFFECT_YET: u8 = 2;
    /// `doveconf -a` shows it only when it is set.
    pub const HIDDEN: u8 = 4;
    /// There is no default: unset and empty differ.
    pub const UNSET: u8 = 8;
    /// Holds `%` variables that are expanded per user or connection.
    pub const VARIABLES: u8 = 16;
}

/// The parts of 2.3 that read settings. `doveconf -m` selects by them.
pub mod roots {
    macro_rules! roots {
        ($($name:ident = $bit:literal, $module:literal;)+) => {
            $(#[doc = concat!("Settings of `", $module, "`.")] pub const $name: u64 = 1 << $bit;)+
            /// Each part with the module name that selects it.
            pub const MODULES: &[(&str, u64)] = &[$(($module, $name)),+];
        };
    }
    roots! {
        MASTER_SERVICE = 0, "master";
        MASTER = 1, "master";
        SSL_BASE = 2, "ssl";
        SSL_SERVER = 3, "ssl-server";
        AUTH = 4, "auth";
        DICT = 5, "dict";
        DIRECTOR = 6, "director";
        DOVEADM = 7, "doveadm";
        IMAP_LOGIN = 8, "imap-login";
        IMAP_URLAUTH_LOGIN = 9, "imap-urlauth-login";
        IMAP_URLAUTH = 10, "imap-urlauth";
        IMAP_URLAUTH_WORKER = 11, "imap-urlauth-worker";
        IMAP = 12, "imap";
        LDA = 13, "lda";
        SUBMIT = 14, "smtp-submit";
        MDBOX = 15, "mdbox";
        IMAPC = 16, "imapc";
        MAILDIR = 17, "maildir";
        MBOX = 18, "mbox";
        POP3C = 19, "pop3c";
        MAIL = 20, "mail";
        MAIL_USER = 21, "mail";
        LMTP = 22, "lmtp";
        LOGIN = 23, "login";
        OLD_STATS = 24, "stats";
        QUOTA_STATUS = 25, "mail";
        POP3_LOGIN = 26, "pop3-login";
        POP3 = 27, "pop3";
        AGGREGATOR = 28, "aggregator";
        REPLICATOR = 29, "replicator";
        STATS = 30, "stats";
        SUBMISSION_LOGIN = 31, "submission-login";
        SUBMISSION = 32, "submission";
        MANAGESIEVE_LOGIN = 33, "managesieve-login";
        MANAGESIEVE = 34, "managesieve";
    }

    /// What reading mail needs.
    const MAIL_ALL: u64 = MDBOX | IMAPC | MAILDIR | MBOX | POP3C | MAIL | MAIL_USER;

    /// All parts that a process needs which was started as one of `modules`.
    pub fn wanted(modules: &[impl AsRef<str>]) -> u64 {
        let own = MODULES.iter().filter(|(name, _)| modules.iter().any(|module| module.as_ref() == *name));
        own.fold(MASTER_SERVICE, |all, (_, root)| all | root | needs(*root))
    }

    fn needs(root: u64) -> u64 {
        match root {
            SSL_SERVER => SSL_BASE,
            DOVEADM | IMAP_URLAUTH_WORKER | POP3 | SUBMISSION | MANAGESIEVE | MAIL_USER => MAIL_ALL,
            IMAP | LDA => MAIL_ALL | SUBMIT,
            LMTP => MAIL_ALL | SUBMIT | LDA,
            IMAP_LOGIN | POP3_LOGIN | SUBMISSION_LOGIN | IMAP_URLAUTH_LOGIN | MANAGESIEVE_LOGIN => LOGIN,
            _ => 0,
        }
    }
}

/// The kinds of sections that hold settings. Filters are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum SectionKind {
    /// The configuration itself.
    Root,
    /// `service NAME {}`.
    Service,
    /// `unix_listener PATH {}` in a service.
    UnixListener,
    /// `fifo_listener PATH {}` in a service.
    FifoListener,
    /// `inet_listener NAME {}` in a service.
    InetListener,
    /// `passdb {}`.
    Passdb,
    /// `userdb {}`.
    Userdb,
    /// `namespace NAME {}`.
    Namespace,
    /// `mailbox NAME {}` in a namespace.
    Mailbox,
    /// `metric NAME {}`.
    Metric,
    /// `event_exporter NAME {}`.
    EventExporter,
}

/// All settings outside sections, in the order of their numbers.
static ROOT: LazyLock<Vec<&'static Decl>> = LazyLock::new(|| {
    [
        auth::DECLS,
        master::DECLS,
        log::DECLS,
        ssl::DECLS,
        login::DECLS,
        mail::DECLS,
        maildir::DECLS,
        mbox::DECLS,
        mdbox::DECLS,
        imapc::DECLS,
        pop3c::DECLS,
        imap::DECLS,
        pop3::DECLS,
        lda::DECLS,
        lmtp::DECLS,
        doveadm::DECLS,
        director::DECLS,
        dict::DECLS,
        stats::DECLS,
        replication::DECLS,
        submission::DECLS,
        managesieve::DECLS,
    ]
    .into_iter()
    .flatten()
    .collect()
});

impl SectionKind {
    /// Every kind but [`SectionKind::Root`].
    pub const ALL: [Self; 10] = [
        Self::Service,
        Self::UnixListener,
        Self::FifoListener,
        Self::InetListener,
        Self::Passdb,
        Self::Userdb,
        Self::Namespace,
        Self::Mailbox,
        Self::Metric,
        Self::EventExporter,
    ];

    /// The word that starts such a section.
    pub fn word(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Service => "service",
            Self::UnixListener => "unix_listener",
            Self::FifoListener => "fifo_listener",
            Self::InetListener => "inet_listener",
            Self::Passdb => "passdb",
            Self::Userdb => "userdb",
            Self::Namespace => "namespace",
            Self::Mailbox => "mailbox",
            Self::Metric => "metric",
            Self::EventExporter => "event_exporter",
        }
    }

    /// What such a section stands in.
    pub fn parent(self) -> Self {
        match self {
            Self::UnixListener | Self::FifoListener | Self::InetListener => Self::Service,
            Self::Mailbox => Self::Namespace,
            _ => Self::Root,
        }
    }

    /// The kinds of section that may stand in this one.
    pub fn children(self) -> &'static [Self] {
        match self {
            Self::Root => &[
                Self::Service,
                Self::Passdb,
                Self::Userdb,
                Self::Namespace,
                Self::Metric,
                Self::EventExporter,
            ],
            Self::Service => &[Self::UnixListener, Self::FifoListener, Self::InetListener],
            Self::Namespace => &[Self::Mailbox],
            _ => &[],
        }
    }

    /// The child that starts with `word`.
    pub fn child(self, word: &str) -> Option<Self> {
        self.children().iter().copied().find(|kind| kind.word() == word)
    }

    /// Whether two sections of one name are the same one. Passdbs and userdbs are just a list.
    pub fn is_unique(self) -> bool {
        !matches!(self, Self::Passdb | Self::Userdb)
    }

    /// Which parts of 2.3 read such sections.
    pub fn roots(self) -> u64 {
        match self {
            Self::Root => u64::MAX,
            Self::Service | Self::UnixListener | Self::FifoListener | Self::InetListener => roots::MASTER,
            Self::Passdb | Self::Userdb => roots::AUTH,
            Self::Namespace | Self::Mailbox => roots::MAIL_USER,
            Self::Metric | Self::EventExporter => roots::STATS,
        }
    }

    /// The settings of such a section, by number.
    pub fn decls(self) -> Decls {
        match self {
            Self::Root => Decls::Root(&ROOT),
            Self::Service => Decls::Section(service::DECLS),
            Self::UnixListener => Decls::Section(unix_listener::DECLS),
            Self::FifoListener => Decls::Section(fifo_listener::DECLS),
            Self::InetListener => Decls::Section(inet_listener::DECLS),
            Self::Passdb => Decls::Section(passdb::DECLS),
            Self::Userdb => Decls::Section(userdb::DECLS),
            Self::Namespace => Decls::Section(namespace::DECLS),
            Self::Mailbox => Decls::Section(mailbox::DECLS),
            Self::Metric => Decls::Section(metric::DECLS),
            Self::EventExporter => Decls::Section(event_exporter::DECLS),
        }
    }

    /// The number of the setting that holds the section's own name.
    pub fn name_index(self) -> Option<u16> {
        // Invariant: each section's table starts with it.
        (self != Self::Root).then_some(0)
    }

    /// The number of a setting by its name; other names for it count.
    pub fn index_of(self, name: &str) -> Option<u16> {
        let name = ALIASES
            .iter()
            .find(|(kind, alias, _)| *kind == self && *alias == name)
            .map_or(name, |(_, _, real)| real);
        if self == Self::Root {
            return ROOT_NAMES.get(name).copied();
        }
        self.decls().iter().position(|decl| decl.name == name).and_then(|at| u16::try_from(at).ok())
    }

    /// The declaration of a setting by its number.
    ///
    /// # Panics
    /// If there is no such number, which only a mistake in this crate can bring about.
    pub fn decl(self, index: u16) -> &'static Decl {
        self.decls().at(index.into())
    }

    /// The defaults of all settings of such a section, by number.
    pub fn defaults(self) -> &'static [Value] {
        static DEFAULTS: LazyLock<Vec<Vec<Value>>> = LazyLock::new(|| {
            let mut all = vec![defaults_of(SectionKind::Root)];
            all.extend(SectionKind::ALL.iter().map(|kind| defaults_of(*kind)));
            all
        });
        &DEFAULTS[self as usize]
    }
}

/// Settings by number.
#[derive(Debug, Clone, Copy)]
pub enum Decls {
    /// Those outside sections, from several tables.
    Root(&'static [&'static Decl]),
    /// Those of a section.
    Section(&'static [Decl]),
}

impl Decls {
    /// How many there are.
    pub fn len(self) -> usize {
        match self {
            Self::Root(all) => all.len(),
            Self::Section(all) => all.len(),
        }
    }

    /// Never: each section has settings.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = &'static Decl> {
        (0..self.len()).map(move |at| self.at(at))
    }

    fn at(self, index: usize) -> &'static Decl {
        match self {
            Self::Root(all) => all[index],
            Self::Section(all) => &all[index],
        }
    }
}

fn defaults_of(kind: SectionKind) -> Vec<Value> {
    let default = |decl: &'static Decl| {
        let text = decl.choices().next().unwrap_or(decl.default);
        Value::parse(decl, text).unwrap_or_else(|error| panic!("{} = {text}: {error}", decl.name))
    };
    kind.decls().iter().map(default).collect()
}

/// Other names for settings.
const ALIASES: &[(SectionKind, &str, &str)] = &[
    (SectionKind::Root, "mail", "mail_location"),
    (SectionKind::Root, "doveadm_proxy_port", "doveadm_port"),
    (SectionKind::Namespace, "mail", "location"),
    (SectionKind::Namespace, "mail_location", "location"),
];

static ROOT_NAMES: LazyLock<std::collections::HashMap<&'static str, u16>> =
    LazyLock::new(|| (0u16..).zip(ROOT.iter()).map(|(index, decl)| (decl.name, index)).collect());

/// Sections that hold names and values of anyone's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum MapKind {
    /// `plugin {}`.
    Plugin,
    /// `dict {}`.
    Dict,
}

impl MapKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Plugin, Self::Dict];

    /// The word that starts the section.
    pub fn word(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Dict => "dict",
        }
    }

    /// The section that starts with `word`.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Which parts of 2.3 read it.
    pub fn roots(self) -> u64 {
        match self {
            Self::Plugin => roots::MAIL_USER | roots::DOVEADM,
            Self::Dict => roots::DICT,
        }
    }
}

pub(crate) const fn lower<const LEN: usize>(name: &str) -> [u8; LEN] {
    let (bytes, mut out, mut at) = (name.as_bytes(), [0; LEN], 0);
    while at < LEN {
        out[at] = bytes[at].to_ascii_lowercase();
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_valid_and_every_name_unique() {
        for kind in [SectionKind::Root].into_iter().chain(SectionKind::ALL) {
            assert_eq!(kind.defaults().len(), kind.decls().len());
            for (index, decl) in (0u16..).zip(kind.decls().iter()) {
                assert_eq!(kind.index_of(decl.name), Some(index), "{}", decl.name);
                assert!(!decl.description().is_empty(), "{}", decl.name);
            }
        }
    }

    #[test]
    fn keys_lead_to_their_declarations() {
        assert_eq!(SectionKind::Root.decl(mail::MAIL_LOCATION.index()).name, "mail_location");
        assert_eq!(
            SectionKind::Root.decl(managesieve::MANAGESIEVE_LOGOUT_FORMAT.index()).name,
            "managesieve_logout_format"
        );
        assert_eq!(SectionKind::Service.decl(service::VSZ_LIMIT.index()).name, "vsz_limit");
        assert_eq!(SectionKind::Root.index_of("mail"), SectionKind::Root.index_of("mail_location"));
    }
}
