//! Shell patterns for `!include`, as glob(3) with `GLOB_BRACE` reads them.

use std::io;
use std::path::{Path, PathBuf};

/// Most paths that the braces of one pattern may make.
const BRACES_MAX: usize = 1024;

/// All paths that match, in order. `list` gives the names in a directory, `exists` tells whether
/// there is anything at a path.
pub(crate) fn expand(
    pattern: &str,
    list: &dyn Fn(&Path) -> io::Result<Vec<String>>,
    exists: &dyn Fn(&Path) -> bool,
) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for plain in braces(pattern) {
        let mut found = vec![PathBuf::from(if plain.starts_with('/') { "/" } else { "" })];
        for part in plain.split('/').filter(|part| !part.is_empty()) {
            found = if is_magic(part) {
                step(&found, part, list)
            } else {
                found.iter().map(|dir| dir.join(unescape(part))).collect()
            };
        }
        found.retain(|path| exists(path));
        found.sort();
        all.extend(found);
    }
    Ok(all)
}

/// A directory that cannot be read matches nothing, as for glob(3) without `GLOB_ERR`.
fn step(dirs: &[PathBuf], part: &str, list: &dyn Fn(&Path) -> io::Result<Vec<String>>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in dirs {
        let place = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let names = list(place).unwrap_or_default();
        let hidden = part.starts_with('.');
        found.extend(
            names
                .iter()
                .filter(|name| (hidden || !name.starts_with('.')) && matches(part, name))
                .map(|name| dir.join(name)),
        );
    }
    found
}

fn is_magic(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

fn unescape(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    out
}

/// `a{b,c}d` becomes `abd` and `acd`.
fn braces(pattern: &str) -> Vec<String> {
    let mut todo = vec![pattern.to_owned()];
    let mut done = Vec::new();
    while let Some(next) = todo.pop() {
        match split_braces(&next) {
            Some((head, choices, tail)) if todo.len() + choices.len() + done.len() <= BRACES_MAX => {
                todo.extend(choices.iter().rev().map(|choice| format!("{head}{choice}{tail}")));
            }
            _ => done.push(next),
        }
    }
    done
}

fn split_braces(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let open = pattern.find('{')?;
    let (mut depth, mut start, mut choices) = (0usize, open + 1, Vec::new());
    for (at, c) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                choices.push(&pattern[start..at]);
                start = at + 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    choices.push(&pattern[start..at]);
                    return Some((&pattern[..open], choices, &pattern[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether a name matches a pattern without slashes. Takes time in the product of their lengths.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        let stepped = match pattern.get(p) {
            Some('*') => {
                back = Some((p, n));
                p += 1;
                continue;
            }
            None if n == name.len() => return true,
            None => None,
            Some(_) if n == name.len() => None,
            Some(_) => one(&pattern[p..], name[n]).map(|used| (p + used, n + 1)),
        };
        match (stepped, back) {
            (Some(next), _) => (p, n) = next,
            (None, Some((star, from))) if from < name.len() => {
                back = Some((star, from + 1));
                (p, n) = (star + 1, from + 1);
            }
            _ => return false,
        }
    }
}

/// Matches one character with the first item of the pattern; gives the item's length.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', wanted, ..] => (*wanted == c).then_some(2),
        ['[', ..] => set(pattern, c).unwrap_or_else(|| (c == '[').then_some(1)),
        [wanted, ..] => (*wanted == c).then_some(1),
        [] => None,
    }
}

/// `None` if the set has no end, and so is none.
fn set(pattern: &[char], c: char) -> Option<Option<usize>> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let first = if negated { 2 } else { 1 };
    let end = (first + 1..pattern.len()).find(|at| pattern[*at] == ']')?;
    let (mut at, mut hit) = (first, false);
    while at < end {
        if at + 2 < end && pattern[at + 1] == '-' {
            hit |= (pattern[at]..=pattern[at + 2]).contains(&c);
            at += 3;
        } else {
            hit |= pattern[at] == c;
            at += 1;
        }
    }
    Some((hit != negated).then_some(end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (pattern, name, expected) in [
            ("*.conf", "10-auth.conf", true),
            ("*.conf", "10-auth.conf.bak", false),
            ("?0-*", "10-auth", true),
            ("[0-3]*", "20-imap", true),
            ("[!0-3]*", "20-imap", false),
            ("a*b*c", "aXbYbZc", true),
            ("[", "[", true),
            ("\\*", "*", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn choices() {
        assert_eq!(braces("/a/{b,c{d,e}}.x"), ["/a/b.x", "/a/cd.x", "/a/ce.x"]);
        assert_eq!(braces("/a/{b"), ["/a/{b"]);
    }
}
