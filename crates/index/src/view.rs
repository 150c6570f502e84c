//! What a session sees of a mailbox at one moment: an immutable snapshot that many sessions share.
//! The difference between a session's snapshot and the newest one is its untagged EXPUNGE, EXISTS
//! and FETCH responses. Messages live in chunks that a changed snapshot copies only where it differs.

mod diff;
mod edit;
mod flags;

use std::sync::Arc;

use base::{ModSeq, Seq, SeqSet, Uid, UidSet, UidValidity};

pub use diff::Changes;
pub use edit::Edit;
pub use flags::{Flags, KeywordSet};

/// Messages per chunk. Small enough that a flag change copies little, large enough that a mailbox of
/// 100,000 messages has few hundred chunks.
const CHUNK: usize = 256;

/// One message as every session must know it, without any of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its UID.
    pub uid: Uid,
    /// System flags; `\Recent` belongs to a session and is never here.
    pub flags: Flags,
    /// Indexes into [`View::keywords`].
    pub keywords: KeywordSet,
    /// When it last changed; zero while the driver tracks none.
    pub modseq: ModSeq,
}

/// An immutable snapshot of a mailbox.
#[derive(Clone, Debug)]
pub struct View {
    uid_validity: UidValidity,
    uid_next: Uid,
    highest_modseq: ModSeq,
    keywords: Arc<[Arc<str>]>,
    // Invariant: UIDs ascend strictly through all chunks; no chunk is empty.
    chunks: Vec<Arc<Vec<Record>>>,
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
        self.chunks.last().and_then(|chunk| chunk.last()).map(|record| record.uid)
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
        self.chunks.get(at)?.get((index - start) as usize)
    }

    /// All messages in order.
    pub fn records(&self) -> impl Iterator<Item = &Record> + '_ {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
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
        self.records().position(|record| !record.flags.has(Flags::SEEN)).and_then(Seq::from_index)
    }

    /// How many messages have all flags in `has` and none in `lacks`.
    pub fn count(&self, has: Flags, lacks: Flags) -> u32 {
        self.records().filter(|record| record.flags.has(has) && !record.flags.intersects(lacks)).count()
            as u32
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

    /// The position of `uid`, or where it would be.
    fn locate(&self, uid: Uid) -> Result<usize, usize> {
        let at = self.chunks.partition_point(|chunk| chunk.last().is_some_and(|record| record.uid < uid));
        let start = if at == 0 { 0 } else { self.ends.get(at - 1).copied().unwrap_or(0) as usize };
        let Some(chunk) = self.chunks.get(at) else { return Err(start) };
        match chunk.binary_search_by_key(&uid, |record| record.uid) {
            Ok(inner) => Ok(start + inner),
            Err(inner) => Err(start + inner),
        }
    }

    fn chunk_for(&self, uid: Uid) -> Option<&[Record]> {
        let at = self.chunks.partition_point(|chunk| chunk.last().is_some_and(|record| record.uid < uid));
        self.chunks.get(at).map(|chunk| chunk.as_slice())
    }

    fn records_from(&self, index: usize) -> impl Iterator<Item = (usize, &Record)> + '_ {
        let at = self.ends.partition_point(|&end| end as usize <= index);
        let start = if at == 0 { 0 } else { self.ends.get(at - 1).copied().unwrap_or(0) as usize };
        let chunks = self.chunks.get(at..).unwrap_or_default();
        chunks
            .iter()
            .flat_map(|chunk| chunk.iter())
            .skip(index - start.min(index))
            .zip(index..)
            .map(|(r, i)| (i, r))
    }
}

#[cfg(test)]
mod tests;
