//! What both directions have in common: exchanging the trees of mailboxes, and the lines about one mailbox.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};

use base::Guid;
use base::tab::{escape, unescape};
use index::mailbox_log::Action;
use storage::Result;

use super::Terms;
use super::line::{DELETES, FINISH, Line, MAILBOX, NODE, STATE, Values};
use super::state::State;
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
    let mut values = vec![("hierarchy_sep", separator), ("escape_char", String::new())];
    values.extend(own.into_iter().flat_map(|(tree, _)| deletes(tree)));
    line.send_all(DELETES, &values)?;
    let (mut tree, mut known) = (Tree { separator: '/', ..Tree::default() }, Known::new());
    let mut times = Vec::new();
    while let Some(values) = line.next(NODE)? {
        times.push(node(&values, terms, &mut tree, &mut known)?);
    }
    let told = line.expect(DELETES)?;
    tree.separator = told.text("hierarchy_sep").and_then(|text| text.chars().next()).unwrap_or('/');
    for (name, action) in DELETED {
        tree.log.extend(deleted(told.text(name).unwrap_or_default(), action));
    }
    times.iter().for_each(|times| times.note(&mut tree));
    tree.exists = !tree.mailboxes.is_empty();
    tree.mailboxes.sort_by(|one, other| one.levels.cmp(&other.levels));
    tree.nodes.sort();
    tree.subscriptions.sort();
    Ok((tree, known))
}

/// What is said of what is gone, under which name.
const DELETED: [(&str, Action); 3] = [
    ("mailboxes", Action::DeleteMailbox),
    ("dirs", Action::DeleteDir),
    ("unsubscribes", Action::Unsubscribe),
];

/// What is gone here and has not come again: GUIDs, or hashes of names, each with when.
fn deletes(tree: &Tree) -> Vec<(&'static str, String)> {
    let mailboxes = tree.mailboxes.iter().map(|node| node.guid);
    let names = tree.mailboxes.iter().map(|node| &node.levels).chain(&tree.nodes).chain(&tree.subscriptions);
    let there: HashSet<Guid> = names.filter_map(|levels| tree.hash(levels).ok()).chain(mailboxes).collect();
    let all = DELETED.iter().map(|(name, action)| {
        let gone = tree.log.iter().filter(|(of, guid, _)| *of == action.encode() && !there.contains(guid));
        let gone: Vec<String> = gone.map(|(_, guid, time)| format!("{guid} {time}")).collect();
        (*name, gone.join(" "))
    });
    all.filter(|(_, text)| !text.is_empty()).collect()
}

fn deleted(text: &str, action: Action) -> Vec<(u8, Guid, u32)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let pairs = words.chunks_exact(2).filter_map(|pair| match pair {
        [guid, time] => Some((action.encode(), guid.parse().ok()?, time.parse().ok()?)),
        _ => None,
    });
    pairs.collect()
}

/// When a name was given, and when it was subscribed to or not any more.
struct Times {
    levels: Levels,
    renamed: u32,
    subscription: (bool, u32),
}

impl Times {
    fn note(&self, tree: &mut Tree) {
        let Ok(hash) = tree.hash(&self.levels) else { return };
        let (subscribed, time) = self.subscription;
        let action = if subscribed { Action::Subscribe } else { Action::Unsubscribe };
        for (action, time) in [(Action::Rename, self.renamed), (action, time)] {
            tree.log.extend((time != 0).then_some((action.encode(), hash, time)));
        }
    }
}

