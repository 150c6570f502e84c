//! The roots of threads, and REFERENCES' step 5: those with the same base subject become one.

use std::collections::HashMap;

use super::refs::Shadows;

/// One root.
#[derive(Clone, Copy, Default)]
pub(super) struct Root {
    pub(super) node: u32,
    /// What it sorts by: a date, then a message.
    pub(super) date: i64,
    pub(super) message: Option<u32>,
    /// It stands for a message that is not there.
    pub(super) is_dummy: bool,
    /// It has become part of another thread, or has nothing left below it.
    pub(super) is_gone: bool,
    is_reply: bool,
    /// The root that has the same subject and comes above: an index.
    above: Option<usize>,
}

impl Root {
    pub(super) fn order(&self) -> (i64, Option<u32>) {
        (self.date, self.message)
    }
}

/// All roots.
pub(super) struct Roots<'a> {
    pub(super) shadows: Shadows<'a>,
    pub(super) list: Vec<Root>,
}

impl<'a> Roots<'a> {
    pub(super) fn of(shadows: Shadows<'a>) -> Self {
        let links = &shadows.facts.links;
        let list = (0..links.len()).filter(|&node| links.parent(node).is_none());
        let list = list.map(|node| {
            let message = links.message(node);
            Root { node, message, is_dummy: message.is_none(), ..Root::default() }
        });
        let list = list.collect();
        Self { shadows, list }
    }

    /// Step 4: by the date of the root or, where that is a dummy, of its oldest child. A dummy with one
    /// child gives way to it.
    pub(super) fn sort_by_oldest(&mut self) {
        let shadows = &self.shadows;
        for root in self.list.iter_mut().filter(|root| !root.is_gone) {
            if root.is_dummy {
                let children = shadows.children(root.node);
                match (children.as_slice(), oldest(shadows, &children)) {
                    (_, None) => {
                        root.is_gone = true;
                        continue;
                    }
                    ([only], _) => {
                        root.node = *only;
                        root.is_dummy = false;
                    }
                    (_, Some(oldest)) => {
                        (root.date, root.message) = shadows.order(oldest);
                        continue;
                    }
                }
            }
            (root.date, root.message) = shadows.order(root.node);
        }
        self.list.sort_by_key(Root::order);
    }

    /// Step 5; whether anything changed.
    pub(super) fn merge_by_subject(&mut self) -> bool {
        self.gather_subjects();
        let mut changed = false;
        for index in 0..self.list.len() {
            let above = self.list.get(index).filter(|root| !root.is_gone).and_then(|root| root.above);
            if let Some(above) = above {
                self.merge(index, above);
                changed = true;
            }
        }
        changed
    }

    /// Step 5.A and 5.B: finds for each root the one above it.
    fn gather_subjects(&mut self) {
        let facts = self.shadows.facts;
        let mut by_subject: HashMap<&[u8], usize> = HashMap::new();
        for index in 0..self.list.len() {
            let Some(root) = self.list.get(index).filter(|root| !root.is_gone) else { continue };
            let node = match root.is_dummy {
                true => oldest(&self.shadows, &self.shadows.children(root.node)),
                false => Some(root.node),
            };
            let message = node.and_then(|node| self.shadows.message(node));
            let Some(subject) = message.and_then(|message| facts.subject(message)) else { continue };
            let (is_dummy, is_reply) = (root.is_dummy, subject.is_reply);
            let known = by_subject.get(subject.text.as_slice()).copied();
            let replaces = known
                .and_then(|known| self.list.get(known))
                .is_none_or(|known| !known.is_dummy && (is_dummy || known.is_reply && !is_reply));
            if let Some(root) = self.list.get_mut(index) {
                root.is_reply = is_reply;
                root.above = known.filter(|_| !replaces);
            }
            if replaces {
                by_subject.insert(&subject.text, index);
                if let Some(known) = known.and_then(|known| self.list.get_mut(known)) {
                    known.above = Some(index);
                }
            }
        }
    }

    /// Step 5.C: puts a root where it belongs. `above` may itself have got one above it.
    fn merge(&mut self, index: usize, above: usize) {
        let next = |&at: &usize| self.list.get(at).and_then(|root| root.above);
        let Some(top) = std::iter::successors(Some(above), next).last() else { return };
        let (Some(&root), Some(&target)) = (self.list.get(index), self.list.get(top)) else { return };
        if root.is_dummy {
            for child in self.shadows.take_children(root.node) {
                self.shadows.add_child(target.node, child);
            }
        } else if target.is_dummy || root.is_reply && !target.is_reply {
            self.shadows.add_child(target.node, root.node);
        } else {
            let node = self.shadows.add_dummy();
            self.shadows.add_child(node, target.node);
            self.shadows.add_child(node, root.node);
            let both = self.list.len();
            self.list.push(Root { node, is_dummy: true, ..Root::default() });
            if let Some(target) = self.list.get_mut(top) {
                target.above = Some(both);
                target.is_gone = true;
            }
        }
        if let Some(root) = self.list.get_mut(index) {
            root.is_gone = true;
        }
    }
}

fn oldest(shadows: &Shadows<'_>, nodes: &[u32]) -> Option<u32> {
    nodes.iter().copied().min_by_key(|&node| shadows.order(node))
}
