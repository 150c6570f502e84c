//! A whole configuration, parsed: what is set, where, and under which filters.

use std::path::Path;
use std::sync::Arc;

use crate::check;
use crate::decl::{SectionKind, flags};
use crate::error::{Diagnostic, Warning};
use crate::files::{Files, MemoryFiles};
use crate::filter::{Filter, Mask};
use crate::key;
use crate::parse::Parser;
use crate::snapshot::Snapshot;
use crate::tree::Node;

/// How to read a configuration.
#[derive(Debug, Clone)]
pub struct ParseOptions {
    /// Replaces `$other` by its value and `<file` by the file's bytes, as processes need it.
    /// `doveconf` shows them as written instead, unless it is told `-x`.
    pub expand: bool,
    /// Checks that the users exist whom unprivileged processes run as.
    pub check_users: bool,
    /// Only for these modules (`doveconf -m`): files of others' settings are not opened, and
    /// their values not checked. `None` means all.
    pub modules: Option<Vec<String>>,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self { expand: true, check_users: true, modules: None }
    }
}

/// One filter's part of the configuration.
#[derive(Debug, Clone)]
pub struct Part {
    /// When it holds.
    pub mask: Mask,
    /// Where it starts, as `file:line`.
    pub origin: String,
    /// What is set in it.
    pub node: Node,
}

/// A parsed configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) path: Arc<str>,
    /// The global part first, then each filter in the order of the configuration.
    pub(crate) parts: Vec<Part>,
    pub(crate) warnings: Vec<Warning>,
    /// A section that no `}` ends: its file and line.
    pub(crate) unclosed: Option<(Arc<str>, u32)>,
    /// Users that should exist and do not, by the setting that names them.
    pub(crate) missing_users: Vec<(&'static str, String)>,
    pub(crate) modules: Option<Vec<String>>,
    /// Made of defaults only, which nobody needs to be told mistakes about.
    pub(crate) defaults_only: bool,
}

impl Config {
    /// Reads the configuration in `main` and what it includes.
    ///
    /// # Errors
    /// The first line that 2.3 would refuse. What concerns several settings, [`Config::check`]
    /// finds.
    pub fn parse(files: &dyn Files, main: &Path, options: &ParseOptions) -> Result<Self, Diagnostic> {
        let mut config = Parser::new(files, main, options)?.run()?;
        if options.check_users {
            for setting in [key::DEFAULT_LOGIN_USER, key::DEFAULT_INTERNAL_USER] {
                let user = config.root().value(setting.index()).text().to_owned();
                if files.user_exists(&user) == Some(false) {
                    config.missing_users.push((setting.name(), user));
                }
            }
        }
        Ok(config)
    }

    /// Reads a configuration from a text, for tests and for checking before saving.
    pub fn parse_text(text: &str) -> Result<Self, Diagnostic> {
        let main = Path::new("/dovecot.conf");
        Self::parse(&MemoryFiles::one(main, text), main, &ParseOptions::default())
    }

    /// The configuration with nothing set.
    pub fn defaults() -> Self {
        let part = Part { mask: Mask::default(), origin: "<defaults>".into(), node: Node::root() };
        Self {
            path: "<defaults>".into(),
            parts: vec![part],
            warnings: Vec::new(),
            unclosed: None,
            missing_users: Vec::new(),
            modules: None,
            defaults_only: true,
        }
    }

    /// The main file.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is set outside filters.
    pub fn root(&self) -> &Node {
        // Invariant: the global part is always there.
        &self.parts[0].node
    }

    /// The global part, then every filter.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What is set for whom `filter` describes: all parts that hold, the most special first.
    ///
    /// # Errors
    /// Two filters set the same, and neither is inside the other.
    pub fn merged(&self, filter: &Filter<'_>) -> Result<Node, String> {
        merge_parts(&self.parts, filter)
    }

    /// Checks values against one another, as 2.3 does.
    ///
    /// # Errors
    /// What 2.3 refuses to start with.
    pub fn check(&self) -> Result<Vec<Warning>, Diagnostic> {
        let mut warnings = self.warnings.clone();
        if self.defaults_only {
            return Ok(warnings);
        }
        let refuse = |message: String| Diagnostic::in_file(&self.path, message);
        check::config(self, &mut warnings).map_err(refuse)?;
        warnings.extend(self.without_effect());
        Ok(warnings)
    }

    /// What 2.3 warned of while it read the files.
    pub fn parse_warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What is wrong with the settings that `filter` sees, all of it, for `doveconf`.
    pub fn errors(&self, filter: &Filter<'_>) -> Vec<String> {
        match self.merged(filter) {
            Ok(node) => check::all(&node, self, &mut Vec::new()),
            Err(conflict) => vec![conflict],
        }
    }

    /// The settings as processes use them.
    ///
    /// # Errors
    /// As [`Config::check`].
    pub fn snapshot(&self) -> Result<Snapshot, Diagnostic> {
        self.check()?;
        Ok(Snapshot::from_parts(self.parts.clone()))
    }

    /// Settings that are set to something else than their default and do nothing: each once.
    fn without_effect(&self) -> Vec<Warning> {
        let mut found: Vec<Warning> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for part in &self.parts {
            part.node.walk(&mut |node| {
                for (index, entry) in &node.entries {
                    let decl = node.kind.decl(*index);
                    let Some(source) = &entry.source else { continue };
                    let changed = entry.value != node.kind.defaults()[usize::from(*index)];
                    if !changed {
                        continue;
                    }
                    let setting = match node.kind {
                        SectionKind::Root => decl.name.to_owned(),
                        kind => format!("{} {} {{ {} }}", kind.word(), node.name(), decl.name),
                    };
                    let mut report = |setting: String| {
                        if seen.insert(setting.clone()) {
                            let place = format!("{}:{}", source.file, source.line);
                            found.push(Warning::NoEffectYet { setting, place });
                        }
                    };
                    if matches!(decl.name, "mail_location" | "location") {
                        let words = location_words_without_effect(node.value(*index).text());
                        words.for_each(|word| report(format!("{word} in {setting}")));
                    }
                    if decl.has(flags::NO_EFFECT_YET) {
                        report(setting);
                    }
                }
            });
        }
        found
    }
}

/// The parts of a location that say where index files go, of which there are none yet.
fn location_words_without_effect(location: &str) -> impl Iterator<Item = &'static str> {
    let words: Vec<String> = location
        .split(':')
        .skip(2)
        .map(|word| word.split('=').next().unwrap_or_default().to_ascii_uppercase())
        .collect();
    ["INDEX", "VOLATILEDIR", "INDEXCACHE", "LISTINDEX", "ITERINDEX", "ALT"]
        .into_iter()
        .filter(move |known| words.iter().any(|word| word == known))
}

/// Merges all parts that hold for `filter`.
pub(crate) fn merge_parts(parts: &[Part], filter: &Filter<'_>) -> Result<Node, String> {
    let mut matching: Vec<&Part> = parts.iter().filter(|part| part.mask.matches(filter)).collect();
    matching.sort_by_key(|part| part.mask.rank());
    let Some((first, rest)) = matching.split_first() else { return Ok(Node::root()) };
    let mut merged = first.node.clone();
    let mut inner = first;
    for part in rest {
        let strict = !part.mask.is_around(&inner.mask);
        merged.merge(&part.node, strict).map_err(|setting| {
            format!("Conflict in setting {setting} found from filter at {}", part.origin)
        })?;
        inner = part;
    }
    Ok(merged)
}
