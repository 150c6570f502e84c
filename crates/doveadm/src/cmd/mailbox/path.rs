//! `doveadm mailbox path`: where on disk something of a mailbox is.

use storage::Error;
use storage::api::PathKind;

use super::one;
use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Outcome};
use crate::mail::Whose;
use crate::print::{Format, untitled};

const NAME: &str = "mailbox path";

pub(crate) fn path(cx: &mut Context, args: &Args) -> Outcome {
    let kind = match args.text("type") {
        None | Some("index") => Some(PathKind::Index),
        Some("dir" | "mailbox") => Some(PathKind::Mailbox),
        Some("control") => Some(PathKind::Control),
        // No format has such a place yet.
        Some("alt-dir" | "alt-mailbox" | "index-private") => None,
        Some(_) => return Err(help(NAME)),
    };
    let whose = Whose::parse(cx, args)?;
    let name = one(args, NAME)?;
    whose.each_printing(cx, Format::Flow, &[untitled("path", "path")], &mut |job, user| {
        match user.mailbox_state(name) {
            Err(error @ (Error::InvalidName { .. } | Error::BadRequest(_))) => {
                job.fail(format_args!("Failed to lookup mailbox {name} path"), &error);
            }
            _ => {
                if let Some(path) = kind.and_then(|kind| user.path(name, kind)) {
                    job.print(path.display());
                }
            }
        }
        Ok(())
    })
}
