//! Statistics, old and new.

use super::flags::*;
use super::roots::*;
use crate::key::{Size, Str, Time};

settings! { Root from super::dict::END;
    /// Socket that events go to.
    STATS_WRITER_SOCKET_PATH: Str = "stats-writer", MASTER_SERVICE, NO_EFFECT_YET;
    /// Directory for transcripts of statistics sent by HTTP.
    STATS_HTTP_RAWLOG_DIR: Str = "", STATS, NO_EFFECT_YET;
    /// Memory of the old statistics.
    OLD_STATS_MEMORY_LIMIT: Size = "16 M", OLD_STATS, NO_EFFECT_YET;
    /// How long commands are remembered.
    OLD_STATS_COMMAND_MIN_TIME: Time = "1 mins", OLD_STATS, NO_EFFECT_YET;
    /// How long sessions are remembered.
    OLD_STATS_SESSION_MIN_TIME: Time = "15 mins", OLD_STATS, NO_EFFECT_YET;
    /// How long users are remembered.
    OLD_STATS_USER_MIN_TIME: Time = "1 hours", OLD_STATS, NO_EFFECT_YET;
    /// How long domains are remembered.
    OLD_STATS_DOMAIN_MIN_TIME: Time = "12 hours", OLD_STATS, NO_EFFECT_YET;
    /// How long addresses are remembered.
    OLD_STATS_IP_MIN_TIME: Time = "12 hours", OLD_STATS, NO_EFFECT_YET;
    /// Carbon server to report to.
    OLD_STATS_CARBON_SERVER: Str = "", OLD_STATS, NO_EFFECT_YET;
    /// How often to report.
    OLD_STATS_CARBON_INTERVAL: Time = "30 secs", OLD_STATS, NO_EFFECT_YET;
    /// Name to report under.
    OLD_STATS_CARBON_NAME: Str = "", OLD_STATS, NO_EFFECT_YET;
}
