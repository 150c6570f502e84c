//! Dovecot's escaping of words that stand between tabs in lines, of its protocols and of some files: NUL, 0x01,
//! tab, CR and LF as 0x01 and one of `01trn` (`str_append_tabescaped` of 2.3).

use std::borrow::Cow;

/// Appends `text` escaped.
pub fn push(line: &mut String, text: &str) {
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

/// `text` escaped.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}', '\t', '\r', '\n']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    push(&mut escaped, text);
    Cow::Owned(escaped)
}

/// The reverse of [`escape`]. An escape that is none stands for its second character.
pub fn unescape(word: &str) -> String {
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
pub fn words(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split('\t').map(unescape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for text in ["", "plain", "a\tb\nc\rd\0e\u{1}f", "é\t", "\u{1}\u{1}", "\u{1}t"] {
            let escaped = escape(text);
            assert!(!escaped.contains(['\t', '\n', '\r', '\0']));
            assert_eq!(unescape(&escaped), text);
        }
        let mut line = "x\t".to_owned();
        push(&mut line, "a\tb\r\n\0\u{1}ü");
        assert_eq!(line, "x\ta\u{1}tb\u{1}r\u{1}n\u{1}0\u{1}1ü");
        assert_eq!(words(&line).collect::<Vec<_>>(), ["x", "a\tb\r\n\0\u{1}ü"]);
        assert_eq!(unescape("\u{1}x\u{1}"), "x");
    }
}
