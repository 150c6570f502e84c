//! What an mbox message's header is to say, and how the file is arranged so that it does: in place
//! where the room in the header suffices, with as little moved as possible where not. Pure.

use std::ops::Range;

use crate::view::Flags;

use super::header::{Header, Own, OwnField};
use super::moves::{Arrangement, Piece};
use super::scan::{End, Start};

/// What the header of a message is to say.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// For the first of the file only.
    pub base: Option<WantedBase<'a>>,
    /// `None` for the message that is none.
    pub uid: Option<u32>,
    /// System flags.
    pub flags: Flags,
    /// Whether the message is not `\Recent` any more.
    pub is_old: bool,
    /// Keywords, by name.
    pub keywords: Vec<&'a str>,
}

/// What `X-IMAPbase` is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedBase<'a> {
    /// UIDVALIDITY
    pub uid_validity: u32,
    /// The highest UID ever given.
    pub last_uid: u32,
    /// All keywords of the mailbox.
    pub keywords: Vec<&'a str>,
}

impl WantedBase<'_> {
    /// The value of the field.
    pub fn to_value(&self) -> String {
        let mut value = format!("{} {:010}", self.uid_validity, self.last_uid);
        append_words(&mut value, &self.keywords);
        value
    }
}

/// A header as it is to be, of any length from [`len_min`](Self::len_min) on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHeader {
    pieces: Vec<Piece>,
    /// Before which piece spaces can be put.
    room_at: Option<usize>,
    old_len: u64,
    /// Whether it says something else than before.
    is_changed: bool,
}

impl NewHeader {
    /// From the header at `start`, which says `old`.
    pub fn new(start: &Start, end: &End, old: &Header, wanted: &Wanted<'_>) -> Self {
        let mut build = Build {
            start,
            old,
            wanted,
            at: 0,
            done: [false; 7],
            out: Self {
                pieces: Vec::new(),
                room_at: None,
                old_len: start.header_bytes.len() as u64,
                is_changed: false,
            },
        };
        old.own.iter().for_each(|field| build.own(field));
        build.missing(end.body - start.body);
        build.out
    }

    /// Whether it says something else than before.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Bytes without any room.
    pub fn len_min(&self) -> u64 {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Bytes that the header has now.
    pub fn old_len(&self) -> u64 {
        self.old_len
    }

    /// Adds the header with so much room. Without a place for it, none is made.
    fn put(self, room: u64, into: &mut Arrangement) {
        let room_at = self.room_at;
        for (at, piece) in self.pieces.into_iter().enumerate() {
            if room_at == Some(at) {
                into.push(Piece::Spaces(room));
            }
            into.push(piece);
        }
    }
}

struct Build<'a> {
    start: &'a Start,
    old: &'a Header,
    wanted: &'a Wanted<'a>,
    /// How much of the old header was dealt with.
    at: usize,
    /// Which kinds stand in the new header.
    done: [bool; 7],
    out: NewHeader,
}

