//! STORE (RFC 3501 §6.4.6).

use base::UidSet;
use proto::imap::command::{Store, StoreMode};
use proto::imap::flag::{FlagList, SystemFlags, is_keyword};
use storage::{FlagChange, FlagMode, Flags};

use crate::context::Context;
use crate::reply::{Answer, Sync};

pub(super) fn run(context: &mut Context, name: &str, uid: bool, store: &Store) -> Result<Answer, Answer> {
    let uids = context.resolve(name, &store.messages, uid)?;
    let sync = Sync::after_messages(uid);
    if context.selected()?.is_readonly() {
        return Ok(Answer::ok("Store ignored with read-only mailbox").sync(sync));
    }
    check_keywords(context, &store.flags)?;
    let change = FlagChange {
        mode: match store.mode {
            StoreMode::Replace => FlagMode::Replace,
            StoreMode::Add => FlagMode::Add,
            StoreMode::Remove => FlagMode::Remove,
        },
        flags: flags(store.flags.system),
        keywords: store.flags.keywords.iter().map(|keyword| keyword.to_string()).collect(),
    };
    let deleted = count_deleted(context, &uids, &change);
    // A change to nothing must not create keywords.
    if !uids.is_empty() {
        let stored = context.selected()?.mailbox.store_flags(&uids, &change);
        stored.map_err(|error| context.failed(&error, Answer::of_error))?;
    }
    context.stats.deleted += deleted;
    if store.is_silent {
        context.quiet = uids;
    }
    Ok(Answer::ok("Store completed").sync(sync))
}

/// How many messages get `\Deleted` that did not have it, for the log.
fn count_deleted(context: &Context, uids: &UidSet, change: &FlagChange) -> u64 {
    if change.mode == FlagMode::Remove || !change.flags.has(Flags::DELETED) {
        return 0;
    }
    let Some(selected) = &context.selected else { return 0 };
    selected.view.records_in(uids).filter(|(_, record)| !record.flags.has(Flags::DELETED)).count() as u64
}

/// Refuses what can never be a keyword.
pub(super) fn check_keywords(context: &Context, flags: &FlagList) -> Result<(), Answer> {
    for keyword in &flags.keywords {
        if keyword.len() > context.settings.keyword_bytes_max {
            return Err(Answer::no("Keyword length too long").code("CANNOT"));
        }
        if !is_keyword(keyword) {
            return Err(Answer::no("Invalid characters in keyword").code("CANNOT"));
        }
    }
    Ok(())
}

/// The storage's system flags for the protocol's.
pub(super) fn flags(system: SystemFlags) -> Flags {
    let pairs = [
        (SystemFlags::ANSWERED, Flags::ANSWERED),
        (SystemFlags::FLAGGED, Flags::FLAGGED),
        (SystemFlags::DELETED, Flags::DELETED),
        (SystemFlags::SEEN, Flags::SEEN),
        (SystemFlags::DRAFT, Flags::DRAFT),
    ];
    pairs
        .into_iter()
        .filter(|(flag, _)| system.contains(*flag))
        .fold(Flags::NONE, |all, (_, flag)| all | flag)
}
