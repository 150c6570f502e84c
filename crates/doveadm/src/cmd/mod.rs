//! A file for each command or handful of commands that share their work.

pub(crate) mod auth;
pub(crate) mod config;
pub(crate) mod exec;
pub(crate) mod help;
pub(crate) mod instance;
pub(crate) mod kick;
pub(crate) mod log;
pub(crate) mod master;
pub(crate) mod penalty;
pub(crate) mod pw;
pub(crate) mod selection;
pub(crate) mod status;
pub(crate) mod user;
pub(crate) mod who;
