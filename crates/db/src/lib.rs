//! Databases: SQL on SQLite and MySQL/MariaDB. LDAP and dict come later.
//!
//! The drivers block. They run in processes that do one thing at a time (`auth -w`, `dict`), never
//! on a thread that serves clients.

pub mod limits;
pub mod sql;
