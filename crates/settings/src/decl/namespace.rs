//! `namespace NAME {}`: a part of the mailbox tree.

use super::flags::{UNSET, VARIABLES};
use super::roots::MAIL_USER;
use crate::key::{Enum, Str};

settings! { Namespace from 0;
    /// Name of the namespace, from the section.
    NAME: Str = "", MAIL_USER;
    /// Whose mail it is.
    TYPE: Enum = "private:shared:public", MAIL_USER;
    /// Hierarchy separator; empty takes the storage's own.
    SEPARATOR: Str = "", MAIL_USER;
    /// What its mailbox names start with.
    PREFIX: Str = "", MAIL_USER, VARIABLES;
    /// Where its mail is; empty means `mail_location`.
    LOCATION: Str = "", MAIL_USER, VARIABLES;
    /// Prefix of the namespace that this one shows again.
    ALIAS_FOR: Str = "", MAIL_USER, UNSET | VARIABLES;
    /// Whether it holds INBOX.
    INBOX: bool = "no", MAIL_USER;
    /// Whether NAMESPACE leaves it out.
    HIDDEN: bool = "no", MAIL_USER;
    /// Whether LIST shows it.
    LIST: Enum = "yes:no:children", MAIL_USER;
    /// Whether it holds its own subscriptions.
    SUBSCRIPTIONS: bool = "yes", MAIL_USER;
    /// Goes on without it when it cannot be opened.
    IGNORE_ON_FAILURE: bool = "no", MAIL_USER;
    /// Turns it off.
    DISABLED: bool = "no", MAIL_USER;
    /// Place in the list of namespaces.
    ORDER: u64 = "0", MAIL_USER;
}
