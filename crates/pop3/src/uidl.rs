//! Unique ids: `pop3_uidl_format`, or what was saved with a message, or its X-UIDL header.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use base::Uid;
use settings::vars::{Expander, Variable};
use storage::{Facts, Wanted};

use crate::context::Context;
use crate::maildrop::Index;

/// A message's unique id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uidl {
    /// The id.
    pub text: String,
    /// It was saved with the message and will never change.
    pub is_saved: bool,
}

/// Why there is none. `Display` is 2.3's log line.
#[derive(Debug, thiserror::Error)]
pub enum UidlError {
    /// The storage failed.
    #[error("UIDL: Message lookup failed")]
    Lookup(#[source] storage::Error),
    /// `%m` is for formats that keep checksums of headers.
    #[error("UIDL: Header MD5 not found (pop3_uidl_format=%m not supported by storage?)")]
    Md5,
    /// The format has a mistake.
    #[error("UIDL: Failed to expand pop3_uidl_format={0}: {1}")]
    Format(String, String),
}

/// The unique id of a message; `None` if the message has gone and its id with it.
///
/// # Errors
/// See [`UidlError`].
pub fn uidl(context: &mut Context, index: Index) -> Result<Option<Uidl>, UidlError> {
    let Some(uid) = context.maildrop.message(index).map(|message| message.uid) else { return Ok(None) };
    let format = Format::new(&context.settings.uidl_format);
    let mut wanted = Wanted::POP3_UIDL | format.wanted();
    if context.settings.reuse_xuidl {
        wanted |= Wanted::HEADER;
    }
    let facts = match context.maildrop.mailbox().fetch_facts(uid, wanted) {
        Ok(facts) => facts,
        Err(storage::Error::Expunged(_)) if format.wanted() != Wanted::NONE => return Ok(None),
        Err(storage::Error::Expunged(_)) => Facts::default(),
        Err(error) => return Err(UidlError::Lookup(error)),
    };
    if let Some(saved) = facts.pop3_uidl.as_deref().filter(|saved| !saved.is_empty()) {
        return Ok(Some(Uidl { text: saved.to_owned(), is_saved: true }));
    }
    let header = facts.header.as_deref().filter(|_| context.settings.reuse_xuidl).and_then(x_uidl);
    let text = match header {
        Some(text) => text,
        None => format.expand(context.maildrop.uid_validity().get(), uid, &facts)?,
    };
    Ok(Some(Uidl { text, is_saved: false }))
}

/// `pop3_uidl_format`
struct Format<'a>(&'a str);

impl<'a> Format<'a> {
    fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// What it needs beyond the UID.
    fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::NONE;
        for (variable, fact) in [(FILE_NAME, Wanted::FILE_NAME), (GUID, Wanted::GUID)] {
            if self.has(variable) {
                wanted |= fact;
            }
        }
        wanted
    }

    /// Whether a variable occurs in it: without it the format cannot be expanded.
    fn has(&self, variable: Name) -> bool {
        let others = VARIABLES.iter().filter(|other| **other != variable);
        let table: Vec<Variable<'_>> = others.map(|(short, long)| (*short, *long, Some("1"))).collect();
        Expander::of(&table).expand(self.0).is_err()
    }

    fn expand(&self, uid_validity: u32, uid: Uid, facts: &Facts) -> Result<String, UidlError> {
        if self.has(MD5) {
            return Err(UidlError::Md5);
        }
        let (uid_validity, uid) = (uid_validity.to_string(), uid.to_string());
        let values = [
            Some(uid_validity.as_str()),
            Some(uid.as_str()),
            None,
            facts.file_name.as_deref(),
            facts.guid.as_deref(),
        ];
        let table: Vec<Variable<'_>> =
            VARIABLES.iter().zip(values).map(|((short, long), value)| (*short, *long, value)).collect();
        Expander::of(&table)
            .expand(self.0)
            .map_err(|error| UidlError::Format(self.0.to_owned(), error.to_string()))
    }
}

type Name = (char, &'static str);
const MD5: Name = ('m', "md5");
const FILE_NAME: Name = ('f', "filename");
const GUID: Name = ('g', "guid");
const VARIABLES: [Name; 5] = [('v', "uidvalidity"), ('u', "uid"), MD5, FILE_NAME, GUID];

/// The value of the first X-UIDL header. An empty one would be no id.
fn x_uidl(header: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"X-UIDL";
    let value = header.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, rest) = line.split_at_checked(NAME.len())?;
        let value = rest.trim_ascii_start().strip_prefix(b":")?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    })?;
    let text = String::from_utf8_lossy(value.trim_ascii()).into_owned();
    (!text.is_empty()).then_some(text)
}

