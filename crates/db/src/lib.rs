//! Databases: SQL on PostgreSQL, MySQL/MariaDB and SQLite; LDAP directories; dictionaries; OAuth 2.0
//! servers; other IMAP servers as judges of passwords; policy servers as judges of logins.
//!
//! The drivers block. They run in processes that do one thing at a time (`auth -w`), or on a thread that
//! does nothing else (`dict`), never on one that serves clients.

pub mod dict;
pub mod http;
pub mod imap;
mod items;
pub mod ldap;
pub mod limits;
pub mod oauth2;
pub mod policy;
pub mod probe;
pub mod sql;
mod stream;
pub mod tls;
