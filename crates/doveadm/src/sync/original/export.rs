//! Gives mail to Dovecot's dsync: `doveadm backup` and `sync -1` to a server of the original, and the mail that
//! its `backup -R` asks our `dsync-server` for.

use std::collections::HashMap;
use std::io::{Read, Write};

use base::Guid;
use base::tab::escape;
use storage::Result;

use super::line::{ATTRIBUTE, CHANGE, HANDSHAKE, Line, MAIL, MAILBOX, REQUEST, STATE};
use super::state::{State, States};
use super::{Terms, since, trees};
use crate::sync::local::Local;
use crate::sync::plan::Way;
use crate::sync::side::{Attribute, Filter, Levels, Message, Opened, Side};
use crate::sync::{Choice, Report};

/// Makes the mail at the other end the same as here (`Mirror`), or adds what is missing there. With `states` of
/// the last time only what has changed since is told. Gives how things stand now.
///
/// # Errors
/// Without which nothing can be done, and what the other side says.
pub(crate) fn push<R: Read, W: Write>(
    mut line: Line<R, W>,
    terms: &Terms,
    local: &mut Local,
    (way, states): (Way, Option<&States>),
    choice: &Choice,
    report: &mut dyn Report,
) -> Result<States> {
    line.greet()?;
    let mut values = terms.values();
    if states.is_some() {
        values.retain(|(name, _)| *name != "sync_type");
        values.push(("sync_type", "s".to_owned()));
    }
    // It is the receiver.
    values.push(("backup_recv", String::new()));
    if way != Way::Mirror {
        values.push(("no_backup_overwrite", String::new()));
    }
    choice.tell(&mut values);
    line.send_all(HANDSHAKE, &values)?;
    line.expect(HANDSHAKE)?;
    states.map_or(Ok(()), |states| since::send_states(&mut line, states))?;
    let mut tree = local.tree()?;
    tree.mailboxes.retain(|node| choice.wants(node));
    trees::exchange(&mut line, Some((&tree, local)), terms)?;
    let mut now = States::default();
    for node in &tree.mailboxes {
        let opened = local.open(&node.levels, &choice.filter)?;
        let state = states.and_then(|states| states.of(opened.guid)).copied();
        if let Some(state) = state.filter(|state| state.fits(&opened)) {
            now.put(opened.guid, state);
            continue;
        }
        let state = state.filter(State::is_any);
        if let Some(why) = state.as_ref().and_then(|state| since::stale(&opened, state)) {
            // Without a state all of it is told the next time.
            report.desync(format!("Incremental sync failed: {}: {why}", node.levels.join("/")));
            continue;
        }
        trees::send_mailbox(&mut line, &opened, false)?;
        let told = line.expect(MAILBOX)?;
        if told.has("mailbox_lost") {
            report.desync(format!("Remote lost mailbox GUID {} (maybe it was just deleted?)", node.guid));
        } else if !told.has("mailbox_ignore") {
            let then = mailbox(&mut line, local, (&node.levels, &opened), state.as_ref(), &choice.filter)?;
            now.put(opened.guid, then);
        }
    }
    line.send_end()?;
    // Its state is worth nothing where the other side says so.
    let needs_all = trees::hear_finish(&mut line)?;
    Ok(if needs_all { States::default() } else { now })
}

/// Answers for one mailbox after the other that the client names.
pub(super) fn answer<R: Read, W: Write>(
    line: &mut Line<R, W>,
    local: &mut Local,
    by_guid: &HashMap<Guid, Levels>,
    filter: &Filter,
    only_changed: bool,
    states: Option<&States>,
) -> Result<()> {
    let mut needs_all = false;
    while let Some(told) = line.next(MAILBOX)? {
        let guid: Guid = told.text("mailbox_guid").unwrap_or_default().parse().unwrap_or_default();
        let opened =
            by_guid.get(&guid).map(|levels| local.open(levels, filter).map(|opened| (levels, opened)));
        let state = states.and_then(|states| states.of(guid)).filter(|state| state.is_any());
        match opened.transpose()? {
            Some((_, opened)) if state.is_some_and(|state| since::stale(&opened, state).is_some()) => {
                needs_all = true;
                trees::send_no_mailbox(line, guid, "mailbox_lost")?;
            }
            Some((levels, opened)) => {
                trees::send_mailbox(line, &opened, false)?;
                // Where all numbers are the same both go on at once.
                if !only_changed || !trees::is_same(&told, &opened)? {
                    mailbox(line, local, (levels, &opened), state, filter)?;
                }
            }
            None => trees::send_no_mailbox(line, guid, "mailbox_lost")?,
        }
    }
    trees::send_finish(line, None, needs_all)
}

