//! The records of a log: how they are framed, what kinds there are, and whether one is well formed.

use base::Uid;

use super::header::VERSION_HIDES_INTERNAL;
use crate::header::{number, short};
use crate::limits::LOG_RECORD_SIZE_MAX;
use crate::view::Flags;

/// Bytes before each record: its size and its kind.
pub const RECORD_HEADER_SIZE: usize = 8;

/// What a record says. The numbers are those on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Messages go, by ranges of UIDs.
    Expunge = 0x1,
    /// Messages come.
    Append = 0x2,
    /// Flags change.
    FlagUpdate = 0x4,
    /// Bytes of the base header change.
    HeaderUpdate = 0x20,
    /// The extension that the next records are about; it is made or resized if need be.
    ExtIntro = 0x40,
    /// That extension gets a new reset id.
    ExtReset = 0x80,
    /// Bytes of its header change.
    ExtHeaderUpdate = 0x100,
    /// What it holds for messages changes.
    ExtRecordUpdate = 0x200,
    /// A keyword is added or removed.
    KeywordUpdate = 0x400,
    /// Keywords are removed.
    KeywordReset = 0x800,
    /// The numbers it holds for messages go up or down.
    ExtAtomicInc = 0x1000,
    /// Messages go, each with its GUID.
    ExpungeGuid = 0x2000,
    /// Modification sequences are raised.
    ModseqUpdate = 0x8000,
    /// Bytes of the extension's header change, with offsets of 32 bits.
    ExtHeaderUpdate32 = 0x1_0000,
    /// The mailbox is going away.
    IndexDeleted = 0x2_0000,
    /// It is not.
    IndexUndeleted = 0x4_0000,
    /// The records that follow, up to a size, count only together.
    Boundary = 0x8_0000,
    /// Mailbox attributes changed.
    AttributeUpdate = 0x10_0000,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 18] = [
        Self::Expunge,
        Self::Append,
        Self::FlagUpdate,
        Self::HeaderUpdate,
        Self::ExtIntro,
        Self::ExtReset,
        Self::ExtHeaderUpdate,
        Self::ExtRecordUpdate,
        Self::KeywordUpdate,
        Self::KeywordReset,
        Self::ExtAtomicInc,
        Self::ExpungeGuid,
        Self::ModseqUpdate,
        Self::ExtHeaderUpdate32,
        Self::IndexDeleted,
        Self::IndexUndeleted,
        Self::Boundary,
        Self::AttributeUpdate,
    ];
}

/// What of the type says the kind.
pub const TYPE_MASK: u32 = 0x0fff_ffff;
/// Set in every expunge, so that a damaged record is no expunge.
pub const EXPUNGE_PROT: u32 = 0xcd90;
/// It happened already, rather than is asked for.
pub const EXTERNAL: u32 = 0x1000_0000;
/// It comes from synchronization with another server.
pub const SYNC: u32 = 0x2000_0000;

/// Bytes of one append, expunge, expunge with GUID, flag update and so on in its record.
pub const APPEND_SIZE: usize = 8;
/// A range of UIDs.
pub const RANGE_SIZE: usize = 8;
/// A UID and a GUID.
pub const EXPUNGE_GUID_SIZE: usize = 20;
/// A range of UIDs, flags to add, to remove, a byte that counts the change as one, padding.
pub const FLAG_UPDATE_SIZE: usize = 12;
/// What stands before an extension's name.
pub const EXT_INTRO_SIZE: usize = 20;
/// A UID and a modification sequence in two halves.
pub const MODSEQ_UPDATE_SIZE: usize = 12;
/// A UID and a signed number.
pub const ATOMIC_INC_SIZE: usize = 8;
/// A boundary with its record header.
pub const BOUNDARY_SIZE: usize = RECORD_HEADER_SIZE + 4;

