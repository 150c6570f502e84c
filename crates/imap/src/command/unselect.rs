//! CLOSE (RFC 3501 §6.4.2) and UNSELECT (RFC 3691).

use base::UidSet;
use storage::Flags;

use crate::context::Context;
use crate::reply::Answer;

pub(super) fn close(context: &mut Context) -> Answer {
    let Some(mut selected) = context.selected.take() else { return Answer::bad(crate::context::NO_MAILBOX) };
    if selected.is_readonly() {
        return Answer::ok("Close completed");
    }
    let deleted = selected.view.records().filter(|record| record.flags.has(Flags::DELETED));
    let deleted: UidSet = deleted.map(|record| record.uid).collect();
    if deleted.is_empty() {
        return Answer::ok("Close completed");
    }
    match selected.mailbox.expunge(&deleted) {
        Ok(_) => {
            context.stats.expunged += deleted.len();
            Answer::ok("Close completed")
        }
        Err(error) => {
            let text = context.failed(&error, Answer::of_error).text;
            Answer::ok(format!("Closed without expunging: {text}"))
        }
    }
}

pub(super) fn unselect(context: &mut Context) -> Answer {
    context.selected = None;
    Answer::ok("Unselect completed")
}
