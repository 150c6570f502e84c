//! REFERENCES (RFC 5256 §3) and REFS: from links between Message-IDs to threads.
//!
//! The steps and what they are called follow RFC 5256; where it leaves a choice, Dovecot's
//! index-thread-finish.c has made it.

use base::Uid;

use super::forest::Forest;
use super::gather::Gathered;
use super::roots::{Root, Roots};

/// Parents without the messages that are not there, and the children of each.
pub(super) struct Shadows<'a> {
    pub(super) facts: &'a Gathered,
    /// The message of each node; new nodes have none.
    messages: Vec<Option<u32>>,
    first_child: Vec<Option<u32>>,
    next_sibling: Vec<Option<u32>>,
}

/// REFERENCES: threads with the same base subject are merged.
pub(super) fn by_subject(facts: &Gathered, uids: &[Uid]) -> Forest {
    let mut roots = Roots::of(Shadows::new(facts));
    roots.sort_by_oldest();
    if roots.merge_by_subject() {
        roots.sort_by_oldest();
    }
    forest(&roots, uids)
}

/// REFS: threads in the order of their newest message.
pub(super) fn by_newest(facts: &Gathered, uids: &[Uid]) -> Forest {
    let mut roots = Roots::of(Shadows::new(facts));
    let mut newest = vec![0; facts.links.len() as usize];
    let tops = tops(facts);
    for node in 0..facts.links.len() {
        if let (Some(message), Some(&top)) = (facts.links.message(node), tops.get(node as usize))
            && let Some(newest) = newest.get_mut(top as usize)
        {
            *newest = facts.date(message).max(*newest);
        }
    }
    for root in &mut roots.list {
        root.date = newest.get(root.node as usize).copied().unwrap_or(0);
    }
    roots.list.sort_by_key(Root::order);
    forest(&roots, uids)
}

fn forest(roots: &Roots<'_>, uids: &[Uid]) -> Forest {
    let shadows = &roots.shadows;
    let shown = roots.list.iter().filter(|root| !root.is_gone);
    let shown = shown.filter(|root| !root.is_dummy || shadows.has_children(root.node));
    let shown = shown.map(|root| root.node).collect();
    let uid = |node| shadows.message(node).and_then(|message| uids.get(message as usize).copied());
    Forest::grow(shown, uid, |node| shadows.sorted_children(node))
}

impl<'a> Shadows<'a> {
    fn new(facts: &'a Gathered) -> Self {
        let links = &facts.links;
        let count = links.len() as usize;
        let mut shadows = Self {
            facts,
            messages: (0..links.len()).map(|node| links.message(node)).collect(),
            first_child: vec![None; count],
            next_sibling: vec![None; count],
        };
        let anchors = anchors(facts);
        for node in 0..links.len() {
            let parent = links.parent(node).filter(|_| links.message(node).is_some());
            if let Some(&anchor) = parent.and_then(|parent| anchors.get(parent as usize)) {
                shadows.add_child(anchor, node);
            }
        }
        shadows
    }

    /// A new node that stands for no message.
    pub(super) fn add_dummy(&mut self) -> u32 {
        self.messages.push(None);
        self.first_child.push(None);
        self.next_sibling.push(None);
        (self.messages.len() - 1) as u32
    }

    pub(super) fn add_child(&mut self, parent: u32, child: u32) {
        if let (Some(first), Some(next)) =
            (self.first_child.get_mut(parent as usize), self.next_sibling.get_mut(child as usize))
        {
            *next = first.replace(child);
        }
    }

    /// Takes all children from a node.
    pub(super) fn take_children(&mut self, node: u32) -> Vec<u32> {
        let children = self.children(node);
        if let Some(first) = self.first_child.get_mut(node as usize) {
            *first = None;
        }
        children
    }

    pub(super) fn message(&self, node: u32) -> Option<u32> {
        self.messages.get(node as usize).copied().flatten()
    }

    pub(super) fn has_children(&self, node: u32) -> bool {
        self.first_child.get(node as usize).copied().flatten().is_some()
    }

    pub(super) fn children(&self, node: u32) -> Vec<u32> {
        let first = self.first_child.get(node as usize).copied().flatten();
        let next = |&node: &u32| self.next_sibling.get(node as usize).copied().flatten();
        std::iter::successors(first, next).collect()
    }

    /// By the date of the message, then by its number.
    pub(super) fn order(&self, node: u32) -> (i64, Option<u32>) {
        let message = self.message(node);
        (message.map_or(0, |message| self.facts.date(message)), message)
    }

    fn sorted_children(&self, node: u32) -> Vec<u32> {
        let mut children = self.children(node);
        children.sort_by_key(|&child| self.order(child));
        children
    }
}

/// For each node, whose child a child of it becomes: its own, or, without a message, that of the
/// first above that has one, or of the topmost.
fn anchors(facts: &Gathered) -> Vec<u32> {
    let links = &facts.links;
    follow(links.len(), |node| match links.message(node) {
        Some(_) => None,
        None => links.parent(node),
    })
}

/// For each node, the topmost above it.
fn tops(facts: &Gathered) -> Vec<u32> {
    follow(facts.links.len(), |node| facts.links.parent(node))
}

/// For each node, where following `next` ends; each way is walked once.
fn follow(count: u32, next: impl Fn(u32) -> Option<u32>) -> Vec<u32> {
    const UNKNOWN: u32 = u32::MAX;
    let mut ends = vec![UNKNOWN; count as usize];
    let mut way = Vec::new();
    for start in 0..count {
        let mut at = start;
        let end = loop {
            match ends.get(at as usize) {
                Some(&UNKNOWN) => {}
                Some(&end) => break end,
                None => break at,
            }
            way.push(at);
            match next(at) {
                Some(above) => at = above,
                None => break at,
            }
        };
        for node in way.drain(..) {
            if let Some(slot) = ends.get_mut(node as usize) {
                *slot = end;
            }
        }
    }
    ends
}
