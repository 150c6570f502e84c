//! The escaping of tab-separated protocols: 0x01 followed by `0`, `1`, `t`, `r` or `n`.

use std::borrow::Cow;

/// `text` with NUL, 0x01, tab, CR and LF escaped.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\x01', '\t', '\r', '\n']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => escaped.push_str("\x010"),
            '\x01' => escaped.push_str("\x011"),
            '\t' => escaped.push_str("\x01t"),
            '\r' => escaped.push_str("\x01r"),
            '\n' => escaped.push_str("\x01n"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// The reverse of [`escape`]; an unknown escape stands for its second character.
pub fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\x01' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('0') => plain.push('\0'),
            Some('1') => plain.push('\x01'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('n') => plain.push('\n'),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for text in ["", "plain", "a\tb\nc\rd\0e\x01f", "é\t"] {
            assert_eq!(unescape(&escape(text)), text);
            assert!(!escape(text).contains(['\t', '\n', '\r', '\0']));
        }
    }
}
