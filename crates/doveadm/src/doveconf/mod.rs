//! `doveconf`: shows the configuration as it was understood, in a form that it and Dovecot 2.3
//! read back. `dovecot -n`, `dovecot -a` and `doveadm config` use the same code.

mod command;
mod hide;
mod show;
mod sysinfo;

pub(crate) use command::OPTIONS;
pub use command::{main, run};
pub use show::{Scope, Show, one, whole};
pub use sysinfo::header;
