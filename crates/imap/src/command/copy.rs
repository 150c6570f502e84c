//! COPY (RFC 3501 §6.4.7) and MOVE (RFC 6851), with COPYUID (RFC 4315 §3).

use base::{Uid, UidSet};
use proto::imap::command::Copy;
use storage::{Copied, CopyMode, Mailbox, OpenMode};

use crate::context::Context;
use crate::out::OutBuf;
use crate::reply::{Answer, Sync};

pub(super) fn copy(context: &mut Context, name: &str, uid: bool, copy: &Copy) -> Result<Answer, Answer> {
    let sync = Sync::after_messages(uid);
    let copied = run(context, name, uid, copy, CopyMode::Copy)?;
    Ok(match copied_code(&copied) {
        None => Answer::ok("No messages found").sync(sync),
        Some(code) => Answer::ok("Copy completed").code(code).sync(sync),
    })
}

pub(super) fn move_(
    context: &mut Context,
    name: &str,
    uid: bool,
    copy: &Copy,
    out: &mut OutBuf,
) -> Result<Answer, Answer> {
    // MOVE's EXPUNGEs are its result and come whatever else must wait (RFC 6851 §3.3).
    let sync = if uid { Sync::ALL_UID } else { Sync::ALL };
    if context.selected()?.is_readonly() {
        return Err(Answer::no("Mailbox is read-only").code("CANNOT"));
    }
    let copied = run(context, name, uid, copy, CopyMode::Move)?;
    let Some(code) = copied_code(&copied) else { return Ok(Answer::ok("No messages found").sync(sync)) };
    out.line(format_args!("* OK [{code}] Moved UIDs."));
    context.stats.expunged += copied.source.len() as u64;
    Ok(Answer::ok("Move completed").sync(sync))
}

fn run(context: &mut Context, name: &str, uid: bool, copy: &Copy, mode: CopyMode) -> Result<Copied, Answer> {
    let uids = context.resolve(name, &copy.messages, uid)?;
    let target = context.name(&copy.mailbox);
    let destination = context.user.open_mailbox(&target, OpenMode::Append);
    let mut destination =
        destination.map_err(|error| context.failed(&error, Answer::of_destination_error))?;
    let selected = context.selected()?;
    let copied = copy_present(&mut *selected.mailbox, &uids, &mut *destination, mode);
    let copied = copied.map_err(|error| context.failed(&error, Answer::of_destination_error))?;
    if context
        .user
        .mailbox_settings(&target)
        .is_some_and(|box_| box_.special_use.iter().any(|u| u == "\\Trash"))
    {
        context.stats.trashed += copied.source.len() as u64;
    }
    Ok(copied)
}

fn copy_present(
    source: &mut dyn Mailbox,
    uids: &UidSet,
    destination: &mut dyn Mailbox,
    mode: CopyMode,
) -> storage::Result<Copied> {
    storage::api::copy(source, uids, destination, mode)
}

/// `COPYUID validity from to`; `None` if nothing was copied.
fn copied_code(copied: &Copied) -> Option<String> {
    let validity = copied.uid_validity?;
    Some(format!("COPYUID {validity} {} {}", in_order(&copied.source), in_order(&copied.destination)))
}

/// UIDs as a set that keeps their order, which says which copy belongs to which message.
pub(super) fn in_order(uids: &[Uid]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for uid in uids.iter().map(|uid| uid.get()) {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(uid) => *last = uid,
            _ => runs.push((uid, uid)),
        }
    }
    let show = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}:{last}"),
    };
    runs.iter().map(show).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept() {
        let uids: Vec<Uid> = [3, 4, 5, 1, 9].into_iter().filter_map(Uid::new).collect();
        assert_eq!(in_order(&uids), "3:5,1,9");
    }
}
