//! `doveadm force-resync`: looks at mailboxes anew and mends their indexes.

use storage::OpenMode;

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Outcome};
use crate::mail::{Whose, boxes};

pub(crate) fn force_resync(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let mask = args.text("mailbox-mask").ok_or_else(|| help("force-resync"))?;
    let fsck = args.flag("fsck");
    whose.each(cx, &mut |job, user| {
        if let Err(error) = user.rebuild_lists() {
            job.fail("Rebuilding the mailbox list index failed", &error);
        }
        let places = match boxes::of_masks(user, &[mask.to_owned()]) {
            Ok(places) => places,
            Err(error) => {
                job.fail("Listing mailboxes failed", &error);
                return Ok(());
            }
        };
        for place in places {
            storage::progress::step();
            let name = &place.name;
            match user.open_mailbox(name, OpenMode::Append) {
                Ok(mut mailbox) => {
                    if let Err(error) = mailbox.rebuild(fsck) {
                        job.fail(format_args!("Forcing a resync on mailbox {name} failed"), &error);
                    }
                }
                Err(error) => job.fail(format_args!("Opening mailbox {name} failed"), &error),
            }
        }
        Ok(())
    })
}
