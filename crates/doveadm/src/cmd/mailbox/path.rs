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
        None | Some("index") => PathKind::Index,
        Some("dir") => PathKind::Dir,
        Some("alt-dir") => PathKind::AltDir,
        Some("mailbox") => PathKind::Mailbox,
        Some("alt-mailbox") => PathKind::AltMailbox,
        Some("control") => PathKind::Control,
        Some("index-private") => PathKind::IndexPrivate,
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
                if let Some(path) = user.path(name, kind) {
                    job.print(path.display());
                }
            }
        }
        Ok(())
    })
}
