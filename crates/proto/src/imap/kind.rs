//! The names of commands, and what the reader and the session must know before the arguments are
//! looked at.

/// A command, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the command of its name")]
pub enum CommandKind {
    Capability,
    Noop,
    Logout,
    Id,
    Starttls,
    Authenticate,
    Login,
    Enable,
    Select,
    Examine,
    Create,
    Delete,
    Rename,
    Subscribe,
    Unsubscribe,
    List,
    Lsub,
    Namespace,
    Status,
    Append,
    Idle,
    Check,
    Close,
    Unselect,
    Expunge,
    UidExpunge,
    Search,
    UidSearch,
    Sort,
    UidSort,
    Thread,
    UidThread,
    Fetch,
    UidFetch,
    Store,
    UidStore,
    Copy,
    UidCopy,
    Move,
    UidMove,
}

use CommandKind as K;

const ALWAYS: &[(&str, CommandKind)] = &[
    ("CAPABILITY", K::Capability),
    ("NOOP", K::Noop),
    ("LOGOUT", K::Logout),
    ("ID", K::Id),
    ("ENABLE", K::Enable),
];

const BEFORE_LOGIN: &[(&str, CommandKind)] =
    &[("STARTTLS", K::Starttls), ("AUTHENTICATE", K::Authenticate), ("LOGIN", K::Login)];

const AFTER_LOGIN: &[(&str, CommandKind)] = &[
    ("APPEND", K::Append),
    ("CHECK", K::Check),
    ("CLOSE", K::Close),
    ("COPY", K::Copy),
    ("CREATE", K::Create),
    ("DELETE", K::Delete),
    ("EXAMINE", K::Examine),
    ("EXPUNGE", K::Expunge),
    ("FETCH", K::Fetch),
    ("IDLE", K::Idle),
    ("LIST", K::List),
    ("LSUB", K::Lsub),
    ("MOVE", K::Move),
    ("NAMESPACE", K::Namespace),
    ("RENAME", K::Rename),
    ("SEARCH", K::Search),
    ("SELECT", K::Select),
    ("SORT", K::Sort),
    ("STATUS", K::Status),
    ("STORE", K::Store),
    ("SUBSCRIBE", K::Subscribe),
    ("THREAD", K::Thread),
    ("UID COPY", K::UidCopy),
    ("UID EXPUNGE", K::UidExpunge),
    ("UID FETCH", K::UidFetch),
    ("UID MOVE", K::UidMove),
    ("UID SEARCH", K::UidSearch),
    ("UID SORT", K::UidSort),
    ("UID STORE", K::UidStore),
    ("UID THREAD", K::UidThread),
    ("UNSELECT", K::Unselect),
    ("UNSUBSCRIBE", K::Unsubscribe),
];

/// On which side of the login a connection is: each side has commands of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody knows yet who the client is.
    BeforeLogin,
    /// The client is a user.
    AfterLogin,
}

impl CommandKind {
    /// The command called `name`, which is in upper case, with one space after `UID`.
    pub fn lookup(name: &str, phase: Phase) -> Option<Self> {
        let table = match phase {
            Phase::BeforeLogin => BEFORE_LOGIN,
            Phase::AfterLogin => AFTER_LOGIN,
        };
        ALWAYS.iter().chain(table).find(|(known, _)| *known == name).map(|&(_, kind)| kind)
    }

    /// The name in upper case.
    pub fn name(self) -> &'static str {
        let tables = ALWAYS.iter().chain(BEFORE_LOGIN).chain(AFTER_LOGIN);
        tables.into_iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Whether it has no arguments. As in 2.3, whatever follows the name is then skipped unread.
    pub fn skips_arguments(self) -> bool {
        matches!(
            self,
            K::Capability
                | K::Noop
                | K::Logout
                | K::Starttls
                | K::Namespace
                | K::Idle
                | K::Check
                | K::Close
                | K::Unselect
                | K::Expunge
        )
    }

    /// Whether it is refused unless a mailbox is selected.
    pub fn needs_mailbox(self) -> bool {
        matches!(
            self,
            K::Check
                | K::Close
                | K::Unselect
                | K::Expunge
                | K::UidExpunge
                | K::Search
                | K::UidSearch
                | K::Sort
                | K::UidSort
                | K::Thread
                | K::UidThread
                | K::Fetch
                | K::UidFetch
                | K::Store
                | K::UidStore
                | K::Copy
                | K::UidCopy
                | K::Move
                | K::UidMove
        )
    }
}
