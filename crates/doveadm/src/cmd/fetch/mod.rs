//! `doveadm fetch`: shows what is asked of messages, in 2.3's many words.

mod fields;
mod section;
mod show;
mod text;

use std::borrow::Cow;

use storage::OpenMode;

use self::fields::Field;
use self::show::Message;
use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Outcome};
use crate::mail::found::Found;
use crate::mail::{Job, SearchQuery, Whose, found};
use crate::print::{Column, Format};

pub(crate) fn fetch(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let named = args.list("field").join(" ");
    let mut words: Vec<String> = args.text("fieldstr").into_iter().map(str::to_owned).collect();
    words.extend_from_slice(args.list("query"));
    let fields = match named.as_str() {
        "" if words.len() > 1 => words.remove(0),
        "" => return Err(help("fetch")),
        _ if words.is_empty() => return Err(help("fetch")),
        named => named.to_owned(),
    };
    let fields = fields::parse(&fields)?;
    let query = SearchQuery::parse(&words)?;
    let columns: Vec<Column> = fields.iter().map(|(name, _)| named_column(name)).collect();
    whose.each_printing(cx, Format::Pager, &columns, &mut |job, user| {
        let username = user.username();
        found::each(job, user, &query, OpenMode::Append, None, &mut |job, found| {
            show_all(job, found, username, &fields)
        })
    })
}

fn named_column(name: &str) -> Column {
    let name: Cow<'static, str> = Cow::Owned(name.to_owned());
    Column { key: name.clone(), title: name, untitled: false, right: false, expand: false }
}

fn show_all(job: &mut Job<'_>, mut found: Found, username: &str, fields: &[(String, Field)]) -> Outcome {
    for uid in found.uids.clone() {
        if job.is_unread() {
            break;
        }
        let mut message = Message::new(&mut found, uid, username);
        for (name, field) in fields {
            if let Err(failure) = message.show(job, field) {
                failure.tell(job, name, message.place(), uid)?;
            }
        }
    }
    Ok(())
}
