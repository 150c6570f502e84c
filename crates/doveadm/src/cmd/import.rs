//! `doveadm import`: copies messages from another place, which has mailboxes of its own, below a
//! parent mailbox of the user.

use std::path::PathBuf;
use std::sync::Arc;

use mail_user::{MailUser, Namespace};
use storage::{Error, Mailbox, OpenMode, SyncMode};

use crate::args::Args;
use crate::cmd::auth::help;
use crate::cmd::copy::copy_one;
use crate::context::{Context, Outcome, status};
use crate::mail::found::Found;
use crate::mail::{Job, SearchQuery, Told, Whose, found};

pub(crate) fn import(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let words = args.list("query");
    let (Some(location), Some(parent), [_, ..]) =
        (args.text("source-location"), args.text("dest-parent-mailbox"), words)
    else {
        return Err(help("import"));
    };
    let query = SearchQuery::parse(words)?;
    let target = Target { parent, subscribe: args.flag("subscribe") };
    whose.each(cx, &mut |job, user| {
        let source = source(job, user, location, args.text("source-user"))?;
        let mode = OpenMode::ReadOnly;
        found::each(job, &source, &query, mode, Some(found::sync_failed), &mut |job, found| {
            if !found.uids.is_empty()
                && let Some((name, mailbox)) = target.open(job, user, &found)
            {
                copy_all(job, found, &name, mailbox);
            }
            Ok(())
        })
    })
}

/// The mailboxes of the place. `~` and variables are those of the user, or of the one named by `-U`.
fn source(
    job: &mut Job<'_>,
    user: &MailUser,
    location: &str,
    source_user: Option<&str>,
) -> Outcome<Arc<MailUser>> {
    let (name, home) = match source_user {
        Some(name) => {
            let other = job.other_user(name)?;
            (other.username().to_owned(), other.home().map(PathBuf::from))
        }
        None => (user.username().to_owned(), user.home().map(PathBuf::from)),
    };
    crate::mail::open_location(user, &name, home, location).map_err(|error| {
        let what = "Import namespace initialization failed: Initializing mail storage from mail_location";
        job.fatal(format_args!("{what} parameter failed: {}", Told(&error)), status::TEMPFAIL)
    })
}

/// Where messages go.
struct Target<'a> {
    parent: &'a str,
    subscribe: bool,
}

impl Target<'_> {
    /// The mailbox that takes what was found, made if it is not there.
    fn open(&self, job: &mut Job<'_>, user: &MailUser, found: &Found) -> Option<(String, Box<dyn Mailbox>)> {
        let name = self.name(user, found);
        match user.create(&name) {
            Ok(()) | Err(Error::Exists(_)) => {}
            Err(error) => {
                job.fail(format_args!("Couldn't create mailbox {name}"), &error);
                return None;
            }
        }
        if self.subscribe
            && let Err(error) = user.set_subscribed(&name, true)
        {
            job.log().error(format_args!("Couldn't subscribe to mailbox {name}: {}", Told(&error)));
        }
        let opened = user.open_mailbox(&name, OpenMode::Append).and_then(|mut mailbox| {
            mailbox.sync(SyncMode::Full)?;
            Ok(mailbox)
        });
        match opened {
            Ok(mailbox) => Some((name, mailbox)),
            Err(error) => {
                job.fail(format_args!("Syncing mailbox {name} failed"), &error);
                None
            }
        }
    }

    /// The source's name below the parent, with the separators of the user's namespace; what is a
    /// separator there and none in the source becomes `_`.
    fn name(&self, user: &MailUser, found: &Found) -> String {
        let owner = if self.parent.is_empty() { &found.place.name } else { self.parent };
        let separator = user.namespace_of(owner).map_or('/', Namespace::separator);
        let convert = |c: char| match c {
            c if c == found.place.separator => separator,
            c if c == separator => '_',
            c => c,
        };
        let name: String = found.place.name.chars().map(convert).collect();
        if self.parent.is_empty() { name } else { format!("{}{separator}{name}", self.parent) }
    }
}

fn copy_all(job: &mut Job<'_>, mut found: Found, name: &str, mut mailbox: Box<dyn Mailbox>) {
    let mut batch = match mailbox.begin_save() {
        Ok(batch) => batch,
        Err(error) => return job.fail(format_args!("Committing copied mails to {name} failed"), &error),
    };
    for uid in found.uids.clone() {
        job.log().debug(format_args!("import: box={name} uid={uid}"));
        match copy_one(&mut *batch, &mut found, uid) {
            Ok(()) | Err(Error::Expunged(_)) => {}
            Err(error) => job.fail(format_args!("Copying box={name} uid={uid} failed"), &error),
        }
    }
    if let Err(error) = batch.commit() {
        job.fail(format_args!("Committing copied mails to {name} failed"), &error);
    }
}
