//! Runs a whole mail server for a test: ours, or the original, chosen by `UNDER_TEST=ours|dovecot`,
//! in a temporary directory, on free loopback ports, stopped when the [`Host`] is dropped.
//!
//! A development crate: nothing that is installed imports it.

pub mod cert;
pub mod client;
pub mod exim;
pub mod haproxy;
pub mod host;
pub mod kdc;
pub mod keyvalue;
pub mod mariadb;
pub mod needs;
pub mod oauth2;
pub mod postfix;
pub mod postgres;
pub mod random;
pub mod sasl_client;
pub mod shared_mail;
pub mod slapd;
pub mod transcript;

pub use client::Client;
pub use exim::Exim;
pub use haproxy::Haproxy;
pub use host::{Builder, Host, Under, free_port};
pub use kdc::Kdc;
pub use keyvalue::{Memcached, Redis};
pub use mariadb::MariaDb;
pub use needs::{needs, wait_for};
pub use oauth2::OAuth2;
pub use postfix::Postfix;
pub use postgres::Postgres;
pub use random::Random;
pub use shared_mail::SharedMail;
pub use slapd::{Slapd, SlapdTls};
