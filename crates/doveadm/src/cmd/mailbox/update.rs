//! `doveadm mailbox update`: the numbers that identify a mailbox are set, or raised.

use std::str::FromStr;

use base::{ModSeq, Uid, UidValidity};
use storage::MailboxUpdate;

use super::one;
use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Failure, Outcome, status};
use crate::mail::Whose;

const NAME: &str = "mailbox update";

pub(crate) fn update(cx: &mut Context, args: &Args) -> Outcome {
    let update = wanted(args)?;
    let whose = Whose::parse(cx, args)?;
    let name = one(args, NAME)?;
    if update.min_first_recent_uid > update.min_next_uid {
        return Err(Failure::Fatal("min_first_recent_uid > min_next_uid".into(), status::DATA));
    }
    whose.each(cx, &mut |job, user| {
        if let Err(error) = user.update_mailbox(name, &update) {
            job.fail(format_args!("Cannot update {name}"), &error);
        }
        Ok(())
    })
}

/// Zero is as good as not given, as in 2.3.
fn wanted(args: &Args) -> Outcome<MailboxUpdate> {
    Ok(MailboxUpdate {
        guid: parsed(args, "mailbox-guid")?,
        uid_validity: parsed(args, "uid-validity")?.and_then(UidValidity::new),
        min_next_uid: parsed(args, "min-next-uid")?.and_then(Uid::new),
        min_first_recent_uid: parsed(args, "min-first-recent-uid")?.and_then(Uid::new),
        min_highest_modseq: parsed(args, "min-highest-modseq")?.map(ModSeq),
        min_highest_private_modseq: parsed(args, "min-highest-pvt-modseq")?.map(ModSeq),
    })
}

fn parsed<T: FromStr>(args: &Args, option: &str) -> Outcome<Option<T>> {
    match args.text(option) {
        Some(text) => text.parse().map(Some).map_err(|_| help(NAME)),
        None => Ok(None),
    }
}
