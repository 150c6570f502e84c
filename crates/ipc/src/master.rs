//! doveadm asks the master (`base_dir/master`, root only).

use serde::{Deserialize, Serialize};

/// From doveadm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Query {
    /// `doveadm service status`: all services, or those named.
    Services(Vec<String>),
    /// `doveadm process status`: processes of all services, or of those named.
    Processes(Vec<String>),
    /// `doveadm service stop`: stop these services until the next reload.
    StopServices(Vec<String>),
}

/// From the master. A list ends with [`Answer::End`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// One service.
    Service(Box<Service>),
    /// One process.
    Process(Process),
    /// What could not be done, in words for the administrator.
    Failed(String),
    /// That was all.
    End,
}

/// A service's figures, under the names that `doveadm service status` prints.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of doveadm's output")]
pub struct Service {
    pub name: String,
    pub process_count: u32,
    pub process_avail: u32,
    pub process_limit: u32,
    pub client_limit: u32,
    pub throttle_secs: u32,
    pub exit_failure_last: u64,
    pub exit_failures_in_sec: u32,
    pub last_drop_warning: u64,
    pub listen_pending: bool,
    pub listening: bool,
    pub doveadm_stop: bool,
    pub process_total: u64,
}

/// A process's figures, under the names that `doveadm process status` prints.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of doveadm's output")]
pub struct Process {
    pub name: String,
    pub pid: u32,
    pub available_count: u32,
    pub total_count: u32,
    pub idle_start: u64,
    pub last_status_update: u64,
    pub last_kill_sent: u64,
}
