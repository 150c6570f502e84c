//! QUIT (RFC 1939 §6): the one moment at which messages are deleted.

use crate::context::Context;
use crate::job::Start;
use crate::out::OutBuf;
use crate::reply::storage_error;

pub(super) fn start(context: &mut Context, out: &mut OutBuf) -> Start {
    let (settings, maildrop) = (&context.settings, &mut context.maildrop);
    if let Err(error) = maildrop.update(settings.delete_type, settings.deleted_flag.as_deref()) {
        let reason = storage_error(&error, &context.log, out);
        return Start::Close(reason.unwrap_or("Storage error during logout.").to_owned());
    }
    match maildrop.deleted() {
        (0, _) => out.line(format_args!("+OK Logging out.")),
        _ => out.line(format_args!("+OK Logging out, messages deleted.")),
    }
    Start::Close("Logged out".to_owned())
}
