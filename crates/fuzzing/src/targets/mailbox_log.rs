//! dovecot.mailbox.log, read and continued.

use crate::kit::{Scratch, logger};
use index::fs::{Fs, Permissions};
use index::mailbox_log::{MailboxLog, iter};

pub(crate) fn run(data: &[u8]) {
    let found: Vec<_> = iter(data).collect();
    let scratch = Scratch::new();
    scratch.write("dovecot.mailbox.log", data);
    let path = scratch.path().join("dovecot.mailbox.log");
    let mut log = MailboxLog::new(Fs::default(), path, Permissions::default(), logger());
    let records = log.records().unwrap_or_default();
    assert!(records.len() <= found.len() + data.len());
    if let Some(record) = records.first() {
        let _ = log.append(record, 1_800_000_000);
    }
}
