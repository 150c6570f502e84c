//! `auth`: answers logins and lookups over 2.3's client and master protocols, and `auth -w`, its
//! workers, which do what may block.
//!
//! A request goes from a connection ([`client`], [`master`]) through the databases ([`chain`],
//! [`db`]) and back. Everything runs on one thread, but for slow hashes ([`hasher`]) and what
//! workers do ([`workers`], [`worker`]). Nothing here knows about mail.

mod bans;
mod cache;
mod chain;
pub mod checkpassword_reply;
mod client;
mod config;
mod connector;
mod db;
mod delay;
mod exchange;
mod fields;
mod hasher;
mod kerberos;
mod life;
pub mod limits;
mod lines;
mod listing;
mod master;
mod penalty;
mod policy;
pub mod probe;
mod proxy;
mod random;
mod rehash;
mod request;
mod server;
mod tab;
mod template;
mod token;
mod totp;
mod vars;
mod worker;
mod workers;

#[cfg(test)]
mod tests;

/// The processes of this crate: `auth`, which is a worker when started as `auth -w`.
pub fn entries() -> Vec<service::Entry> {
    vec![service::Entry::new("auth", life::open, life::main)]
}
