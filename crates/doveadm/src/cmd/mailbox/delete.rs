//! `doveadm mailbox delete`: removes mailboxes, with `-r` their children, with `-e` only empty ones,
//! with `-s` the subscriptions, too.

use std::sync::Arc;

use mail_user::{ListOptions, MailUser, Namespace, Node};
use storage::{Error, Result};

use super::names;
use crate::args::Args;
use crate::context::{Context, Outcome, status};
use crate::mail::{Job, Whose};

pub(crate) fn delete(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let names = names(args, "mailbox delete")?;
    whose.each(cx, &mut |job, user| {
        let mut all: Vec<String> = names.to_vec();
        if args.flag("recursive") {
            all.retain(|name| !name.is_empty());
            for name in names {
                match children(user, name) {
                    Ok(children) => all.extend(children),
                    Err(_) => job.fail_as(status::TEMPFAIL),
                }
            }
        }
        // Children go before their parents.
        all.sort_by(|one, other| other.cmp(one));
        for name in &all {
            delete_one(job, user, name, args);
        }
        Ok(())
    })
}

fn delete_one(job: &mut Job<'_>, user: &Arc<MailUser>, name: &str, args: &Args) {
    let deleted = match args.flag("require-empty") {
        true => user.delete_empty(name).and_then(|was_empty| match was_empty {
            true => Ok(()),
            false => Err(Error::InUse("Mailbox isn't empty".to_owned())),
        }),
        false => user.delete(name),
    };
    if let Err(error) = deleted {
        job.fail(format_args!("Can't delete mailbox {name}"), &error);
    }
    if args.flag("subscriptions")
        && let Err(error) = user.set_subscribed(name, false)
    {
        job.fail(format_args!("Can't unsubscribe mailbox {name}"), &error);
    }
}

fn children(user: &MailUser, name: &str) -> Result<Vec<String>> {
    let separator = user.namespace_of(name).map_or('/', Namespace::separator);
    let pattern = if name.is_empty() { "*".to_owned() } else { format!("{name}{separator}*") };
    let options = ListOptions { existing_only: true, ..ListOptions::default() };
    let listed = user.list("", &[&pattern], &options)?;
    Ok(listed.into_iter().filter(|entry| entry.node != Node::NonExistent).map(|entry| entry.name).collect())
}
