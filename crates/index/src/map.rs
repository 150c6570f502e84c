//! An index in memory: base header, extensions, keywords, and the snapshot with the messages.

pub(crate) mod apply;
mod check;
mod encode;
mod ext;
pub(crate) mod kept;
mod keywords;
pub(crate) mod load;

use std::sync::Arc;

use base::{ModSeq, Uid, UidValidity};

use crate::header::Header;
use crate::view::{Columns, Edit, ExtId, View};

pub(crate) use check::{Repair, now};
pub(crate) use ext::{Ext, ExtHeader, is_valid_name};
pub(crate) use keywords::names as keyword_names;

/// The extension of keywords, which only the index itself changes.
pub(crate) const KEYWORDS: &str = "keywords";
/// The extension of modification sequences.
pub(crate) const MODSEQ: &str = "modseq";
/// Bytes of its header: the highest, and the log position at which it was that.
pub(crate) const MODSEQ_HEADER_SIZE: usize = 16;

/// An index in memory.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) header: Header,
    /// Bytes of the base header that this version does not know.
    pub(crate) unknown: Vec<u8>,
    pub(crate) exts: Vec<Ext>,
    pub(crate) keywords: Vec<Arc<str>>,
    pub(crate) view: Arc<View>,
    /// Messages became dirty and clean again while a log was read: 2.3 has the header's flag for them until
    /// it reads on.
    pub(crate) dirt_passed: bool,
}

/// The names of all extensions that were seen: what makes [`ExtId`]s last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Vec<Arc<str>>);

impl Names {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn id(&mut self, name: &str) -> (ExtId, Arc<str>) {
        let at = self.0.iter().position(|known| &**known == name).unwrap_or_else(|| {
            self.0.push(name.into());
            self.0.len() - 1
        });
        (ExtId(at as u32), self.0.get(at).cloned().unwrap_or_else(|| name.into()))
    }
}

/// The highest modification sequence that an index file knows, and of which log position.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ModseqHeader {
    pub(crate) highest: u64,
    pub(crate) log_seq: u32,
    pub(crate) log_offset: u32,
}

impl Map {
    /// An empty one.
    pub(crate) fn new(index_id: u32) -> Self {
        Self {
            header: Header::new(index_id),
            unknown: Vec::new(),
            exts: Vec::new(),
            keywords: Vec::new(),
            view: Arc::new(View::empty(UidValidity::ONE, Uid::ONE)),
            dirt_passed: false,
        }
    }

    pub(crate) fn ext_position(&self, name: &str) -> Option<usize> {
        self.exts.iter().position(|ext| &*ext.name == name)
    }

    pub(crate) fn ext(&self, name: &str) -> Option<&Ext> {
        self.exts.iter().find(|ext| &*ext.name == name)
    }

    /// Whether messages' modification sequences are tracked.
    pub(crate) fn tracks_modseqs(&self) -> bool {
        self.ext(MODSEQ).is_some()
    }

    pub(crate) fn modseq_header(&self) -> Option<ModseqHeader> {
        let header = &self.ext(MODSEQ)?.header;
        if header.len() != MODSEQ_HEADER_SIZE {
            return None;
        }
        let field = |at| crate::header::number(header, at);
        Some(ModseqHeader {
            highest: crate::header::long(header, 0)?,
            log_seq: field(8)?,
            log_offset: field(12)?,
        })
    }

    /// Takes over the highest modification sequence at a position of the log.
    pub(crate) fn set_modseq_header(&mut self, log_seq: u32, log_offset: u32, highest: u64) {
        let Some(old) = self.modseq_header() else { return };
        if (old.log_seq, old.log_offset) >= (log_seq, log_offset) {
            return;
        }
        let Some(ext) = self.exts.iter_mut().find(|ext| &*ext.name == MODSEQ) else { return };
        ext.header.clear();
        ext.header.extend_from_slice(&highest.to_le_bytes());
        ext.header.extend_from_slice(&log_seq.to_le_bytes());
        ext.header.extend_from_slice(&log_offset.to_le_bytes());
    }

    /// HIGHESTMODSEQ; `of_log` is that of the log's end.
    pub(crate) fn highest_modseq(&self, of_log: u64) -> u64 {
        let tracked = self.modseq_header().map(|header| header.highest).filter(|&highest| highest != 0);
        tracked.unwrap_or(of_log)
    }

    /// The extensions as a snapshot has them: all but those that records have fields for.
    fn columns(&self) -> Columns {
        let own = |ext: &&Ext| !matches!(&*ext.name, KEYWORDS | MODSEQ);
        let exts = self.exts.iter().filter(own).filter(|ext| ext.record_size > 0);
        Columns::new(exts.map(|ext| (ext.id, ext.name.clone(), ext.reset_id, ext.record_size.into())))
    }

    /// Makes `edit` the newest snapshot, with what the header says of the mailbox.
    pub(crate) fn publish(&mut self, mut edit: Edit, log_modseq: u64) {
        edit.set_uid_validity(UidValidity::new(self.header.uid_validity).unwrap_or(UidValidity::ONE));
        edit.set_uid_next(Uid::new(self.header.next_uid).unwrap_or(Uid::ONE));
        edit.set_highest_modseq(ModSeq(self.highest_modseq(log_modseq).max(1)));
        if edit.peek().keywords().len() != self.keywords.len()
            || !edit.peek().keywords().iter().eq(&self.keywords)
        {
            edit.set_keywords(self.keywords.clone().into());
        }
        edit.set_columns(self.columns());
        self.view = Arc::new(edit.finish());
    }
}
