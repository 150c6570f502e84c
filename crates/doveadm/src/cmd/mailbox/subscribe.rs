//! `doveadm mailbox subscribe` and `unsubscribe`: names go into the list of subscriptions or out of
//! it, whether or not there is such a mailbox.

use super::names;
use crate::args::Args;
use crate::context::{Context, Outcome};
use crate::mail::Whose;

pub(crate) fn subscribe(cx: &mut Context, args: &Args) -> Outcome {
    set(cx, args, "mailbox subscribe", true)
}

pub(crate) fn unsubscribe(cx: &mut Context, args: &Args) -> Outcome {
    set(cx, args, "mailbox unsubscribe", false)
}

fn set(cx: &mut Context, args: &Args, command: &str, subscribed: bool) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let names = names(args, command)?;
    // 2.3 has the two in this order.
    let verb = if subscribed { "subscribe to" } else { "unsubscribe" };
    whose.each(cx, &mut |job, user| {
        for name in names {
            if let Err(error) = user.set_subscribed(name, subscribed) {
                job.fail(format_args!("Can't {name} mailbox {verb}"), &error);
            }
        }
        Ok(())
    })
}
