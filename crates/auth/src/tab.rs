//! The words of the auth protocols: between tabs in lines, and escaped.

pub(crate) use base::tab::{push, unescape, words};

/// Appends `\tkey=value`.
pub(crate) fn push_pair(line: &mut String, key: &str, value: &str) {
    line.push('\t');
    line.push_str(key);
    line.push('=');
    push(line, value);
}

/// A word as name and value; a word without `=` has an empty value.
pub(crate) fn pair(word: &str) -> (&str, &str) {
    word.split_once('=').unwrap_or((word, ""))
}
