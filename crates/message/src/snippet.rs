//! The first words of a message, for IMAP's PREVIEW (RFC 8970) and `doveadm fetch body.preview`, cut
//! out as 2.3 does: white space is one space, quoted lines count only if there is nothing else.

/// The first `chars_max` characters of `text` that are worth showing; what is quoted follows a `>`.
pub fn snippet(text: &str, chars_max: usize) -> String {
    let mut own = Words::new(chars_max);
    let mut quoted = Words::new(chars_max.saturating_sub(1));
    for line in text.split_inclusive('\n') {
        match line.strip_prefix('>') {
            Some(line) => quoted.add(line),
            None => own.add(line),
        }
        if own.left == 0 {
            break;
        }
    }
    match (own.text.is_empty(), quoted.text.is_empty()) {
        (false, _) => own.text,
        (true, false) => format!(">{}", quoted.text),
        (true, true) => String::new(),
    }
}

struct Words {
    text: String,
    left: usize,
    space: bool,
}

impl Words {
    fn new(left: usize) -> Self {
        Self { text: String::new(), left, space: false }
    }

    fn add(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\0' | '\u{feff}' => {}
                c if c.is_ascii_whitespace() || c == '\u{b}' => self.space = !self.text.is_empty(),
                _ if self.left == 0 => return,
                c => self.push(c),
            }
        }
    }

    fn push(&mut self, c: char) {
        self.left -= 1;
        if std::mem::take(&mut self.space) {
            // No space at the very end.
            if self.left == 0 {
                return;
            }
            self.text.push(' ');
            self.left -= 1;
        }
        self.text.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_words() {
        let check =
            |text: &str, max: usize, expected: &str| assert_eq!(snippet(text, max), expected, "{text:?}");
        check("\n  Hello\r\n\tworld \n", 100, "Hello world");
        check("> quoted\nanswer", 100, "answer");
        check("> only\n> quoted\n", 100, ">only quoted");
        check("", 100, "");
        check("abcdef", 3, "abc");
        check("ab cdef", 3, "ab");
        check("\u{feff}Grüße", 4, "Grüß");
    }
}
