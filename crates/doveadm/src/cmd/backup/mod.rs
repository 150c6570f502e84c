//! `doveadm backup`: makes the mailboxes of a place on this host the same as the user's, or with `-R`
//! the user's the same as those of the place: messages with their UIDs, flags, dates and GUIDs,
//! mailboxes with their GUIDs, subscriptions. What the other side has more is removed there.

mod mailbox;
mod side;

use std::sync::Arc;

use mail_user::MailUser;
use storage::{Error, Result};

use self::side::{Levels, Side};
use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Failure, Outcome, status};
use crate::mail::{Job, Told, Whose, open_location};

/// Options of 2.3 that would change what is done, with their letters.
const NOT_YET: [(char, &str); 15] = [
    ('l', "lock-timeout"),
    ('T', "timeout"),
    ('P', "purge-remote"),
    ('d', "default-destination"),
    ('r', "rawlog"),
    ('g', "mailbox-guid"),
    ('n', "namespace"),
    ('N', "all-namespaces"),
    ('a', "all-mailbox"),
    ('s', "state"),
    ('t', "sync-since-time"),
    ('e', "sync-until-time"),
    ('O', "sync-flags"),
    ('I', "sync-max-size"),
    ('U', "replicator-notify"),
];

pub(crate) fn backup(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(args)?;
    if let Some((letter, _)) = NOT_YET.iter().find(|(_, name)| args.flag(name)) {
        return Err(Failure::fatal(format_args!("backup -{letter} isn't supported yet")));
    }
    let place = match args.list("destination") {
        [] => return Err(help("backup")),
        [place] if is_location(place) => place.as_str(),
        _ => return Err(Failure::fatal("backup to other hosts and through commands isn't supported yet")),
    };
    let choice = Choice { only: args.list("mailbox"), exclude: args.list("exclude-mailbox") };
    let reverse = args.flag("reverse");
    whose.each(cx, &mut |job, user| {
        let (from, to) = match sides(user, place, reverse) {
            Ok(sides) => sides,
            Err(error) => {
                let text = format!("Failed to initialize user: {}", Told(&error));
                return Err(job.fatal(text, status::TEMPFAIL));
            }
        };
        if let Err(error) = mirror(job, &from, &to, &choice) {
            job.fail("Backup failed", &error);
        }
        Ok(())
    })
}

/// `maildir:/somewhere`, and not `user@host` or `ssh …`.
fn is_location(text: &str) -> bool {
    ["maildir:", "mbox:", "sdbox:", "mdbox:"].iter().any(|driver| text.starts_with(driver))
}

fn sides(user: &Arc<MailUser>, place: &str, reverse: bool) -> Result<(Side, Side)> {
    let home = user.home().map(std::path::PathBuf::from);
    let other = Side::new(open_location(user, user.username(), home, place)?);
    let own = Side::new(user.clone());
    // A place that is not there must not empty the user's mailboxes.
    if reverse && !other.is_there() {
        return Err(Error::NotFound(place.to_owned()));
    }
    Ok(if reverse { (other, own) } else { (own, other) })
}

/// `-m` and `-x`.
struct Choice<'a> {
    only: &'a [String],
    exclude: &'a [String],
}

impl Choice<'_> {
    fn has(&self, name: &str, separator: char) -> bool {
        let fits = |list: &[String]| {
            list.iter().any(|wanted| mail_user::Pattern::new(wanted, separator).matches(name))
        };
        (self.only.is_empty() || fits(self.only)) && !fits(self.exclude)
    }
}

fn mirror(job: &mut Job<'_>, from: &Side, to: &Side, choice: &Choice<'_>) -> Result<()> {
    let wanted = |levels: &Levels| choice.has(&levels.join("/"), '/');
    let sources: Vec<Levels> = from.mailboxes()?.into_iter().filter(wanted).collect();
    let mut surplus: Vec<Levels> = to.mailboxes()?.into_iter().filter(wanted).collect();
    surplus.retain(|levels| !sources.contains(levels) && *levels != ["INBOX"]);
    // Children go before their parents.
    surplus.sort_by(|one, other| other.cmp(one));
    for levels in surplus {
        let name = to.name(&levels)?;
        if let Err(error) = to.user.delete(&name) {
            job.fail(format_args!("Mailbox {name} sync: mailbox_delete failed"), &error);
        }
    }
    for levels in &sources {
        let names = from.name(levels).and_then(|source| Ok((source, to.name(levels)?)));
        match names {
            Ok((source, target)) => {
                if let Err(error) = mailbox::mirror(&from.user, &source, &to.user, &target) {
                    job.fail(format_args!("Mailbox {source} sync failed"), &error);
                }
            }
            Err(error) => job.fail(format_args!("Mailbox {} sync failed", levels.join("/")), &error),
        }
    }
    subscriptions(job, from, to, &wanted)
}

fn subscriptions(job: &mut Job<'_>, from: &Side, to: &Side, wanted: &dyn Fn(&Levels) -> bool) -> Result<()> {
    let (wished, had) = (from.subscriptions()?, to.subscriptions()?);
    let fresh = wished.iter().filter(|levels| !had.contains(levels)).map(|levels| (levels, true));
    let stale = had.iter().filter(|levels| !wished.contains(levels)).map(|levels| (levels, false));
    for (levels, subscribed) in fresh.chain(stale).filter(|(levels, _)| wanted(levels)) {
        let changed = to.name(levels).and_then(|name| to.user.set_subscribed(&name, subscribed));
        if let Err(error) = changed {
            job.fail(format_args!("Mailbox {} subscription failed", levels.join("/")), &error);
        }
    }
    Ok(())
}
