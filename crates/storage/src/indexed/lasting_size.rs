//! Virtual sizes that outlast the cache: those in the index's records (`vsize`), where Dovecot keeps them
//! once somebody has asked for the mailbox's size, and those that the mail store has a place of its own
//! for.

use base::Uid;
use index::cache::value;

use crate::view::View;

/// The size that the index's record of a message has.
pub(super) fn in_index(view: &View, uid: Uid) -> Option<u64> {
    let column = view.columns().named(EXT)?;
    let value = view.ext(uid, column.id).and_then(value::decode_u32)?;
    // Zero stands for "not known".
    value.checked_sub(1).map(u64::from)
}

/// Whether somebody has asked for the mailbox's size, so that Dovecot keeps those of messages.
pub(super) fn is_in_index(view: &View) -> bool {
    view.columns().named(EXT).is_some()
}

const EXT: &str = "vsize";
