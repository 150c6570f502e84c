//! `doveadm mailbox list`: the names of mailboxes, those on disk or those subscribed to.

use crate::args::Args;
use crate::context::{Context, Outcome};
use crate::mail::boxes::{self, Listing};
use crate::mail::{SearchQuery, Whose};
use crate::print::{Format, untitled};

pub(crate) fn list(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let query = SearchQuery::mailboxes(args.list("mailbox-mask"));
    let listing = if args.flag("subscriptions") { Listing::Subscribed } else { Listing::Names };
    let mutf7 = args.flag("mutf7") && !args.flag("utf8");
    let columns = [untitled("mailbox", "mailbox")];
    whose.each_printing(cx, Format::Flow, &columns, &mut |job, user| {
        match boxes::of_query(user, &query, listing) {
            Ok(found) => {
                for one in found {
                    job.print(if mutf7 { base::mutf7::encode(&one.name) } else { one.name });
                }
            }
            Err(error) => job.fail("Listing mailboxes failed", &error),
        }
        Ok(())
    })
}
