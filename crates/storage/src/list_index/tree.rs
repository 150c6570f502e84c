//! The tree of names as `dovecot.list.index` has it, in memory: which record stands for a name.

use std::collections::HashMap;
use std::sync::Arc;

use base::Guid;
use index::View;
use index::list_index::{BadNames, LIST, ListRecord, Names, flags};

use crate::dbox::names::new_guid;
use crate::limits::LIST_DEPTH_MAX;

/// One level of a name, with the record that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Number of its name.
    pub name_id: u32,
    /// The last level of its name, as on disk.
    pub name: Arc<str>,
    /// UID of the record above; 0 at the root.
    pub parent: u32,
    /// `index::list_index::flags`
    pub flags: u8,
    /// The mailbox's GUID as it was when the tree was read.
    pub guid: Guid,
}

/// All names. Records are known by their UIDs.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    nodes: HashMap<u32, Node>,
    children: HashMap<(u32, Arc<str>), u32>,
    /// How many names are below each.
    counts: HashMap<u32, usize>,
    highest_name_id: u32,
    /// How many bytes the names take in the header, without the number 0 that ends them.
    pub names_end: usize,
    /// The list is to be compared with the directories.
    pub refresh: bool,
    /// By GUID, where names are known to the list alone.
    guids: HashMap<Guid, u32>,
    /// Something had to be made up, which is to be written.
    pub is_mended: bool,
}

/// Why a list cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The names make no sense.
    Header,
    /// A record does not.
    Record(String),
}

impl Tree {
    /// Reads the tree of an index whose `list` extension has `header`.
    pub(super) fn read(header: &[u8], view: &View) -> Result<Self, Damage> {
        let names = Names::decode(header).map_err(|BadNames(_)| Damage::Header)?;
        let names_end = 1 + names.names.iter().map(|(_, name)| name.len() + NAME_EXTRA).sum::<usize>();
        let (refresh, highest_name_id) = (names.refresh, names.highest());
        let mut tree = Self { refresh, highest_name_id, names_end, ..Self::default() };
        let shared: HashMap<u32, Arc<str>> = names
            .names
            .iter()
            .filter_map(|(id, name)| Some((*id, Arc::from(std::str::from_utf8(name).ok()?))))
            .collect();
        let damage = |text: String| Err(Damage::Record(text));
        let Some(column) = view.columns().named(LIST.name) else {
            return if view.is_empty() { Ok(tree) } else { damage("Missing list extension data".to_owned()) };
        };
        for (record, bytes) in view.records_with(column.id) {
            let Some(list) = ListRecord::decode(bytes) else {
                return damage("Missing list extension data".to_owned());
            };
            let Some(name) = shared.get(&list.name) else {
                return damage(format!("name_id={} not in index header", list.name));
            };
            let node = Node {
                name_id: list.name,
                name: name.clone(),
                parent: list.parent_uid,
                flags: record.flags.0,
                guid: list.guid,
            };
            tree.nodes.insert(record.uid.get(), node);
        }
        tree.link().map_err(Damage::Record)?;
        Ok(tree)
    }