/// What follows once both have named a mailbox. Gives up to where both are the same then.
fn mailbox<R: Read, W: Write>(
    line: &mut Line<R, W>,
    local: &mut Local,
    (levels, opened): (&Levels, &Opened),
    state: Option<&State>,
    filter: &Filter,
) -> Result<State> {
    if line.minor >= 1 {
        send_attributes(line, &local.attributes(levels)?.unwrap_or_default())?;
    }
    match state {
        Some(state) => since::send_changes(line, opened, Some(state), filter)?,
        None => {
            // Expunges need not be told: the other side looks for what is missing.
            opened.messages.iter().try_for_each(|message| change(line, opened, message, 's', filter))?;
            line.send_end()?;
        }
    }
    answer_requests(line, local, opened)?;
    trees::send_state(line, opened)?;
    State::of_opened(opened).or_lower(&line.expect(STATE)?)
}

/// Tells a mailbox's attributes.
pub(super) fn send_attributes<R: Read, W: Write>(
    line: &mut Line<R, W>,
    attributes: &[Attribute],
) -> Result<()> {
    // An empty name would damage the other side's index.
    for attribute in attributes.iter().filter(|attribute| !attribute.name.is_empty()) {
        let scope = if attribute.shared { "s" } else { "p" };
        line.send(ATTRIBUTE, &[("type", scope), ("key", &attribute.name), ("value", &attribute.value)])?;
    }
    line.send_end()
}

/// Hears which messages are wanted, and sends them.
pub(super) fn answer_requests<R: Read, W: Write>(
    line: &mut Line<R, W>,
    local: &mut Local,
    opened: &Opened,
) -> Result<()> {
    let by_guid: HashMap<String, u32> =
        opened.messages.iter().map(|message| (guid_of(message), message.uid)).collect();
    let mut wanted = Vec::new();
    while let Some(values) = line.next(REQUEST)? {
        let by_uid = values.number("uid")?;
        wanted.extend(values.text("guid").and_then(|guid| by_guid.get(guid).copied()).or(by_uid));
    }
    wanted.sort_unstable();
    wanted.dedup();
    for uid in wanted {
        mail(line, local, uid)?;
    }
    line.send_end()
}

fn guid_of(message: &Message) -> String {
    message.long_guid.clone().unwrap_or_else(|| message.guid.to_string())
}

/// Tells of a message (`s`), or that its flags have changed (`f`).
pub(super) fn change<R: Read, W: Write>(
    line: &mut Line<R, W>,
    opened: &Opened,
    message: &Message,
    kind: char,
    filter: &Filter,
) -> Result<()> {
    let (kind, guid) = (kind.to_string(), guid_of(message));
    let (uid, modseq) = (message.uid.to_string(), message.modseq.to_string());
    let recent = if message.uid >= opened.first_recent { RECENT } else { 0 };
    let flags = format!("{:x}", message.flags | recent);
    let (added, removed) = (message.flags & message.changed.flags, !message.flags & message.changed.flags);
    let (added_text, removed_text) = (format!("{added:x}"), format!("{removed:x}"));
    let keywords = keyword_changes(message);
    let received = message.received.map(|time| format!("{:x}", time.max(0)));
    let size = message.size.map(|size| format!("{size:x}"));
    let mut values =
        vec![("type", kind.as_str()), ("uid", uid.as_str()), ("guid", &guid), ("modseq", &modseq)];
    if added != 0 {
        values.push(("add_flags", &added_text));
    }
    if removed != 0 {
        values.push(("remove_flags", &removed_text));
    }
    if message.flags | recent != 0 {
        values.push(("final_flags", &flags));
    }
    if !keywords.is_empty() {
        values.push(("keyword_changes", &keywords));
    }
    if filter.since.is_some() || filter.until.is_some() {
        values.extend(received.as_deref().map(|time| ("received_timestamp", time)));
    }
    values.extend(size.as_deref().map(|size| ("virtual_size", size)));
    line.send(CHANGE, &values)
}

/// 2.3's bit for `\Recent`: a message that is saved without it has been seen, and so have all before it.
const RECENT: u8 = 0x20;

/// Each keyword with a sign for whether it was there, came, or went.
fn keyword_changes(message: &Message) -> String {
    let changed = &message.changed.keywords;
    let there = message.keywords.iter().map(|name| (if changed.contains(name) { '&' } else { '=' }, name));
    let gone = changed.iter().filter(|name| !message.keywords.contains(name)).map(|name| ('-', name));
    let all = there.chain(gone).map(|(sign, name)| escape(&format!("{sign}{name}")).into_owned());
    all.collect::<Vec<_>>().join("\t")
}

fn mail<R: Read, W: Write>(line: &mut Line<R, W>, local: &mut Local, uid: u32) -> Result<()> {
    // What has gone meanwhile does not come.
    let Some((meta, body)) = local.message(uid)? else { return Ok(()) };
    let uid = uid.to_string();
    let received = meta.received.map(|time| time.to_string());
    let order = meta.pop3_order.map(|order| order.to_string());
    let mut values = vec![("uid", uid.as_str()), ("stream", "")];
    let texts = [
        ("guid", meta.guid.as_deref()),
        ("received_date", received.as_deref()),
        ("pop3_uidl", meta.pop3_uidl.as_deref()),
        ("pop3_order", order.as_deref()),
    ];
    values.extend(texts.into_iter().filter_map(|(name, value)| Some((name, value?))));
    line.send(MAIL, &values)?;
    line.send_stream(body)
}