fn send_nodes<R: Read, W: Write>(line: &mut Line<R, W>, tree: &Tree, local: &Local) -> Result<()> {
    let name = |levels: &Levels| levels.iter().map(|level| escape(level)).collect::<Vec<_>>().join("\t");
    let subscribed = |levels: &Levels| tree.subscriptions.contains(levels);
    let times = |levels: &Levels| {
        let last = |action| tree.last_of_name(action, levels);
        let subscription = last(Action::Subscribe).max(last(Action::Unsubscribe));
        let all =
            [("last_renamed_or_created", last(Action::Rename)), ("last_subscription_change", subscription)];
        all.map(|(name, time)| (name, if time == 0 { String::new() } else { time.to_string() }))
    };
    let known = |times: &'_ [(&'static str, String); 2]| -> Vec<(&'static str, String)> {
        times.iter().filter(|(_, time)| !time.is_empty()).cloned().collect()
    };
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
        let times = known(&times(&node.levels));
        values.extend(times.iter().map(|(name, time)| (*name, time.as_str())));
        line.send(NODE, &values)?;
    }
    let is_mailbox = |levels: &&Levels| tree.mailboxes.iter().any(|node| node.levels == **levels);
    for levels in &tree.nodes {
        let name = name(levels);
        let mut values = vec![("name", name.as_str()), ("existence", "y")];
        values.extend(subscribed(levels).then_some(("subscribed", "")));
        let times = known(&times(levels));
        values.extend(times.iter().map(|(name, time)| (*name, time.as_str())));
        line.send(NODE, &values)?;
    }
    let only_subscribed = tree.subscriptions.iter().filter(|levels| !tree.nodes.contains(levels));
    for levels in only_subscribed.filter(|levels| !is_mailbox(levels)) {
        let name = name(levels);
        let mut values = vec![("name", name.as_str()), ("existence", "n"), ("subscribed", "")];
        let times = known(&times(levels));
        values.extend(times.iter().map(|(name, time)| (*name, time.as_str())));
        line.send(NODE, &values)?;
    }
    Ok(())
}

fn node(values: &Values, terms: &Terms, tree: &mut Tree, known: &mut Known) -> Result<Times> {
    let name = values.text("name").filter(|name| !name.is_empty()).ok_or_else(|| broken("Empty name"))?;
    let fix = |level: &str| -> String {
        let is_odd = |c: char| c == terms.separator || c.is_control();
        unescape(level).chars().map(|c| if is_odd(c) { terms.alt_char } else { c }).collect()
    };
    let levels: Levels = name.split('\t').map(fix).collect();
    let is_subscribed = values.has("subscribed");
    if is_subscribed {
        tree.subscriptions.push(levels.clone());
    }
    let times = Times {
        levels: levels.clone(),
        renamed: values.number("last_renamed_or_created")?.unwrap_or(0),
        subscription: (is_subscribed, values.number("last_subscription_change")?.unwrap_or(0)),
    };
    if values.text("existence") != Some("y") {
        return Ok(times);
    }
    let Some(guid) = values.text("mailbox_guid") else {
        tree.nodes.push(levels);
        return Ok(times);
    };
    let guid = guid.parse().map_err(|_| broken("Invalid mailbox_guid"))?;
    known.insert(levels.clone(), (guid, values.number("uid_validity")?.unwrap_or(0)));
    tree.mailboxes.push(Node { levels, guid, special_use: Vec::new() });
    Ok(times)
}

/// Tells of a mailbox here, with numbers that none there can have if `differs` says so.
pub(super) fn send_mailbox<R: Read, W: Write>(
    line: &mut Line<R, W>,
    opened: &Opened,
    differs: bool,
) -> Result<()> {
    let first_recent = if differs { 0 } else { opened.first_recent.max(1) }.to_string();
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
            ("first_recent_uid", &first_recent),
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
        && told.wanted::<u32>("first_recent_uid")? == opened.first_recent)
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

/// Tells that both have the same.
pub(super) fn send_state<R: Read, W: Write>(line: &mut Line<R, W>, opened: &Opened) -> Result<()> {
    send_common(line, opened.guid, &State::of_opened(opened))
}

/// Tells up to where both have the same.
pub(super) fn send_common<R: Read, W: Write>(line: &mut Line<R, W>, guid: Guid, state: &State) -> Result<()> {
    let (guid, validity) = (guid.to_string(), state.uid_validity.to_string());
    let last = state.common_uid.to_string();
    let (modseq, count) = (state.common_modseq.to_string(), state.messages.to_string());
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

/// Tells the client that all has been done, or why not, and whether its state is worth nothing (`needs_all`).
pub(super) fn send_finish<R: Read, W: Write>(
    line: &mut Line<R, W>,
    error: Option<&str>,
    needs_all: bool,
) -> Result<()> {
    if line.minor >= 3 {
        let mut values: Vec<(&str, &str)> = error.map(|error| ("error", error)).into_iter().collect();
        values.extend(needs_all.then_some(("require_full_resync", "")));
        line.send(FINISH, &values)?;
    }
    line.flush()
}

/// Hears the same from a server.
pub(super) fn hear_finish<R: Read, W: Write>(line: &mut Line<R, W>) -> Result<bool> {
    if line.minor < 3 {
        return line.flush().map(|()| false);
    }
    let told = line.expect(FINISH)?;
    match told.text("error") {
        Some(why) => Err(broken(format!("Remote dsync failed: {why}"))),
        None => Ok(told.has("require_full_resync")),
    }
}
