//! What both directions have in common: exchanging the trees of mailboxes, and the lines about one mailbox.

use std::collections::HashMap;
use std::io::{Read, Write};

use base::Guid;
use service::authmaster::{escape, unescape};
use storage::Result;

use super::Terms;
use super::line::{DELETES, FINISH, Line, MAILBOX, NODE, STATE, Values};
use crate::sync::local::Local;
use crate::sync::remote::broken;
use crate::sync::side::{Levels, Node, Opened, Tree};

/// GUID and UIDVALIDITY of mailboxes.
pub(super) type Known = HashMap<Levels, (Guid, u32)>;

/// Tells our tree, if the other side is to have it, and hears the other's.
pub(super) fn exchange<R: Read, W: Write>(
    line: &mut Line<R, W>,
    own: Option<(&Tree, &Local)>,
    terms: &Terms,
) -> Result<(Tree, Known)> {
    if let Some((tree, local)) = own {
        send_nodes(line, tree, local)?;
    }
    line.send_end()?;
    let separator = terms.separator.to_string();
    line.send(DELETES, &[("hierarchy_sep", &separator), ("escape_char", "")])?;
    let (mut tree, mut known) = (Tree { separator: '/', ..Tree::default() }, Known::new());
    while let Some(values) = line.next(NODE)? {
        node(&values, terms, &mut tree, &mut known)?;
    }
    line.expect(DELETES)?;
    tree.exists = !tree.mailboxes.is_empty();
    tree.mailboxes.sort_by(|one, other| one.levels.cmp(&other.levels));
    tree.nodes.sort();
    tree.subscriptions.sort();
    Ok((tree, known))
}

fn send_nodes<R: Read, W: Write>(line: &mut Line<R, W>, tree: &Tree, local: &Local) -> Result<()> {
    let name = |levels: &Levels| levels.iter().map(|level| escape(level)).collect::<Vec<_>>().join("\t");
    let subscribed = |levels: &Levels| tree.subscriptions.contains(levels);
    for node in &tree.mailboxes {
        let (uid_validity, uid_next) = local.numbers(&node.levels)?;
        let (name, guid) = (name(&node.levels), node.guid.to_string());
        let (uid_validity, uid_next) = (uid_validity.to_string(), uid_next.to_string());
        let mut values = vec![
            ("name", name.as_str()),
            ("existence", "y"),
            ("mailbox_guid", &guid),
            ("uid_validity", &uid_validity),
            ("uid_next", &uid_next),
        ];
        values.extend(subscribed(&node.levels).then_some(("subscribed", "")));
        line.send(NODE, &values)?;
    }
    let is_mailbox = |levels: &&Levels| tree.mailboxes.iter().any(|node| node.levels == **levels);
    for levels in &tree.nodes {
        let name = name(levels);
        let mut values = vec![("name", name.as_str()), ("existence", "y")];
        values.extend(subscribed(levels).then_some(("subscribed", "")));
        line.send(NODE, &values)?;
    }
    let only_subscribed = tree.subscriptions.iter().filter(|levels| !tree.nodes.contains(levels));
    for levels in only_subscribed.filter(|levels| !is_mailbox(levels)) {
        line.send(NODE, &[("name", &name(levels)), ("existence", "n"), ("subscribed", "")])?;
    }
    Ok(())
}

fn node(values: &Values, terms: &Terms, tree: &mut Tree, known: &mut Known) -> Result<()> {
    let name = values.text("name").filter(|name| !name.is_empty()).ok_or_else(|| broken("Empty name"))?;
    let fix = |level: &str| -> String {
        let is_odd = |c: char| c == terms.separator || c.is_control();
        unescape(level).chars().map(|c| if is_odd(c) { terms.alt_char } else { c }).collect()
    };
    let levels: Levels = name.split('\t').map(fix).collect();
    if values.has("subscribed") {
        tree.subscriptions.push(levels.clone());
    }
    if values.text("existence") != Some("y") {
        return Ok(());
    }
    let Some(guid) = values.text("mailbox_guid") else {
        tree.nodes.push(levels);
        return Ok(());
    };
    let guid = guid.parse().map_err(|_| broken("Invalid mailbox_guid"))?;
    known.insert(levels.clone(), (guid, values.number("uid_validity")?.unwrap_or(0)));
    tree.mailboxes.push(Node { levels, guid, special_use: Vec::new() });
    Ok(())
}

