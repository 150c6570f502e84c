//! What a logged-in user has: namespaces of mailboxes over storages, in one facade that `imap`,
//! `pop3`, the delivery agents and `doveadm` share.
//!
//! Mailbox names here are what Dovecot calls vnames: UTF-8, with the namespace's prefix and
//! separator. Protocols turn them into modified UTF-7 themselves (`base::mutf7`).

pub mod attributes;
mod autoexpunge;
mod check;
mod from_settings;
pub mod input;
pub mod list;
pub mod login;
pub mod namespace;
pub mod pattern;
pub mod user;

pub use input::{MailUserInput, MailboxSettings, NamespaceSettings, NamespaceType, UserSettings};
pub use list::{ListEntry, ListOptions, Node};
pub use login::{LoggedIn, Login, Variables, host_name};
pub use namespace::Namespace;
pub use pattern::Pattern;
pub use user::MailUser;
