//! The configuration as text.

use std::cmp::Ordering;
use std::fmt::Write;

use settings::config::Config;
use settings::decl::{MapKind, SectionKind, flags, roots};
use settings::filter::{Filter, Mask};
use settings::tree::{Node, escape};

use super::hide;

/// Which settings to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All (`-a`), but the hidden ones only if they are set.
    All,
    /// All, hidden ones too (`-s`, or when asked by name).
    AllHidden,
    /// Those that differ from their default (`-n`).
    Changed,
    /// Those that are set, even to their default (`-N`).
    Set,
}

/// How to show them.
#[derive(Debug, Clone)]
pub struct Show<'a> {
    /// Which settings.
    pub scope: Scope,
    /// Only what holds for these (`-f`).
    pub filter: Filter<'a>,
    /// Only those of these modules (`-m`).
    pub modules: Option<Vec<String>>,
    /// Shows passwords and keys (`-P`).
    pub passwords: bool,
}

impl Default for Show<'_> {
    fn default() -> Self {
        Self { scope: Scope::Changed, filter: Filter::default(), modules: None, passwords: false }
    }
}

/// The whole configuration: what holds for the filter, then the filters inside it.
///
/// # Errors
/// Two filters that set the same.
pub fn whole(config: &Config, show: &Show<'_>) -> Result<String, String> {
    let mut out = String::new();
    let merged = config.merged(&show.filter)?;
    let items = show.items(&merged, show.scope);
    show.print(&items, 0, "", None, &mut out);
    let mut parts: Vec<_> = config.parts().iter().filter(|part| is_below(&part.mask, &show.filter)).collect();
    parts.sort_by(|a, b| order(&b.mask, &a.mask));
    for part in parts.into_iter().filter(|part| part.mask != Mask::default()) {
        let items = show.items(&part.node, Scope::Set);
        let heads = heads(&part.mask);
        let mut inner = String::new();
        show.print(&items, heads.len(), "", None, &mut inner);
        if inner.is_empty() {
            continue;
        }
        for (depth, head) in heads.iter().enumerate() {
            indent(depth, &mut out);
            let _ = writeln!(out, "{head} {{");
        }
        out.push_str(&inner);
        for depth in (0..heads.len()).rev() {
            indent(depth, &mut out);
            out.push_str("}\n");
        }
    }
    Ok(out)
}

/// One setting or section by its name. `bare` leaves the name out (`-h`). A name that is not
/// known shows nothing, as in 2.3.
///
/// # Errors
/// Two filters that set the same.
pub fn one(config: &Config, show: &Show<'_>, name: &str, bare: bool) -> Result<String, String> {
    let merged = config.merged(&show.filter)?;
    let items = show.items(&merged, show.scope);
    let mut out = String::new();
    if let Some(value) = lookup(&items, "", name) {
        if !bare {
            let _ = write!(out, "{name} = ");
        }
        out.push_str(&value);
        out.push('\n');
    } else {
        show.print(&items, 0, "", Some(name), &mut out);
    }
    Ok(out)
}

