//! The processes that others lean on: `log` writes what all say, `anvil` knows who is connected,
//! `config` reads the configuration. A module each, which know nothing of one another.

mod limits;
mod listen;

pub mod anvil;
pub mod config;
pub mod log;

/// The processes of this crate.
pub fn entries() -> Vec<service::Entry> {
    vec![anvil::entry(), config::entry(), log::entry()]
}