    /// Reads the tree of a list that is the only one to know names: what is damaged gets a name that is made
    /// up, as 2.3 does it. `complaints` says what was.
    pub(super) fn read_mending(header: &[u8], view: &View, complaints: &mut Vec<String>) -> Self {
        let names = Names::decode(header).unwrap_or_else(|BadNames(names)| {
            complaints.push("Corrupted names in the header".to_owned());
            names
        });
        let names_end = 1 + names.names.iter().map(|(_, name)| name.len() + NAME_EXTRA).sum::<usize>();
        let mut tree = Self { highest_name_id: names.highest(), names_end, ..Self::default() };
        let Some(column) = view.columns().named(LIST.name) else {
            if !view.is_empty() {
                complaints.push("Missing list extension data".to_owned());
            }
            return tree;
        };
        for (record, bytes) in view.records_with(column.id) {
            let list = ListRecord::decode(bytes).unwrap_or(ListRecord {
                name: 0,
                parent_uid: 0,
                guid: Guid::default(),
                uid_validity: 0,
            });
            let name = names.name(list.name).and_then(|name| std::str::from_utf8(name).ok());
            let name_id = if name.is_some() { list.name } else { tree.next_name_id() };
            let name = name.map(Arc::from).unwrap_or_else(|| {
                complaints.push(format!("name_id={} not in index header", list.name));
                Arc::from(format!("unknown-{}", new_guid()))
            });
            let flags = record.flags.0 & !flags::SYNC_EXISTS;
            let node = Node { name_id, name, parent: list.parent_uid, flags, guid: list.guid };
            let node = tree.fitting(record.uid.get(), node, complaints);
            tree.nodes.insert(record.uid.get(), node);
        }
        tree.link_mending(complaints);
        tree.is_mended = !complaints.is_empty();
        tree
    }

    /// A node whose flags fit its GUID, which no other has.
    fn fitting(&mut self, uid: u32, mut node: Node, complaints: &mut Vec<String>) -> Node {
        let (has_guid, no_mailbox) = (node.guid != Guid::default(), flags::NONEXISTENT | flags::NOSELECT);
        let name = &node.name;
        if !has_guid && node.flags & no_mailbox == 0 {
            complaints
                .push(format!("mailbox '{name}' (uid={uid}) is missing GUID - marking it non-selectable"));
            node.flags |= flags::NOSELECT;
        } else if has_guid && node.flags & no_mailbox != 0 {
            complaints.push(format!(
                "non-selectable mailbox '{name}' (uid={uid}) already has GUID - marking it selectable"
            ));
            node.flags &= !no_mailbox;
        }
        if has_guid && let Some(other) = self.guids.insert(node.guid, uid) {
            let other = self.nodes.get(&other).map(|node| node.name.clone()).unwrap_or_default();
            let (name, guid) = (&node.name, node.guid);
            complaints.push(format!("duplicate GUID {guid} for mailbox '{name}' and '{other}'"));
        }
        node
    }

    /// Puts what has no place in the tree at its root, and names anew what has the name of another.
    fn link_mending(&mut self, complaints: &mut Vec<String>) {
        let mut uids: Vec<u32> = self.nodes.keys().copied().collect();
        uids.sort_unstable();
        for uid in uids {
            let Some(node) = self.nodes.get(&uid) else { continue };
            let (mut parent, mut name) = (node.parent, node.name.clone());
            if parent != 0 && !self.nodes.contains_key(&parent) {
                complaints.push(format!("parent_uid={parent} points to nonexistent record"));
                parent = 0;
            } else if self.loops(uid) {
                complaints.push(format!("parent_uid={uid} loops to node itself ({name})"));
                parent = 0;
            }
            let mut name_id = node.name_id;
            if self.children.contains_key(&(parent, name.clone())) {
                let new: Arc<str> = Arc::from(format!("{name}-duplicate-{}", new_guid()));
                complaints.push(format!("Duplicate mailbox '{name}' in index, renaming to {new}"));
                (name, name_id) = (new, self.next_name_id());
            }
            self.children.insert((parent, name.clone()), uid);
            *self.counts.entry(parent).or_default() += 1;
            if let Some(node) = self.nodes.get_mut(&uid) {
                (node.parent, node.name, node.name_id) = (parent, name, name_id);
            }
        }
    }

    fn loops(&self, uid: u32) -> bool {
        let (mut above, mut steps) = (self.nodes.get(&uid).map_or(0, |node| node.parent), 0);
        while above != 0 && above != uid && steps <= LIST_DEPTH_MAX {
            above = self.nodes.get(&above).map_or(0, |node| node.parent);
            steps += 1;
        }
        above != 0
    }

    fn next_name_id(&mut self) -> u32 {
        self.highest_name_id += 1;
        self.highest_name_id
    }

