//! The parts of `dovecot.list.index` that are not those of any index: the names of mailboxes in the
//! header of the `list` extension, and the records of its extensions, which say about a mailbox what
//! would otherwise cost opening it. Pure bytes and values; `docs/formats/list-index.md` has the tables.

use base::Guid;

use crate::cache::layout::u32_at;

/// Flags of the index's own records, where an ordinary index has those of messages.
pub mod flags {
    /// There is no mailbox of this name; names below it may exist. (`\Deleted`)
    pub const NONEXISTENT: u8 = 0x04;
    /// Something is there that cannot be opened. (`\Draft`)
    pub const NOSELECT: u8 = 0x10;
    /// No names can be below it. (`\Answered`)
    pub const NOINFERIORS: u8 = 0x01;
    /// The name had to be made up. (`\Seen`)
    pub const CORRUPTED_NAME: u8 = 0x08;
    /// Set while the list is compared with the directories. (`\Flagged`)
    pub const SYNC_EXISTS: u8 = 0x02;
}

/// What the index needs to know to register one of its extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extension {
    /// Its name.
    pub name: &'static str,
    /// Bytes of its header, at least.
    pub header_size: u32,
    /// Bytes of its records.
    pub record_size: u16,
    /// Alignment of its records, in bytes.
    pub record_align: u16,
}

const fn extension(name: &'static str, header_size: u32, record_size: usize, record_align: u16) -> Extension {
    Extension { name, header_size, record_size: record_size as u16, record_align }
}

/// Names and the tree of mailboxes: header [`Names`], records [`ListRecord`].
pub const LIST: Extension = extension("list", 1, ListRecord::BYTES, 4);
/// A number that rises with every change of subscriptions, for NOTIFY: the time in seconds, or one more
/// than before. It is the header; there are no records.
pub const SUBS: Extension = extension("subs", 4, 0, 4);
/// Records [`Messages`].
pub const MSGS: Extension = extension("msgs", 0, Messages::BYTES, 4);
/// Records of one number of 8 bytes, HIGHESTMODSEQ; 0 if it is not known.
pub const HMODSEQ: Extension = extension("hmodseq", 0, 8, 8);
/// Records [`VirtualSize`].
pub const VSIZE: Extension = extension("vsize", 0, VirtualSize::BYTES, 8);
/// Records [`FirstSaved`].
pub const FIRST_SAVED: Extension = extension("1saved", 0, FirstSaved::BYTES, 4);
/// Records [`MaildirTimes`].
pub const MAILDIR: Extension = extension("maildir", 0, MaildirTimes::BYTES, 4);
/// Records [`MboxStamp`].
pub const MBOX: Extension = extension("mbox", 0, MboxStamp::BYTES, 4);
/// Records [`IndexStamp`], for dbox and whatever else has no better sign of change.
pub const INDEX_SYNC: Extension = extension("index sync", 0, IndexStamp::BYTES, 4);

/// The header of the `list` extension.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    /// The list is to be compared with the directories.
    pub refresh: bool,
    /// Number and name of each level of hierarchy, numbers rising. A name says nothing of what is above
    /// it: `foo/bar` has two.
    pub names: Vec<(u32, Vec<u8>)>,
}

/// A header that makes no sense after the names that were found before.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("Corrupted mailbox list index header")]
pub struct BadNames(pub Names);

impl Names {
    /// Reads a header. A number of 0 ends it, whatever follows; one that does not rise is damage, and so
    /// is a name that is not UTF-8.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadNames> {
        let Some((&refresh, mut rest)) = bytes.split_first() else { return Ok(Self::default()) };
        let mut names = Self { refresh: refresh != 0, names: Vec::new() };
        let mut last = 0;
        while !rest.is_empty() {
            let Some(number) = u32_at(rest, 0) else { return Err(BadNames(names)) };
            if number == 0 {
                break;
            }
            let tail = rest.get(4..).unwrap_or_default();
            let name = memchr::memchr(0, tail).and_then(|end| tail.split_at_checked(end));
            let Some((name, after)) = name.filter(|_| number > last) else { return Err(BadNames(names)) };
            if std::str::from_utf8(name).is_err() {
                return Err(BadNames(names));
            }
            names.names.push((number, name.to_vec()));
            last = number;
            rest = after.get(1..).unwrap_or_default();
        }
        Ok(names)
    }

    /// The bytes of it, which the extension's header must have room for.
    ///
    /// # Panics
    /// If a name has a NUL byte or the numbers do not rise from 1.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.refresh)];
        let mut last = 0;
        for (number, name) in &self.names {
            assert!(*number > last && !name.contains(&0), "name {number} is out of order or has a NUL");
            last = *number;
            bytes.extend_from_slice(&number.to_ne_bytes());
            bytes.extend_from_slice(name);
            bytes.push(0);
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    /// The name of this number.
    pub fn name(&self, number: u32) -> Option<&[u8]> {
        let at = self.names.binary_search_by_key(&number, |&(number, _)| number).ok()?;
        self.names.get(at).map(|(_, name)| &**name)
    }

    /// The highest number; 0 if there is none. New names get higher ones.
    pub fn highest(&self) -> u32 {
        self.names.last().map_or(0, |&(number, _)| number)
    }
}

/// How large the extension's header is made for so many bytes of names. 2.3 resizes it only where this
/// changes.
pub fn names_header_size(length: usize) -> usize {
    length.next_power_of_two()
}

