//! SEARCH (RFC 3501 §6.4.4).

use base::{Uid, UidSet};
use proto::imap::command::{CharsetError, Charsets, DateField, Search, SearchKey};
use storage::View;
use storage::search::{DateKind, Day, Query};

use super::store::flags;
use crate::context::{Context, NO_MAILBOX};
use crate::job::{Job, Start, Step, Walk};
use crate::out::OutBuf;
use crate::reply::{Answer, Sync};

pub(super) fn start(context: &mut Context, uid: bool, search: &Search) -> Start {
    let Some(selected) = &mut context.selected else { return Answer::bad(NO_MAILBOX).into() };
    let query = query(&search.key, &selected.view);
    let view = selected.view.clone();
    match find(&mut *selected.mailbox, &view, &query) {
        Ok(found) => Start::Job(Box::new(Numbers { found: Walk::new(&found), uid, is_begun: false })),
        Err(error) => context.failed(&error, Answer::of_error).into(),
    }
}

fn find(_m: &mut dyn storage::Mailbox, _v: &View, _q: &Query) -> storage::Result<UidSet> {
    Err(storage::Error::Unsupported("SEARCH is not there yet".to_owned()))
}

/// The untagged SEARCH, a piece at a time.
struct Numbers {
    found: Walk,
    uid: bool,
    is_begun: bool,
}

impl Job for Numbers {
    fn step(&mut self, context: &mut Context, _input: &mut &[u8], out: &mut OutBuf) -> Step {
        let Some(selected) = &context.selected else { return Step::Done(Answer::bad(NO_MAILBOX)) };
        if !std::mem::replace(&mut self.is_begun, true) {
            out.put(b"* SEARCH");
        }
        while !out.is_full() {
            let Some(uid) = self.found.next().and_then(Uid::new) else {
                out.put(b"\r\n");
                return Step::Done(Answer::ok("Search completed").sync(Sync::after_messages(self.uid)));
            };
            // What arrived after the client's view has no number for the client yet.
            match (selected.view.seq(uid), self.uid) {
                (Some(_), true) => out.format(format_args!(" {uid}")),
                (Some(seq), false) => out.format(format_args!(" {seq}")),
                (None, _) => {}
            }
        }
        Step::More
    }
}

fn query(key: &SearchKey, view: &View) -> Query {
    let all = |keys: &[SearchKey]| keys.iter().map(|key| query(key, view)).collect();
    match key {
        SearchKey::All => Query::All,
        SearchKey::And(keys) => Query::And(all(keys)),
        SearchKey::Or(keys) => Query::Or(all(keys)),
        SearchKey::Not(key) => Query::Not(Box::new(query(key, view))),
        SearchKey::Seqs(set) => Query::Uids(view.uids_of(&set.resolve_seqs_clipped(view.len()))),
        SearchKey::Uids(set) => Query::Uids(set.resolve_uids(view.last_uid())),
        SearchKey::Flags(system) => Query::Flags(flags(*system)),
        SearchKey::Recent => Query::Recent,
        SearchKey::Keyword(name) => Query::Keyword(name.clone()),
        SearchKey::Before(field, date) => Query::Before(kind(*field), day(date.days())),
        SearchKey::On(field, date) => Query::On(kind(*field), day(date.days())),
        SearchKey::Since(field, date) => Query::Since(kind(*field), day(date.days())),
        SearchKey::Larger(size) => Query::Larger(*size),
        SearchKey::Smaller(size) => Query::Smaller(*size),
        SearchKey::Header { name, value } => Query::Header { name: name.clone(), text: value.clone() },
        SearchKey::Body(text) => Query::Body(text.clone()),
        SearchKey::Text(text) => Query::Text(text.clone()),
    }
}

fn kind(field: DateField) -> DateKind {
    match field {
        DateField::Internal => DateKind::Received,
        DateField::Sent => DateKind::Sent,
    }
}

fn day(days: i64) -> Day {
    // Years have four digits, so that every day fits.
    Day(i32::try_from(days).unwrap_or(i32::MAX))
}

/// Search strings in any charset that messages may be in.
pub struct SearchCharsets;

impl Charsets for SearchCharsets {
    fn decode(&self, charset: &str, bytes: &[u8]) -> Result<String, CharsetError> {
        let is_utf8 = ["UTF-8", "UTF8", "US-ASCII"].iter().any(|known| known.eq_ignore_ascii_case(charset));
        match is_utf8 {
            true => String::from_utf8(bytes.to_vec()).map_err(|_| CharsetError::Invalid),
            false => Ok(message::charset::to_utf8(charset.as_bytes(), bytes)),
        }
    }
}
