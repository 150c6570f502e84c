//! `passdb {}`: one place to check passwords.

use super::roots::AUTH;
use crate::key::{Enum, Str};

settings! { Passdb from 0;
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
    /// Only for these mechanisms; empty for all.
    MECHANISMS: Str = "", AUTH;
    /// Only for user names that match one of these patterns; `!` excludes.
    USERNAME_FILTER: Str = "", AUTH;
    /// When to skip this database.
    SKIP: Enum = "never:authenticated:unauthenticated", AUTH;
    /// What follows when the password is right.
    RESULT_SUCCESS: Enum = "return-ok:return:return-fail:continue:continue-ok:continue-fail", AUTH;
    /// What follows when the password is wrong or the user unknown.
    RESULT_FAILURE: Enum = "continue:return:return-ok:return-fail:continue-ok:continue-fail", AUTH;
    /// What follows when the lookup failed.
    RESULT_INTERNALFAIL: Enum = "continue:return:return-ok:return-fail:continue-ok:continue-fail", AUTH;
    /// Users found here are refused.
    DENY: bool = "no", AUTH;
    /// Goes on to the next database after success; `result_success` says it better.
    PASS: bool = "no", AUTH;
    /// Users found here may log in as others.
    MASTER: bool = "no", AUTH;
    /// Whether failures are logged.
    AUTH_VERBOSE: Enum = "default:yes:no", AUTH;
}
