//! Settings as one filter sees them, with defaults filled in, and what a userdb changes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decl::{MapKind, SectionKind};
use crate::key::{Key, SettingType};
use crate::tree::{Node, escape};
use crate::value::{Value, ValueError};

/// All values under one filter.
#[derive(Debug)]
pub(crate) struct View {
    values: Vec<Value>,
    files: BTreeMap<u16, Arc<str>>,
    set: Vec<bool>,
    lists: BTreeMap<SectionKind, Vec<Section>>,
    maps: BTreeMap<MapKind, BTreeMap<String, String>>,
}

/// The settings as seen through one filter. Cheap to clone, ready to read.
#[derive(Debug, Clone)]
pub struct Settings {
    view: Arc<View>,
    overrides: Option<Arc<Overrides>>,
}

/// What a userdb set differently. Small, whatever the configuration is.
#[derive(Debug, Clone, Default)]
struct Overrides {
    values: BTreeMap<u16, Value>,
    plugin: BTreeMap<String, String>,
    lists: BTreeMap<SectionKind, Vec<Section>>,
}

/// A section with its defaults. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Section(Arc<SectionView>);

#[derive(Debug, Clone)]
struct SectionView {
    kind: SectionKind,
    name: String,
    path_name: String,
    values: Vec<Value>,
    set: Vec<bool>,
    lists: BTreeMap<SectionKind, Vec<Section>>,
}

/// Why a userdb field cannot change a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// The setting exists, but the value is none of it.
    #[error("Invalid setting {field}={value}")]
    Invalid {
        /// The field.
        field: String,
        /// What it was to be set to.
        value: String,
        /// What is wrong with that.
        #[source]
        reason: ValueError,
    },
}

impl View {
    pub(crate) fn new(root: &Node) -> Self {
        let (values, set) = values_of(root);
        let files = root.entries.iter().filter_map(|(index, entry)| Some((*index, entry.file.clone()?)));
        let map = |kind: &MapKind| {
            let entries = root.map(*kind).iter().map(|entry| (entry.name.clone(), entry.value.clone()));
            (*kind, entries.collect())
        };
        Self {
            values,
            set,
            files: files.collect(),
            lists: lists_of(root),
            maps: MapKind::ALL.iter().map(map).collect(),
        }
    }
}

fn values_of(node: &Node) -> (Vec<Value>, Vec<bool>) {
    let mut values = node.kind.defaults().to_vec();
    let mut set = vec![false; values.len()];
    for (index, entry) in &node.entries {
        let at = usize::from(*index);
        values[at] = entry.value.clone();
        set[at] = entry.source.is_some();
    }
    (values, set)
}

fn lists_of(node: &Node) -> BTreeMap<SectionKind, Vec<Section>> {
    let list = |(kind, nodes): (&SectionKind, &Vec<Node>)| (*kind, nodes.iter().map(section_of).collect());
    node.lists.iter().map(list).collect()
}

fn section_of(node: &Node) -> Section {
    let (values, set) = values_of(node);
    Section(Arc::new(SectionView {
        kind: node.kind,
        name: node.name().to_owned(),
        path_name: node.path_name.clone(),
        values,
        set,
        lists: lists_of(node),
    }))
}

impl Settings {
    pub(crate) fn new(view: Arc<View>) -> Self {
        Self { view, overrides: None }
    }

