//! What a session sees of a mailbox at one moment: an immutable snapshot that many sessions share.
//! The difference between a session's snapshot and the newest one is its untagged EXPUNGE, EXISTS
//! and FETCH responses. Messages live in chunks that a changed snapshot copies only where it differs.

mod columns;
mod diff;
mod edit;
mod flags;

use std::sync::{Arc, OnceLock};

use base::{ModSeq, Seq, SeqSet, Uid, UidSet, UidValidity};

pub use columns::{Column, Columns, ExtId};
pub use diff::Changes;
pub use edit::Edit;
pub use flags::{Flags, KeywordSet};

/// Messages per chunk. Small enough that a flag change copies little, large enough that a mailbox of
/// 100,000 messages has few hundred chunks.
pub(crate) const CHUNK: usize = 256;

/// One message as every session must know it, without any of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its UID.
    pub uid: Uid,
    /// System flags; `\Recent` belongs to a session and is never here.
    pub flags: Flags,
    /// What the index keeps beside the flags for the driver: [`Record::DIRTY`], [`Record::BACKEND`].
    pub bits: u8,
    /// Indexes into [`View::keywords`].
    pub keywords: KeywordSet,
    /// When it last changed; zero while none is tracked. [`View::modseq`] is what a client sees.
    pub modseq: ModSeq,
}

impl Record {
    /// Changed in the index, but not yet in the mail store.
    pub const DIRTY: u8 = 0x80;
    /// The driver's own.
    pub const BACKEND: u8 = 0x40;
    /// All of [`bits`](Self::bits) that is stored.
    pub const BITS: u8 = Self::DIRTY | Self::BACKEND;

    /// A message without flags.
    #[inline]
    pub const fn new(uid: Uid) -> Self {
        Self { uid, flags: Flags::NONE, bits: 0, keywords: KeywordSet::new(), modseq: ModSeq(0) }
    }
}

/// Some consecutive messages, and beside them what extensions hold for each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<Record>,
    // Invariant: records.len() * columns.stride() bytes.
    pub(crate) ext: Vec<u8>,
    /// The system flags that all of them have, and those that one of them has; found out when first needed.
    flags: OnceLock<(Flags, Flags)>,
}

impl Chunk {
    pub(crate) fn new(records: Vec<Record>, ext: Vec<u8>) -> Self {
        Self { records, ext, flags: OnceLock::new() }
    }

    /// A chunk to be changed, which it is no longer shared for.
    fn edit(chunk: &mut Arc<Self>) -> &mut Self {
        let chunk = Arc::make_mut(chunk);
        chunk.flags = OnceLock::new();
        chunk
    }

    fn flags(&self) -> (Flags, Flags) {
        let join = |(all, any): (Flags, Flags), record: &Record| (all & record.flags, any | record.flags);
        *self.flags.get_or_init(|| self.records.iter().fold((Flags::ALL, Flags::NONE), join))
    }

    /// Whether one of them may have all flags in `has` and none in `lacks`, and whether all do.
    fn judge(&self, has: Flags, lacks: Flags) -> (bool, bool) {
        let (all, any) = self.flags();
        (any.has(has) && !all.intersects(lacks), all.has(has) && !any.intersects(lacks))
    }
}

/// An immutable snapshot of a mailbox.
#[derive(Clone, Debug)]
pub struct View {
    uid_validity: UidValidity,
    uid_next: Uid,
    highest_modseq: ModSeq,
    keywords: Arc<[Arc<str>]>,
    columns: Arc<Columns>,
    // Invariant: UIDs ascend strictly through all chunks; no chunk is empty.
    chunks: Vec<Arc<Chunk>>,
    // Invariant: ends[i] is how many messages chunks 0..=i hold.
    ends: Vec<u32>,
}