    fn link(&mut self) -> Result<(), String> {
        for (&uid, node) in &self.nodes {
            if node.parent != 0 && !self.nodes.contains_key(&node.parent) {
                return Err(format!("parent_uid={} points to nonexistent record", node.parent));
            }
            let mut above = node.parent;
            // What is deeper than any name can be goes in circles.
            let mut steps = 0;
            while above != 0 && above != uid && steps <= LIST_DEPTH_MAX {
                above = self.nodes.get(&above).map_or(0, |node| node.parent);
                steps += 1;
            }
            if above != 0 {
                return Err(format!("parent_uid={uid} loops to node itself ({})", node.name));
            }
            if self.children.insert((node.parent, node.name.clone()), uid).is_some() {
                return Err(format!("Duplicate mailbox '{}' in index", node.name));
            }
            *self.counts.entry(node.parent).or_default() += 1;
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn node(&self, uid: u32) -> Option<&Node> {
        self.nodes.get(&uid)
    }

    pub(super) fn uids(&self) -> impl Iterator<Item = u32> + '_ {
        self.nodes.keys().copied()
    }

    /// The record of a name, given by its levels.
    pub(super) fn find<'a>(&self, levels: impl Iterator<Item = &'a str>) -> Option<u32> {
        let mut at = 0;
        for level in levels {
            at = self.child(at, level)?;
        }
        (at != 0).then_some(at)
    }

    pub(super) fn child(&self, parent: u32, name: &str) -> Option<u32> {
        self.children.get(&(parent, Arc::from(name))).copied()
    }

    /// Adds a name that is not there.
    pub(super) fn add(&mut self, uid: u32, parent: u32, name: &str, flags: u8) -> &Node {
        self.highest_name_id += 1;
        let name: Arc<str> = Arc::from(name);
        self.children.insert((parent, name.clone()), uid);
        *self.counts.entry(parent).or_default() += 1;
        let node = Node { name_id: self.highest_name_id, name, parent, flags, guid: Guid::default() };
        self.nodes.entry(uid).or_insert(node)
    }

    pub(super) fn remove(&mut self, uid: u32) {
        if let Some(node) = self.nodes.remove(&uid) {
            self.children.remove(&(node.parent, node.name));
            if self.guids.get(&node.guid) == Some(&uid) {
                self.guids.remove(&node.guid);
            }
            if let Some(count) = self.counts.get_mut(&node.parent) {
                *count = count.saturating_sub(1);
            }
        }
    }

    pub(super) fn set_flags(&mut self, uid: u32, flags: u8) {
        if let Some(node) = self.nodes.get_mut(&uid) {
            node.flags = flags;
        }
    }

    /// The record of the mailbox with this GUID.
    pub(super) fn by_guid(&self, guid: Guid) -> Option<u32> {
        self.guids.get(&guid).copied()
    }

    /// Gives a record another GUID, or none.
    pub(super) fn set_guid(&mut self, uid: u32, guid: Guid) {
        let Some(node) = self.nodes.get_mut(&uid) else { return };
        let old = std::mem::replace(&mut node.guid, guid);
        if self.guids.get(&old) == Some(&uid) {
            self.guids.remove(&old);
        }
        if guid != Guid::default() {
            self.guids.insert(guid, uid);
        }
    }

    /// Gives a record, with all below it, another name and place; gives the name's number.
    pub(super) fn move_to(&mut self, uid: u32, parent: u32, name: &str) -> u32 {
        let (name_id, name): (u32, Arc<str>) = (self.next_name_id(), Arc::from(name));
        let Some(node) = self.nodes.get_mut(&uid) else { return name_id };
        self.children.remove(&(node.parent, node.name.clone()));
        if let Some(count) = self.counts.get_mut(&node.parent) {
            *count = count.saturating_sub(1);
        }
        (node.name_id, node.name, node.parent) = (name_id, name.clone(), parent);
        self.children.insert((parent, name), uid);
        *self.counts.entry(parent).or_default() += 1;
        name_id
    }

