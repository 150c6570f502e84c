//! DELE (RFC 1939 §5): a message is to be deleted when the client quits.

use crate::command::message;
use crate::context::Context;
use crate::job::Start;
use crate::out::OutBuf;

pub(super) fn start(context: &mut Context, args: &[u8], out: &mut OutBuf) -> Start {
    let (index, _) = match message(context, args, false, out) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    context.maildrop.delete(index);
    out.line(format_args!("+OK Marked to be deleted."));
    Start::Done
}
