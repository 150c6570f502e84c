//! SEARCH (RFC 3501 §6.4.4): looks through the mailbox a piece at a time, and what SORT and THREAD
//! share with it.

use std::sync::Arc;
use std::time::Instant;

use base::{ModSeq, UidSet};
use mail_user::pattern;
use proto::imap::command::{CharsetError, Charsets, DateField, SearchKey, SearchReturn, ThreadAlgorithm};
use storage::View;
use storage::search::{DateKind, Day, Query, Search};
use storage::sort::{Criterion, Sort};
use storage::thread::Algorithm;

use super::search_result::{Found, Writer};
use super::store::flags;
use crate::context::{Context, NO_MAILBOX};
use crate::job::{Job, Start, Step};
use crate::limits::{SEARCH_PROGRESS_INTERVAL, STEP_TIME};
use crate::out::OutBuf;
use crate::reply::{Answer, Sync};

pub(super) fn start(
    context: &mut Context,
    uid: bool,
    search: &proto::imap::command::Search,
    out: &mut OutBuf,
) -> Start {
    start_sorted(context, uid, &search.key, search.returns, None, out)
}

/// Starts a SEARCH or, with criteria, a SORT.
pub(super) fn start_sorted(
    context: &mut Context,
    uid: bool,
    key: &SearchKey,
    returns: Option<SearchReturn>,
    criteria: Option<Vec<Criterion>>,
    out: &mut OutBuf,
) -> Start {
    let Some(looker) = Looker::new(context, key) else { return Answer::bad(NO_MAILBOX).into() };
    if let Some(selected) = context.selected.as_mut().filter(|_| returns.is_some_and(|returns| returns.save))
    {
        // Only now, since the keys may have named the old one.
        selected.saved_result = UidSet::new();
    }
    if returns.is_some_and(|returns| returns.update) {
        // RFC 5267 §4.3.1: a server need not watch results.
        out.put(b"* NO [NOUPDATE ");
        proto::imap::response::put_string(out.raw(), context.tag.as_bytes());
        out.put(b"] Search results are not watched.\r\n");
    }
    let has_seqs = key.any(&|key| matches!(key, SearchKey::Seqs(_)));
    let job = SearchJob {
        looker,
        uid,
        returns,
        criteria,
        with_modseq: key.any(&|key| matches!(key, SearchKey::ModSeq(_))),
        sync: Sync::after_messages(uid && !has_seqs),
        stage: Stage::Looking,
        has_given_up: false,
    };
    Start::Job(Box::new(job))
}

struct SearchJob {
    looker: Looker,
    uid: bool,
    returns: Option<SearchReturn>,
    criteria: Option<Vec<Criterion>>,
    with_modseq: bool,
    sync: Sync,
    stage: Stage,
    /// The sort was not finished.
    has_given_up: bool,
}

enum Stage {
    Looking,
    Sorting(Sort),
    Writing(Writer),
}

impl Job for SearchJob {
    fn step(&mut self, context: &mut Context, _input: &mut &[u8], out: &mut OutBuf) -> Step {
        if let Stage::Writing(writer) = &mut self.stage {
            return if writer.step(out) { Step::Done(self.answer()) } else { Step::More };
        }
        match self.look(context, out) {
            Ok(()) => Step::More,
            Err(answer) => Step::Done(answer),
        }
    }
}

impl SearchJob {
    /// Searches, then sorts.
    fn look(&mut self, context: &mut Context, out: &mut OutBuf) -> Result<(), Answer> {
        let found = match &mut self.stage {
            Stage::Sorting(sort) => {
                let selected = context.selected()?;
                let is_done = sort.advance(&mut *selected.mailbox, STEP_TIME);
                if !is_done.map_err(|error| context.failed(&error, Answer::of_error))? {
                    self.looker.progress.tell((context.clock)(), sort.progress(), out);
                    return Ok(());
                }
                let sort = std::mem::replace(sort, Sort::new(Vec::new(), &[]));
                self.has_given_up = sort.has_given_up();
                sort.finish()
            }
            _ => match self.looker.step(context, out)? {
                None => return Ok(()),
                Some(found) => match &self.criteria {
                    Some(criteria) if !criteria.is_empty() => {
                        let slow_max = context.user.settings().mail.mail_sort_max_read_count;
                        self.stage = Stage::Sorting(Sort::new(found, criteria).with_slow_max(slow_max));
                        return Ok(());
                    }
                    _ => found,
                },
            },
        };
        let tag = context.tag.clone();
        let selected = context.selected()?;
        let found =
            Found { uids: found, view: &self.looker.view, by_uid: self.uid, with_modseq: self.with_modseq };
        let command = if self.criteria.is_some() { "SORT" } else { "SEARCH" };
        self.stage = Stage::Writing(match &self.returns {
            None => found.plain(command),
            Some(returns) => {
                if returns.save {
                    selected.saved_result = found.to_save(returns);
                }
                found.extended(&tag, returns)
            }
        });
        Ok(())
    }

