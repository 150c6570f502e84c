//! What happened between two snapshots. Chunks that both share are skipped without a look inside.

use std::sync::Arc;

use base::UidSet;

use super::{Record, View};

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
        keywords_added: old.keywords.len() != new.keywords.len(),
        ..Changes::default()
    };
    merge(old, new, |step| match step {
        Step::Old(record) => changes.expunged.insert(record.uid),
        Step::New(record) => changes.appended.insert(record.uid),
        Step::Both(old, new) => {
            if old.flags != new.flags || old.keywords != new.keywords {
                changes.flags_changed.insert(new.uid);
            }
        }
        Step::Shared(_) => {}
    });
    changes
}

pub(super) fn keeping_expunged(old: &View, new: &Arc<View>) -> Arc<View> {
    let mut kept = new.edit();
    let mut missing = false;
    let mut chunks: Vec<Arc<Vec<Record>>> = Vec::new();
    let mut loose: Vec<Record> = Vec::new();
    let flush = |loose: &mut Vec<Record>, chunks: &mut Vec<Arc<Vec<Record>>>| {
        if !loose.is_empty() {
            chunks.push(Arc::new(std::mem::take(loose)));
        }
    };
    merge(old, new, |step| match step {
        Step::Old(record) => {
            missing = true;
            loose.push(record.clone());
        }
        Step::New(record) | Step::Both(_, record) => loose.push(record.clone()),
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
    Old(&'a Record),
    New(&'a Record),
    Both(&'a Record, &'a Record),
    Shared(&'a Arc<Vec<Record>>),
}

/// Walks both in order of UIDs.
fn merge<'a>(old: &'a View, new: &'a View, mut visit: impl FnMut(Step<'a>)) {
    let (mut a, mut b) = (Cursor::new(old), Cursor::new(new));
    loop {
        if let (Some(left), Some(right)) = (a.whole_chunk(), b.whole_chunk())
            && Arc::ptr_eq(left, right)
        {
            visit(Step::Shared(right));
            a.skip_chunk();
            b.skip_chunk();
            continue;
        }
        match (a.peek(), b.peek()) {
            (Some(left), Some(right)) if left.uid == right.uid => {
                visit(Step::Both(left, right));
                a.advance();
                b.advance();
            }
            (Some(left), Some(right)) if left.uid > right.uid => {
                visit(Step::New(right));
                b.advance();
            }
            (Some(left), _) => {
                visit(Step::Old(left));
                a.advance();
            }
            (None, Some(right)) => {
                visit(Step::New(right));
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
        self.view.chunks.get(self.chunk)?.get(self.inner)
    }

    fn whole_chunk(&self) -> Option<&'a Arc<Vec<Record>>> {
        if self.inner == 0 { self.view.chunks.get(self.chunk) } else { None }
    }

    fn skip_chunk(&mut self) {
        self.chunk += 1;
        self.inner = 0;
    }

    fn advance(&mut self) {
        self.inner += 1;
        if self.view.chunks.get(self.chunk).is_some_and(|chunk| self.inner >= chunk.len()) {
            self.skip_chunk();
        }
    }
}
