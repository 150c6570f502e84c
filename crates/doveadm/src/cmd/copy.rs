//! `doveadm copy` and `move`: messages into another mailbox, which may be another user's.

use std::sync::Arc;

use mail_user::MailUser;
use storage::api::{CopyMode, SaveMeta};
use storage::{Error, Mailbox, OpenMode, Result, SyncMode};

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Failure, Outcome};
use crate::mail::found::Found;
use crate::mail::{Job, SearchQuery, Whose, found};

pub(crate) fn copy(cx: &mut Context, args: &Args) -> Outcome {
    run(cx, args, "copy", CopyMode::Copy)
}

/// `move`, which is a word of Rust.
pub(crate) fn move_mail(cx: &mut Context, args: &Args) -> Outcome {
    run(cx, args, "move", CopyMode::Move)
}

fn run(cx: &mut Context, args: &Args, command: &str, mode: CopyMode) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let (Some(destination), [_, ..]) = (args.text("destination-mailbox"), args.list("query")) else {
        return Err(help(command));
    };
    let (source, words) = match args.list("query") {
        [word, name, words @ ..] if word.eq_ignore_ascii_case("user") => (Some(name.as_str()), words),
        words => (None, words),
    };
    if source.is_some() && !whose.userdb {
        return Err(Failure::fatal("Use -u parameter to specify destination user"));
    }
    let query = SearchQuery::parse(words)?;
    if mode == CopyMode::Move {
        query.check_removal(command)?;
    }
    whose.each(cx, &mut |job, user| {
        let from = match source {
            Some(name) => job.other_user(name)?,
            None => user.clone(),
        };
        into(job, user, destination, &from, &query, mode)
    })
}

fn into(
    job: &mut Job<'_>,
    user: &Arc<MailUser>,
    destination: &str,
    from: &MailUser,
    query: &SearchQuery,
    mode: CopyMode,
) -> Outcome {
    let mut target = match user.open_mailbox(destination, OpenMode::Append) {
        Ok(target) => target,
        Err(error) => {
            job.fail(format_args!("Can't open mailbox '{destination}'"), &error);
            return Ok(());
        }
    };
    found::each(job, from, query, OpenMode::Append, Some(found::sync_failed), &mut |job, found| {
        if !found.uids.is_empty() {
            transfer(job, found, &mut *target, mode);
        }
        Ok(())
    })?;
    if let Err(error) = target.sync(SyncMode::Quick) {
        job.fail(format_args!("Syncing mailbox '{destination}' failed"), &error);
    }
    Ok(())
}

/// Copies what was found in one mailbox, all at once; what was copied is then removed in a move.
fn transfer(job: &mut Job<'_>, mut found: Found, target: &mut dyn Mailbox, mode: CopyMode) {
    let (verb, done) = match mode {
        CopyMode::Copy => ("Copying", "copied"),
        CopyMode::Move => ("Moving", "moved"),
    };
    let mut batch = match target.begin_save() {
        Ok(batch) => batch,
        Err(error) => {
            job.fail(format_args!("Committing {done} mails failed"), &error);
            return;
        }
    };
    let mut copied = base::UidSet::new();
    for uid in found.uids.clone() {
        match copy_one(&mut *batch, &mut found, uid) {
            Ok(()) => copied.insert(uid),
            // It has gone meanwhile.
            Err(Error::Expunged(_)) => {}
            Err(error) => {
                let name = &found.place.name;
                job.fail(format_args!("{verb} message UID {uid} from '{name}' failed"), &error);
            }
        }
    }
    if copied.is_empty() {
        return;
    }
    if let Err(error) = batch.commit() {
        job.fail(format_args!("Committing {done} mails failed"), &error);
        return;
    }
    if mode == CopyMode::Move
        && let Err(error) = found.mailbox.expunge(&copied)
    {
        job.fail(format_args!("Committing mailbox {} failed", found.place.name), &error);
    }
}

/// Adds a message to the batch, with its flags, keywords and dates.
pub(crate) fn copy_one(batch: &mut dyn storage::SaveBatch, found: &mut Found, uid: base::Uid) -> Result<()> {
    storage::progress::step();
    let record = found.view.record(uid).ok_or(Error::Expunged(uid))?;
    let meta = SaveMeta {
        flags: record.flags,
        keywords: found.view.keyword_names(&record.keywords).map(str::to_owned).collect(),
        ..SaveMeta::default()
    };
    batch.copy(&mut *found.mailbox, uid, meta).map(drop)
}
