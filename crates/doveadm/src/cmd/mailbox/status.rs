//! `doveadm mailbox status`: the counts of mailboxes, or with `-t` their sums.

use std::sync::Arc;
use std::time::SystemTime;

use mail_user::MailUser;
use storage::{OpenMode, Result, StatusItems, SyncMode, Wanted};

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Failure, Outcome, status};
use crate::mail::boxes::{self, Listing};
use crate::mail::{Job, SearchQuery, Whose};
use crate::print::{Column, Format, column, untitled};

/// Fields in the order in which they are shown, and what storage is asked for.
const FIELDS: [(&str, StatusItems); 9] = [
    ("messages", StatusItems::MESSAGES),
    ("recent", StatusItems::RECENT),
    ("uidnext", StatusItems::UID_NEXT),
    ("uidvalidity", StatusItems::UID_VALIDITY),
    ("unseen", StatusItems::UNSEEN),
    ("highestmodseq", StatusItems::HIGHEST_MODSEQ),
    ("vsize", StatusItems::SIZE),
    ("guid", StatusItems::GUID),
    ("firstsaved", StatusItems(0)),
];

/// Fields that can be added up.
const SUMMED: [&str; 4] = ["messages", "recent", "unseen", "vsize"];

pub(crate) fn status(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let named = args.list("field").join(" ");
    let (fields, masks) = match (named.as_str(), args.text("fieldstr")) {
        ("", Some(fields)) => (fields, args.list("mailbox-mask").to_vec()),
        (fields, first) => (
            fields,
            first
                .into_iter()
                .chain(args.list("mailbox-mask").iter().map(String::as_str))
                .map(str::to_owned)
                .collect(),
        ),
    };
    if masks.is_empty() {
        return Err(help("mailbox status"));
    }
    let total = args.flag("total-sum");
    let fields = parse(fields, total)?;
    let query = SearchQuery::mailboxes(&masks);
    let columns: Vec<Column> = (!total)
        .then(|| untitled("mailbox", "mailbox"))
        .into_iter()
        .chain(fields.iter().map(|field| column(field)))
        .collect();
    whose.each_printing(cx, Format::Flow, &columns, &mut |job, user| {
        of_user(job, user, &query, &fields, total);
        Ok(())
    })
}

fn parse(text: &str, total: bool) -> Outcome<Vec<&'static str>> {
    let refused = |text: String| Failure::Fatal(text, status::USAGE);
    let mut wanted = Vec::new();
    let mut words = text.split(' ').filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        return Err(refused("No status fields".to_owned()));
    }
    for word in words {
        match FIELDS.iter().find(|(name, _)| *name == word) {
            _ if word == "all" => {
                let all = FIELDS.iter().map(|(name, _)| *name);
                wanted.extend(all.filter(|name| !total || SUMMED.contains(name)));
            }
            Some((name, _)) => wanted.push(*name),
            None => return Err(refused(format!("Unknown status field: {word}"))),
        }
        if total && wanted.iter().any(|name| !SUMMED.contains(name)) {
            return Err(refused(format!("Status field {word} can't be used with -t")));
        }
    }
    Ok(FIELDS.iter().map(|(name, _)| *name).filter(|name| wanted.contains(name)).collect())
}

fn of_user(job: &mut Job<'_>, user: &Arc<MailUser>, query: &SearchQuery, fields: &[&str], total: bool) {
    let places = match boxes::of_query(user, query, Listing::Selectable) {
        Ok(places) => places,
        Err(error) => {
            job.fail("Listing mailboxes failed", &error);
            Vec::new()
        }
    };
    let mut sums = vec![0u64; fields.len()];
    for place in places {
        match of_mailbox(user, &place.name, fields) {
            Ok(values) if total => {
                let numbers = values.iter().map(|value| value.parse().unwrap_or(0));
                sums.iter_mut().zip(numbers).for_each(|(sum, number): (&mut u64, u64)| *sum += number);
            }
            Ok(values) => {
                job.print(&place.name);
                values.iter().for_each(|value| job.print(value));
            }
            Err(error) => {
                job.fail(format_args!("Mailbox {}: Failed to lookup mailbox status", place.name), &error);
            }
        }
    }
    if total {
        sums.iter().for_each(|sum| job.print(sum));
    }
}

fn of_mailbox(user: &MailUser, name: &str, fields: &[&str]) -> Result<Vec<String>> {
    let asked = FIELDS.iter().filter(|(name, _)| fields.contains(name));
    let items = asked.fold(StatusItems::default(), |all, (_, item)| all | *item);
    let status = user.status(name, items)?;
    let mut values = Vec::with_capacity(fields.len());
    for field in fields {
        values.push(match *field {
            "messages" => status.messages.to_string(),
            "recent" => status.recent.to_string(),
            "uidnext" => status.uid_next.to_string(),
            "uidvalidity" => status.uid_validity.to_string(),
            "unseen" => status.unseen.to_string(),
            "highestmodseq" => status.highest_modseq.0.to_string(),
            "vsize" => status.size.unwrap_or(0).to_string(),
            "guid" => status.guid.map(|guid| guid.to_string()).unwrap_or_default(),
            _ => first_saved(&mut *user.open_mailbox(name, OpenMode::ReadOnly)?)?,
        });
    }
    Ok(values)
}

/// When the oldest message was saved, in seconds since 1970.
fn first_saved(mailbox: &mut dyn storage::Mailbox) -> Result<String> {
    let view = mailbox.sync(SyncMode::Quick)?;
    let Some(record) = view.records().next() else { return Ok("never".to_owned()) };
    let saved = mailbox.fetch_facts(record.uid, Wanted::SAVE_DATE)?.save_date;
    let secs = saved.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok());
    Ok(secs.map_or_else(|| "never".to_owned(), |secs| secs.as_secs().to_string()))
}
