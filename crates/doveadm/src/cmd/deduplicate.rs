//! `doveadm deduplicate`: of messages with the same GUID, or with `-m` the same Message-ID, only the
//! first stays in a mailbox.

use std::collections::HashSet;

use base::{Uid, UidSet};
use storage::{Error, Mailbox, OpenMode, Result, Wanted};

use crate::args::Args;
use crate::cmd::search::query;
use crate::context::{Context, Outcome};
use crate::mail::{Whose, found};

pub(crate) fn deduplicate(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let query = query(args, "deduplicate")?;
    let by_id = args.flag("by-msgid");
    whose.each(cx, &mut |job, user| {
        found::each(job, user, &query, OpenMode::Append, Some(found::sync_failed), &mut |job, mut found| {
            let mut seen = HashSet::new();
            let mut again = UidSet::new();
            for uid in found.uids.clone() {
                storage::progress::step();
                match key(&mut *found.mailbox, uid, by_id) {
                    Ok(Some(key)) if !seen.insert(key.clone()) => again.insert(uid),
                    Ok(_) | Err(Error::Expunged(_)) => {}
                    Err(error) => {
                        let what = if by_id { "Message-ID" } else { "GUID" };
                        job.fail(format_args!("Couldn't lookup {what}: for UID={uid}"), &error);
                        break;
                    }
                }
            }
            if let Err(error) = found.mailbox.expunge(&again) {
                job.fail(format_args!("Committing mailbox {} failed", found.place.name), &error);
            }
            Ok(())
        })
    })
}

fn key(mailbox: &mut dyn Mailbox, uid: Uid, by_id: bool) -> Result<Option<Vec<u8>>> {
    let key = if by_id {
        let header = mailbox.fetch_facts(uid, Wanted::HEADER)?.header.unwrap_or_default();
        message::header::first(&header, b"Message-ID").map(|field| field.value_lf().into_owned())
    } else {
        mailbox.fetch_facts(uid, Wanted::GUID)?.guid.map(|guid| guid.as_bytes().to_vec())
    };
    Ok(key.filter(|key| !key.is_empty()))
}
