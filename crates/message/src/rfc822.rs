//! The small grammar under every structured header field (RFC 5322 §3.2), read as tolerantly and in
//! the same way as Dovecot 2.3, because ENVELOPE and BODYSTRUCTURE must agree with it byte by byte.

/// What stands in for a NUL byte where 2.3 replaces it: U+FFFD in UTF-8.
pub const NUL_REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();

/// Where a step of the grammar left the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The input does not fit the grammar.
    Bad,
    /// It fits, and the input is used up.
    End,
    /// It fits, and there is more.
    More,
}

impl Step {
    /// Whether the grammar was met.
    pub fn is_ok(self) -> bool {
        self != Self::Bad
    }
}

/// Whether `byte` may stand in an atom (RFC 5322 §3.2.3), with 8-bit bytes allowed.
pub fn is_atext(byte: u8) -> bool {
    ATEXT[byte as usize]
}

/// [`is_atext`] of every byte: each address of each ENVELOPE asks for each of its bytes.
const ATEXT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte >= 0x80;
        byte += 1;
    }
    let (marks, mut place) = (b"!#$%&'*+-/=?^_`{|}~", 0);
    while place < marks.len() {
        table[marks[place] as usize] = true;
        place += 1;
    }
    table
};

/// Whether `byte` may stand in a MIME token (RFC 2045 §5.1), dots aside.
pub fn is_token(byte: u8) -> bool {
    is_atext(byte) && !matches!(byte, b'/' | b'?' | b'=')
}

