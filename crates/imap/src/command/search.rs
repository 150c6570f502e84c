//! SEARCH (RFC 3501 §6.4.4).

use std::sync::Arc;
use std::time::Instant;

use proto::imap::command::{CharsetError, Charsets, DateField, SearchKey};
use storage::View;
use storage::search::{DateKind, Day, Query, Search};

use super::store::flags;
use crate::context::{Context, NO_MAILBOX};
use crate::job::{Job, Start, Step};
use crate::limits::{SEARCH_PROGRESS_INTERVAL, STEP_TIME};
use crate::out::OutBuf;
use crate::reply::{Answer, Sync};

pub(super) fn start(context: &mut Context, uid: bool, search: &proto::imap::command::Search) -> Start {
    let Some(selected) = &mut context.selected else { return Answer::bad(NO_MAILBOX).into() };
    let view = selected.view.clone();
    let query = query(&search.key, &view);
    let search = Search::new(&view, &query, selected.mailbox.recent().clone());
    let begun = (context.clock)();
    Start::Job(Box::new(SearchJob { search, view, uid, begun, told: begun, shown: None }))
}

/// Looks through the mailbox, then writes the untagged SEARCH, both a piece at a time.
struct SearchJob {
    search: Search,
    view: Arc<View>,
    uid: bool,
    begun: Instant,
    /// When the client was last told how far it is.
    told: Instant,
    /// How many of the results are written, once all are known.
    shown: Option<usize>,
}

impl Job for SearchJob {
    fn step(&mut self, context: &mut Context, _input: &mut &[u8], out: &mut OutBuf) -> Step {
        let Some(shown) = self.shown else { return self.look(context, out) };
        let mut shown = shown;
        let found = self.search.found();
        while !out.is_full() {
            let Some(&uid) = found.get(shown) else {
                out.put(b"\r\n");
                return Step::Done(Answer::ok("Search completed").sync(Sync::after_messages(self.uid)));
            };
            shown += 1;
            match (self.view.seq(uid), self.uid) {
                (Some(_), true) => out.format(format_args!(" {uid}")),
                (Some(seq), false) => out.format(format_args!(" {seq}")),
                (None, _) => {}
            }
        }
        self.shown = Some(shown);
        Step::More
    }
}

impl SearchJob {
    fn look(&mut self, context: &mut Context, out: &mut OutBuf) -> Step {
        let Some(selected) = &mut context.selected else { return Step::Done(Answer::bad(NO_MAILBOX)) };
        match self.search.advance(&mut *selected.mailbox, &self.view, STEP_TIME) {
            Ok(true) => {
                out.put(b"* SEARCH");
                self.shown = Some(0);
            }
            Ok(false) => self.tell_progress((context.clock)(), out),
            Err(error) => return Step::Done(context.failed(&error, Answer::of_error)),
        }
        Step::More
    }

    fn tell_progress(&mut self, now: Instant, out: &mut OutBuf) {
        if now.duration_since(self.told) < SEARCH_PROGRESS_INTERVAL {
            return;
        }
        self.told = now;
        let (done, total) = self.search.progress();
        if done == 0 || total == 0 {
            return out.put(b"* OK Hang in there..\r\n");
        }
        let (done, total) = (done as u64, total as u64);
        let left = now.duration_since(self.begun).as_secs() * total.saturating_sub(done) / done;
        out.line(format_args!(
            "* OK Searched {}% of the mailbox, ETA {}:{:02}",
            done * 100 / total,
            left / 60,
            left % 60
        ));
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
            false => message::charset::decode(charset.as_bytes(), bytes).ok_or(CharsetError::Unknown),
        }
    }
}