    /// Whether there are names below it.
    pub(super) fn has_children(&self, uid: u32) -> bool {
        self.counts.get(&uid).is_some_and(|&count| count > 0)
    }

    /// The records of a name's levels, as far as they are there.
    pub(super) fn path<'a>(&self, levels: impl Iterator<Item = &'a str>) -> Vec<u32> {
        let mut path = Vec::new();
        for level in levels {
            match self.child(path.last().copied().unwrap_or(0), level) {
                Some(uid) => path.push(uid),
                None => break,
            }
        }
        path
    }

    /// Whether nothing of this name is there, nor of any below it.
    pub(super) fn is_bare(&self, uid: u32) -> bool {
        let is_gone = self.nodes.get(&uid).is_some_and(|node| node.flags & flags::NONEXISTENT != 0);
        is_gone && self.counts.get(&uid).is_none_or(|&count| count == 0)
    }

    /// The whole name of a record.
    pub(super) fn full_name(&self, uid: u32, separator: char) -> Option<String> {
        Some(self.levels(uid)?.join(&separator.to_string()))
    }

    /// The levels of a record's name.
    pub(super) fn levels(&self, uid: u32) -> Option<Vec<&str>> {
        let mut node = self.nodes.get(&uid)?;
        let mut levels = vec![&*node.name];
        while let Some(above) = self.nodes.get(&node.parent) {
            levels.push(&above.name);
            node = above;
        }
        levels.reverse();
        Some(levels)
    }

    /// The record and those below it.
    pub(super) fn with_children(&self, top: u32) -> Vec<u32> {
        if self.counts.get(&top).copied().unwrap_or(0) == 0 {
            return vec![top];
        }
        let is_below = |mut uid: u32| {
            while uid != 0 && uid != top {
                uid = self.nodes.get(&uid).map_or(0, |node| node.parent);
            }
            uid == top
        };
        self.nodes.keys().copied().filter(|&uid| is_below(uid)).collect()
    }

    /// The header that says all this.
    pub(super) fn names(&self) -> Names {
        let mut names: Vec<(u32, Vec<u8>)> =
            self.nodes.values().map(|node| (node.name_id, node.name.as_bytes().to_vec())).collect();
        names.sort_unstable();
        names.dedup_by_key(|(id, _)| *id);
        Names { refresh: false, names }
    }
}

/// Its number and the byte that ends it.
const NAME_EXTRA: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(name: &str) -> impl Iterator<Item = &str> {
        name.split('/')
    }

    #[test]
    fn names_are_found_level_by_level() {
        let mut tree = Tree::default();
        tree.add(1, 0, "a", 0);
        tree.add(5, 1, "b", 0);
        tree.add(6, 0, "b", 0);
        assert_eq!(
            (tree.find(levels("a/b")), tree.find(levels("b")), tree.find(levels("b/a"))),
            (Some(5), Some(6), None)
        );
        assert_eq!(tree.full_name(5, '.').as_deref(), Some("a.b"));
        let mut below = tree.with_children(1);
        below.sort_unstable();
        assert_eq!(below, [1, 5]);
        tree.remove(5);
        assert_eq!(tree.find(levels("a/b")), None);
        assert_eq!(tree.names().names, [(1, b"a".to_vec()), (3, b"b".to_vec())]);
    }

    #[test]
    fn loops_and_lost_parents_are_damage() {
        let mut tree = Tree::default();
        tree.add(1, 2, "a", 0);
        tree.add(2, 1, "b", 0);
        tree.children.clear();
        tree.counts.clear();
        assert!(tree.link().unwrap_err().contains("loops to node itself"));
        tree.remove(2);
        tree.children.clear();
        assert_eq!(tree.link().unwrap_err(), "parent_uid=2 points to nonexistent record");
    }
}
