//! SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2).

use proto::imap::MailboxName;
use storage::{OpenMode, SyncMode};

use crate::context::Context;
use crate::out::OutBuf;
use crate::reply::Answer;
use crate::selected::Selected;

pub(super) fn run(
    context: &mut Context,
    mailbox: &MailboxName,
    examine: bool,
    out: &mut OutBuf,
) -> Result<Answer, Answer> {
    close(context, out);
    let name = context.name(mailbox);
    let selected =
        open(context, &name, examine).map_err(|error| context.failed(&error, Answer::of_open_error))?;
    put_responses(&selected, out);
    let (code, text) = match (examine, selected.is_readonly()) {
        (true, _) => ("READ-ONLY", "Examine completed"),
        (false, true) => ("READ-ONLY", "Select completed"),
        (false, false) => ("READ-WRITE", "Select completed"),
    };
    context.selected = Some(selected);
    Ok(Answer::ok(text).code(code))
}

/// Ends the selection before another begins.
pub fn close(context: &mut Context, out: &mut OutBuf) {
    if context.selected.take().is_some() {
        out.put(b"* OK [CLOSED] Previous mailbox closed.\r\n");
    }
}

fn open(context: &Context, name: &str, examine: bool) -> storage::Result<Selected> {
    let mode = if examine { OpenMode::ReadOnly } else { OpenMode::ReadWrite };
    let mut mailbox = context.user.open_mailbox(name, mode)?;
    let view = mailbox.sync(SyncMode::Quick)?;
    Ok(Selected::new(mailbox, name.to_owned(), view, examine))
}

fn put_responses(selected: &Selected, out: &mut OutBuf) {
    let view = &selected.view;
    selected.put_flag_lists(out, view);
    out.line(format_args!("* {} EXISTS", view.len()));
    out.line(format_args!("* {} RECENT", selected.recent()));
    if let Some(seq) = view.first_unseen() {
        out.line(format_args!("* OK [UNSEEN {seq}] First unseen."));
    }
    out.line(format_args!("* OK [UIDVALIDITY {}] UIDs valid", view.uid_validity()));
    out.line(format_args!("* OK [UIDNEXT {}] Predicted next UID", view.uid_next()));
}
