//! `doveadm mailbox rename`: gives a mailbox and its children another name; with `-s` the
//! subscription follows.

use storage::{Error, OpenMode};

use super::check_new;
use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Outcome};
use crate::mail::Whose;

pub(crate) fn rename(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let (Some(from), Some(to)) = (args.text("mailbox"), args.text("new-name")) else {
        return Err(help("mailbox rename"));
    };
    check_new(to)?;
    whose.each(cx, &mut |job, user| {
        match user.rename(from, to) {
            Ok(()) => {}
            Err(Error::Exists(_)) => {
                let error = match user.open_mailbox(from, OpenMode::Append) {
                    Err(missing @ Error::NotFound(_)) => missing,
                    // It is the other one that exists.
                    _ => Error::InUse("Target mailbox already exists".to_owned()),
                };
                job.fail(format_args!("Can't rename mailbox {from} to {to}"), &error);
            }
            Err(error) => job.fail(format_args!("Can't rename mailbox {from} to {to}"), &error),
        }
        if args.flag("subscriptions") {
            if let Err(error) = user.set_subscribed(from, false) {
                job.fail(format_args!("Can't unsubscribe mailbox {from}"), &error);
            }
            if let Err(error) = user.set_subscribed(to, true) {
                job.fail(format_args!("Can't subscribe to mailbox {to}"), &error);
            }
        }
        Ok(())
    })
}