/// Every setting as `path=value` (`-S`), only those below `names` if there are any.
///
/// # Errors
/// Two filters that set the same.
pub(super) fn simple(config: &Config, show: &Show<'_>, names: &[String]) -> Result<String, String> {
    let merged = config.merged(&show.filter)?;
    let mut out = String::new();
    let wanted = |key: &str| {
        let below = |name: &String| {
            key.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        names.is_empty() || names.iter().any(below)
    };
    let mut put = |key: &str, value: &str| {
        if wanted(key) {
            let _ = writeln!(out, "{key}={value}");
        }
    };
    show.simple(&merged, "", &mut put);
    Ok(out)
}

/// A line or section, with what it is sorted by.
struct Item {
    /// `name` of a setting, `kind/name/` of a section: relative to where it stands.
    key: String,
    what: What,
}

enum What {
    Line(String),
    Section { head: String, items: Vec<Item> },
}

impl Show<'_> {
    fn wanted(&self) -> u64 {
        self.modules.as_ref().map_or(u64::MAX, |modules| roots::wanted(modules))
    }

    fn items(&self, node: &Node, scope: Scope) -> Vec<Item> {
        let mut items = Vec::new();
        for (index, decl) in (0u16..).zip(node.kind.decls().iter()) {
            let is_name = node.kind.is_unique() && node.kind.name_index() == Some(index);
            if is_name || decl.roots & self.wanted() == 0 || !self.shows(node, index, scope) {
                continue;
            }
            let value = node.value(index).show(decl.kind).to_string();
            items.push(Item { key: decl.name.to_owned(), what: What::Line(value) });
        }
        for kind in node.kind.children().iter().filter(|kind| kind.roots() & self.wanted() != 0) {
            for (at, section) in node.list(*kind).iter().enumerate() {
                let inner = self.items(section, scope);
                let what = What::Section { head: head(section), items: inner };
                items.push(Item { key: format!("{}/{}/", kind.word(), path_name(section, at)), what });
            }
        }
        for kind in MapKind::ALL.into_iter().filter(|kind| kind.roots() & self.wanted() != 0) {
            let lines = node
                .map(kind)
                .iter()
                .map(|entry| Item { key: entry.name.clone(), what: What::Line(entry.value.clone()) });
            let mut lines: Vec<Item> = lines.collect();
            lines.sort_by(|a, b| key_order(&a.key, &b.key));
            let what = What::Section { head: kind.word().to_owned(), items: lines };
            items.push(Item { key: format!("{}/", kind.word()), what });
        }
        items.sort_by(|a, b| key_order(&a.key, &b.key));
        items
    }

    fn shows(&self, node: &Node, index: u16, scope: Scope) -> bool {
        let decl = node.kind.decl(index);
        let is_set = node.is_set(index);
        if decl.has(flags::UNSET) && !is_set {
            return false;
        }
        let always = match scope {
            Scope::AllHidden => true,
            Scope::All => !decl.has(flags::HIDDEN) || is_set,
            Scope::Set => is_set,
            Scope::Changed => false,
        };
        if always {
            return true;
        }
        if node.kind != SectionKind::Root && node.kind.is_unique() {
            // Built-in sections have defaults of their own: what is set counts as changed. 2.3 never
            // takes a text with variables for its default here.
            return is_set || decl.has(flags::VARIABLES);
        }
        decl.has(flags::UNSET) || *node.value(index) != node.kind.defaults()[usize::from(index)]
    }

    fn print(&self, items: &[Item], depth: usize, path: &str, only: Option<&str>, out: &mut String) {
        for item in items {
            let full = format!("{path}{}", item.key);
            match &item.what {
                What::Line(value) => {
                    let below = |name: &str| {
                        full.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                    };
                    if only.is_none_or(below) {
                        indent(depth, out);
                        let _ =
                            writeln!(out, "{} = {}", item.key, hide::shown(&item.key, value, self.passwords));
                    }
                }
                What::Section { head, items } => {
                    let mut inner = String::new();
                    self.print(items, depth + 1, &full, only, &mut inner);
                    if !inner.is_empty() {
                        indent(depth, out);
                        let _ = writeln!(out, "{head} {{");
                        out.push_str(&inner);
                        indent(depth, out);
                        out.push_str("}\n");
                    }
                }
            }
        }
    }

    fn simple(&self, node: &Node, path: &str, put: &mut dyn FnMut(&str, &str)) {
        let shows = |index| match (self.scope, node.is_set(index)) {
            // Without knowledge of built-in services, what is no default of the kind is shown.
            (Scope::Changed, _) => *node.value(index) != node.kind.defaults()[usize::from(index)],
            _ => self.shows(node, index, self.scope),
        };
        for (index, decl) in (0u16..).zip(node.kind.decls().iter()) {
            if decl.roots & self.wanted() != 0 && shows(index) {
                put(&format!("{path}{}", decl.name), &node.value(index).show(decl.kind).to_string());
            }
        }
        for kind in node.kind.children().iter().filter(|kind| kind.roots() & self.wanted() != 0) {
            let sections = node.list(*kind);
            let names: Vec<String> =
                sections.iter().enumerate().map(|(at, section)| path_name(section, at)).collect();
            if !names.is_empty() {
                put(&format!("{path}{}", kind.word()), &names.join(" "));
            }
            for (section, name) in sections.iter().zip(&names) {
                self.simple(section, &format!("{path}{}/{name}/", kind.word()), put);
            }
        }
        for kind in MapKind::ALL.into_iter().filter(|kind| kind.roots() & self.wanted() != 0) {
            if node.maps.contains_key(&kind) {
                put(kind.word(), "");
            }
            for entry in node.map(kind) {
                put(&format!("{}/{}", kind.word(), entry.name), &entry.value);
            }
        }
    }
}

