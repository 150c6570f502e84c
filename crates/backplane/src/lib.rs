//! The processes that others lean on: `log` writes what all say, `anvil` knows who is connected,
//! `config` reads the configuration, `dict` reads dictionaries, `script-login` runs post-login scripts. A
//! module each, which know nothing of one another.

mod limits;
mod listen;

pub mod anvil;
pub mod config;
mod dict;
pub mod log;
pub mod probe;
pub mod script_login;

/// The processes of this crate.
pub fn entries() -> Vec<service::Entry> {
    vec![anvil::entry(), config::entry(), dict::entry(), log::entry(), script_login::entry()]
}
