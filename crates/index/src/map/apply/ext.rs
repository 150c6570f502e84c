//! Extensions come, grow, are reset, and what they hold changes.

use base::{ModSeq, Uid};

use super::keyword::valid_uid;
use super::{Applier, Current};
use crate::header::number;
use crate::limits::{EXT_HEADERS_SIZE_MAX, EXTENSIONS_MAX, INDEX_SIZE_MAX};
use crate::log::record::{ExtIntro, RawRecord};
use crate::map::ext::{Ext, ExtHeader, lay_out};
use crate::map::{KEYWORDS, MODSEQ};
use crate::view::Record;

impl Applier<'_> {
    pub(super) fn ext_intro(&mut self, intro: &ExtIntro<'_>) -> Result<(), String> {
        // If this one is damaged, what follows is not about the one before.
        self.current = Current::Broken;
        let known = self.map.exts.get(intro.ext_id as usize);
        if intro.ext_id != u32::MAX && known.is_none() {
            return Err(format!("Extension introduction for unknown id {}", intro.ext_id));
        }
        if intro.ext_id == u32::MAX && intro.name.is_empty() {
            return Err("Extension introduction without id or name".to_owned());
        }
        if known.map_or(intro.name, |ext| ext.name.as_bytes()) == KEYWORDS.as_bytes() {
            return Err("Extension introduction for keywords".to_owned());
        }
        self.introduce(intro)
    }

    /// The same for the keywords, too.
    pub(super) fn introduce(&mut self, intro: &ExtIntro<'_>) -> Result<(), String> {
        let position = match intro.ext_id {
            u32::MAX => self.map.exts.iter().position(|ext| ext.name.as_bytes() == intro.name),
            id => Some(id as usize),
        };
        let known = position.and_then(|at| self.map.exts.get(at));
        let name = match known {
            Some(ext) => ext.name.to_string(),
            None => String::from_utf8(intro.name.to_vec()).unwrap_or_default(),
        };
        let described = ExtHeader {
            hdr_size: intro.hdr_size,
            reset_id: intro.reset_id,
            record_offset: 0,
            record_size: intro.record_size,
            record_align: intro.record_align,
            name_size: name.len() as u16,
        };
        let checked = described.check(&name, self.map.header.record_size);
        checked.map_err(|error| format!("Broken extension introduction: {error}"))?;
        let headers: usize = self.map.exts.iter().map(|ext| ext.header.len()).sum();
        if headers + intro.hdr_size as usize > EXT_HEADERS_SIZE_MAX {
            return Err(format!("Broken extension introduction: Headersize too large ({})", intro.hdr_size));
        }
        let ignored = known.is_some_and(|ext| ext.reset_id != intro.reset_id);
        let at = match position {
            Some(at) if ignored => at,
            Some(at) => {
                self.resize(at, intro)?;
                at
            }
            None => self.add_ext(&name, intro)?,
        };
        if &*name != KEYWORDS {
            self.current = Current::At { at, record_size: intro.record_size, ignored };
        }
        Ok(())
    }

    fn add_ext(&mut self, name: &str, intro: &ExtIntro<'_>) -> Result<usize, String> {
        if self.map.exts.len() >= EXTENSIONS_MAX {
            return Err(format!("Too many extensions (max {EXTENSIONS_MAX})"));
        }
        let (id, name) = self.names.id(name);
        let mut exts = self.map.exts.clone();
        exts.push(Ext {
            name,
            id,
            reset_id: intro.reset_id,
            header: vec![0; intro.hdr_size as usize],
            record_offset: 0,
            record_size: intro.record_size,
            record_align: intro.record_align,
        });
        self.replace_exts(exts)?;
        Ok(self.map.exts.len() - 1)
    }

    fn resize(&mut self, at: usize, intro: &ExtIntro<'_>) -> Result<(), String> {
        let grows_only = intro.flags & ExtIntro::NO_SHRINK != 0;
        let mut exts = self.map.exts.clone();
        let Some(ext) = exts.get_mut(at) else { return Ok(()) };
        let choose = |old: u16, new: u16| if grows_only { old.max(new) } else { new };
        let new_size = intro.hdr_size as usize;
        // Sizes in the file are padded: a header that shrinks within its padding does so even where it
        // must not shrink.
        let shrinks = new_size.next_multiple_of(8) < ext.header.len().next_multiple_of(8);
        if !(grows_only && shrinks) {
            ext.header.resize(new_size, 0);
        }
        ext.record_size = choose(ext.record_size, intro.record_size);
        ext.record_align = choose(ext.record_align, intro.record_align);
        let same =
            self.map.exts.get(at).is_some_and(|old| {
                (old.record_size, old.record_align) == (ext.record_size, ext.record_align)
            });
        if same {
            self.map.exts = exts;
            return Ok(());
        }
        self.replace_exts(exts)
    }

    /// Lays the records out anew.
    fn replace_exts(&mut self, mut exts: Vec<Ext>) -> Result<(), String> {
        let messages = u64::from(self.map.header.messages_count);
        let size = lay_out(&mut exts).filter(|&size| u64::from(size) * messages <= INDEX_SIZE_MAX);
        let Some(size) = size else {
            return Err("Broken extension introduction: Record size is too large".to_owned());
        };
        self.map.exts = exts;
        self.map.header.record_size = size;
        self.edit.set_columns(self.map.columns());
        Ok(())
    }

    pub(super) fn ext_reset(&mut self, body: &[u8]) -> Result<(), String> {
        let Some(reset_id) = number(body, 0) else {
            return Err("ext reset: invalid record size".to_owned());
        };
        let at = match self.current {
            Current::None => return Err("Extension reset without intro prefix".to_owned()),
            Current::Broken => return Err("Extension reset without valid intro prefix".to_owned()),
            Current::At { at, .. } => at,
        };
        let Some(ext) = self.map.exts.get_mut(at) else { return Ok(()) };
        ext.reset_id = reset_id;
        if body.get(4).is_none_or(|&keep| keep == 0) {
            ext.header.fill(0);
            let (id, is_modseq) = (ext.id, &*ext.name == MODSEQ);
            self.edit.clear_ext(id);
            if is_modseq {
                self.edit.update_all(|record| record.modseq = ModSeq(0));
            }
        }
        self.edit.set_columns(self.map.columns());
        Ok(())
    }

    pub(super) fn ext_header(&mut self, record: &RawRecord<'_>) -> Result<(), String> {
        let Some((at, _)) = self.target("Extension header updated without intro prefix")? else {
            return Ok(());
        };
        let Some(ext) = self.map.exts.get_mut(at) else { return Ok(()) };
        for update in record.header_updates() {
            let Some((offset, bytes)) = update else {
                return Err("ext hdr update: invalid record size".to_owned());
            };
            let start = offset as usize;
            let Some(target) = start.checked_add(bytes.len()).and_then(|end| ext.header.get_mut(start..end))
            else {
                return Err("Extension header update points outside header size".to_owned());
            };
            target.copy_from_slice(bytes);
        }
        if &*ext.name == MODSEQ
            && let Some(header) = self.map.modseq_header()
        {
            // Tracking begins: whatever is there changed at this moment at the latest.
            self.edit.update_all(|record| {
                if record.modseq.0 == 0 {
                    record.modseq = ModSeq(header.highest);
                }
            });
        }
        Ok(())
    }

    pub(super) fn ext_records(&mut self, body: &[u8]) -> Result<(), String> {
        let Some((at, size)) = self.target("Extension record updated without intro prefix")? else {
            return Ok(());
        };
        let (size, step) = (usize::from(size), (4 + usize::from(size)).next_multiple_of(4));
        for item in body.chunks(step) {
            let (Some(uid), Some(bytes)) = (number(item, 0), item.get(4..4 + size)) else {
                return Err("ext rec update: invalid record size".to_owned());
            };
            let Some(uid) = valid_uid(uid, self.map.header.next_uid) else {
                return Err(format!("Extension record update for invalid uid={uid}"));
            };
            self.with_bytes(uid, at, |target| {
                let (own, rest) = target.split_at_mut(size.min(target.len()));
                own.iter_mut().zip(bytes).for_each(|(target, &byte)| *target = byte);
                rest.fill(0);
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(super) fn ext_increments(&mut self, record: &RawRecord<'_>) -> Result<(), String> {
        let Some((at, size)) = self.target("Extension record updated without intro prefix")? else {
            return Ok(());
        };
        for (uid, by) in record.increments() {
            let Some(valid) = valid_uid(uid, self.map.header.next_uid) else {
                return Err(format!("Extension record inc for invalid uid={uid}"));
            };
            self.with_bytes(valid, at, |target| {
                let own = target.get_mut(..size.into()).unwrap_or_default();
                increment(own, by).map_err(|problem| problem.text(uid, by, size))
            })?;
        }
        Ok(())
    }

    /// The extension that a record is about, and the bytes it has for each message there. `None`
    /// where the record is not meant for what the extension is by now.
    fn target(&self, without: &str) -> Result<Option<(usize, u16)>, String> {
        match self.current {
            Current::None => Err(without.to_owned()),
            Current::Broken | Current::At { ignored: true, .. } => Ok(None),
            Current::At { at, record_size, .. } => Ok(Some((at, record_size))),
        }
    }

    /// Changes what an extension holds for a message, if that is there.
    fn with_bytes(
        &mut self,
        uid: Uid,
        at: usize,
        change: impl FnOnce(&mut [u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let Some(ext) = self.map.exts.get(at) else { return Ok(()) };
        if &*ext.name != MODSEQ {
            return self.edit.ext_mut(uid, ext.id).map_or(Ok(()), change);
        }
        let mut done = Ok(());
        self.edit.update_one(uid, |record: &mut Record| {
            let mut bytes = record.modseq.0.to_le_bytes();
            done = change(&mut bytes);
            record.modseq = ModSeq(u64::from_le_bytes(bytes));
        });
        done
    }
}

enum IncrementError {
    Size,
    TooLarge(u64),
    BelowZero(u64),
    Overflow(u64),
}

impl IncrementError {
    fn text(&self, uid: u32, by: i32, size: u16) -> String {
        match self {
            Self::Size => format!("Extension record inc with invalid size={size}"),
            Self::TooLarge(max) => {
                format!("Extension record inc diff={by} larger than max value={max} (uid={uid})")
            }
            Self::BelowZero(old) => {
                format!("Extension record inc drops number below zero (uid={uid}, diff={by}, orig={old})")
            }
            Self::Overflow(old) => {
                format!("Extension record inc overflows number (uid={uid}, diff={by}, orig={old})")
            }
        }
    }
}

/// Adds to a little-endian number of 1, 2, 4 or 8 bytes, unless that would leave its range.
fn increment(bytes: &mut [u8], by: i32) -> Result<(), IncrementError> {
    if !matches!(bytes.len(), 1 | 2 | 4 | 8) {
        return Err(IncrementError::Size);
    }
    let old = bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    let max = u64::MAX >> (64 - 8 * bytes.len());
    if by > 0 && u64::from(by.unsigned_abs()) > max {
        return Err(IncrementError::TooLarge(max));
    }
    match old.checked_add_signed(by.into()) {
        Some(new) if new <= max => {
            bytes.iter_mut().zip(new.to_le_bytes()).for_each(|(target, byte)| *target = byte);
            Ok(())
        }
        _ if by < 0 => Err(IncrementError::BelowZero(old)),
        _ => Err(IncrementError::Overflow(old)),
    }
}