/// A place in a header field's value.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    data: &'a [u8],
    pos: usize,
    /// The last comment that was skipped, kept only when asked for.
    comment: Option<Vec<u8>>,
    /// Whether NUL bytes inside strings become [`NUL_REPLACEMENT`].
    replace_nul: bool,
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, pos: 0, comment: None, replace_nul: false }
    }

    /// Remembers the last comment, for addresses in the old `user@host (Name)` style.
    pub fn keeping_comments(mut self) -> Self {
        self.comment = Some(Vec::new());
        self
    }

    /// Replaces NUL bytes inside strings instead of passing them on.
    pub fn replacing_nul(mut self) -> Self {
        self.replace_nul = true;
        self
    }

    /// The byte at the cursor.
    pub fn peek(&self) -> Option<u8> {
        self.data.get(self.pos).copied()
    }

    /// The offset, to come back to with [`Self::rewind`].
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Goes back to an offset that [`Self::pos`] gave.
    pub fn rewind(&mut self, pos: usize) {
        self.pos = pos;
    }

    /// Steps over one byte.
    pub fn bump(&mut self) {
        if self.pos < self.data.len() {
            self.pos += 1;
        }
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.data.get(self.pos..).unwrap_or_default()
    }

    /// Forgets the last comment.
    pub fn clear_comment(&mut self) {
        if let Some(comment) = &mut self.comment {
            comment.clear();
        }
    }

    /// The last comment skipped, if comments are kept and it was not empty.
    pub fn last_comment(&self) -> Option<&[u8]> {
        self.comment.as_deref().filter(|comment| !comment.is_empty())
    }

    fn here(&self) -> Step {
        if self.pos < self.data.len() { Step::More } else { Step::End }
    }

    fn since(&self, start: usize) -> &'a [u8] {
        self.data.get(start..self.pos).unwrap_or_default()
    }

    fn skip_while(&mut self, is_part: impl Fn(u8) -> bool) {
        self.pos += self.rest().iter().take_while(|byte| is_part(**byte)).count();
    }

    /// Skips white space and comments.
    pub fn skip_lwsp(&mut self) -> Step {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.pos += 1,
                b'(' if !self.skip_comment().is_ok() => return Step::Bad,
                b'(' => {}
                _ => break,
            }
        }
        self.here()
    }

    fn skip_comment(&mut self) -> Step {
        self.pos += 1;
        let mut text = Vec::new();
        let mut level = 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'(' => level += 1,
                b')' => {
                    level -= 1;
                    if level == 0 {
                        self.pos += 1;
                        if let Some(comment) = &mut self.comment {
                            *comment = text;
                        }
                        return self.here();
                    }
                }
                _ => {}
            }
            if !self.string_byte(byte, &mut text) {
                break;
            }
        }
        self.clear_comment();
        Step::Bad
    }

    /// Takes one byte of a quoted string or comment: folding goes, a quoted pair gives its second
    /// byte. False at a backslash that ends the input.
    fn string_byte(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        match byte {
            0 if self.replace_nul => out.extend_from_slice(NUL_REPLACEMENT),
            b'\n' => {
                if out.last() == Some(&b'\r') && self.pos > 0 && self.data.get(self.pos - 1) == Some(&b'\r') {
                    out.pop();
                }
            }
            b'\\' => match self.data.get(self.pos + 1) {
                None => return false,
                // A quoted CR, LF or NUL is the obsolete form; the backslash stays.
                Some(b'\r' | b'\n' | 0) => out.push(b'\\'),
                Some(&quoted) => {
                    out.push(quoted);
                    self.pos += 1;
                }
            },
            _ => out.push(byte),
        }
        self.pos += 1;
        true
    }

    /// Reads an atom and the white space after it.
    pub fn atom(&mut self, out: &mut Vec<u8>) -> Step {
        let start = self.pos;
        self.skip_while(is_atext);
        if self.pos == start {
            return Step::Bad;
        }
        out.extend_from_slice(self.since(start));
        self.after_word()
    }

    /// White space after a word; at the end of input there is none to be wrong.
    fn after_word(&mut self) -> Step {
        if self.pos >= self.data.len() { Step::End } else { self.skip_lwsp() }
    }

    /// Reads atoms joined by dots, with white space allowed around the dots (RFC 822).
    pub fn dot_atom(&mut self, out: &mut Vec<u8>) -> Step {
        loop {
            let start = self.pos;
            self.skip_while(is_atext);
            if self.pos == start {
                return Step::Bad;
            }
            out.extend_from_slice(self.since(start));
            match self.after_word() {
                Step::More => {}
                done => return done,
            }
            if self.peek() != Some(b'.') {
                return Step::More;
            }
            self.pos += 1;
            out.push(b'.');
            if self.skip_lwsp() != Step::More {
                return Step::Bad;
            }
        }
    }

    /// Like [`Self::dot_atom`], but dots may lead, trail and double, as they do in real addresses.
    pub fn loose_dot_atom(&mut self, out: &mut Vec<u8>) -> Step {
        let mut step = Step::Bad;
        loop {
            while self.peek() == Some(b'.') {
                out.push(b'.');
                self.pos += 1;
                if self.here() == Step::End {
                    return Step::End;
                }
                step = Step::More;
            }
            if self.peek() == Some(b'@') {
                return step;
            }
            step = self.atom(out);
            if step != Step::More || self.peek() != Some(b'.') {
                return step;
            }
        }
    }

    /// Reads a MIME token, which may be empty, and the white space after it.
    pub fn mime_token(&mut self, out: &mut Vec<u8>) -> Step {
        let start = self.pos;
        self.skip_while(|byte| is_token(byte) || byte == b'.');
        out.extend_from_slice(self.since(start));
        self.after_word()
    }

    /// Reads a quoted string; the cursor stands on its first quote. Of one without an end `out` gets
    /// what stands before its last fold or quoted pair, as in 2.3: mostly nothing.
    pub fn quoted_string(&mut self, out: &mut Vec<u8>) -> Step {
        self.pos += 1;
        let mut kept = out.len();
        while let Some(byte) = self.peek() {
            if byte == b'"' {
                self.pos += 1;
                return self.after_word();
            }
            let start = self.pos;
            if !self.string_byte(byte, out) {
                break;
            }
            kept = match byte {
                0 if self.replace_nul => out.len(),
                b'\n' => out.len(),
                // The quoted byte begins what is not kept.
                b'\\' if self.pos - start == 2 => out.len() - 1,
                _ => kept,
            };
        }
        out.truncate(kept);
        self.pos = self.data.len();
        Step::Bad
    }

    fn atom_or_dot(&mut self, out: &mut Vec<u8>) -> Step {
        let start = self.pos;
        self.skip_while(|byte| is_atext(byte) || byte == b'.');
        out.extend_from_slice(self.since(start));
        self.after_word()
    }

    /// Reads words up to something else, one space between them.
    pub fn phrase(&mut self, out: &mut Vec<u8>) -> Step {
        match self.peek() {
            None => return Step::End,
            Some(b'.') => return Step::Bad,
            Some(_) => {}
        }
        loop {
            let step =
                if self.peek() == Some(b'"') { self.quoted_string(out) } else { self.atom_or_dot(out) };
            if step != Step::More {
                return step;
            }
            match self.peek() {
                Some(byte) if is_atext(byte) || byte == b'"' || byte == b'.' => out.push(b' '),
                _ => return self.skip_lwsp(),
            }
        }
    }

    fn domain_literal(&mut self, out: &mut Vec<u8>) -> Step {
        let mut start = self.pos;
        self.pos += 1;
        while let Some(byte) = self.peek() {
            match byte {
                0 if self.replace_nul => {
                    out.extend_from_slice(self.since(start));
                    out.extend_from_slice(NUL_REPLACEMENT);
                    start = self.pos + 1;
                }
                b'[' => return Step::Bad,
                b']' => {
                    self.pos += 1;
                    out.extend_from_slice(self.since(start));
                    return self.after_word();
                }
                b'\n' => {
                    let line = self.since(start);
                    out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                    start = self.pos + 1;
                }
                // The backslash is kept in the output.
                b'\\' => match self.data.get(self.pos + 1) {
                    None => {
                        self.pos = self.data.len();
                        return Step::Bad;
                    }
                    Some(b'\r' | b'\n' | 0) => {}
                    Some(_) => self.pos += 1,
                },
                _ => {}
            }
            self.pos += 1;
        }
        Step::Bad
    }

    /// Reads `@` and the domain after it, a name or a literal.
    pub fn domain(&mut self, out: &mut Vec<u8>) -> Step {
        self.pos += 1;
        if self.skip_lwsp() != Step::More {
            return Step::Bad;
        }
        if self.peek() == Some(b'[') { self.domain_literal(out) } else { self.dot_atom(out) }
    }

    /// Reads `type/subtype` (RFC 2045 §5.1). A broken one leaves nothing in `out`, except that a
    /// type that ends the input stays.
    pub fn content_type(&mut self, out: &mut Vec<u8>) -> Step {
        let start = out.len();
        if self.skip_lwsp() != Step::More {
            return Step::Bad;
        }
        if self.mime_token(out) != Step::More || out.len() == start {
            return Step::Bad;
        }
        let step = self.content_subtype(out);
        if step == Step::Bad {
            out.truncate(start);
        }
        step
    }

    fn content_subtype(&mut self, out: &mut Vec<u8>) -> Step {
        if self.peek() != Some(b'/') {
            return Step::Bad;
        }
        self.pos += 1;
        if self.skip_lwsp() != Step::More {
            return Step::Bad;
        }
        out.push(b'/');
        let start = out.len();
        let step = self.mime_token(out);
        if out.len() == start || !matches!(self.peek(), None | Some(b';')) { Step::Bad } else { step }
    }

    /// Reads one `; name=value`. `None` at the end of input; an error is a parameter that does not
    /// fit, after which the caller may step on and try again.
    pub fn parameter(&mut self) -> Option<Result<NameValue, BadParameter>> {
        match self.peek() {
            None => None,
            Some(b';') => Some(self.parameter_here().ok_or(BadParameter)),
            Some(_) => Some(Err(BadParameter)),
        }
    }

    fn parameter_here(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.pos += 1;
        if self.skip_lwsp() != Step::More {
            return None;
        }
        let (mut name, mut value) = (Vec::new(), Vec::new());
        if self.mime_token(&mut name) != Step::More || self.peek() != Some(b'=') {
            return None;
        }
        self.pos += 1;
        let step = match self.skip_lwsp() {
            Step::More => match self.peek() {
                Some(b'"') => self.quoted_string(&mut value),
                Some(b'=') => self.raw_value(&mut value),
                _ => self.mime_token(&mut value),
            },
            other => other,
        };
        step.is_ok().then_some((name, value))
    }

    /// The wrong but common `name==?utf-8?b?…?=`: everything up to white space or a semicolon.
    fn raw_value(&mut self, out: &mut Vec<u8>) -> Step {
        let start = self.pos;
        self.skip_while(|byte| !matches!(byte, b';' | b' ' | b'\t' | b'\r' | b'\n'));
        out.extend_from_slice(self.since(start));
        Step::More
    }
}

