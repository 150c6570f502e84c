//! Replication.

use super::flags::*;
use super::roots::*;
use crate::key::{Port, Str, Time};

settings! { Root from super::stats::END;
    /// Host or socket of the replicator.
    REPLICATOR_HOST: Str = "replicator", AGGREGATOR, NO_EFFECT_YET;
    /// Its port.
    REPLICATOR_PORT: Port = "0", AGGREGATOR, NO_EFFECT_YET;
    /// Parameters for dsync.
    REPLICATION_DSYNC_PARAMETERS: Str = "-d -N -l 30 -U", REPLICATOR, NO_EFFECT_YET;
    /// How often to sync fully.
    REPLICATION_FULL_SYNC_INTERVAL: Time = "1 days", REPLICATOR, NO_EFFECT_YET;
    /// Most syncs at once.
    REPLICATION_MAX_CONNS: u64 = "10", REPLICATOR, NO_EFFECT_YET;
}