fn lookup(items: &[Item], path: &str, name: &str) -> Option<String> {
    items.iter().find_map(|item| {
        let full = format!("{path}{}", item.key);
        match &item.what {
            What::Line(value) => (full == name).then(|| value.clone()),
            What::Section { items, .. } => lookup(items, &full, name),
        }
    })
}

/// As 2.3 compares: byte by byte, those above 127 first.
fn key_order(left: &str, right: &str) -> Ordering {
    let signed = |text: &str| text.bytes().map(|byte| byte as i8).collect::<Vec<i8>>();
    let (a, b) = (signed(left), signed(right));
    let common = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    match (a.get(common), b.get(common)) {
        (None, None) => Ordering::Equal,
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
        (Some(a), Some(b)) => a.cmp(b),
    }
}

fn path_name(section: &Node, at: usize) -> String {
    let name = section.name();
    if section.kind.is_unique() && !name.is_empty() { escape(name) } else { at.to_string() }
}

fn head(section: &Node) -> String {
    let (word, name) = (section.kind.word(), section.name());
    if !section.kind.is_unique() || name.is_empty() {
        word.to_owned()
    } else {
        format!("{word} {}", shown_name(name))
    }
}

/// A name as a section's head shows it: in quotes if it could not be read back without.
fn shown_name(name: &str) -> String {
    match name.contains([' ', '\t', '#']) || name.starts_with(['{', '"']) {
        true => format!("\"{}\"", hide::escape(name)),
        false => name.to_owned(),
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn heads(mask: &Mask) -> Vec<String> {
    let mut heads = Vec::new();
    heads.extend(mask.local.map(|net| format!("local {net}")));
    // 2.3 leaves the quotes out here, and then cannot read it back.
    heads.extend(mask.local_name.as_ref().map(|name| format!("local_name {}", shown_name(name))));
    heads.extend(mask.remote.map(|net| format!("remote {net}")));
    heads.extend(mask.protocol.as_ref().map(|protocol| format!("protocol {protocol}")));
    heads
}

/// The most special filter first.
fn order(a: &Mask, b: &Mask) -> Ordering {
    let bits = |net: Option<settings::Network>| net.map_or(0, |net| net.bits);
    let special = b.local_name.is_some().cmp(&a.local_name.is_some());
    special
        .then(bits(b.local).cmp(&bits(a.local)))
        .then(bits(b.remote).cmp(&bits(a.remote)))
        .then(b.protocol.is_some().cmp(&a.protocol.is_some()))
}

/// Whether a filter has to do with who is asked for: what is not asked for does not exclude.
fn is_below(mask: &Mask, filter: &Filter<'_>) -> bool {
    let mut mask = mask.clone();
    if filter.protocol.is_none() && filter.service.is_none() {
        mask.protocol = None;
    }
    if filter.local_name.is_none() {
        mask.local_name = None;
    }
    if filter.local_ip.is_none() {
        mask.local = None;
    }
    if filter.remote_ip.is_none() {
        mask.remote = None;
    }
    mask.matches(filter)
}
