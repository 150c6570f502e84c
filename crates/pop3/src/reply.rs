//! What clients are told of errors: the one place where they become response codes.

use base::Logger;
use storage::{Error, ErrorKind};

use crate::out::OutBuf;

/// Tells client and administrator what went wrong with the mailbox. Gives the reason to end the
/// session with if it cannot go on.
pub fn storage_error(error: &Error, log: &Logger, out: &mut OutBuf) -> Option<&'static str> {
    if error.is_internal() {
        log.error(base::chain(error));
    }
    if matches!(error, Error::MailboxGone(_)) {
        out.line(format_args!("-ERR [SYS/TEMP] Mailbox is in inconsistent state, please relogin."));
        return Some("Mailbox is in inconsistent state.");
    }
    let code = match error.kind() {
        ErrorKind::Temporary | ErrorKind::Quota | ErrorKind::InUse => "SYS/TEMP",
        _ => "SYS/PERM",
    };
    out.line(format_args!("-ERR [{code}] {}", error.client_text()));
    None
}
