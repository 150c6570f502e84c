//! Keywords come, go, and get their names.

use base::{ModSeq, Uid, UidSet};

use super::Applier;
use crate::limits::KEYWORDS_MAX;
use crate::log::record::{ExtIntro, KeywordModify, RawRecord, ranges};
use crate::map::{KEYWORDS, keywords};

impl Applier<'_> {
    pub(super) fn keyword_update(&mut self, record: &RawRecord<'_>, modseq: u64) -> Result<(), String> {
        let Some((modify, name, uids)) = record.keyword_update() else { return Ok(()) };
        let name = String::from_utf8_lossy(name);
        let at = match self.map.keyword_position(&name) {
            Some(at) => at,
            None => self.add_keyword(&name)?,
        };
        if at / 8 >= self.map.keyword_bytes() {
            if modify != KeywordModify::Add {
                return Ok(());
            }
            self.resize_keywords()?;
        }
        if modify == KeywordModify::Unknown {
            return Err("Invalid keyword modify type".to_owned());
        }
        let tracked = self.map.tracks_modseqs();
        for (first, last) in ranges(uids) {
            self.edit.update(&UidSet::from_range(first, last), |record| {
                match modify {
                    KeywordModify::Add => record.keywords.insert(at),
                    _ => record.keywords.remove(at),
                }
                if tracked {
                    record.modseq = record.modseq.max(ModSeq(modseq));
                }
            });
        }
        Ok(())
    }

    pub(super) fn keyword_reset(&mut self, record: &RawRecord<'_>, modseq: u64) {
        if self.map.ext(KEYWORDS).is_none() {
            return;
        }
        let tracked = self.map.tracks_modseqs();
        for (first, last) in ranges(record.body) {
            self.edit.update(&UidSet::from_range(first, last), |record| {
                record.keywords = Default::default();
                if tracked {
                    record.modseq = record.modseq.max(ModSeq(modseq));
                }
            });
        }
    }

    /// Gives a keyword its place, for which the extension may have to grow, or to be made.
    fn add_keyword(&mut self, name: &str) -> Result<usize, String> {
        if self.map.keywords.len() >= KEYWORDS_MAX {
            return Err(format!("Too many keywords (max {KEYWORDS_MAX})"));
        }
        // A NUL would end the name in the header.
        let name: String = name.chars().filter(|&c| c != '\0').collect();
        if name.is_empty() || self.map.keyword_position(&name).is_some() {
            return Err("Trying to use empty keyword".to_owned());
        }
        let mut names = self.map.keywords.clone();
        names.push(name.into());
        let old = self.map.ext(KEYWORDS).map_or(0, |ext| ext.header.len());
        let header = keywords::encode(&names, old);
        if header.len() > old || self.map.keyword_bytes() * 8 < names.len() {
            self.register_keywords(header.len(), names.len())?;
        }
        let Some(ext) = self.map.exts.iter_mut().find(|ext| &*ext.name == KEYWORDS) else {
            return Err("Keyword extension growing failed".to_owned());
        };
        ext.header = header;
        self.map.keywords = names;
        Ok(self.map.keywords.len() - 1)
    }

    fn resize_keywords(&mut self) -> Result<(), String> {
        let size = self.map.ext(KEYWORDS).map_or(0, |ext| ext.header.len());
        self.register_keywords(size, self.map.keywords.len())
    }

    fn register_keywords(&mut self, hdr_size: usize, count: usize) -> Result<(), String> {
        let known = self.map.ext_position(KEYWORDS);
        let intro = ExtIntro {
            ext_id: known.map_or(u32::MAX, |at| at as u32),
            reset_id: self.map.ext(KEYWORDS).map_or(0, |ext| ext.reset_id),
            hdr_size: hdr_size as u32,
            record_size: keywords::record_size(count),
            record_align: 1,
            flags: 0,
            name: if known.is_some() { b"" } else { KEYWORDS.as_bytes() },
        };
        self.introduce(&intro)
    }
}

/// Whether a UID may be in a record.
pub(super) fn valid_uid(uid: u32, next_uid: u32) -> Option<Uid> {
    Uid::new(uid).filter(|_| uid < next_uid)
}