/// Sizes are written so that no byte of one that is still being written looks complete: seven bits in
/// each byte, the highest set, most significant first, in units of four bytes.
pub fn encode_size(size: usize) -> [u8; 4] {
    debug_assert!(size.is_multiple_of(4) && size <= LOG_RECORD_SIZE_MAX);
    let units = size as u32 / 4;
    [21, 14, 7, 0].map(|shift| 0x80 | (units >> shift & 0x7f) as u8)
}

/// The size in bytes; `None` if it is not complete.
pub fn decode_size(bytes: [u8; 4]) -> Option<usize> {
    if bytes.iter().any(|byte| byte & 0x80 == 0) {
        return None;
    }
    Some(bytes.iter().fold(0usize, |size, byte| size << 7 | usize::from(byte & 0x7f)) * 4)
}

/// A record that is there as a whole.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Where it begins in its file.
    pub offset: u64,
    /// Kind and flags.
    pub kind: u32,
    /// What follows the record header.
    pub body: &'a [u8],
}

/// What stands at a position of a log.
pub enum Next<'a> {
    /// A record.
    Record(RawRecord<'a>),
    /// Nothing, or what is not complete (yet).
    End,
    /// No record.
    Corrupt(String),
}

impl<'a> RawRecord<'a> {
    /// Reads the record at `offset` of the file that `bytes` begin at `start` of.
    pub fn at(bytes: &'a [u8], start: u64, offset: u64) -> Next<'a> {
        let at = offset.checked_sub(start).and_then(|at| usize::try_from(at).ok());
        let Some(rest) = at.and_then(|at| bytes.get(at..)) else { return Next::End };
        let Some((&size, _)) = rest.split_first_chunk::<4>() else { return Next::End };
        let Some(size) = decode_size(size).filter(|&size| size != 0) else { return Next::End };
        if size < RECORD_HEADER_SIZE {
            return Next::Corrupt(format!("hdr.size too small ({size})"));
        }
        match (number(rest, 4), rest.get(RECORD_HEADER_SIZE..size)) {
            (Some(kind), Some(body)) => Next::Record(Self { offset, kind, body }),
            _ => Next::End,
        }
    }

    /// Where the next one begins.
    pub fn end(&self) -> u64 {
        self.offset + (RECORD_HEADER_SIZE + self.body.len()) as u64
    }

    /// What it says; `None` for a kind that is not known.
    pub fn what(&self) -> Option<Kind> {
        let kind = self.kind & TYPE_MASK;
        Kind::ALL.into_iter().find(|&known| match known {
            Kind::Expunge | Kind::ExpungeGuid => kind == known as u32 || kind == known as u32 | EXPUNGE_PROT,
            _ => kind == known as u32,
        })
    }

    /// Whether it happened already.
    pub fn is_external(&self) -> bool {
        self.kind & EXTERNAL != 0
    }

    /// How much it raises the highest modification sequence.
    pub fn advance_modseq(&self, modseq: &mut u64, version: (u8, u8)) {
        let Some(kind) = self.what() else { return };
        if *modseq == 0 {
            // Nothing is tracked before the extension is there.
            let name = self.body.get(EXT_INTRO_SIZE..).unwrap_or_default();
            let size = short(self.body, EXT_INTRO_SIZE - 2).map(usize::from);
            if kind == Kind::ExtIntro && size == Some(MODSEQ.len()) && name.starts_with(MODSEQ) {
                *modseq = 1;
            }
            return;
        }
        let step = match kind {
            // Without the protection it is damaged.
            Kind::Expunge | Kind::ExpungeGuid => {
                self.is_external() && self.kind & EXPUNGE_PROT == EXPUNGE_PROT
            }
            Kind::Append | Kind::KeywordUpdate | Kind::KeywordReset | Kind::AttributeUpdate => true,
            Kind::FlagUpdate => {
                version < VERSION_HIDES_INTERNAL || self.flag_updates().any(|update| !update.is_internal())
            }
            Kind::ModseqUpdate => {
                let highest = self.modseq_updates().map(|(_, modseq)| modseq).max().unwrap_or(0);
                *modseq = highest.max(*modseq);
                false
            }
            _ => false,
        };
        *modseq = modseq.saturating_add(u64::from(step));
    }

    /// UIDs and flag bytes of [`Kind::Append`].
    pub fn appends(&self) -> impl Iterator<Item = (u32, u8)> + 'a {
        let items = self.body.chunks_exact(APPEND_SIZE);
        items.filter_map(|item| Some((number(item, 0)?, *item.get(4)?)))
    }

