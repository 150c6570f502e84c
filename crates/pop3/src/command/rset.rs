//! RSET (RFC 1939 §5): nothing is to be deleted; where LAST is offered, nothing was read either.

use crate::context::Context;
use crate::job::Start;
use crate::out::OutBuf;
use crate::reply::storage_error;

pub(super) fn start(context: &mut Context, out: &mut OutBuf) -> Start {
    context.maildrop.reset();
    if context.settings.enable_last
        && let Err(error) = context.maildrop.remove_seen()
    {
        return match storage_error(&error, &context.log, out) {
            Some(reason) => Start::Close(reason.to_owned()),
            None => Start::Done,
        };
    }
    out.line(format_args!("+OK"));
    Start::Done
}
