//! SORT (RFC 5256 §3, RFC 5957, RFC 5267): SEARCH with an order.

use proto::imap::command::{Sort, SortCriterion, SortKey};
use storage::sort;

use super::search;
use crate::context::Context;
use crate::job::Start;
use crate::out::OutBuf;

pub(super) fn start(context: &mut Context, uid: bool, sort: &Sort, out: &mut OutBuf) -> Start {
    let criteria = sort.criteria.iter().filter_map(criterion).collect();
    search::start_sorted(context, uid, &sort.key, sort.returns, Some(criteria), out)
}

fn criterion(criterion: &SortCriterion) -> Option<sort::Criterion> {
    let key = match criterion.key {
        SortKey::Arrival => sort::SortKey::Arrival,
        SortKey::Cc => sort::SortKey::Cc,
        SortKey::Date => sort::SortKey::Date,
        SortKey::From => sort::SortKey::From,
        SortKey::Size => sort::SortKey::Size,
        SortKey::Subject => sort::SortKey::Subject,
        SortKey::To => sort::SortKey::To,
        SortKey::DisplayFrom => sort::SortKey::DisplayFrom,
        SortKey::DisplayTo => sort::SortKey::DisplayTo,
        // Without an index of words all messages that are found fit equally well.
        SortKey::Relevancy => return None,
    };
    Some(sort::Criterion { key, reverse: criterion.reverse })
}