    /// The items of [`Kind::FlagUpdate`].
    pub fn flag_updates(&self) -> impl Iterator<Item = FlagUpdate> + 'a {
        self.body.chunks_exact(FLAG_UPDATE_SIZE).filter_map(|item| {
            Some(FlagUpdate {
                first: number(item, 0)?,
                last: number(item, 4)?,
                add: *item.get(8)?,
                remove: *item.get(9)?,
                counts: *item.get(10)? != 0,
            })
        })
    }

    /// UIDs, or 0 for the mailbox, and modification sequences of [`Kind::ModseqUpdate`].
    pub fn modseq_updates(&self) -> impl Iterator<Item = (u32, u64)> + 'a {
        self.body.chunks_exact(MODSEQ_UPDATE_SIZE).filter_map(|item| {
            let (low, high) = (number(item, 4)?, number(item, 8)?);
            Some((number(item, 0)?, u64::from(high) << 32 | u64::from(low)))
        })
    }

    /// UIDs and GUIDs of [`Kind::ExpungeGuid`].
    pub fn expunges(&self) -> impl Iterator<Item = (u32, base::Guid)> + 'a {
        self.body
            .chunks_exact(EXPUNGE_GUID_SIZE)
            .filter_map(|item| Some((number(item, 0)?, base::Guid(item.get(4..20)?.try_into().ok()?))))
    }

    /// UIDs and bytes of [`Kind::ExtRecordUpdate`], after an intro that says `size`.
    pub fn ext_records(&self, size: u16) -> impl Iterator<Item = (u32, &'a [u8])> + 'a {
        let size = usize::from(size);
        let items = self.body.chunks_exact((4 + size).next_multiple_of(4));
        items.filter_map(move |item| Some((number(item, 0)?, item.get(4..4 + size)?)))
    }

    /// UIDs and differences of [`Kind::ExtAtomicInc`].
    pub fn increments(&self) -> impl Iterator<Item = (u32, i32)> + 'a {
        let items = self.body.chunks_exact(ATOMIC_INC_SIZE);
        items.filter_map(|item| Some((number(item, 0)?, number(item, 4)?.cast_signed())))
    }

    /// Adding or removing, keyword and ranges of [`Kind::KeywordUpdate`].
    pub fn keyword_update(&self) -> Option<(KeywordModify, &'a [u8], &'a [u8])> {
        let modify = match self.body.first()? {
            0 => KeywordModify::Add,
            1 => KeywordModify::Remove,
            _ => KeywordModify::Unknown,
        };
        let size = usize::from(short(self.body, 2)?);
        let ranges = self.body.get((4 + size).next_multiple_of(4)..)?;
        Some((modify, self.body.get(4..4 + size)?, ranges))
    }

    /// Offsets, each with the bytes that stand there from now on, of [`Kind::HeaderUpdate`] and
    /// [`Kind::ExtHeaderUpdate`]. Ends with `None` where the record is damaged.
    pub fn header_updates(&self) -> impl Iterator<Item = Option<(u32, &'a [u8])>> + 'a {
        let is_wide = self.what() == Some(Kind::ExtHeaderUpdate32);
        let (body, mut at, mut broken) = (self.body, 0usize, false);
        std::iter::from_fn(move || {
            if broken || at >= body.len() {
                return None;
            }
            let item = (|| {
                let (offset, size, start) = match is_wide {
                    true => (number(body, at)?, number(body, at + 4)? as usize, at + 8),
                    false => (short(body, at)?.into(), short(body, at + 2)?.into(), at + 4),
                };
                let bytes = body.get(start..start.checked_add(size)?)?;
                at = (start + size).next_multiple_of(4);
                Some((offset, bytes))
            })();
            broken = item.is_none();
            Some(item)
        })
    }

    /// The items of [`Kind::ExtIntro`].
    pub fn intros(&self) -> impl Iterator<Item = ExtIntro<'a>> + 'a {
        let (body, mut at) = (self.body, 0usize);
        std::iter::from_fn(move || {
            let item = ExtIntro::parse(body.get(at..)?)?;
            at = (at + EXT_INTRO_SIZE + item.name.len()).next_multiple_of(4);
            Some(item)
        })
    }

    /// Whether it is well formed, as far as can be told without the index; the reason in 2.3's words.
    pub fn check(&self) -> Result<(), String> {
        let kind = self.kind & TYPE_MASK;
        if kind & Kind::Expunge as u32 != 0 && kind != Kind::Expunge as u32 | EXPUNGE_PROT {
            return Err("expunge record missing protection mask".to_owned());
        }
        if kind & Kind::ExpungeGuid as u32 != 0 && kind != Kind::ExpungeGuid as u32 | EXPUNGE_PROT {
            return Err("expunge guid record missing protection mask".to_owned());
        }
        if self.body.is_empty() {
            return Err(format!("Empty record contents (type=0x{kind:x})"));
        }
        match self.what() {
            Some(Kind::Append) if !self.body.len().is_multiple_of(APPEND_SIZE) => {
                Err("Invalid append record size".to_owned())
            }
            Some(Kind::Expunge | Kind::KeywordReset) => self.check_ranges(self.body, RANGE_SIZE),
            Some(Kind::FlagUpdate) => self.check_ranges(self.body, FLAG_UPDATE_SIZE),
            Some(Kind::ExpungeGuid) if !self.body.len().is_multiple_of(EXPUNGE_GUID_SIZE) => {
                Err("Invalid expunge guid record size".to_owned())
            }
            Some(Kind::ExpungeGuid) if self.expunges().any(|(uid, _)| uid == 0) => {
                Err("Expunge guid record with uid=0".to_owned())
            }
            Some(Kind::KeywordUpdate) => match self.keyword_update() {
                Some((_, [], _)) => Err("Trying to use empty keyword".to_owned()),
                Some((_, _, ranges)) => self.check_ranges(ranges, RANGE_SIZE),
                None => Err("Invalid keyword update record size".to_owned()),
            },
            Some(Kind::ExtIntro) => self.check_intros(),
            Some(Kind::AttributeUpdate) => super::attribute::check(self.body),
            _ => Ok(()),
        }
    }

    fn check_ranges(&self, items: &[u8], size: usize) -> Result<(), String> {
        let kind = self.kind & TYPE_MASK & !EXPUNGE_PROT;
        if !items.len().is_multiple_of(size) {
            return Err(format!("Invalid record size (type=0x{kind:x})"));
        }
        if items.is_empty() {
            return Err(format!("No UID ranges (type=0x{kind:x})"));
        }
        let mut previous = 0;
        for item in items.chunks_exact(size) {
            let (first, last) = (number(item, 0).unwrap_or(0), number(item, 4).unwrap_or(0));
            if first > last || first == 0 {
                return Err(format!("Invalid UID range ({first} .. {last}, type=0x{kind:x})"));
            }
            if first <= previous {
                return Err(format!("Non-sorted UID ranges (type=0x{kind:x})"));
            }
            previous = last;
        }
        Ok(())
    }

    fn check_intros(&self) -> Result<(), String> {
        let mut at = 0usize;
        // What is shorter than an intro is padding.
        while at + EXT_INTRO_SIZE <= self.body.len() {
            let name = short(self.body, at + EXT_INTRO_SIZE - 2).unwrap_or(0);
            at += EXT_INTRO_SIZE + usize::from(name);
            if at > self.body.len() {
                return Err("ext intro: name_size too large".to_owned());
            }
            at = at.next_multiple_of(4);
        }
        Ok(())
    }
}