/// A parameter's name and its value, as [`Cursor::parameter`] reads them.
pub type NameValue = (Vec<u8>, Vec<u8>);

/// A parameter that does not fit the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed parameter")]
pub struct BadParameter;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, read: fn(&mut Cursor<'_>, &mut Vec<u8>) -> Step, want: (Step, &str, &str)) {
        let mut cursor = Cursor::new(input.as_bytes());
        let mut out = Vec::new();
        let step = read(&mut cursor, &mut out);
        let got = (step, String::from_utf8_lossy(&out), String::from_utf8_lossy(cursor.rest()));
        assert_eq!((got.0, got.1.as_ref(), got.2.as_ref()), want, "{input:?}");
    }

    #[test]
    fn grammar() {
        check("foo bar", |cursor, out| cursor.atom(out), (Step::More, "foo", "bar"));
        check("a . b (x) .c@d", |cursor, out| cursor.dot_atom(out), (Step::More, "a.b.c", "@d"));
        check("..a..b.@x", |cursor, out| cursor.loose_dot_atom(out), (Step::More, "..a..b.", "@x"));
        check(r#""a\"b" <"#, |cursor, out| cursor.quoted_string(out), (Step::More, "a\"b", "<"));
        check("\"a\r\n b\"", |cursor, out| cursor.quoted_string(out), (Step::End, "a b", ""));
        check("\"open", |cursor, out| cursor.quoted_string(out), (Step::Bad, "", ""));
        check("A. \"B C\" d<", |cursor, out| cursor.phrase(out), (Step::More, "A. B C d", "<"));
        check("@[1.2.3.4] ", |cursor, out| cursor.domain(out), (Step::End, "[1.2.3.4]", ""));
        check("text / plain ; x", |cursor, out| cursor.content_type(out), (Step::More, "text/plain", "; x"));
        check("text", |cursor, out| cursor.content_type(out), (Step::Bad, "text", ""));
        check("text/plain x", |cursor, out| cursor.content_type(out), (Step::Bad, "", "x"));
        check("((a)b", |cursor, _| cursor.skip_lwsp(), (Step::Bad, "", ""));
    }
}