    /// The value of a setting.
    ///
    /// # Panics
    /// If the key is of a section's setting, which is a mistake of the caller.
    pub fn get<T: SettingType>(&self, key: Key<T>) -> T::Out<'_> {
        assert!(key.section() == SectionKind::Root, "{} stands in a section", key.name());
        let index = key.index();
        let changed = self.overrides.as_ref().and_then(|overrides| overrides.values.get(&index));
        T::read(changed.unwrap_or(&self.view.values[usize::from(index)]))
    }

    /// Whether the configuration or the userdb sets it, even to the default.
    pub fn is_set<T>(&self, key: Key<T>) -> bool {
        let changed =
            self.overrides.as_ref().is_some_and(|overrides| overrides.values.contains_key(&key.index()));
        changed || self.view.set.get(usize::from(key.index())).copied().unwrap_or(false)
    }

    /// The file that the value came from, for `key = <file`. Who wants to notice a renewed
    /// certificate looks at this file again.
    pub fn file<T>(&self, key: Key<T>) -> Option<&str> {
        self.view.files.get(&key.index()).map(AsRef::as_ref)
    }

    /// The sections of a kind, in the order of the configuration.
    pub fn section_list(&self, kind: SectionKind) -> Vec<Section> {
        let changed = self.overrides.as_ref().and_then(|overrides| overrides.lists.get(&kind));
        changed.or_else(|| self.view.lists.get(&kind)).cloned().unwrap_or_default()
    }

    /// The section of that kind and name.
    pub fn section(&self, kind: SectionKind, name: &str) -> Option<Section> {
        self.section_list(kind).into_iter().find(|section| section.name() == name)
    }

    /// `plugin {}` with what the userdb adds.
    pub fn plugin(&self) -> Plugin<'_> {
        Plugin {
            base: self.view.maps.get(&MapKind::Plugin),
            over: self.overrides.as_ref().map(|overrides| &overrides.plugin),
        }
    }

    /// `dict {}`: each dictionary's name and URI.
    pub fn dict(&self) -> Plugin<'_> {
        Plugin { base: self.view.maps.get(&MapKind::Dict), over: None }
    }

    /// The same settings with a userdb's fields on top: any setting by name (`mail` is
    /// `mail_location`), settings in namespaces as `namespace/inbox/location`, and everything
    /// else as settings of plugins, as in 2.3. A field that ends in `+` adds to a text.
    ///
    /// # Errors
    /// A value that does not fit its setting.
    pub fn with_overrides<'f>(
        &self,
        fields: impl Iterator<Item = (&'f str, &'f str)>,
    ) -> Result<Self, OverrideError> {
        let mut overrides = self.overrides.as_deref().cloned().unwrap_or_default();
        for (field, value) in fields {
            let invalid =
                |reason| OverrideError::Invalid { field: field.into(), value: value.into(), reason };
            self.set_field(&mut overrides, field, value).map_err(invalid)?;
        }
        Ok(Self { view: self.view.clone(), overrides: Some(Arc::new(overrides)) })
    }

    fn set_field(&self, overrides: &mut Overrides, field: &str, value: &str) -> Result<(), ValueError> {
        let (name, adds) = field.strip_suffix('+').map_or((field, false), |name| (name, true));
        if let Some(index) = SectionKind::Root.index_of(name) {
            let before = overrides.values.get(&index).unwrap_or(&self.view.values[usize::from(index)]);
            let text = if adds { format!("{}{value}", before.text()) } else { value.to_owned() };
            overrides.values.insert(index, Value::parse(SectionKind::Root.decl(index), &text)?);
            return Ok(());
        }
        if let Some((word, rest)) = name.split_once('/')
            && let Some(kind) = SectionKind::Root.child(word)
        {
            return self.set_in_section(overrides, kind, rest, value);
        }
        let name = name.strip_prefix("plugin/").unwrap_or(name);
        let before = overrides.plugin.get(name).map(String::as_str).or_else(|| self.plugin().get(name));
        let value = if adds { format!("{}{value}", before.unwrap_or_default()) } else { value.to_owned() };
        overrides.plugin.insert(name.to_owned(), value);
        Ok(())
    }

    /// A path that leads nowhere changes nothing, as in 2.3: it is for other processes.
    fn set_in_section(
        &self,
        overrides: &mut Overrides,
        kind: SectionKind,
        path: &str,
        value: &str,
    ) -> Result<(), ValueError> {
        let before = || self.view.lists.get(&kind).cloned().unwrap_or_default();
        set_in_list(overrides.lists.entry(kind).or_insert_with(before), path, value)
    }
}

fn set_in_list(list: &mut [Section], path: &str, value: &str) -> Result<(), ValueError> {
    let Some((name, rest)) = path.split_once('/') else { return Ok(()) };
    let wanted = |section: &&mut Section| section.0.path_name == name || escape(&section.0.name) == name;
    let Some(section) = list.iter_mut().find(wanted) else { return Ok(()) };
    let section = Arc::make_mut(&mut section.0);
    if let Some(index) = section.kind.index_of(rest) {
        let at = usize::from(index);
        section.values[at] = Value::parse(section.kind.decl(index), value)?;
        section.set[at] = true;
        return Ok(());
    }
    let inner = rest.split_once('/').and_then(|(word, inner)| Some((section.kind.child(word)?, inner)));
    match inner {
        Some((kind, inner)) => set_in_list(section.lists.entry(kind).or_default(), inner, value),
        None => Ok(()),
    }
}

impl Section {
    /// The kind of section.
    pub fn kind(&self) -> SectionKind {
        self.0.kind
    }

    /// The name as it was written; empty if it has none.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The value of a setting in the section.
    ///
    /// # Panics
    /// If the key is of another kind of section, which is a mistake of the caller.
    pub fn get<T: SettingType>(&self, key: Key<T>) -> T::Out<'_> {
        assert!(key.section() == self.0.kind, "{} does not stand in {}", key.name(), self.0.kind.word());
        T::read(&self.0.values[usize::from(key.index())])
    }

    /// Whether the configuration sets it, even to the default.
    pub fn is_set<T>(&self, key: Key<T>) -> bool {
        self.0.set.get(usize::from(key.index())).copied().unwrap_or(false)
    }

    /// The sections of a kind inside, in the order of the configuration.
    pub fn sub(&self, kind: SectionKind) -> &[Section] {
        self.0.lists.get(&kind).map_or(&[], Vec::as_slice)
    }
}

/// Names and values of anyone's choice.
#[derive(Debug, Clone, Copy)]
pub struct Plugin<'a> {
    base: Option<&'a BTreeMap<String, String>>,
    over: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Plugin<'a> {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let found =
            self.over.and_then(|over| over.get(name)).or_else(|| self.base.and_then(|base| base.get(name)));
        found.map(String::as_str)
    }

    /// All names with their values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut all: BTreeMap<&str, &str> = BTreeMap::new();
        for map in [self.base, self.over].into_iter().flatten() {
            all.extend(map.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        }
        all.into_iter()
    }
}