/// One item of [`Kind::FlagUpdate`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlagUpdate {
    /// The first UID.
    pub first: u32,
    /// The last UID.
    pub last: u32,
    /// Flag byte to be added, after
    pub add: u8,
    /// the removal of these.
    pub remove: u8,
    /// Counts as a modification whatever the flags are.
    pub counts: bool,
}

impl FlagUpdate {
    /// Whether no client can see it.
    pub fn is_internal(&self) -> bool {
        (self.add | self.remove) & Flags::ALL.0 == 0 && !self.counts
    }
}

/// What a keyword update does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeywordModify {
    /// Adds it.
    Add,
    /// Removes it.
    Remove,
    /// Something that 2.3 does not do.
    Unknown,
}

/// One item of [`Kind::ExtIntro`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtIntro<'a> {
    /// Its place among the index's extensions, or `u32::MAX`: it goes by its name.
    pub ext_id: u32,
    /// What follows is meant for the extension with this reset id.
    pub reset_id: u32,
    /// Bytes in the header.
    pub hdr_size: u32,
    /// Bytes for each message.
    pub record_size: u16,
    /// Their alignment.
    pub record_align: u16,
    /// [`NO_SHRINK`](Self::NO_SHRINK).
    pub flags: u16,
    /// Its name, or nothing.
    pub name: &'a [u8],
}

