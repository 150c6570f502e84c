//! What is wrong with a configuration, in 2.3's words, with more to say when asked.

use std::fmt;
use std::sync::Arc;

/// The first mistake in a configuration. `Display` is 2.3's message, without any program name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    place: Place,
    message: String,
    help: Vec<String>,
    warnings: Vec<Warning>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The file could not be read at all.
    Nowhere,
    /// The whole configuration, named by its main file.
    File(Arc<str>),
    /// A line of a file.
    Line { file: Arc<str>, line: u32, text: String },
}

impl Diagnostic {
    pub(crate) fn unreadable(message: String) -> Self {
        Self { place: Place::Nowhere, message, help: Vec::new(), warnings: Vec::new() }
    }

    pub(crate) fn in_file(file: &str, message: String) -> Self {
        Self { place: Place::File(file.into()), message, help: Vec::new(), warnings: Vec::new() }
    }

    pub(crate) fn at_line(file: &Arc<str>, line: u32, text: String, message: String) -> Self {
        Self {
            place: Place::Line { file: file.clone(), line, text },
            message,
            help: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn with_help(mut self, help: String) -> Self {
        self.help.push(help);
        self
    }

    /// With what there was to warn of before.
    pub(crate) fn after(mut self, warnings: Vec<Warning>) -> Self {
        self.warnings = warnings;
        self
    }

    /// What there was to warn of before the mistake was found.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What is wrong, without file and line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The file that the mistake is in, if it was readable.
    pub fn file(&self) -> Option<&str> {
        match &self.place {
            Place::Nowhere => None,
            Place::File(file) | Place::Line { file, .. } => Some(file),
        }
    }

    /// The line that the mistake is in, counted from 1.
    pub fn line(&self) -> Option<u32> {
        match self.place {
            Place::Line { line, .. } => Some(line),
            _ => None,
        }
    }

    /// More than 2.3 says: the line itself, and what may have been meant. Empty if there is
    /// nothing to add.
    pub fn explain(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Place::Line { line, text, .. } = &self.place {
            lines.push(format!("{line:>5} | {text}"));
        }
        lines.extend(self.help.iter().map(|help| format!("      = {help}")));
        lines
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Nowhere => out.write_str(&self.message),
            Place::File(file) => write!(out, "Error in configuration file {file}: {}", self.message),
            Place::Line { file, line, .. } => {
                write!(out, "Error in configuration file {file} line {line}: {}", self.message)
            }
        }
    }
}

impl std::error::Error for Diagnostic {}

/// Something that works, but not as its author may believe. `Display` is 2.3's text where 2.3
/// warns too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// 2.3 warns of it in these words.
    Text(String),
    /// 2.3 says it is an error, and goes on.
    Ignored(String),
    /// An obsolete setting, with its place.
    Obsolete {
        /// File and line, as `file:line`.
        place: String,
        /// What to write instead.
        advice: String,
    },
    /// A known setting that has no effect in this release.
    NoEffectYet {
        /// Its name; inside sections, with them.
        setting: String,
        /// Where it is set, as `file:line`.
        place: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Ignored(text) => out.write_str(text),
            Self::Obsolete { place, advice } => write!(out, "Obsolete setting in {place}: {advice}"),
            Self::NoEffectYet { setting, place } => {
                write!(out, "{place}: {setting} is known, but has no effect in this version yet")
            }
        }
    }
}

/// The name in `known` that `wrong` was probably meant to be: at most a third of it differs.
pub(crate) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > 64 {
        return None;
    }
    let limit = wrong.chars().count().div_ceil(3).min(4);
    let scored = known.map(|name| (distance(wrong, name), name));
    scored.filter(|(score, _)| *score <= limit).min_by_key(|(score, _)| *score).map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that make `left` into `right`.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut best = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses() {
        let known = ["ssl", "ssl_ca", "mail_location", "mail_log_prefix"];
        for (wrong, meant) in [("sll", Some("ssl")), ("mail_locaton", Some("mail_location")), ("bogus", None)]
        {
            assert_eq!(nearest(wrong, known.into_iter()), meant, "{wrong}");
        }
    }

    #[test]
    fn words_of_2_3() {
        let file: Arc<str> = "/x".into();
        let error = Diagnostic::at_line(&file, 3, "sll = no".into(), "Unknown setting: sll".into());
        assert_eq!(error.to_string(), "Error in configuration file /x line 3: Unknown setting: sll");
        assert_eq!(error.explain(), ["    3 | sll = no"]);
        let error = Diagnostic::in_file("/x", "protocols: Unknown protocol: foo".into());
        assert_eq!(error.to_string(), "Error in configuration file /x: protocols: Unknown protocol: foo");
    }
}
