//! `doveadm flags add|remove|replace`: changes the flags and keywords of messages.

use proto::imap::flag::is_keyword;
use storage::view::Flags;
use storage::{Error, FlagChange, FlagMode, Mailbox, OpenMode};

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Failure, Outcome, status};
use crate::mail::{SearchQuery, Told, Whose, found};

pub(crate) fn add(cx: &mut Context, args: &Args) -> Outcome {
    change(cx, args, "flags add", FlagMode::Add)
}

pub(crate) fn remove(cx: &mut Context, args: &Args) -> Outcome {
    change(cx, args, "flags remove", FlagMode::Remove)
}

pub(crate) fn replace(cx: &mut Context, args: &Args) -> Outcome {
    change(cx, args, "flags replace", FlagMode::Replace)
}

fn change(cx: &mut Context, args: &Args, command: &str, mode: FlagMode) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let named = args.list("flag").join(" ");
    let mut words: Vec<String> = args.text("flagstr").into_iter().map(str::to_owned).collect();
    words.extend_from_slice(args.list("query"));
    let flags = match named.as_str() {
        "" if words.len() > 1 => words.remove(0),
        "" => return Err(help(command)),
        _ if words.is_empty() => return Err(help(command)),
        named => named.to_owned(),
    };
    let change = parse(&flags, mode)?;
    let query = SearchQuery::parse(&words)?;
    whose.each(cx, &mut |job, user| {
        found::each(job, user, &query, OpenMode::Append, Some(found::sync_failed), &mut |job, mut found| {
            let changed = check(&*found.mailbox, &change.keywords)
                .and_then(|()| found.mailbox.store_flags(&found.set(), &change));
            match changed {
                Ok(_) => {}
                Err(error @ Error::BadRequest(_)) => {
                    job.log().error(format_args!("Invalid keywords: {}", Told(&error)));
                    job.fail_as(status::DATA);
                }
                Err(error) => {
                    job.fail(format_args!("Committing mailbox {} failed", found.place.name), &error);
                }
            }
            Ok(())
        })
    })
}

/// Refuses new keywords that no client could ask for.
fn check(mailbox: &dyn Mailbox, keywords: &[String]) -> storage::Result<()> {
    let view = mailbox.view();
    let is_new = |name: &&String| view.keyword_index(name).is_none();
    match keywords.iter().filter(is_new).find(|name| !is_keyword(name)) {
        Some(name) if name.chars().find(|c| !is_keyword(c.encode_utf8(&mut [0; 4]))) > Some('\x7f') => {
            Err(Error::BadRequest("8bit characters in keyword".to_owned()))
        }
        Some(_) => Err(Error::BadRequest("Invalid characters in keyword".to_owned())),
        None => Ok(()),
    }
}

/// Flags that begin with a backslash are the system's, all others keywords.
fn parse(text: &str, mode: FlagMode) -> Outcome<FlagChange> {
    let mut change = FlagChange { mode, flags: Flags::NONE, keywords: Vec::new() };
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !word.starts_with('\\') {
            change.keywords.push(word.to_owned());
            continue;
        }
        match Flags::from_name(word) {
            Some(flag) => change.flags |= flag,
            // A session's flag, which nobody can set.
            None if word.eq_ignore_ascii_case("\\recent") => {}
            None => return Err(Failure::fatal(format_args!("Invalid system flag: {word}"))),
        }
    }
    Ok(change)
}