impl<'a> ExtIntro<'a> {
    /// Sizes grow only.
    pub const NO_SHRINK: u16 = 0x01;

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let size = usize::from(short(bytes, 18)?);
        Some(Self {
            ext_id: number(bytes, 0)?,
            reset_id: number(bytes, 4)?,
            hdr_size: number(bytes, 8)?,
            record_size: short(bytes, 12)?,
            record_align: short(bytes, 14)?,
            flags: short(bytes, 16)?,
            name: bytes.get(EXT_INTRO_SIZE..EXT_INTRO_SIZE + size)?,
        })
    }

    /// The bytes in a record, padded.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(EXT_INTRO_SIZE + self.name.len() + 3);
        [self.ext_id, self.reset_id, self.hdr_size]
            .iter()
            .for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        [self.record_size, self.record_align, self.flags, self.name.len() as u16]
            .iter()
            .for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        bytes.extend_from_slice(self.name);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}

/// The ranges of UIDs in `bytes`.
pub fn ranges(bytes: &[u8]) -> impl Iterator<Item = (Uid, Uid)> + '_ {
    let items = bytes.chunks_exact(RANGE_SIZE);
    items.filter_map(|item| Some((Uid::new(number(item, 0)?)?, Uid::new(number(item, 4)?)?)))
}

/// The name of the extension that holds modification sequences.
const MODSEQ: &[u8] = b"modseq";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip() {
        for size in [8, 12, 508, 512, 65536, 1 << 20, LOG_RECORD_SIZE_MAX] {
            let size = size / 4 * 4;
            assert_eq!(decode_size(encode_size(size)), Some(size));
        }
        assert_eq!(decode_size([0x80, 0x80, 0x80, 0]), None);
        assert_eq!(encode_size(12), [0x80, 0x80, 0x80, 0x83]);
    }

    #[test]
    fn kinds_are_told_apart() {
        let what = |kind| RawRecord { offset: 0, kind, body: &[] }.what();
        assert_eq!(what(0x1000_cd91), Some(Kind::Expunge));
        assert_eq!(what(0xed90), Some(Kind::ExpungeGuid));
        assert_eq!(what(0x8_0000 | EXTERNAL), Some(Kind::Boundary));
        assert_eq!(what(0x4000), None);
    }
}
