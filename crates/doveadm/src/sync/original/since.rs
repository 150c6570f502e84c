//! What has changed since a state of the last time (`-s`): telling that instead of everything, and making of it
//! what the other side has now.

use std::collections::VecDeque;
use std::io::{Read, Write};

use base::Guid;
use storage::Result;

use super::line::{CHANGE, Line, STATE};
use super::state::{State, States};
use super::{export, trees};
use crate::sync::local::Local;
use crate::sync::plan::Way;
use crate::sync::remote::broken;
use crate::sync::side::{Filter, Levels, Message, Opened, Side};

/// Says how things stood the last time.
pub(super) fn send_states<R: Read, W: Write>(line: &mut Line<R, W>, states: &States) -> Result<()> {
    for (guid, state) in states.iter() {
        trees::send_common(line, *guid, state)?;
    }
    line.send_end()
}

/// How things stood the last time, as the client remembers it.
pub(super) fn hear_states<R: Read, W: Write>(line: &mut Line<R, W>) -> Result<States> {
    let mut states = States::default();
    while let Some(told) = line.next(STATE)? {
        let guid = told.text("mailbox_guid").unwrap_or_default().parse();
        let guid = guid.map_err(|_| broken("Invalid mailbox_guid"))?;
        states.put(guid, State::of(&told)?);
    }
    Ok(states)
}

/// All messages, or what has changed since the last time, and what was expunged, by UID.
pub(super) fn send_changes<R: Read, W: Write>(
    line: &mut Line<R, W>,
    opened: &Opened,
    state: Option<&State>,
    filter: &Filter,
) -> Result<()> {
    let (common, modseq) = state.map_or((0, 0), |state| (state.common_uid, state.common_modseq));
    let mut expunged: VecDeque<(u32, Guid)> = opened.expunged.iter().copied().collect();
    for message in &opened.messages {
        while let Some((uid, guid)) = expunged.pop_front_if(|(uid, _)| *uid < message.uid) {
            send_expunge(line, uid, guid, common)?;
        }
        if message.uid > common {
            export::change(line, opened, message, 's', filter)?;
        } else if message.modseq > modseq {
            export::change(line, opened, message, 'f', filter)?;
        }
    }
    expunged.into_iter().try_for_each(|(uid, guid)| send_expunge(line, uid, guid, common))?;
    line.send_end()
}

fn send_expunge<R: Read, W: Write>(line: &mut Line<R, W>, uid: u32, guid: Guid, common: u32) -> Result<()> {
    let (number, text) = (uid.to_string(), guid.to_string());
    let mut values = vec![("type", "e"), ("uid", number.as_str()), ("modseq", "0")];
    if guid != Guid::default() {
        values.push(("guid", &text));
    } else if common != 0 {
        // Without a GUID it would be believed, whatever has that UID there.
        return Ok(());
    }
    line.send(CHANGE, &values)
}

/// Why what has changed here since a state cannot be told: the state is not of this mailbox, or the log does not
/// reach back to it.
pub(super) fn stale(opened: &Opened, state: &State) -> Option<String> {
    let State { uid_validity, common_uid, common_modseq, messages } = *state;
    if opened.uid_validity != uid_validity {
        return Some(format!("uidvalidity {} is not {uid_validity}", opened.uid_validity));
    }
    if opened.uid_next < common_uid {
        return Some(format!("uidnext {} < {common_uid}", opened.uid_next));
    }
    if opened.highest_modseq < common_modseq {
        return Some(format!("highest_modseq {} < {common_modseq}", opened.highest_modseq));
    }
    let there = opened.messages.iter().filter(|message| message.uid <= common_uid).count();
    let known = opened.expunged.iter().filter(|(uid, guid)| *uid <= common_uid && *guid != Guid::default());
    let is_told = there + known.count() >= usize::try_from(messages).unwrap_or(usize::MAX);
    (!is_told).then(|| format!("Modseq {common_modseq} no longer in transaction log"))
}

/// What the receiver of mail remembers of the last time, and its mailboxes.
pub(crate) struct Base {
    pub(crate) states: States,
    pub(crate) local: Local,
    pub(crate) way: Way,
    pub(crate) filter: Filter,
}

/// What a mailbox has in common with the other side's.
pub(super) enum Common {
    /// Nothing that is known: everything is told.
    Nothing,
    /// This; only what has changed since is told.
    Some(Opened),
    /// It was something once, but is no more.
    Lost,
}

impl Base {
    /// Keeps only the states of mailboxes that are still like that here.
    pub(super) fn keep_usable(&mut self) -> Result<()> {
        let mut usable = States::default();
        for node in self.local.tree()?.mailboxes {
            let Some(state) = self.states.of(node.guid).copied() else { continue };
            // Why it cannot be opened is said when its turn comes.
            if matches!(self.common(&node.levels, node.guid), Ok(Common::Some(_))) {
                usable.put(node.guid, state);
            }
        }
        self.states = usable;
        Ok(())
    }

    /// What the mailbox `guid` has in common with the other side's.
    pub(super) fn common(&mut self, levels: &Levels, guid: Guid) -> Result<Common> {
        let Some(state) = self.states.of(guid).copied().filter(State::is_any) else {
            return Ok(Common::Nothing);
        };
        let mut opened = self.local.open(levels, &self.filter)?;
        let is_stale = opened.guid != guid || stale(&opened, &State { messages: 0, ..state }).is_some();
        opened.messages.retain(|message| message.uid <= state.common_uid);
        opened.expunged.clear();
        let is_whole = usize::try_from(state.messages) == Ok(opened.messages.len());
        // What somebody has removed here is not told again.
        match is_stale || self.way == Way::Mirror && !is_whole {
            true => Ok(Common::Lost),
            false => Ok(Common::Some(opened)),
        }
    }
}

/// Takes over flags that have changed.
pub(super) fn change(messages: &mut [Message], changed: Message) {
    if let Ok(at) = messages.binary_search_by_key(&changed.uid, |message| message.uid)
        && let Some(message) = messages.get_mut(at)
    {
        let Message { flags, keywords, changed, modseq, .. } = changed;
        *message = Message { flags, keywords, changed, modseq, ..message.clone() };
    }
}
