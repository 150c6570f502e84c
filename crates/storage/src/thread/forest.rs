//! Threads as they are shown: trees of messages, level by level in one list.

use std::ops::Range;

use base::{Uid, UidSet};

/// All threads of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forest {
    // Invariant: the children of a node lie together, and after it.
    nodes: Vec<Node>,
    roots: usize,
}

/// A message, or the place of one that is not there: only at a root, and then with children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The message.
    pub uid: Option<Uid>,
    /// Its children, in order: indexes for [`Forest::node`].
    pub children: Range<usize>,
}

impl Forest {
    /// Builds it from the roots down. `uid` and `children` say what is known of a caller's node.
    pub(super) fn grow(
        roots: Vec<u32>,
        uid: impl Fn(u32) -> Option<Uid>,
        mut children: impl FnMut(u32) -> Vec<u32>,
    ) -> Self {
        let mut forest = Self { nodes: Vec::with_capacity(roots.len()), roots: roots.len() };
        let mut keys = roots;
        let mut at = 0;
        while let Some(&key) = keys.get(at) {
            let start = keys.len();
            keys.extend(children(key));
            forest.nodes.push(Node { uid: uid(key), children: start..keys.len() });
            at += 1;
        }
        forest
    }

    /// The roots, in order: indexes for [`node`](Self::node).
    pub fn roots(&self) -> Range<usize> {
        0..self.roots
    }

    /// One node.
    pub fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    /// The messages of all threads that have at least one of `uids` in them: INTHREAD.
    pub fn threads_with(&self, uids: &UidSet) -> UidSet {
        let mut thread: Vec<usize> = (0..self.nodes.len()).collect();
        for (index, node) in self.nodes.iter().enumerate() {
            let own = thread.get(index).copied().unwrap_or(index);
            thread.get_mut(node.children.clone()).unwrap_or_default().fill(own);
        }
        let mut hit = vec![false; self.roots];
        for (node, &thread) in self.nodes.iter().zip(&thread) {
            if node.uid.is_some_and(|uid| uids.contains(uid))
                && let Some(hit) = hit.get_mut(thread)
            {
                *hit = true;
            }
        }
        let members = self.nodes.iter().zip(&thread).filter(|&(_, &thread)| hit.get(thread) == Some(&true));
        let mut members: Vec<Uid> = members.filter_map(|(node, _)| node.uid).collect();
        members.sort_unstable();
        members.into_iter().collect()
    }
}
