//! What happened between two snapshots. Chunks that both share are skipped without a look inside.

use std::sync::Arc;

use base::UidSet;

use super::{Chunk, Record, View};

/// The difference between an older and a newer snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// UIDVALIDITY differs: nothing else here means anything, the session has to end.
    pub uid_validity: bool,
    /// In the old one only.
    pub expunged: UidSet,
    /// In the new one only.
    pub appended: UidSet,
    /// In both, with other flags or keywords.
    pub flags_changed: UidSet,
    /// In both, with the same flags and keywords, but changed in a way that a client cannot see
    /// (RFC 7162 §3.2): another modification sequence.
    pub modseq_changed: UidSet,
    /// The list of keyword names grew: FLAGS and PERMANENTFLAGS are to be sent again.
    pub keywords_added: bool,
}

impl Changes {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub(super) fn diff(old: &View, new: &View) -> Changes {
    let mut changes = Changes {
        uid_validity: old.uid_validity != new.uid_validity,
        keywords_added: old.keywords != new.keywords,
        ..Changes::default()
    };
    merge(old, new, |step| match step {
        Step::Old(record, _) => changes.expunged.insert(record.uid),
        Step::New(record, _) => changes.appended.insert(record.uid),
        Step::Both(old, (new, _)) => {
            if old.flags != new.flags || old.keywords != new.keywords {
                changes.flags_changed.insert(new.uid);
            } else if old.modseq != new.modseq {
                changes.modseq_changed.insert(new.uid);
            }
        }
        Step::Shared(_) => {}
    });
    changes
}

pub(super) fn keeping_expunged(old: &View, new: &Arc<View>) -> Arc<View> {
    let mut kept = new.edit();
    let mut missing = false;
    let mut chunks: Vec<Arc<Chunk>> = Vec::new();
    let mut loose = Chunk::default();
    let flush = |loose: &mut Chunk, chunks: &mut Vec<Arc<Chunk>>| {
        if !loose.records.is_empty() {
            chunks.push(Arc::new(std::mem::take(loose)));
        }
    };
    let stride = new.columns.stride();
    merge(old, new, |step| match step {
        Step::Old(record, ext) => {
            missing = true;
            loose.records.push(record.clone());
            let start = loose.ext.len();
            loose.ext.resize(start + stride, 0);
            new.columns.convert(&old.columns, ext, loose.ext.get_mut(start..).unwrap_or_default());
        }
        Step::New(record, ext) | Step::Both(_, (record, ext)) => {
            loose.records.push(record.clone());
            loose.ext.extend_from_slice(ext);
        }
        Step::Shared(chunk) => {
            flush(&mut loose, &mut chunks);
            chunks.push(chunk.clone());
        }
    });
    flush(&mut loose, &mut chunks);
    if !missing {
        return new.clone();
    }
    kept.replace_chunks(chunks);
    Arc::new(kept.finish())
}

enum Step<'a> {
    Old(&'a Record, &'a [u8]),
    New(&'a Record, &'a [u8]),
    Both(&'a Record, (&'a Record, &'a [u8])),
    Shared(&'a Arc<Chunk>),
}

/// Walks both in order of UIDs.
fn merge<'a>(old: &'a View, new: &'a View, mut visit: impl FnMut(Step<'a>)) {
    let (mut a, mut b) = (Cursor::new(old), Cursor::new(new));
    let same_layout = old.columns.stride() == new.columns.stride();
    loop {
        if let (Some(left), Some(right)) = (a.whole_chunk(), b.whole_chunk())
            && Arc::ptr_eq(left, right)
            && same_layout
        {
            visit(Step::Shared(right));
            a.skip_chunk();
            b.skip_chunk();
            continue;
        }
        match (a.peek(), b.peek()) {
            (Some(left), Some(right)) if left.uid == right.uid => {
                visit(Step::Both(left, (right, b.ext())));
                a.advance();
                b.advance();
            }
            (Some(left), Some(right)) if left.uid > right.uid => {
                visit(Step::New(right, b.ext()));
                b.advance();
            }
            (Some(left), _) => {
                visit(Step::Old(left, a.ext()));
                a.advance();
            }
            (None, Some(right)) => {
                visit(Step::New(right, b.ext()));
                b.advance();
            }
            (None, None) => return,
        }
    }
}

struct Cursor<'a> {
    view: &'a View,
    chunk: usize,
    inner: usize,
}

impl<'a> Cursor<'a> {
    fn new(view: &'a View) -> Self {
        Self { view, chunk: 0, inner: 0 }
    }

    fn peek(&self) -> Option<&'a Record> {
        self.view.chunks.get(self.chunk)?.records.get(self.inner)
    }

    /// What extensions hold for the message that [`peek`](Self::peek) gives.
    fn ext(&self) -> &'a [u8] {
        let stride = self.view.columns.stride();
        let chunk = self.view.chunks.get(self.chunk);
        let bytes = chunk.and_then(|chunk| chunk.ext.get(self.inner * stride..(self.inner + 1) * stride));
        bytes.unwrap_or_default()
    }

    fn whole_chunk(&self) -> Option<&'a Arc<Chunk>> {
        if self.inner == 0 { self.view.chunks.get(self.chunk) } else { None }
    }

    fn skip_chunk(&mut self) {
        self.chunk += 1;
        self.inner = 0;
    }

    fn advance(&mut self) {
        self.inner += 1;
        if self.view.chunks.get(self.chunk).is_some_and(|chunk| self.inner >= chunk.records.len()) {
            self.skip_chunk();
        }
    }
}
