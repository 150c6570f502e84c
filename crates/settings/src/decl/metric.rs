//! `metric NAME {}`: what the stats process counts.

use super::flags::NO_EFFECT_YET;
use super::roots::STATS;
use crate::key::Str;

settings! { Metric from 0;
    /// Name of the metric, from the section.
    METRIC_NAME: Str = "", STATS;
    /// Fields of events to sum up.
    FIELDS: Str = "", STATS, NO_EFFECT_YET;
    /// Fields to count separately by.
    GROUP_BY: Str = "", STATS, NO_EFFECT_YET;
    /// Which events count.
    FILTER: Str = "", STATS, NO_EFFECT_YET;
    /// Name of the exporter that gets the events.
    EXPORTER: Str = "", STATS, NO_EFFECT_YET;
    /// Parts of events to export.
    EXPORTER_INCLUDE: Str = "name hostname timestamps categories fields", STATS, NO_EFFECT_YET;
    /// Description for people.
    DESCRIPTION: Str = "", STATS, NO_EFFECT_YET;
}
