//! Message-IDs (RFC 5322 §3.6.4) as threading compares them: without angle brackets, white space and
//! comments, in the order in which they stand in `References`.

use crate::limits::MESSAGE_ID_BYTES_MAX;
use crate::rfc822::{Cursor, Step};

/// Walks the Message-IDs of a field's value; what is none is stepped over.
#[derive(Debug, Clone)]
pub struct MessageIds<'a> {
    rest: &'a [u8],
}

/// All Message-IDs in the value of `Message-ID`, `References` or `In-Reply-To`.
pub fn all(value: &[u8]) -> MessageIds<'_> {
    MessageIds { rest: value }
}

impl Iterator for MessageIds<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let start = memchr::memchr(b'<', self.rest)?;
            let (_, from) = self.rest.split_at(start + 1);
            self.rest = from;
            let special = |byte: &u8| matches!(byte, b'>' | b'"' | b'(' | b'[' | 0);
            let (id, after) = from.split_at(from.iter().position(special)?);
            match after {
                [b'>', after @ ..] => {
                    self.rest = after;
                    if memchr::memchr(b'@', id).is_some() {
                        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
                        return Some(id.iter().copied().filter(|byte| !is_space(byte)).collect());
                    }
                }
                [0, ..] => return None,
                _ => {
                    if let Some((id, after)) = tokenized(from) {
                        self.rest = after;
                        return Some(id);
                    }
                }
            }
        }
    }
}

/// Reads one that has quotes or comments, word by word.
fn tokenized(from: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut cursor = Cursor::new(from.get(..MESSAGE_ID_BYTES_MAX).unwrap_or(from));
    let mut id = Vec::new();
    cursor.skip_lwsp();
    let step = match cursor.peek() {
        Some(b'"') => cursor.quoted_string(&mut id),
        _ => cursor.dot_atom(&mut id),
    };
    if step != Step::More || cursor.peek() != Some(b'@') {
        return None;
    }
    cursor.bump();
    id.push(b'@');
    cursor.skip_lwsp();
    let is_whole = cursor.dot_atom(&mut id) == Step::More && cursor.peek() == Some(b'>');
    cursor.bump();
    is_whole.then(|| (id, from.get(cursor.pos()..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, want: &[&str]) {
        let got: Vec<_> = all(value.as_bytes()).map(|id| String::from_utf8(id).unwrap()).collect();
        assert_eq!(got, want, "{value:?}");
    }

    #[test]
    fn ids() {
        check("<a@b>", &["a@b"]);
        check("x <a@b><c@ d> (e) <f@g>", &["a@b", "c@d", "f@g"]);
        check("<no at> <a@b>", &["a@b"]);
        check("<\"quoted a\"@b> <a (comment) @ b>", &["quoted a@b", "a@b"]);
        check("<a@[1.2.3.4]> <c@d>", &["c@d"]);
        check("<open@b", &[]);
        check("Your message of today", &[]);
        check("", &[]);
        check(&"<a(".repeat(300_000), &[]);
    }
}
