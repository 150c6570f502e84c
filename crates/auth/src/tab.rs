//! The escaping of the auth protocols: tab-separated words in lines, where `\001` begins an escape.

/// Appends `text` escaped.
pub(crate) fn push(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\0' => line.push_str("\u{1}0"),
            '\u{1}' => line.push_str("\u{1}1"),
            '\t' => line.push_str("\u{1}t"),
            '\r' => line.push_str("\u{1}r"),
            '\n' => line.push_str("\u{1}n"),
            other => line.push(other),
        }
    }
}

/// Appends `\tkey=value`.
pub(crate) fn push_pair(line: &mut String, key: &str, value: &str) {
    line.push('\t');
    line.push_str(key);
    line.push('=');
    push(line, value);
}

/// The text of an escaped word.
pub(crate) fn unescape(word: &str) -> String {
    if !word.contains('\u{1}') {
        return word.to_owned();
    }
    let mut text = String::with_capacity(word.len());
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1}' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('0') => text.push('\0'),
            Some('1') => text.push('\u{1}'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(other) => text.push(other),
            None => {}
        }
    }
    text
}

/// The words of a line, unescaped.
pub(crate) fn words(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split('\t').map(unescape)
}

/// A word as name and value; a word without `=` has an empty value.
pub(crate) fn pair(word: &str) -> (&str, &str) {
    word.split_once('=').unwrap_or((word, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for text in ["", "plain", "a\tb\r\n\0\u{1}ü", "\u{1}t"] {
            let mut line = String::new();
            push(&mut line, text);
            assert!(!line.contains(['\t', '\n', '\r', '\0']), "{line:?}");
            assert_eq!(unescape(&line), text);
        }
        assert_eq!(unescape("a\u{1}"), "a");
    }
}
