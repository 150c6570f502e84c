//! `doveadm search`: the mailbox's GUID and the UID of each message that a query finds.

use storage::OpenMode;

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Outcome};
use crate::mail::{SearchQuery, Whose, found};
use crate::print::{Format, untitled};

pub(crate) fn search(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let query = query(args, "search")?;
    let columns = [untitled("mailbox-guid", "mailbox-guid"), untitled("uid", "uid")];
    whose.each_printing(cx, Format::Flow, &columns, &mut |job, user| {
        found::each(job, user, &query, OpenMode::Append, Some(no_guid), &mut |job, mut found| {
            match found.mailbox.guid() {
                Ok(guid) => {
                    for uid in &found.uids {
                        job.print(guid);
                        job.print(uid);
                    }
                }
                Err(error) => job.fail(no_guid(&found.place.name), &error),
            }
            Ok(())
        })
    })
}

fn no_guid(name: &str) -> String {
    format!("Couldn't get mailbox '{name}' GUID")
}

/// The query of a command, which must have one.
pub(crate) fn query(args: &Args, command: &str) -> Outcome<SearchQuery> {
    match args.list("query") {
        [] => Err(help(command)),
        words => SearchQuery::parse(words),
    }
}
