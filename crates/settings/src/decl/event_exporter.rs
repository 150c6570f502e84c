//! `event_exporter NAME {}`: where events go.

use super::flags::NO_EFFECT_YET;
use super::roots::STATS;
use crate::key::{Millis, Str};

settings! { EventExporter from 0;
    /// Name of the exporter, from the section.
    NAME: Str = "", STATS;
    /// How events travel: `log`, `http-post` or `drop`.
    TRANSPORT: Str = "", STATS, NO_EFFECT_YET;
    /// Parameters of the transport.
    TRANSPORT_ARGS: Str = "", STATS, NO_EFFECT_YET;
    /// Longest wait for the transport.
    TRANSPORT_TIMEOUT: Millis = "250 msecs", STATS, NO_EFFECT_YET;
    /// Shape of events: `none`, `json` or `tab-text`.
    FORMAT: Str = "", STATS, NO_EFFECT_YET;
    /// Parameters of the format.
    FORMAT_ARGS: Str = "", STATS, NO_EFFECT_YET;
}
