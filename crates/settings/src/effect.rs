//! What is set and does nothing in this release: told by `doveconf` and at each start, so that
//! nobody believes otherwise.

use std::collections::BTreeSet;

use crate::config::Part;
use crate::decl::services::BuiltinService;
use crate::decl::{MapKind, SectionKind, flags};
use crate::error::Warning;
use crate::key;
use crate::tree::{Node, Source};

/// Each setting once, where it is set first to something else than its default.
pub(crate) fn missing(parts: &[Part]) -> Vec<Warning> {
    let mut found = Found::default();
    for part in parts {
        part.node.walk(&mut |node| found.look(node));
    }
    found.warnings
}

#[derive(Default)]
struct Found {
    warnings: Vec<Warning>,
    seen: BTreeSet<String>,
}

impl Found {
    fn look(&mut self, node: &Node) {
        self.settings(node);
        match node.kind {
            SectionKind::Root => {
                self.maps(node);
                self.protocols(node);
            }
            // One that belongs to a protocol is told where the protocol is.
            SectionKind::Service if is_missing(node.name()) && protocol(node).is_empty() => {
                if let Some(source) = first_source(node) {
                    self.tell(format!("service {}", node.name()), source);
                }
            }
            _ => {}
        }
    }

    fn settings(&mut self, node: &Node) {
        for (index, entry) in &node.entries {
            let decl = node.kind.decl(*index);
            let Some(source) = &entry.source else { continue };
            if entry.value == node.kind.defaults()[usize::from(*index)] {
                continue;
            }
            let setting = match node.kind {
                SectionKind::Root => decl.name.to_owned(),
                kind => format!("{} {} {{ {} }}", kind.word(), node.name(), decl.name),
            };
            if node.kind == SectionKind::Root && *index == key::MAIL_PLUGINS.index() {
                for word in spaced(entry.value.text()).filter(|word| !PLUGINS.contains(word)) {
                    self.tell(format!("{word} in {setting}"), source);
                }
            }
            // Such a prefix stands for a namespace of each other user.
            let is_of_others = node.kind == SectionKind::Namespace
                && *index == key::namespace::PREFIX.index()
                && node.value(key::namespace::TYPE.index()).text() == "shared"
                && entry.value.text().contains("%%");
            if decl.has(flags::NO_EFFECT_YET) || is_of_others {
                self.tell(setting, source);
            }
        }
    }

    /// There are few plugins, so that nobody reads what is set for others.
    fn maps(&mut self, node: &Node) {
        let kind = MapKind::Plugin;
        let is_read = |name: &str| PLUGIN_SETTINGS.contains(&name);
        for entry in node.map(kind).iter().filter(|entry| !is_read(&entry.name)) {
            self.tell(format!("{} {{ {} }}", kind.word(), entry.name), &entry.source);
        }
    }

    /// Protocols whose service has no process.
    fn protocols(&mut self, node: &Node) {
        let Some(entry) = node.entries.get(&key::PROTOCOLS.index()) else { return };
        let Some(source) = &entry.source else { return };
        for word in spaced(entry.value.text()) {
            let service = if word == "sieve" { "managesieve" } else { word };
            if is_missing(service) {
                self.tell(format!("protocols = {word}"), source);
            }
        }
    }

    fn tell(&mut self, setting: String, source: &Source) {
        if self.seen.insert(setting.clone()) {
            let place = format!("{}:{}", source.file, source.line);
            self.warnings.push(Warning::NoEffectYet { setting, place });
        }
    }
}

/// Plugins of 2.3 whose work is done here.
const PLUGINS: [&str; 1] = ["zlib"];
/// The lines of `plugin {}` that belong to them, and those of no plugin.
const PLUGIN_SETTINGS: [&str; 3] = ["zlib_save", "zlib_save_level", "mail_replica"];

/// The words of a list as 2.3 splits it.
fn spaced(list: &str) -> impl Iterator<Item = &str> {
    list.split([' ', ',', '\t']).filter(|word| !word.is_empty())
}

fn protocol(service: &Node) -> &str {
    service.value(key::service::PROTOCOL.index()).text()
}

/// Whether 2.3 has a service of that name and this release has no process for it.
fn is_missing(service: &str) -> bool {
    BuiltinService::find(service).is_some_and(|service| !service.started)
}

/// Where the first thing in a service is set that is not what the service brings along.
fn first_source(service: &Node) -> Option<&Source> {
    let brought = |listener: &Node| {
        BuiltinService::find(service.name()).is_some_and(|known| {
            let name = listener.name();
            known.unix.iter().chain(known.fifo).any(|(path, ..)| *path == name)
                || known.inet.iter().any(|(port, ..)| *port == name)
        })
    };
    let own = set_in(service, false);
    let inner = service.lists.values().flatten().flat_map(|listener| set_in(listener, !brought(listener)));
    own.chain(inner).min_by_key(|source| source.line)
}

/// Where the settings of a section are set, its name among them or not.
fn set_in(section: &Node, with_name: bool) -> impl Iterator<Item = &Source> {
    let is_name = move |index: u16| Some(index) == section.kind.name_index();
    let entries = section.entries.iter().filter(move |(index, _)| with_name || !is_name(**index));
    entries.filter_map(|(_, entry)| entry.source.as_ref())
}
