//! What commands work on: the settings, the open INBOX, the counters.

use std::sync::Arc;

use base::Logger;

use crate::maildrop::Maildrop;
use crate::session::Clock;
use crate::settings::Pop3Settings;
use crate::stats::Stats;

/// The part of a session that commands see.
pub struct Context {
    /// The settings that apply.
    pub settings: Arc<Pop3Settings>,
    /// Where log lines go.
    pub log: Logger,
    /// Tells the time.
    pub clock: Clock,
    /// The counters.
    pub stats: Stats,
    /// The messages.
    pub maildrop: Maildrop,
}
