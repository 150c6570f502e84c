//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.3–§6.3.7).

use proto::imap::MailboxName;

use crate::context::Context;
use crate::reply::Answer;

pub(super) fn create(context: &mut Context, mailbox: &MailboxName) -> Result<Answer, Answer> {
    if mailbox.as_str().is_empty() {
        return Err(Answer::no("Invalid mailbox name: Name is empty").code("CANNOT"));
    }
    // A separator at the end announces children to come; the workaround is not meant for it.
    let created = context.user.create(mailbox.as_str());
    created.map_err(|error| context.failed(&error, Answer::of_error))?;
    Ok(Answer::ok("Create completed"))
}

pub(super) fn delete(context: &mut Context, mailbox: &MailboxName) -> Result<Answer, Answer> {
    let name = context.name(mailbox);
    if name.eq_ignore_ascii_case("INBOX") {
        return Err(Answer::no("INBOX can't be deleted"));
    }
    // Deleting what is selected ends the selection first, as in 2.3.
    if context.is_selected(&name) {
        context.selected = None;
    }
    context.user.delete(&name).map_err(|error| context.failed(&error, Answer::of_error))?;
    Ok(Answer::ok("Delete completed"))
}

pub(super) fn rename(context: &mut Context, from: &MailboxName, to: &MailboxName) -> Result<Answer, Answer> {
    let (from, to) = (context.name(from), context.name(to));
    let is_inbox = from.eq_ignore_ascii_case("INBOX");
    if from == to || is_inbox && to.eq_ignore_ascii_case("INBOX") {
        return Err(Answer::no("Can't rename mailbox to itself").code("ALREADYEXISTS"));
    }
    let below = to.strip_prefix(&from).and_then(|rest| rest.strip_prefix(separator_of(context, &from)));
    if below.is_some() {
        return Err(Answer::no("Can't rename mailbox under its own child"));
    }
    context.user.rename(&from, &to).map_err(|error| match error {
        storage::Error::Exists(_) => Answer::no("Target mailbox already exists").code("ALREADYEXISTS"),
        error => context.failed(&error, Answer::of_error),
    })?;
    Ok(Answer::ok("Rename completed"))
}

pub(super) fn subscribe(context: &mut Context, mailbox: &MailboxName) -> Result<Answer, Answer> {
    let name = context.name(mailbox);
    context.user.subscribe(&name).map_err(|error| match error {
        // What can be no mailbox does not exist: 2.3 says no more here.
        storage::Error::InvalidName { .. } => {
            let name = name.trim_end_matches(separator_of(context, &name));
            Answer::of_open_error(&storage::Error::NotFound(name.to_owned()))
        }
        error => context.failed(&error, Answer::of_open_error),
    })?;
    Ok(Answer::ok("Subscribe completed"))
}

pub(super) fn unsubscribe(context: &mut Context, mailbox: &MailboxName) -> Result<Answer, Answer> {
    let name = context.name(mailbox);
    context.user.unsubscribe(&name).map_err(|error| context.failed(&error, Answer::of_open_error))?;
    Ok(Answer::ok("Unsubscribe completed"))
}

fn separator_of(context: &Context, name: &str) -> char {
    context.user.namespace_of(name).map_or('/', |namespace| namespace.separator())
}