    fn answer(&self) -> Answer {
        if self.has_given_up {
            let answer = Answer::no("Requested sort would have taken too long.").code("LIMIT");
            return answer.sync(self.sync);
        }
        let answer = Answer::ok(if self.criteria.is_some() { "Sort completed" } else { "Search completed" });
        let answer = answer.sync(self.sync);
        if self.looker.search.has_lost_messages() { answer.code("EXPUNGEISSUED") } else { answer }
    }
}

/// A search under way: the first stage of SEARCH, SORT and THREAD.
pub(super) struct Looker {
    search: Search,
    pub(super) view: Arc<View>,
    pub(super) progress: Progress,
}

impl Looker {
    /// `None` if no mailbox is selected.
    pub(super) fn new(context: &Context, key: &SearchKey) -> Option<Self> {
        let selected = context.selected.as_ref()?;
        let view = selected.view.clone();
        let separator =
            context.user.namespace_of(&selected.name).map_or('/', |namespace| namespace.separator());
        let names = Names { mailbox: &selected.name, separator, saved_result: &selected.saved_result };
        let search = Search::new(&view, &names.query(key, &view), selected.mailbox.recent().clone());
        let begun = (context.clock)();
        Some(Self { search, view, progress: Progress { begun, told: begun } })
    }

    /// What was found, once that is known.
    pub(super) fn step(
        &mut self,
        context: &mut Context,
        out: &mut OutBuf,
    ) -> Result<Option<Vec<base::Uid>>, Answer> {
        let selected = context.selected()?;
        match self.search.advance(&mut *selected.mailbox, &self.view, STEP_TIME) {
            Ok(true) => Ok(Some(self.search.found().to_vec())),
            Ok(false) => {
                self.progress.tell((context.clock)(), self.search.progress(), out);
                Ok(None)
            }
            Err(error) => Err(context.failed(&error, Answer::of_error)),
        }
    }
}

/// Tells a client that waits how far it is.
pub(super) struct Progress {
    begun: Instant,
    told: Instant,
}

impl Progress {
    pub(super) fn tell(&mut self, now: Instant, (done, total): (usize, usize), out: &mut OutBuf) {
        if now.duration_since(self.told) < SEARCH_PROGRESS_INTERVAL {
            return;
        }
        self.told = now;
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

/// What search keys may refer to.
struct Names<'a> {
    mailbox: &'a str,
    separator: char,
    saved_result: &'a UidSet,
}

impl Names<'_> {
    fn query(&self, key: &SearchKey, view: &View) -> Query {
        let all = |keys: &[SearchKey]| keys.iter().map(|key| self.query(key, view)).collect();
        match key {
            SearchKey::All => Query::All,
            SearchKey::And(keys) => Query::And(all(keys)),
            SearchKey::Or(keys) => Query::Or(all(keys)),
            SearchKey::Not(key) => Query::Not(Box::new(self.query(key, view))),
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
            SearchKey::Older(secs) => Query::Older(*secs),
            SearchKey::Younger(secs) => Query::Younger(*secs),
            SearchKey::ModSeq(modseq) => Query::ModSeq(ModSeq(*modseq)),
            SearchKey::LastResult => Query::Uids(self.saved_result.clone()),
            SearchKey::SaveDateSupported => Query::SaveDateSupported,
            SearchKey::InThread(name, key) => {
                Query::InThread(algorithm(*name), Box::new(self.query(key, view)))
            }
            SearchKey::Part(key) => Query::Part(Box::new(super::part_query::of(key))),
            SearchKey::Guid(guid) => Query::Guid(guid.clone()),
            SearchKey::Mailbox(wanted) => match pattern::fits(self.mailbox, wanted, self.separator) {
                true => Query::All,
                false => Query::None,
            },
        }
    }
}

pub(super) fn algorithm(name: ThreadAlgorithm) -> Algorithm {
    match name {
        ThreadAlgorithm::OrderedSubject => Algorithm::OrderedSubject,
        ThreadAlgorithm::References => Algorithm::References,
        ThreadAlgorithm::Refs => Algorithm::Refs,
    }
}

fn kind(field: DateField) -> DateKind {
    match field {
        DateField::Internal => DateKind::Received,
        DateField::Sent => DateKind::Sent,
        DateField::Saved => DateKind::Saved,
    }
}

pub(super) fn day(days: i64) -> Day {
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