impl View {
    /// A mailbox without messages.
    pub fn empty(uid_validity: UidValidity, uid_next: Uid) -> Self {
        Self {
            uid_validity,
            uid_next,
            highest_modseq: ModSeq(1),
            keywords: Arc::new([]),
            columns: Arc::default(),
            chunks: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// UIDVALIDITY.
    pub fn uid_validity(&self) -> UidValidity {
        self.uid_validity
    }

    /// UIDNEXT.
    pub fn uid_next(&self) -> Uid {
        self.uid_next
    }

    /// HIGHESTMODSEQ, at least 1.
    pub fn highest_modseq(&self) -> ModSeq {
        self.highest_modseq
    }

    /// The names of the mailbox's keywords; a [`KeywordSet`] holds indexes into it.
    pub fn keywords(&self) -> &Arc<[Arc<str>]> {
        &self.keywords
    }

    /// The index of a keyword, compared without regard to ASCII case.
    pub fn keyword_index(&self, name: &str) -> Option<usize> {
        self.keywords.iter().position(|known| known.eq_ignore_ascii_case(name))
    }

    /// The names of the keywords in `set`.
    pub fn keyword_names<'a>(&'a self, set: &'a KeywordSet) -> impl Iterator<Item = &'a str> + 'a {
        set.iter().filter_map(|index| self.keywords.get(index).map(|name| &**name))
    }

    /// How many messages there are: EXISTS.
    pub fn len(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The UID of the last message: what `UID *` means. `None` if there is none.
    pub fn last_uid(&self) -> Option<Uid> {
        self.chunks.last().and_then(|chunk| chunk.records.last()).map(|record| record.uid)
    }

    /// The UID at a sequence number.
    pub fn uid(&self, seq: Seq) -> Option<Uid> {
        self.record_at(seq).map(|record| record.uid)
    }

    /// The sequence number of a UID.
    pub fn seq(&self, uid: Uid) -> Option<Seq> {
        self.locate(uid).ok().and_then(Seq::from_index)
    }

    /// The message with a UID.
    pub fn record(&self, uid: Uid) -> Option<&Record> {
        let chunk = self.chunk_for(uid)?;
        let at = chunk.binary_search_by_key(&uid, |record| record.uid).ok()?;
        chunk.get(at)
    }

    /// The message at a sequence number.
    pub fn record_at(&self, seq: Seq) -> Option<&Record> {
        let index = seq.index() as u32;
        let at = self.ends.partition_point(|&end| end <= index);
        let start = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        self.chunks.get(at)?.records.get((index - start) as usize)
    }

    /// All messages in order.
    pub fn records(&self) -> impl Iterator<Item = &Record> + '_ {
        self.chunks.iter().flat_map(|chunk| chunk.records.iter())
    }

    /// The messages of `uids` that are there, in order, with their sequence numbers.
    pub fn records_in<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = (Seq, &'a Record)> + 'a {
        uids.ranges().flat_map(move |(first, last)| {
            let start = self.locate(first).unwrap_or_else(|at| at);
            self.records_from(start)
                .take_while(move |(_, record)| record.uid <= last)
                .filter_map(|(index, record)| Some((Seq::from_index(index)?, record)))
        })
    }

    /// The UIDs of the messages at `seqs`; numbers beyond the end are left out.
    pub fn uids_of(&self, seqs: &SeqSet) -> UidSet {
        let mut uids = UidSet::new();
        for (first, last) in seqs.ranges() {
            let count = (last.get() - first.get()) as usize + 1;
            self.records_from(first.index()).take(count).for_each(|(_, record)| uids.insert(record.uid));
        }
        uids
    }

    /// The sequence numbers of the messages in `uids` that are there.
    pub fn seqs_of(&self, uids: &UidSet) -> SeqSet {
        self.records_in(uids).map(|(seq, _)| seq).collect()
    }

    /// The UIDs of all messages.
    pub fn uids(&self) -> UidSet {
        self.records().map(|record| record.uid).collect()
    }

    /// The first message without `\Seen`: the UNSEEN response of SELECT.
    pub fn first_unseen(&self) -> Option<Seq> {
        let first = self.records_flagged(Flags::NONE, Flags::SEEN).next()?;
        self.seq(first.uid)
    }

    /// The messages that have all flags in `has` and none in `lacks`, in order.
    pub fn records_flagged(&self, has: Flags, lacks: Flags) -> impl Iterator<Item = &Record> + '_ {
        let chunks = self.chunks.iter().filter(move |chunk| chunk.judge(has, lacks).0);
        let records = chunks.flat_map(|chunk| chunk.records.iter());
        records.filter(move |record| record.flags.has(has) && !record.flags.intersects(lacks))
    }

    /// How many messages have all flags in `has` and none in `lacks`.
    pub fn count(&self, has: Flags, lacks: Flags) -> u32 {
        let fits = |record: &&Record| record.flags.has(has) && !record.flags.intersects(lacks);
        let count = |chunk: &Arc<Chunk>| match chunk.judge(has, lacks) {
            (_, true) => chunk.records.len(),
            (false, _) => 0,
            _ => chunk.records.iter().filter(fits).count(),
        };
        self.chunks.iter().map(count).sum::<usize>() as u32
    }

    /// When a message last changed, as a client sees it: those that are not tracked changed at
    /// [`highest_modseq`](Self::highest_modseq) for all anybody knows.
    pub fn modseq(&self, record: &Record) -> ModSeq {
        if record.modseq.0 == 0 { self.highest_modseq } else { record.modseq }
    }

    /// The extensions that have something for each message.
    pub fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    /// What an extension holds for the message with a UID. `None` without the message or extension.
    pub fn ext(&self, uid: Uid, id: ExtId) -> Option<&[u8]> {
        let chunk = self.chunks.get(self.chunk_index(uid))?;
        let at = chunk.records.binary_search_by_key(&uid, |record| record.uid).ok()?;
        self.columns.get(id)?.of(&chunk.ext, at, self.columns.stride())
    }

    /// What an extension holds for the message at a sequence number.
    pub fn ext_at(&self, seq: Seq, id: ExtId) -> Option<&[u8]> {
        self.ext(self.uid(seq)?, id)
    }

    /// All messages in order, each with what an extension holds for it, which is empty without the
    /// extension.
    pub fn records_with(&self, id: ExtId) -> impl Iterator<Item = (&Record, &[u8])> + '_ {
        let (column, stride) = (self.columns.get(id), self.columns.stride());
        self.chunks.iter().flat_map(move |chunk| {
            chunk.records.iter().enumerate().map(move |(at, record)| {
                let bytes = column.and_then(|column| column.of(&chunk.ext, at, stride));
                (record, bytes.unwrap_or_default())
            })
        })
    }

