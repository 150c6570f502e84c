//! The dictionary server.

use super::flags::*;
use super::roots::*;
use crate::key::Str;

settings! { Root from super::director::END;
    /// Berkeley DB configuration.
    DICT_DB_CONFIG: Str = "", DICT, NO_EFFECT_YET;
}
