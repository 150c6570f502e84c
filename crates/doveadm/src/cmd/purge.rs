//! `doveadm purge` and `altmove`: where messages are kept in files shared by many.

use std::sync::Arc;

use mail_user::{MailUser, NamespaceType};
use storage::OpenMode;

use crate::args::Args;
use crate::cmd::search::query;
use crate::context::{Context, Outcome};
use crate::mail::{Job, Whose, found};

/// Frees the space of messages that are gone.
pub(crate) fn purge(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    whose.each(cx, &mut |job, user| {
        purge_storages(job, user);
        Ok(())
    })
}

/// Moves messages to the alternative storage, or with `-r` back.
pub(crate) fn altmove(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let query = query(args, "altmove")?;
    let to_alt = !args.flag("reverse");
    whose.each(cx, &mut |job, user| {
        found::each(job, user, &query, OpenMode::Append, Some(found::sync_failed), &mut |job, mut found| {
            let name = &found.place.name;
            for uid in &found.uids {
                job.log().debug(format_args!("altmove: box={name} uid={uid}"));
            }
            if let Err(error) = found.mailbox.move_to_alt(&found.set(), to_alt) {
                job.fail(format_args!("Committing mailbox {name} failed"), &error);
            }
            Ok(())
        })?;
        purge_storages(job, user);
        Ok(())
    })
}

fn purge_storages(job: &mut Job<'_>, user: &Arc<MailUser>) {
    let own = user.namespaces().iter().filter(|namespace| {
        namespace.kind() == NamespaceType::Private && namespace.settings().alias_for.is_none()
    });
    for namespace in own {
        if let Err(error) = namespace.storage().purge() {
            job.fail(format_args!("Purging namespace '{}' failed", namespace.prefix()), &error);
        }
    }
}
