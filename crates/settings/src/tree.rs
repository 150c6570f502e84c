//! The configuration as it was written: settings with their places, in sections and filters.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decl::services::{BUILTIN_SERVICES, BuiltinService};
use crate::decl::{MapKind, SectionKind};
use crate::value::Value;

/// Where a setting stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, counted from 1.
    pub line: u32,
}

/// A setting that has a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// Where it is set; `None` for what a built-in service brings along.
    pub source: Option<Source>,
    /// The file that the value was read from, for `key = <file`.
    pub file: Option<Arc<str>>,
}

/// A section, or the whole configuration under one filter: only what is set, without defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What kind of section.
    pub kind: SectionKind,
    /// How the section is reached in a path: its escaped name, or a number if it has none.
    pub path_name: String,
    /// What is set, by number.
    pub entries: BTreeMap<u16, Entry>,
    /// Sections inside, by kind, each in the order of the configuration.
    pub lists: BTreeMap<SectionKind, Vec<Node>>,
    /// `plugin {}` and `dict {}`, each in the order of the configuration.
    pub maps: BTreeMap<MapKind, Vec<MapEntry>>,
}

/// A line of `plugin {}` or `dict {}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapEntry {
    /// Anyone's name.
    pub name: String,
    /// Anyone's value.
    pub value: String,
    /// Where it is set.
    pub source: Source,
}

impl Node {
    pub(crate) fn new(kind: SectionKind, path_name: String) -> Self {
        Self { kind, path_name, entries: BTreeMap::new(), lists: BTreeMap::new(), maps: BTreeMap::new() }
    }

    /// The configuration before anything is set: just the built-in services.
    pub(crate) fn root() -> Self {
        let mut root = Self::new(SectionKind::Root, String::new());
        root.lists.insert(SectionKind::Service, BUILTIN_SERVICES.iter().map(builtin).collect());
        root
    }

    /// The section's name as it was written; empty if it has none.
    pub fn name(&self) -> &str {
        let entry = self.kind.name_index().and_then(|index| self.entries.get(&index));
        entry.map_or("", |entry| entry.value.text())
    }

    /// A setting's value: what is set, or its default.
    pub fn value(&self, index: u16) -> &Value {
        match self.entries.get(&index) {
            Some(entry) => &entry.value,
            None => &self.kind.defaults()[usize::from(index)],
        }
    }

    /// Whether the configuration sets it.
    pub fn is_set(&self, index: u16) -> bool {
        self.entries.get(&index).is_some_and(|entry| entry.source.is_some())
    }

    /// The sections of a kind.
    pub fn list(&self, kind: SectionKind) -> &[Self] {
        self.lists.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// The lines of `plugin {}` or `dict {}`.
    pub fn map(&self, kind: MapKind) -> &[MapEntry] {
        self.maps.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Takes over what `other`, a more general filter, sets and this does not. With `strict`,
    /// a setting in both is an error, which names it: neither filter is inside the other then.
    pub(crate) fn merge(&mut self, other: &Self, strict: bool) -> Result<(), &'static str> {
        for (index, entry) in &other.entries {
            match self.entries.get(index) {
                Some(own) if own.source.is_some() => {
                    if strict && entry.source.is_some() && Some(*index) != self.kind.name_index() {
                        return Err(self.kind.decl(*index).name);
                    }
                }
                Some(_) if entry.source.is_none() => {}
                _ => {
                    self.entries.insert(*index, entry.clone());
                }
            }
        }
        for (kind, entries) in &other.maps {
            let own = self.maps.entry(*kind).or_default();
            let new = entries.iter().filter(|entry| own.iter().all(|has| has.name != entry.name));
            let new: Vec<_> = new.cloned().collect();
            own.extend(new);
        }
        for (kind, nodes) in &other.lists {
            let own = self.lists.entry(*kind).or_default();
            for node in nodes {
                let name = node.name();
                let same = kind.is_unique() && !name.is_empty();
                match own.iter_mut().find(|has| same && has.name() == name) {
                    Some(has) => has.merge(node, strict)?,
                    None => own.push(node.clone()),
                }
            }
        }
        Ok(())
    }

    /// Calls `see` with each section of each kind, this one first.
    pub(crate) fn walk<'a>(&'a self, see: &mut dyn FnMut(&'a Self)) {
        see(self);
        for nodes in self.lists.values() {
            for node in nodes {
                node.walk(see);
            }
        }
    }
}

fn builtin(service: &BuiltinService) -> Node {
    let mut node = Node::new(SectionKind::Service, escape(service.name));
    set(&mut node, "name", service.name);
    for (name, value) in service.settings {
        set(&mut node, name, value);
    }
    for deviation in service.deviations {
        set(&mut node, deviation.setting, deviation.ours);
    }
    for (kind, listeners) in
        [(SectionKind::UnixListener, service.unix), (SectionKind::FifoListener, service.fifo)]
    {
        let nodes = listeners.iter().map(|(path, mode, user, group)| {
            let mut listener = Node::new(kind, escape(path));
            for (name, value) in [("path", path), ("mode", mode), ("user", user), ("group", group)] {
                set(&mut listener, name, value);
            }
            listener
        });
        node.lists.insert(kind, nodes.collect());
    }
    let ports = service.inet.iter().map(|(name, port, ssl)| {
        let mut listener = Node::new(SectionKind::InetListener, escape(name));
        set(&mut listener, "name", name);
        set(&mut listener, "port", &port.to_string());
        set(&mut listener, "ssl", if *ssl { "yes" } else { "no" });
        listener
    });
    node.lists.insert(SectionKind::InetListener, ports.collect());
    node
}

fn set(node: &mut Node, name: &str, text: &str) {
    let index = node.kind.index_of(name).unwrap_or_else(|| panic!("no setting {name} in {:?}", node.kind));
    let value =
        Value::parse(node.kind.decl(index), text).unwrap_or_else(|error| panic!("{name} = {text}: {error}"));
    node.entries.insert(index, Entry { value, source: None, file: None });
}

/// A section's name as a part of a path, where `/`, `=`, space and comma mean something else.
pub fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '=' => out.push_str("\\e"),
            '/' => out.push_str("\\s"),
            '\\' => out.push_str("\\\\"),
            ' ' => out.push_str("\\_"),
            ',' => out.push_str("\\+"),
            _ => out.push(c),
        }
    }
    out
}