    /// A table of sequence numbers, if that is worth while for so many questions.
    pub fn seqs_table(&self, questions: usize) -> Option<SeqTable> {
        let first = self.records().next()?.uid;
        let span = (self.last_uid()?.get() - first.get()) as usize + 1;
        let most = (self.len() as usize).saturating_mul(SPAN_PER_MESSAGE);
        if questions < self.len() as usize / SPAN_PER_MESSAGE || span > most {
            return None;
        }
        let mut seqs = vec![0; span];
        for (record, seq) in self.records().zip(1u32..) {
            if let Some(entry) = seqs.get_mut((record.uid.get() - first.get()) as usize) {
                *entry = seq;
            }
        }
        Some(SeqTable { first, seqs })
    }

    /// What happened between two snapshots of one mailbox.
    pub fn diff(old: &Self, new: &Self) -> Changes {
        diff::diff(old, new)
    }

    /// `new` with the messages that only `old` still has put back: the snapshot for a moment at which
    /// IMAP forbids to announce EXPUNGE (RFC 3501 §7.4.1). Opening such a message gives
    /// the storage's `Expunged`.
    pub fn keeping_expunged(old: &Self, new: &Arc<Self>) -> Arc<Self> {
        diff::keeping_expunged(old, new)
    }

    /// Starts a changed copy.
    pub fn edit(&self) -> Edit {
        Edit::new(self)
    }

    /// The messages of `uids` that are there; valid while the view is being edited, too.
    pub(crate) fn records_among<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = &'a Record> + 'a {
        let from = uids.first().map_or(0, |first| self.chunk_index(first));
        let last = uids.last();
        let chunks = self.chunks.get(from..).unwrap_or_default().iter();
        chunks
            .take_while(move |chunk| chunk.records.first().is_some_and(|record| Some(record.uid) <= last))
            .flat_map(|chunk| chunk.records.iter())
            .filter(|record| uids.contains(record.uid))
    }

    pub(crate) fn chunks(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }

    /// The position of `uid`, or where it would be.
    fn locate(&self, uid: Uid) -> Result<usize, usize> {
        let at = self.chunk_index(uid);
        let start = if at == 0 { 0 } else { self.ends.get(at - 1).copied().unwrap_or(0) as usize };
        let Some(chunk) = self.chunks.get(at) else { return Err(start) };
        match chunk.records.binary_search_by_key(&uid, |record| record.uid) {
            Ok(inner) => Ok(start + inner),
            Err(inner) => Err(start + inner),
        }
    }

    fn chunk_for(&self, uid: Uid) -> Option<&[Record]> {
        self.chunks.get(self.chunk_index(uid)).map(|chunk| chunk.records.as_slice())
    }

    /// The chunk that has `uid`, or would.
    fn chunk_index(&self, uid: Uid) -> usize {
        self.chunks.partition_point(|chunk| chunk.records.last().is_some_and(|record| record.uid < uid))
    }

    fn records_from(&self, index: usize) -> impl Iterator<Item = (usize, &Record)> + '_ {
        let at = self.ends.partition_point(|&end| end as usize <= index);
        let start = if at == 0 { 0 } else { self.ends.get(at - 1).copied().unwrap_or(0) as usize };
        let chunks = self.chunks.get(at..).unwrap_or_default();
        chunks
            .iter()
            .flat_map(|chunk| chunk.records.iter())
            .skip(index - start.min(index))
            .zip(index..)
            .map(|(r, i)| (i, r))
    }
}

/// Sequence numbers by UID. See [`View::seqs_table`].
#[derive(Debug)]
pub struct SeqTable {
    first: Uid,
    /// From the first message on; 0 where there is none.
    seqs: Vec<u32>,
}

impl SeqTable {
    /// The sequence number of a message.
    pub fn get(&self, uid: Uid) -> Option<Seq> {
        let at = uid.get().checked_sub(self.first.get())?;
        self.seqs.get(at as usize).and_then(|seq| Seq::new(*seq))
    }
}

/// A table has at most so many entries for each message.
const SPAN_PER_MESSAGE: usize = 4;

#[cfg(test)]
mod tests;