/// Tells of a mailbox here.
pub(super) fn send_mailbox<R: Read, W: Write>(line: &mut Line<R, W>, opened: &Opened) -> Result<()> {
    let (guid, validity, next) =
        (opened.guid.to_string(), opened.uid_validity.to_string(), opened.uid_next.to_string());
    let (count, modseq) = (opened.messages.len().to_string(), opened.highest_modseq.to_string());
    line.send(
        MAILBOX,
        &[
            ("mailbox_guid", &guid),
            ("uid_validity", &validity),
            ("uid_next", &next),
            ("messages_count", &count),
            ("first_recent_uid", "1"),
            ("highest_modseq", &modseq),
            ("highest_pvt_modseq", "0"),
            ("cache_fields", ""),
            ("have_guids", ""),
            ("have_save_guids", ""),
        ],
    )
}

/// Whether the other side's mailbox has the numbers that [`send_mailbox`] tells of ours.
pub(super) fn is_same(told: &Values, opened: &Opened) -> Result<bool> {
    let count = u32::try_from(opened.messages.len()).unwrap_or(u32::MAX);
    Ok(told.wanted::<u32>("uid_validity")? == opened.uid_validity
        && told.wanted::<u32>("uid_next")? == opened.uid_next
        && told.wanted::<u32>("messages_count")? == count
        && told.wanted::<u64>("highest_modseq")? == opened.highest_modseq
        && told.wanted::<u64>("highest_pvt_modseq")? == 0
        && told.wanted::<u32>("first_recent_uid")? == 1)
}

/// Tells that a mailbox is not here (`mailbox_lost`) or not wanted (`mailbox_ignore`).
pub(super) fn send_no_mailbox<R: Read, W: Write>(line: &mut Line<R, W>, guid: Guid, why: &str) -> Result<()> {
    let mut values = vec![(why, "")];
    let guid = guid.to_string();
    values.push(("mailbox_guid", &guid));
    let numbers = [
        "uid_validity",
        "uid_next",
        "messages_count",
        "first_recent_uid",
        "highest_modseq",
        "highest_pvt_modseq",
    ];
    values.extend(numbers.map(|name| (name, "0")));
    line.send(MAILBOX, &values)
}

/// Tells up to where both have the same.
pub(super) fn send_state<R: Read, W: Write>(line: &mut Line<R, W>, opened: &Opened) -> Result<()> {
    let (guid, validity) = (opened.guid.to_string(), opened.uid_validity.to_string());
    let last = opened.uid_next.saturating_sub(1).to_string();
    let (modseq, count) = (opened.highest_modseq.to_string(), opened.messages.len().to_string());
    line.send(
        STATE,
        &[
            ("mailbox_guid", &guid),
            ("last_uidvalidity", &validity),
            ("last_common_uid", &last),
            ("last_common_modseq", &modseq),
            ("last_common_pvt_modseq", "0"),
            ("last_messages_count", &count),
        ],
    )
}

/// Tells the client that all has been done, or why not.
pub(super) fn send_finish<R: Read, W: Write>(line: &mut Line<R, W>, error: Option<&str>) -> Result<()> {
    if line.minor >= 3 {
        let values: Vec<(&str, &str)> = error.map(|error| ("error", error)).into_iter().collect();
        line.send(FINISH, &values)?;
    }
    line.flush()
}

/// Hears the same from a server.
pub(super) fn hear_finish<R: Read, W: Write>(line: &mut Line<R, W>) -> Result<()> {
    if line.minor < 3 {
        return line.flush();
    }
    match line.expect(FINISH)?.text("error") {
        Some(why) => Err(broken(format!("Remote dsync failed: {why}"))),
        None => Ok(()),
    }
}