/// Writes and reads a record that is nothing but numbers of four or eight bytes.
macro_rules! numbers {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $type,)*
        }

        impl $name {
            /// Bytes of the record.
            pub const BYTES: usize = 0 $(+ size_of::<$type>())*;

            /// Reads a record; `None` if it is too short.
            pub fn decode(bytes: &[u8]) -> Option<Self> {
                let mut rest = bytes;
                Some(Self {
                    $($field: {
                        let (number, after) = rest.split_first_chunk()?;
                        rest = after;
                        let _ = rest;
                        <$type>::from_ne_bytes(*number)
                    },)*
                })
            }

            /// The bytes of the record.
            pub fn encode(&self) -> Vec<u8> {
                let mut bytes = Vec::with_capacity(Self::BYTES);
                $(bytes.extend_from_slice(&self.$field.to_ne_bytes());)*
                bytes
            }
        }
    };
}

numbers! {
    /// What STATUS wants to know (`msgs`). Nothing of it is known where `next_uid` is 0.
    Messages {
        /// Messages.
        messages: u32,
        /// Those without `\Seen`.
        unseen: u32,
        /// Those with `\Recent`.
        recent: u32,
        /// UIDNEXT.
        next_uid: u32,
    }
}

numbers! {
    /// The size of the mailbox (`vsize`).
    VirtualSize {
        /// Virtual sizes of all messages up to `highest_uid`, in bytes.
        size: u64,
        /// The highest UID that is counted.
        highest_uid: u32,
        /// How many messages are counted.
        messages: u32,
    }
}

numbers! {
    /// When the oldest message was saved (`1saved`). Nothing is known where both are 0; a mailbox
    /// without messages has the UID 0 and the time `u32::MAX`.
    FirstSaved {
        /// The first message's UID.
        uid: u32,
        /// When it was saved, in seconds since 1970.
        time: u32,
    }
}

numbers! {
    /// What the directories of a Maildir looked like (`maildir`), in seconds since 1970.
    MaildirTimes {
        /// Modification time of `new`.
        new_mtime: u32,
        /// Modification time of `cur`.
        cur_mtime: u32,
    }
}

numbers! {
    /// What an mbox file looked like (`mbox`).
    MboxStamp {
        /// Modification time, in seconds since 1970.
        mtime: u32,
        /// The lower 32 bits of the size in bytes.
        size: u32,
    }
}

numbers! {
    /// What a mailbox's `dovecot.index.log` looked like (`index sync`).
    IndexStamp {
        /// The lower 32 bits of the size in bytes.
        size: u32,
        /// Modification time, in seconds since 1970.
        mtime: u32,
    }
}

/// A name's place in the tree, and the mailbox that has it (`list`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListRecord {
    /// The number of its last level in [`Names`].
    pub name: u32,
    /// The UID of the record above it; 0 for the root.
    pub parent_uid: u32,
    /// The mailbox's GUID; zeros if it is not known or there is no mailbox.
    pub guid: Guid,
    /// The mailbox's UIDVALIDITY; 0 likewise.
    pub uid_validity: u32,
}

impl ListRecord {
    /// Bytes of the record.
    pub const BYTES: usize = 28;

    /// Reads a record; `None` if it is too short.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            name: u32_at(bytes, 0)?,
            parent_uid: u32_at(bytes, 4)?,
            guid: Guid(*bytes.get(8..)?.first_chunk()?),
            uid_validity: u32_at(bytes, 24)?,
        })
    }

    /// The bytes of the record.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.name.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.parent_uid.to_ne_bytes());
        bytes[8..24].copy_from_slice(&self.guid.0);
        bytes[24..].copy_from_slice(&self.uid_validity.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            refresh: false,
            names: vec![(1, b"INBOX".to_vec()), (4, "Entwürfe".into()), (9, b"".to_vec())],
        }
    }

    #[test]
    fn names_round_trip() {
        let mut bytes = names().encode();
        assert_eq!(Names::decode(&bytes).unwrap(), names());
        assert_eq!(names().name(4), Some("Entwürfe".as_bytes()));
        assert_eq!((names().name(5), names().highest()), (None, 9));
        // The extension's header has room for more, and old bytes in it.
        bytes.extend([7; 33]);
        assert_eq!(Names::decode(&bytes).unwrap(), names());
        assert_eq!(Names::decode(&[]).unwrap(), Names::default());
    }

    #[test]
    fn damaged_names_leave_the_ones_before() {
        let bytes = names().encode();
        for length in 1..bytes.len() {
            let found = Names::decode(&bytes[..length]).unwrap_or_else(|BadNames(names)| names);
            assert!(names().names.starts_with(&found.names));
        }
        let falling = [&bytes[..11], &1_u32.to_ne_bytes(), b"x\0"].concat();
        assert_eq!(Names::decode(&falling).unwrap_err().0.names, [(1, b"INBOX".to_vec())]);
    }

    #[test]
    fn records_round_trip() {
        let list = ListRecord { name: 1, parent_uid: 2, guid: Guid([3; 16]), uid_validity: 4 };
        assert_eq!(ListRecord::decode(&list.encode()), Some(list));
        assert_eq!(ListRecord::decode(&list.encode()[1..]), None);
        let size = VirtualSize { size: 1 << 40, highest_uid: 7, messages: 3 };
        assert_eq!(VirtualSize::decode(&size.encode()), Some(size));
        assert_eq!((size.encode().len(), Messages::BYTES, FirstSaved::BYTES), (16, 16, 8));
        assert_eq!(MaildirTimes::decode(&[0; 7]), None);
    }
}
