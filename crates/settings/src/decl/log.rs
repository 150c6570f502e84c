//! Where log lines go and what they look like.

use super::flags::HIDDEN;
use super::roots::*;
use crate::key::{Enum, Str};

settings! { Root from super::master::END;
    /// File for errors; `syslog` or `/dev/stderr`.
    LOG_PATH: Str = "syslog", MASTER_SERVICE;
    /// File for information; empty means `log_path`.
    INFO_LOG_PATH: Str = "", MASTER_SERVICE;
    /// File for debugging; empty means `info_log_path`.
    DEBUG_LOG_PATH: Str = "", MASTER_SERVICE;
    /// strftime(3) prefix of lines in log files.
    LOG_TIMESTAMP: Str = "%b %d %H:%M:%S ", MASTER_SERVICE;
    /// Event filter: matching debug events are logged.
    LOG_DEBUG: Str = "", MASTER_SERVICE;
    /// Event filter: a matching error makes the process dump core.
    LOG_CORE_FILTER: Str = "", MASTER_SERVICE;
    /// Facility for syslog.
    SYSLOG_FACILITY: Str = "mail", MASTER_SERVICE;
    /// `text` is 2.3's format; with `json` each line is an object with time, level, process, pid, user,
    /// session and message.
    LOG_FORMAT: Enum = "text:json", MASTER_SERVICE, HIDDEN;
}
