//! EXPUNGE (RFC 3501 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1).

use base::UidSet;
use proto::imap::SequenceSet;
use storage::Flags;

use crate::context::Context;
use crate::reply::{Answer, Sync};

pub(super) fn run(context: &mut Context, only: Option<&SequenceSet>, uid: bool) -> Result<Answer, Answer> {
    let answer = Answer::ok("Expunge completed").sync(if uid { Sync::ALL_UID } else { Sync::ALL });
    let only = only.map(|set| context.resolve("UID EXPUNGE", set, true)).transpose()?;
    let selected = context.selected()?;
    if selected.is_readonly() {
        return Ok(answer);
    }
    let is_meant = |uid| only.as_ref().is_none_or(|only| only.contains(uid));
    let deleted = selected.view.records().filter(|record| record.flags.has(Flags::DELETED));
    let deleted: UidSet = deleted.map(|record| record.uid).filter(|&uid| is_meant(uid)).collect();
    if deleted.is_empty() {
        return Ok(answer);
    }
    let result = selected.mailbox.expunge(&deleted);
    match result {
        Ok(_) => {
            context.stats.expunged += deleted.len();
            Ok(answer)
        }
        Err(error) => Err(context.failed(&error, Answer::of_error)),
    }
}
