//! The processes that others lean on: `log` writes what all say, `anvil` knows who is connected,
//! `config` reads the configuration. A module each, which know nothing of one another.

mod limits;

pub mod anvil;
pub mod log;
