//! The escaping of the auth protocol: tab, line breaks, NUL and 0x01 as 0x01 and a letter.

/// Appends `text` escaped.
pub(crate) fn push_tab_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\0' => line.push_str("\u{1}0"),
            '\u{1}' => line.push_str("\u{1}1"),
            '\t' => line.push_str("\u{1}t"),
            '\r' => line.push_str("\u{1}r"),
            '\n' => line.push_str("\u{1}n"),
            c => line.push(c),
        }
    }
}

/// The words of a line, unescaped.
pub(crate) fn tab_words(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split('\t').map(|word| {
        if !word.contains('\u{1}') {
            return word.to_owned();
        }
        let mut plain = String::with_capacity(word.len());
        let mut chars = word.chars();
        while let Some(c) = chars.next() {
            plain.push(match c {
                '\u{1}' => match chars.next() {
                    Some('0') => '\0',
                    Some('1') => '\u{1}',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some('n') => '\n',
                    Some(other) => other,
                    None => break,
                },
                c => c,
            });
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let mut line = String::new();
        push_tab_escaped(&mut line, "a\tb\r\n\0\u{1}ü");
        assert_eq!(line, "a\u{1}tb\u{1}r\u{1}n\u{1}0\u{1}1ü");
        assert_eq!(tab_words(&format!("x\t{line}")).collect::<Vec<_>>(), ["x", "a\tb\r\n\0\u{1}ü"]);
    }
}
