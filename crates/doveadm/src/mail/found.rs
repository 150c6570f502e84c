//! The messages of one mailbox that a query finds.

use std::sync::Arc;

use base::{Guid, Uid, UidSet};
use mail_user::MailUser;
use storage::search::{self, Query};
use storage::{Error, Mailbox, OpenMode, Result, SyncMode, View};

use super::boxes::{self, Listing, Selected};
use super::job::Job;
use super::query::{Place, SearchQuery};
use crate::context::Outcome;

/// A mailbox with what was found in it.
pub(crate) struct Found {
    pub(crate) place: Selected,
    pub(crate) mailbox: Box<dyn Mailbox>,
    pub(crate) view: Arc<View>,
    /// In order.
    pub(crate) uids: Vec<Uid>,
}

impl Found {
    /// As a set.
    pub(crate) fn set(&self) -> UidSet {
        self.uids.iter().copied().collect()
    }
}

/// What to do with the messages of a mailbox.
pub(crate) type Each<'a> = dyn FnMut(&mut Job<'_>, Found) -> Outcome + 'a;

/// What a command says of a mailbox that is named but not there. Without it says nothing.
pub(crate) type Missing = Option<fn(&str) -> String>;

/// The usual words for it.
pub(crate) fn sync_failed(name: &str) -> String {
    format!("Mailbox {name}: Mailbox sync failed")
}

/// Searches all mailboxes in question one after the other. What fails is told, and the next one is
/// looked at.
pub(crate) fn each(
    job: &mut Job<'_>,
    user: &MailUser,
    query: &SearchQuery,
    mode: OpenMode,
    missing: Missing,
    work: &mut Each<'_>,
) -> Outcome {
    let places = match boxes::of_query(user, query, Listing::Selectable) {
        Ok(places) => places,
        Err(error) => {
            job.fail("Listing mailboxes failed", &error);
            return Ok(());
        }
    };
    for place in places {
        if job.is_unread() {
            break;
        }
        if let Some(found) = at(job, user, query, place, mode, missing) {
            work(job, found)?;
        }
    }
    Ok(())
}

/// Searches one mailbox.
fn at(
    job: &mut Job<'_>,
    user: &MailUser,
    query: &SearchQuery,
    place: Selected,
    mode: OpenMode,
    missing: Missing,
) -> Option<Found> {
    let opened = user.open_mailbox(&place.name, mode).and_then(|mut mailbox| {
        let view = mailbox.sync(SyncMode::Full)?;
        Ok((mailbox, view))
    });
    let (mut mailbox, view) = match opened {
        Ok(opened) => opened,
        Err(error @ Error::NotFound(_)) => {
            if let Some(words) = missing {
                job.fail(words(&place.name), &error);
            }
            return None;
        }
        Err(error) => {
            job.fail(format_args!("Syncing mailbox {} failed", place.name), &error);
            return None;
        }
    };
    match search(&mut *mailbox, &view, query, &place) {
        Ok(uids) => Some(Found { place, mailbox, view, uids }),
        Err(error) => {
            job.fail(format_args!("Searching mailbox {} failed", place.name), &error);
            None
        }
    }
}

fn search(mailbox: &mut dyn Mailbox, view: &View, query: &SearchQuery, at: &Selected) -> Result<Vec<Uid>> {
    let guid = if query.needs_guid() { hex(mailbox.guid()?) } else { String::new() };
    let name = if at.name.eq_ignore_ascii_case("INBOX") { "INBOX" } else { &at.name };
    let resolved = query.at(&Place { name, separator: at.separator, guid: &guid, view });
    let found = search::run(mailbox, view, &resolved)?;
    if query.oldest_only { Ok(up_to_first_miss(view, &resolved, found)) } else { Ok(found) }
}

/// `OLDESTONLY`: what was found before the first message in question that does not fit.
fn up_to_first_miss(view: &View, query: &Query, found: Vec<Uid>) -> Vec<Uid> {
    let bound = uids_in(query);
    let candidates = view.records().map(|record| record.uid);
    let candidates = candidates.filter(|uid| bound.as_ref().is_none_or(|uids| uids.contains(*uid)));
    candidates.zip(found).take_while(|(candidate, found)| candidate == found).map(|(uid, _)| uid).collect()
}

/// The set that a query is limited to, where one stands on its top level.
fn uids_in(query: &Query) -> Option<&UidSet> {
    match query {
        Query::Uids(uids) => Some(uids),
        Query::And(parts) => parts.iter().find_map(uids_in),
        _ => None,
    }
}

/// A GUID as 2.3 prints it.
pub(crate) fn hex(guid: Guid) -> String {
    guid.to_string()
}
