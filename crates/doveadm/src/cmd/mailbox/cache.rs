//! `doveadm mailbox cache …`: what the index cache keeps of messages.

use mail_user::MailUser;
use storage::{CacheDecision, CacheField, Mailbox, OpenMode, Result, SyncMode};

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Failure, Outcome, status};
use crate::localtime;
use crate::mail::{Job, SearchQuery, Told, Whose, found};
use crate::print::{Format, column};

/// Shows, and with options changes, which fields are kept.
pub(crate) fn decision(cx: &mut Context, args: &Args) -> Outcome {
    let change = Change::parse(args)?;
    let whose = Whose::parse(cx, args)?;
    let fields: Option<Vec<&str>> = match (args.flag("all"), args.text("fieldstr")) {
        (true, _) => None,
        (false, Some(fields)) => Some(fields.split([',', ' ']).filter(|name| !name.is_empty()).collect()),
        (false, None) => return Err(Failure::fatal("Missing fields parameter")),
    };
    let columns = ["mailbox", "field", "decision", "last-used"].map(column);
    whose.each_printing(cx, Format::Table, &columns, &mut |job, user| {
        for name in args.list("mailbox") {
            let Some(mut mailbox) = open(job, user, name) else { break };
            let shown = show(job, name, &mut *mailbox, fields.as_deref(), &change);
            if let Err(error) = shown {
                job.log().error(Told(&error));
                job.fail_as(status::TEMPFAIL);
                break;
            }
        }
        Ok(())
    })
}

/// What `--decision` and `--last-used` change.
struct Change {
    decision: Option<CacheDecision>,
    last_used: Option<u64>,
}

impl Change {
    fn parse(args: &Args) -> Outcome<Self> {
        let decision = match args.text("decision") {
            None => None,
            Some("no") => Some(CacheDecision::No),
            Some("temp") => Some(CacheDecision::Temp),
            Some("yes") => Some(CacheDecision::Yes),
            Some(other) => {
                eprintln!("Error: Invalid decision '{other}': must be one of yes, temp, no");
                return Err(Failure::Said("Error: Invalid parameter d".into(), status::USAGE));
            }
        };
        let last_used = args.number("last-used").and_then(|secs| u64::try_from(secs).ok());
        Ok(Self { decision, last_used })
    }

    fn apply(&self, field: &mut CacheField) {
        field.decision = self.decision.unwrap_or(field.decision);
        field.last_used = self.last_used.unwrap_or(field.last_used);
    }

    fn is_none(&self) -> bool {
        self.decision.is_none() && self.last_used.is_none()
    }
}

fn show(
    job: &mut Job<'_>,
    name: &str,
    mailbox: &mut dyn Mailbox,
    wanted: Option<&[&str]>,
    change: &Change,
) -> Result<()> {
    let mut known = mailbox.cache_fields()?;
    if let Some(wanted) = wanted {
        for missing in wanted.iter().filter(|name| !known.iter().any(|field| field.name == **name)) {
            print_row(job, &[name, missing, "<not found>", ""]);
        }
        known.retain(|field| wanted.contains(&field.name.as_str()));
    }
    for field in &mut known {
        change.apply(field);
        let decision = match field.decision {
            CacheDecision::No => "no",
            CacheDecision::Temp => "temp",
            CacheDecision::Yes => "yes",
        };
        let used = localtime::format("%Y-%m-%d %H:%M:%S %Z", field.last_used.saturating_mul(1_000_000));
        print_row(job, &[name, &field.name, decision, &used]);
    }
    if change.is_none() { Ok(()) } else { mailbox.set_cache_fields(&known) }
}

fn print_row(job: &mut Job<'_>, values: &[&str]) {
    values.iter().for_each(|value| job.print(value));
}

/// Writes the caches of mailboxes anew.
pub(crate) fn purge(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    whose.each(cx, &mut |job, user| {
        for name in args.list("mailbox") {
            let Some(mut mailbox) = open(job, user, name) else { break };
            if let Err(error) = mailbox.cache_purge() {
                job.fail(format_args!("Mailbox {name}: Purging the cache failed"), &error);
                break;
            }
        }
        Ok(())
    })
}

/// Forgets what is cached of the messages that a query finds.
pub(crate) fn remove(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let words = args.list("query");
    if words.is_empty() {
        return Err(help("mailbox cache remove"));
    }
    let query = SearchQuery::parse(words)?;
    let columns = ["mailbox", "uid", "result"].map(column);
    whose.each_printing(cx, Format::Table, &columns, &mut |job, user| {
        found::each(job, user, &query, OpenMode::Append, None, &mut |job, mut found| {
            let name = found.place.name.clone();
            match found.mailbox.cache_remove(&found.set()) {
                Ok(()) => {
                    for uid in &found.uids {
                        print_row(job, &[&name, &uid.to_string(), "ok"]);
                    }
                }
                Err(error) => {
                    job.fail(format_args!("Mailbox {name}: Removing from the cache failed"), &error)
                }
            }
            Ok(())
        })
    })
}

fn open(job: &mut Job<'_>, user: &MailUser, name: &str) -> Option<Box<dyn Mailbox>> {
    let opened = user.open_mailbox(name, OpenMode::Append).and_then(|mut mailbox| {
        mailbox.sync(SyncMode::Quick)?;
        Ok(mailbox)
    });
    match opened {
        Ok(mailbox) => Some(mailbox),
        Err(error) => {
            job.fail(format_args!("Cannot open mailbox {name}"), &error);
            None
        }
    }
}
