//! STATUS (RFC 3501 §6.3.10), also for LIST (RFC 5819).

use proto::imap::MailboxName;
use proto::imap::command::StatusItems as Asked;
use storage::{Status, StatusItems};

use crate::context::Context;
use crate::out::OutBuf;
use crate::reply::Answer;
use crate::selected::put_name;

pub(super) fn run(
    context: &mut Context,
    mailbox: &MailboxName,
    items: Asked,
    out: &mut OutBuf,
) -> Result<Answer, Answer> {
    let name = context.name(mailbox);
    let status = look(context, &name, items);
    let status = status.map_err(|error| context.failed(&error, Answer::of_open_error))?;
    put_status(out, mailbox.as_str(), items, &status);
    Ok(match context.is_selected(&name) {
        true => Answer::ok("Status on selected mailbox completed").code("CLIENTBUG"),
        false => Answer::ok("Status completed"),
    })
}

fn look(context: &mut Context, name: &str, items: Asked) -> storage::Result<Status> {
    let items = wanted(items);
    if context.is_selected(name)
        && let Some(selected) = &mut context.selected
    {
        return selected.mailbox.status(items);
    }
    context.user.status(name, items)
}

/// The storage's words for what was asked.
pub(super) fn wanted(asked: Asked) -> StatusItems {
    let pairs = [
        (asked.messages, StatusItems::MESSAGES),
        (asked.recent, StatusItems::RECENT),
        (asked.uidnext, StatusItems::UID_NEXT),
        (asked.uidvalidity, StatusItems::UID_VALIDITY),
        (asked.unseen, StatusItems::UNSEEN),
        (asked.size, StatusItems::SIZE),
    ];
    pairs
        .into_iter()
        .filter(|(is_asked, _)| *is_asked)
        .fold(StatusItems::default(), |all, (_, item)| all | item)
}

/// Appends the untagged STATUS response.
pub(super) fn put_status(out: &mut OutBuf, name: &str, asked: Asked, status: &Status) {
    let items: [(_, &[u8], u64); 6] = [
        (asked.messages, b"MESSAGES", status.messages.into()),
        (asked.recent, b"RECENT", status.recent.into()),
        (asked.uidnext, b"UIDNEXT", status.uid_next.get().into()),
        (asked.uidvalidity, b"UIDVALIDITY", status.uid_validity.get().into()),
        (asked.unseen, b"UNSEEN", status.unseen.into()),
        (asked.size, b"SIZE", status.size.unwrap_or(0)),
    ];
    out.put(b"* STATUS ");
    put_name(out, name);
    out.put(b" (");
    let asked = items.into_iter().filter(|(is_asked, ..)| *is_asked);
    for (at, (_, name, value)) in asked.enumerate() {
        out.put(if at > 0 { b" " } else { b"" });
        out.put(name);
        out.put(b" ");
        out.number(value);
    }
    out.put(b")\r\n");
}