/// `pop3_uidl_duplicates = rename`: tells equal ids apart.
#[derive(Debug, Default)]
pub struct Renamer {
    /// How many messages have had an id so far.
    seen: HashMap<String, u32>,
}

impl Renamer {
    /// The id that a message gets: `x`, and `x-2`, `x-3` for the next ones with the same.
    pub fn rename(&mut self, mut text: String) -> String {
        loop {
            match self.seen.entry(text) {
                Entry::Occupied(mut entry) => {
                    *entry.get_mut() += 1;
                    text = format!("{}-{}", entry.key(), entry.get());
                }
                Entry::Vacant(entry) => {
                    let text = entry.key().clone();
                    entry.insert(1);
                    return text;
                }
            }
        }
    }
}

/// What `%{uidl_change}` says: how many ids with which combined hash were left by the session before
/// this one, and how many this one leaves. Empty if the client did not ask for them.
pub fn change(context: &Context) -> String {
    let maildrop = &context.maildrop;
    let Some(uidls) = &maildrop.uidls else { return String::new() };
    let hashes: Vec<u32> = uidls.iter().map(|uidl| uidl.as_deref().map_or(0, hash)).collect();
    // Those before the first that was retrieved were probably there the last time.
    let old_count = maildrop.lowest_retrieved().map_or(maildrop.len(), |lowest| lowest.number() - 1);
    let old = hashes.iter().take(old_count as usize).fold(0, |sum, hash| sum ^ hash);
    let (mut next, mut new) = (0, 0);
    while let Some((index, _)) = maildrop.next_left(&mut next) {
        new ^= hashes.get(index.number() as usize - 1).copied().unwrap_or(0);
    }
    let (new_count, _) = maildrop.left();
    if (old, old_count) == (new, new_count) {
        format!("{old_count}/{old:08x}")
    } else {
        format!("{old_count}/{old:08x} -> {new_count}/{new:08x}")
    }
}

/// CRC-32 (ISO 3309), as 2.3 takes it.
fn hash(text: &str) -> u32 {
    !text.bytes().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let facts = Facts {
            file_name: Some("1.M2.host,S=3".into()),
            guid: Some("abcdef".into()),
            ..Facts::default()
        };
        let uid = Uid::try_from(107).expect("a UID");
        let check = |format: &str, wanted: Wanted, expected: Option<&str>| {
            let format = Format::new(format);
            assert_eq!(format.wanted(), wanted, "{}", format.0);
            assert_eq!(format.expand(1_700_000_000, uid, &facts).ok().as_deref(), expected, "{}", format.0);
        };
        check("%08Xu%08Xv", Wanted::NONE, Some("0000006b6553f100"));
        check("%v-%u", Wanted::NONE, Some("1700000000-107"));
        check("%u.%{uidvalidity}%%", Wanted::NONE, Some("107.1700000000%"));
        check("%f", Wanted::FILE_NAME, Some("1.M2.host,S=3"));
        check("%{guid}", Wanted::GUID, Some("abcdef"));
        check("%Mf", Wanted::FILE_NAME, Some("c39b1d769634e87ff53d82793e7853f0"));
        check("%m", Wanted::NONE, None);
    }

    #[test]
    fn x_uidl_headers() {
        let check = |header: &str, expected: Option<&str>| {
            assert_eq!(x_uidl(header.as_bytes()).as_deref(), expected, "{header:?}");
        };
        check("Subject: x\nX-UIDL: 1234\nX-UIDL: 5\n\n", Some("1234"));
        check("x-Uidl :\t ab \r\n\r\n", Some("ab"));
        check("X-UIDL:\n\n", None);
        check("X-UIDLs: 1\n\n", None);
    }

    #[test]
    fn duplicates() {
        let mut renamer = Renamer::default();
        let mut check = |text: &str, expected: &str| {
            assert_eq!(renamer.rename(text.to_owned()), expected, "{text}");
        };
        check("a", "a");
        check("a", "a-2");
        check("b", "b");
        check("a", "a-3");
        check("a-2", "a-2-2");
    }

    #[test]
    fn hashes() {
        assert_eq!(hash("123456789"), 0xcbf4_3926);
        assert_eq!(hash(""), 0);
    }
}
