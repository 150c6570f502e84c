//! A setting is read by some crate, or is declared to be without effect, so that its use is told:
//! nothing is accepted and silently ignored.

use std::fs;
use std::path::Path;

/// Settings that are read before there is code that obeys them.
const READ_TOO_EARLY: &[&str] =
    &["PROCESS_SHUTDOWN_FILTER", "COMMENT", "AUTOEXPUNGE", "AUTOEXPUNGE_MAX_MAILS"];

/// Settings that nobody reads because what they ask for is always so.
const ALWAYS_SO: &[&str] = &["MMAP_DISABLE"];

pub(super) fn check(root: &Path, findings: &mut Vec<String>) {
    let readers = readers(root);
    for path in super::files(&root.join("crates/settings/src/decl"), "rs") {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let module = if text.contains("settings! { Root from") { "key" } else { &*stem };
        for (at, (number, line)) in declarations(&text).enumerate() {
            let Some((name, _)) = line.split_once(':') else { continue };
            // A section's first setting is its own name, which everyone reads as such.
            if at == 0 && module != "key" {
                continue;
            }
            let is_read = ALWAYS_SO.contains(&name)
                || readers.iter().any(|text| has_path(text, &format!("{module}::{name}")));
            let is_told = line.contains("NO_EFFECT_YET");
            let shown = format!("{}:{number}: {name}", super::shown(root, &path));
            match (is_read, is_told) {
                (false, false) => {
                    findings.push(format!("{shown} is read by no crate: NO_EFFECT_YET is missing"))
                }
                (true, true) if !READ_TOO_EARLY.contains(&name) => {
                    findings.push(format!("{shown} is read, but said to be without effect"));
                }
                _ => {}
            }
        }
    }
}

/// The lines of `settings! { .. }` that declare, with their numbers.
fn declarations(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines =
        (1..).zip(text.lines()).filter_map(|(number, line)| Some((number, line.strip_prefix("    ")?)));
    lines.filter(|(_, line)| {
        let name = line.split(':').next().unwrap_or_default();
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    })
}

/// The code of all crates but the one that declares, without tests.
fn readers(root: &Path) -> Vec<String> {
    let files = super::files(&root.join("crates"), "rs").into_iter();
    let files = files.filter(|path| {
        let shown = super::shown(root, path).to_string();
        !shown.starts_with("crates/settings/") && shown.contains("/src/")
    });
    let without_tests = |text: String| match text.find("#[cfg(test)]\nmod tests {") {
        Some(end) => text[..end].to_owned(),
        None => text,
    };
    files.filter_map(|path| fs::read_to_string(path).ok()).map(without_tests).collect()
}

/// Whether `path` stands in the text as a whole.
fn has_path(text: &str, path: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(path)
        .any(|(at, _)| !text[..at].ends_with(is_name) && !text[at + path.len()..].starts_with(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_paths_only() {
        for (text, expected) in [
            ("settings.get(key::SSL)", true),
            ("key::SSL_CERT", false),
            ("a key::SSL", true),
            ("monkey::SSL", false),
        ] {
            assert_eq!(has_path(text, "key::SSL"), expected, "{text}");
        }
    }

    #[test]
    fn declarations_are_found() {
        let text = "settings! { Root from 0;\n    /// Words: A.\n    SSL_CA: Str = \"\", X;\n    x: 1\n}\n";
        assert_eq!(declarations(text).collect::<Vec<_>>(), [(3, "SSL_CA: Str = \"\", X;")]);
    }
}
