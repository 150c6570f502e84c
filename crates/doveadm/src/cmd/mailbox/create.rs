//! `doveadm mailbox create`: new mailboxes, with `-s` subscribed to, with `-g` of a given GUID.

use std::sync::Arc;

use base::Guid;
use mail_user::{MailUser, Namespace};
use storage::{Error, MailboxUpdate, Result};

use super::{check_new, names};
use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Outcome};
use crate::mail::{Job, Whose};

const NAME: &str = "mailbox create";

pub(crate) fn create(cx: &mut Context, args: &Args) -> Outcome {
    let guid: Option<Guid> = match args.text("guid") {
        Some(text) => Some(text.parse().map_err(|_| help(NAME))?),
        None => None,
    };
    let whose = Whose::parse(cx, args)?;
    let names = names(args, NAME)?;
    names.iter().try_for_each(|name| check_new(name))?;
    let subscribe = args.flag("subscriptions");
    whose.each(cx, &mut |job, user| {
        for name in names {
            create_one(job, user, name, guid, subscribe);
        }
        Ok(())
    })
}

fn create_one(job: &mut Job<'_>, user: &Arc<MailUser>, name: &str, guid: Option<Guid>, subscribe: bool) {
    let separator = user.namespace_of(name).map_or('/', Namespace::separator);
    let bare = name.strip_suffix(separator).unwrap_or(name);
    if let Err(error) = make(user, name, bare, guid) {
        job.fail(format_args!("Can't create mailbox {bare}"), &error);
    }
    if subscribe && let Err(error) = user.set_subscribed(bare, true) {
        job.fail(format_args!("Can't subscribe to mailbox {bare}"), &error);
    }
}

fn make(user: &MailUser, name: &str, bare: &str, guid: Option<Guid>) -> Result<()> {
    if bare.is_empty() {
        return Err(Error::BadRequest("Invalid mailbox name: Name is empty".to_owned()));
    }
    user.create(name)?;
    let Some(guid) = guid else { return Ok(()) };
    user.update_mailbox(bare, &MailboxUpdate { guid: Some(guid), ..MailboxUpdate::default() })
}
