//! Our `dsync-server` for a client of the original, which may take mail (`backup -R` there) or bring it
//! (`backup`, `sync -1`), or both at once (`sync`).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;

use mail_user::MailUser;
use storage::{Error, Result};

use super::both::Both;
use super::line::{HANDSHAKE, Line, Values};
use super::since::{self, Base};
use super::{Original, Terms, export, trees};
use crate::sync::local::Local;
use crate::sync::plan::Way;
use crate::sync::side::{Filter, Scope, Side};
use crate::sync::{Choice, Report, run};

/// Serves the client at the other end, behind its greeting.
///
/// # Errors
/// What the administrator is told; the client is told, too.
pub(crate) fn serve<R: Read, W: Write>(
    user: &Arc<MailUser>,
    mut line: Line<R, W>,
    report: &mut dyn Report,
) -> Result<()> {
    line.send(HANDSHAKE, &[("hostname", &mail_user::host_name()), ("hashed_headers", "")])?;
    let told = line.expect(HANDSHAKE)?;
    let (takes, brings) = (told.has("backup_send"), told.has("backup_recv"));
    let states = match told.text("sync_type") {
        Some("s") => Some(since::hear_states(&mut line)?),
        _ => None,
    };
    if !told.has("send_mail_requests") {
        return refuse(line, "dsync without mail requests isn't supported");
    }
    let scope = match told.text("sync_ns_prefix") {
        Some(prefixes) => Scope::Prefixes(prefixes.split('\n').map(str::to_owned).collect()),
        None if told.has("sync_visible_namespaces") => Scope::Visible,
        None => Scope::Ours,
    };
    let mut local = Local::new(user.clone(), &scope)?.with_whole_names();
    let choice = choice(&told)?;
    let terms = Terms {
        hostname: mail_user::host_name(),
        separator: local.separator(),
        alt_char: told.text("alt_char").and_then(|text| text.chars().next()).unwrap_or('_'),
        all_namespaces: false,
        namespaces: Vec::new(),
        filter: choice.filter.clone(),
        virtual_all: None,
    };
    let only_changed = told.text("sync_type") == Some("c");
    if !takes && !brings {
        let both = Both { terms: &terms, choice: &choice, is_first: false, only_changed, states };
        return both.run(line, &mut local, report).map(drop);
    }
    let mut own = local.tree()?;
    own.mailboxes.retain(|node| choice.wants(node));
    let (tree, known) = trees::exchange(&mut line, Some((&own, &local)), &terms)?;
    if takes {
        let by_guid: HashMap<_, _> = own.mailboxes.into_iter().map(|node| (node.guid, node.levels)).collect();
        return export::answer(
            &mut line,
            &mut local,
            &by_guid,
            &choice.filter,
            only_changed,
            states.as_ref(),
        );
    }
    let way = if told.has("no_backup_overwrite") { Way::There } else { Way::Mirror };
    let base = |states| {
        let local = Local::new(user.clone(), &scope)?.with_whole_names();
        Ok::<_, Error>(Base { states, local, way, filter: choice.filter.clone() })
    };
    let mut other = Original::hear(line, tree, known, states.map(base).transpose()?);
    run(&mut other, &mut local, way, &choice, report)
}

fn choice(told: &Values) -> Result<Choice> {
    let masks = told.text("exclude_mailboxes").filter(|masks| !masks.is_empty());
    let masks = masks.map(|masks| masks.split('\t').map(base::tab::unescape).collect());
    let guid = told.text("sync_box_guid").map(str::parse).transpose();
    let flag = told.text("sync_flags").map(|text| match text.strip_prefix('-') {
        Some(name) => (true, name.to_owned()),
        None => (false, text.to_owned()),
    });
    Ok(Choice {
        only: told.text("sync_box").map(str::to_owned).into_iter().collect(),
        guid: guid.map_err(|_| crate::sync::remote::broken("Invalid sync_box_guid"))?,
        exclude: masks.unwrap_or_default(),
        filter: Filter {
            since: told.number("sync_since_timestamp")?,
            until: told.number("sync_until_timestamp")?,
            size_max: told.number("sync_max_size")?,
            flag,
        },
        purge: told.has("purge_remote"),
    })
}

/// Ends before anything has been done.
fn refuse<R: Read, W: Write, T>(mut line: Line<R, W>, why: &str) -> Result<T> {
    line.give_up()?;
    Err(Error::Unsupported(why.to_owned()))
}