impl Build<'_> {
    fn keep(&mut self, range: Range<usize>) {
        let (from, count) = (self.start.header + range.start as u64, range.len() as u64);
        if count > 0 {
            self.out.pieces.push(Piece::Keep { from, count });
        }
    }

    fn text(&mut self, text: impl Into<Vec<u8>>) {
        self.out.pieces.push(Piece::Bytes(text.into()));
        self.out.is_changed = true;
    }

    /// What follows can have room before it. Later places are better: 2.3 uses `X-Keywords` rather than
    /// `X-UID`, and that rather than `X-IMAPbase`.
    fn room(&mut self, kind: Own) {
        let better = match kind {
            Own::Keywords => true,
            Own::Uid => !self.done(Own::Keywords),
            Own::Base | Own::Pseudo => !self.done(Own::Keywords) && !self.done(Own::Uid),
            _ => false,
        };
        if better {
            self.out.room_at = Some(self.out.pieces.len());
        }
    }

    fn done(&self, kind: Own) -> bool {
        self.done.get(kind as usize).copied().unwrap_or(false)
    }

    fn set_done(&mut self, kind: Own) {
        if let Some(done) = self.done.get_mut(kind as usize) {
            *done = true;
        }
    }

    /// A field of ours that the header has.
    fn own(&mut self, field: &OwnField) {
        self.keep(self.at..field.whole.start);
        self.at = field.whole.end;
        let value = self.start.header_bytes.get(field.value.clone()).unwrap_or_default();
        match self.value(field, value) {
            // Says the same: spaces at its end are left out, as they are counted as room.
            Some(None) if matches!(field.kind, Own::Base | Own::Pseudo | Own::Uid | Own::Keywords) => {
                let trimmed = value.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                self.keep(field.whole.start..field.value.end - trimmed);
                self.room(field.kind);
                self.keep(field.value.end..field.whole.end);
            }
            Some(None) => self.keep(field.whole.clone()),
            Some(Some(new)) => {
                self.keep(field.whole.start..field.value.start);
                self.text(new);
                self.room(field.kind);
                self.keep(field.value.end..field.whole.end);
            }
            None => {
                self.out.is_changed = true;
                return;
            }
        }
        self.set_done(field.kind);
    }

    /// The new value of a field: `None` if it goes, `Some(None)` if it stays.
    fn value(&self, field: &OwnField, value: &[u8]) -> Option<Option<Vec<u8>>> {
        let wanted = self.wanted;
        if field.is_broken || self.done(field.kind) {
            return None;
        }
        let changed = |is_same: bool, new: String| Some((!is_same).then(|| new.into_bytes()));
        match field.kind {
            Own::ContentLength => Some(None),
            Own::Base | Own::Pseudo => {
                let (new, old) = (wanted.base.as_ref()?, self.old.base.as_ref()?);
                let is_same = old.last_uid_at.is_some()
                    && (old.uid_validity, old.last_uid) == (new.uid_validity, new.last_uid)
                    && old.keywords.iter().map(String::as_str).eq(new.keywords.iter().copied());
                changed(is_same, new.to_value())
            }
            // They must not stand before an X-IMAPbase that is added at the end: what they say would not
            // count.
            Own::Uid | Own::Keywords
                if wanted.base.is_some() && !self.done(Own::Base) && !self.done(Own::Pseudo) =>
            {
                None
            }
            Own::Uid => {
                let uid = wanted.uid?;
                changed(self.old.uid == Some(uid), uid.to_string())
            }
            Own::Keywords => {
                let old = self.old.keywords.as_deref().unwrap_or_default();
                let is_same = old.iter().map(String::as_str).eq(wanted.keywords.iter().copied());
                let mut new = String::new();
                append_words(&mut new, &wanted.keywords);
                changed(is_same, new.trim_start().to_owned())
            }
            Own::Status | Own::XStatus => {
                let is_letter = |byte: &u8| field.kind.letters().iter().any(|(letter, _)| letter == byte);
                let old: Vec<u8> = value.iter().copied().filter(is_letter).collect();
                let new = letters(field.kind, wanted);
                let is_same = same_letters(&old, &new);
                // What others put there stays.
                let others = value.iter().copied().filter(|byte| !is_letter(byte));
                Some((!is_same).then(|| others.chain(new).collect()))
            }
        }
    }

    /// Adds what the header lacks, before the empty line that ends it.
    fn missing(&mut self, body_size: u64) {
        let wanted = self.wanted;
        let header = &self.start.header_bytes;
        let end = match header.as_slice() {
            _ if !self.start.has_end => header.len(),
            [.., b'\r', b'\n'] => header.len() - 2,
            _ => header.len() - 1,
        };
        let end = end.max(self.at);
        let mut lines: Vec<(Own, String)> = Vec::new();
        let has_base = self.done(Own::Base) || self.done(Own::Pseudo);
        if let Some(base) = wanted.base.as_ref().filter(|_| !has_base) {
            lines.push((Own::Base, format!("X-IMAPbase: {}", base.to_value())));
        }
        if let Some(uid) = wanted.uid.filter(|_| !self.done(Own::Uid)) {
            lines.push((Own::Uid, format!("X-UID: {uid}")));
        }
        for (kind, name) in [(Own::Status, "Status"), (Own::XStatus, "X-Status")] {
            let letters = letters(kind, wanted);
            if !letters.is_empty() && !self.done(kind) {
                lines.push((kind, format!("{name}: {}", String::from_utf8_lossy(&letters))));
            }
        }
        if !wanted.keywords.is_empty() && !self.done(Own::Keywords) {
            let mut line = "X-Keywords:".to_owned();
            append_words(&mut line, &wanted.keywords);
            lines.push((Own::Keywords, line));
        }
        if body_size >= CONTENT_LENGTH_MIN && !self.done(Own::ContentLength) {
            lines.push((Own::ContentLength, format!("Content-Length: {body_size}")));
            // Alone it is not worth a change.
            if lines.len() == 1 && !self.out.is_changed {
                lines.clear();
            }
        }
        self.keep(self.at..end);
        if !lines.is_empty() && end > 0 && header.get(end - 1) != Some(&b'\n') {
            self.text("\n");
        }
        for (kind, line) in lines {
            self.text(line);
            self.room(kind);
            self.text("\n");
            self.set_done(kind);
        }
        self.keep(end..header.len());
    }
}

