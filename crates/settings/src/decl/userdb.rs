//! `userdb {}`: one place to look up where a user's mail is.

use super::roots::AUTH;
use crate::key::{Enum, Str};

settings! { Userdb from 0;
    /// Name for log lines.
    NAME: Str = "", AUTH;
    /// Which kind of database.
    DRIVER: Str = "", AUTH;
    /// Parameters of the driver.
    ARGS: Str = "", AUTH;
    /// Fields that hold unless the database gives them.
    DEFAULT_FIELDS: Str = "", AUTH;
    /// Fields that hold whatever the database gives.
    OVERRIDE_FIELDS: Str = "", AUTH;
    /// When to skip this database.
    SKIP: Enum = "never:found:notfound", AUTH;
    /// What follows when the user is found.
    RESULT_SUCCESS: Enum = "return-ok:return:return-fail:continue:continue-ok:continue-fail", AUTH;
    /// What follows when the user is unknown.
    RESULT_FAILURE: Enum = "continue:return:return-ok:return-fail:continue-ok:continue-fail", AUTH;
    /// What follows when the lookup failed.
    RESULT_INTERNALFAIL: Enum = "continue:return:return-ok:return-fail:continue-ok:continue-fail", AUTH;
    /// Whether failures are logged.
    AUTH_VERBOSE: Enum = "default:yes:no", AUTH;
}
