//! How far two sides were the same when they were synchronized last (`doveadm sync -s`): what Dovecot prints,
//! and takes.

use std::collections::BTreeMap;

use base::Guid;
use sasl::encoding::{base64, from_base64};
use storage::Result;

use super::line::Values;
use crate::sync::Choice;
use crate::sync::side::{Filter, Opened, Side};

/// One mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) uid_validity: u32,
    /// Up to this UID both had the same.
    pub(crate) common_uid: u32,
    pub(crate) common_modseq: u64,
    /// How many messages there were.
    pub(crate) messages: u32,
}

impl State {
    /// Where there is something in common, only what has changed since is told.
    pub(super) fn is_any(&self) -> bool {
        self.common_uid != 0
    }

    /// Whether the mailbox here is as it was.
    pub(super) fn fits(&self, opened: &Opened) -> bool {
        self.uid_validity == opened.uid_validity
            && self.common_uid.checked_add(1) == Some(opened.uid_next)
            && self.common_modseq == opened.highest_modseq
            && usize::try_from(self.messages) == Ok(opened.messages.len())
    }

    /// What the other side says may be less.
    pub(super) fn or_lower(self, told: &Values) -> Result<Self> {
        Ok(Self {
            common_uid: self.common_uid.min(told.wanted("last_common_uid")?),
            common_modseq: self.common_modseq.min(told.wanted("last_common_modseq")?),
            ..self
        })
    }

    /// A mailbox of which both have the same.
    pub(super) fn of_opened(opened: &Opened) -> Self {
        Self {
            uid_validity: opened.uid_validity,
            common_uid: opened.uid_next.saturating_sub(1),
            common_modseq: opened.highest_modseq,
            messages: u32::try_from(opened.messages.len()).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn of(told: &Values) -> Result<Self> {
        Ok(Self {
            uid_validity: told.wanted("last_uidvalidity")?,
            common_uid: told.wanted("last_common_uid")?,
            common_modseq: told.wanted("last_common_modseq")?,
            messages: told.number("last_messages_count")?.unwrap_or(0),
        })
    }
}

/// All mailboxes, by GUID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct States(BTreeMap<Guid, State>);

impl States {
    pub(super) fn of(&self, guid: Guid) -> Option<&State> {
        self.0.get(&guid)
    }

    pub(super) fn put(&mut self, guid: Guid, state: State) {
        self.0.insert(guid, state);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Guid, &State)> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How the mailboxes of a side stand now that both are the same.
    ///
    /// # Errors
    /// What cannot be opened.
    pub(crate) fn now(side: &mut dyn Side, choice: &Choice) -> Result<Self> {
        let mut states = Self::default();
        for node in side.tree()?.mailboxes.iter().filter(|node| choice.wants(node)) {
            let opened = side.open(&node.levels, &Filter::default())?;
            states.put(opened.guid, State::of_opened(&opened));
        }
        Ok(states)
    }

    /// Reads a state; an empty text is one of nothing.
    ///
    /// # Errors
    /// Why it makes no sense, in Dovecot's words.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let bytes = from_base64(text.trim().as_bytes()).ok_or("Invalid base64 data")?;
        if bytes.is_empty() || bytes == [0; 4] {
            return Ok(Self::default());
        }
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or("Input too small")?;
        let rest = body.get(HEADER.len()..).ok_or("Input too small")?;
        if rest.len() % ENTRY_BYTES != 0 {
            return Err("Invalid input size");
        }
        if u32::from_le_bytes(*crc) != crc32(body) {
            return Err("CRC32 mismatch");
        }
        Ok(Self(rest.chunks_exact(ENTRY_BYTES).filter_map(entry).collect()))
    }

    /// The text of it.
    pub(crate) fn print(&self) -> String {
        let mut bytes = HEADER.to_vec();
        for (guid, state) in &self.0 {
            bytes.extend_from_slice(&guid.0);
            bytes.extend_from_slice(&state.uid_validity.to_le_bytes());
            bytes.extend_from_slice(&state.common_uid.to_le_bytes());
            bytes.extend_from_slice(&state.common_modseq.to_le_bytes());
            // Of flags that each user has of his own nothing is known.
            bytes.extend_from_slice(&[0; 8]);
            bytes.extend_from_slice(&state.messages.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32(&bytes).to_le_bytes());
        base64(&bytes)
    }
}

fn entry(bytes: &[u8]) -> Option<(Guid, State)> {
    let (guid, rest) = bytes.split_first_chunk::<16>()?;
    let (uid_validity, rest) = rest.split_first_chunk::<4>()?;
    let (common_uid, rest) = rest.split_first_chunk::<4>()?;
    let (common_modseq, rest) = rest.split_first_chunk::<8>()?;
    let messages = rest.get(8..)?.first_chunk::<4>()?;
    let state = State {
        uid_validity: u32::from_le_bytes(*uid_validity),
        common_uid: u32::from_le_bytes(*common_uid),
        common_modseq: u64::from_le_bytes(*common_modseq),
        messages: u32::from_le_bytes(*messages),
    };
    Some((Guid(*guid), state))
}

/// That of Ethernet and zlib.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Dovecot's version of it, 1.0.
const HEADER: [u8; 4] = [1, 0, 0, 0];
/// GUID, UIDVALIDITY, UID, two modseqs, and the number of messages.
const ENTRY_BYTES: usize = 16 + 4 + 4 + 8 + 8 + 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let mut states = States::default();
        let state = State { uid_validity: 7, common_uid: 9, common_modseq: 1 << 40, messages: 3 };
        states.put(Guid([1; 16]), state);
        states.put(Guid([2; 16]), State { messages: 0, ..state });
        assert_eq!(States::parse(&states.print()), Ok(states.clone()));
        assert_eq!(States::parse(""), Ok(States::default()));
        assert_eq!(States::parse("AAAAAA=="), Ok(States::default()));
        let broken = format!("B{}", &states.print()[1..]);
        assert_eq!(States::parse(&broken), Err("CRC32 mismatch"));
        assert_eq!(States::parse("~"), Err("Invalid base64 data"));
        assert_eq!(States::parse("AQAAAA=="), Err("Input too small"));
    }
}