/// The letters of a status field.
fn letters(kind: Own, wanted: &Wanted<'_>) -> Vec<u8> {
    let has = |flag: &Option<Flags>| flag.map_or(wanted.is_old, |flag| wanted.flags.has(flag));
    kind.letters().iter().filter(|(_, flag)| has(flag)).map(|&(letter, _)| letter).collect()
}

fn same_letters(one: &[u8], other: &[u8]) -> bool {
    let sorted = |letters: &[u8]| {
        let mut letters = letters.to_vec();
        letters.sort_unstable();
        letters
    };
    sorted(one) == sorted(other)
}

/// Appends words, each with a space before it, folded where the line gets long.
fn append_words(line: &mut String, words: &[&str]) {
    let mut line_start = 0;
    for word in words {
        if line.len() - line_start < KEYWORD_LINE_BYTES {
            line.push(' ');
        } else {
            line.push_str("\n\t");
            line_start = line.len();
        }
        line.push_str(word);
    }
}

/// Arranges an mbox anew, message by message.
#[derive(Debug, Default)]
pub struct Rewrite {
    arrangement: Arrangement,
    /// Up to where the old file was dealt with.
    at: u64,
    /// A message is in the new file already.
    has_first: bool,
}

/// Where a message came to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// What [`Start::from`] is of it in the new file.
    pub from: u64,
}

impl Rewrite {
    /// How far what comes next is shifted: towards the end of the file if positive.
    fn shift(&self) -> i64 {
        self.arrangement.size().cast_signed() - self.at.cast_signed()
    }

    /// Whether the new file has a message already.
    pub fn has_first(&self) -> bool {
        self.has_first
    }

    /// Whether what comes next does not stay where it is.
    pub fn is_shifted(&self) -> bool {
        self.shift() != 0
    }

    /// The messages up to `offset`, the beginning of one, stay as they are.
    pub fn skip_to(&mut self, offset: u64) {
        self.arrangement.keep(self.at, offset);
        self.at = offset;
    }

    /// The next message goes.
    pub fn expunge(&mut self, end: &End) {
        self.at = end.next;
    }

    /// The next message stays, with this header.
    pub fn message(&mut self, start: &Start, end: &End, header: NewHeader) -> Placed {
        // The line end before the first message's From line is not there.
        let skip = if self.has_first { 0 } else { start.line_end_before() };
        self.at = start.from + skip;
        let from = self.arrangement.size();
        self.has_first = true;
        self.arrangement.keep(self.at, start.header);
        self.at = start.header;
        let len = self.header_len(&header);
        match len {
            Some(len) => {
                let room = len.saturating_sub(header.len_min());
                header.put(room, &mut self.arrangement);
            }
            None => self.arrangement.keep(start.header, start.body),
        }
        self.arrangement.keep(start.body, end.body);
        self.at = end.body;
        Placed { from }
    }

    /// How long the header is to be; `None` if it stays as it is.
    fn header_len(&self, header: &NewHeader) -> Option<u64> {
        let (shift, old, min) = (self.shift(), header.old_len(), header.len_min());
        // Gives back what others took, as far as there is room.
        let ideal = if shift > 0 { old.saturating_sub(shift.unsigned_abs()) } else { old };
        match header.is_changed() {
            _ if header.room_at.is_none() => header.is_changed().then_some(min),
            false if shift <= 0 || min >= old => None,
            false => Some(ideal.max(min)),
            true if min <= ideal => Some(ideal),
            true if shift > 0 && min <= old => Some(min),
            true => Some(min + ROOM_BYTES),
        }
    }

    /// All messages were seen; `size` is that of the old file. Gives what is to be done.
    pub fn finish(mut self, size: u64) -> Arrangement {
        if self.has_first {
            self.arrangement.keep(self.at, size);
        }
        self.arrangement
    }
}

/// 2.3's MBOX_HEADER_PADDING: room for later in a header that had too little.
const ROOM_BYTES: u64 = 50;
/// 2.3's MBOX_MIN_CONTENT_LENGTH_SIZE.
const CONTENT_LENGTH_MIN: u64 = 1024;
/// 2.3's KEYWORD_WRAP_LINE_LENGTH.
const KEYWORD_LINE_BYTES: usize = 1024;

#[cfg(test)]
mod tests;
