//! `doveadm expunge`: removes messages for good; with `-d` mailboxes that are then empty, too.

use std::sync::Arc;

use mail_user::MailUser;
use storage::OpenMode;

use crate::args::Args;
use crate::cmd::search::query;
use crate::context::{Context, Outcome};
use crate::mail::found::Found;
use crate::mail::{Job, Whose, found};

pub(crate) fn expunge(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let query = query(args, "expunge")?;
    query.check_removal("expunge")?;
    let delete_empty = args.flag("delete-empty-mailbox");
    whose.each(cx, &mut |job, user| {
        found::each(job, user, &query, OpenMode::Append, Some(not_there), &mut |job, found| {
            let name = found.place.name.clone();
            if remove(job, found) && delete_empty {
                delete(job, user, &name);
            }
            Ok(())
        })
    })
}

fn not_there(name: &str) -> String {
    format!("Syncing mailbox '{name}' failed")
}

fn remove(job: &mut Job<'_>, mut found: Found) -> bool {
    let name = &found.place.name;
    for uid in &found.uids {
        job.log().debug(format_args!("expunge: box={name} uid={uid}"));
    }
    match found.mailbox.expunge(&found.set()) {
        Ok(_) => true,
        Err(error) => {
            job.fail(format_args!("Committing mailbox {name} failed"), &error);
            false
        }
    }
}

fn delete(job: &mut Job<'_>, user: &Arc<MailUser>, name: &str) {
    match user.delete_empty(name) {
        Ok(false) => {}
        Ok(true) => {
            if let Err(error) = user.set_subscribed(name, false) {
                job.fail(format_args!("Unsubscribing mailbox '{name}' failed"), &error);
            }
        }
        Err(error) => job.fail(format_args!("Deleting mailbox '{name}' failed"), &error),
    }
}
