//! Strings as IMAP responses carry them (RFC 3501 §4.3), choosing between quoted and literal as
//! Dovecot 2.3 does.

/// Escapes in a quoted string before a literal is the shorter form.
const QUOTED_ESCAPES_MAX: usize = 4;

/// Appends a string, quoted where possible, a literal where not.
pub fn string(out: &mut Vec<u8>, value: &[u8]) {
    let (mut escapes, mut bare) = (0, true);
    for &byte in value {
        escapes += usize::from(byte == b'"' || byte == b'\\');
        bare &= byte < 0x80 && byte != b'\r' && byte != b'\n';
    }
    if escapes > QUOTED_ESCAPES_MAX || !bare {
        return literal(out, value);
    }
    out.push(b'"');
    if escapes == 0 {
        out.extend_from_slice(value);
    } else {
        put_escaped(out, value);
    }
    out.push(b'"');
}

fn put_escaped(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// Appends a string, or `NIL`.
pub fn nstring(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => string(out, value),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends a string with its line ends taken out, or `NIL`.
pub fn nstring_unfolded(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) if value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) => {
            string(out, &unfolded(value))
        }
        value => nstring(out, value),
    }
}

fn unfolded(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (place, &byte) in value.iter().enumerate() {
        if !matches!(byte, b'\r' | b'\n') {
            out.push(byte);
        } else if !matches!(value.get(place + 1), None | Some(b' ' | b'\t' | b'\r' | b'\n')) {
            // A line end with nothing after it still parts two words.
            out.push(b' ');
        }
    }
    out
}

/// Appends a string meant for people to read: white space runs become one space, and what needs
/// any change at all goes out as a literal.
pub fn human(out: &mut Vec<u8>, value: &[u8]) {
    if is_plain(value) {
        out.push(b'"');
        out.extend_from_slice(value);
        return out.push(b'"');
    }
    let text = squeezed(value);
    if text.is_empty() {
        out.extend_from_slice(b"\"\"");
    } else {
        literal(out, &text);
    }
}

/// Whether a text can go out as it is: no byte that a quoted string cannot have, and nothing to squeeze.
fn is_plain(value: &[u8]) -> bool {
    let mut bare = true;
    for &byte in value {
        bare &= byte < 0x80 && !matches!(byte, 0 | b'\r' | b'\n' | b'\t' | b'"' | b'\\');
    }
    let doubled = |pair: &[u8]| pair == b"  ";
    bare && value.first() != Some(&b' ') && value.last() != Some(&b' ') && !value.windows(2).any(doubled)
}

/// White space runs made one space, none at either end, NUL made 0x80.
fn squeezed(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for &byte in value {
        match byte {
            0 => out.push(0x80),
            b'\r' | b'\n' | b'\t' | b' ' => {
                if !matches!(out.last(), None | Some(b' ')) {
                    out.push(b' ');
                }
            }
            byte => out.push(byte),
        }
    }
    if out.last() == Some(&b' ') {
        out.pop();
    }
    out
}

/// Appends a literal.
pub fn literal(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'{');
    put_number(out, value.len());
    out.extend_from_slice(b"}\r\n");
    out.extend_from_slice(value);
}

fn put_number(out: &mut Vec<u8>, number: usize) {
    if number >= 10 {
        put_number(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Vec<u8>), want: &str) {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), want);
    }

    #[test]
    fn forms() {
        check(|out| string(out, b"a\"b"), "\"a\\\"b\"");
        check(|out| string(out, b"\"\"\"\"\""), "{5}\r\n\"\"\"\"\"");
        check(|out| string(out, "é".as_bytes()), "{2}\r\né");
        check(|out| nstring(out, None), "NIL");
        check(|out| nstring_unfolded(out, Some(b"a\n b\nc\n")), "\"a b c\"");
        check(|out| human(out, b"a  b "), "{3}\r\na b");
        check(|out| human(out, b"a \"b\""), "{5}\r\na \"b\"");
        check(|out| human(out, b" \t"), "\"\"");
        check(|out| human(out, b"plain text"), "\"plain text\"");
        check(|out| human(out, b""), "\"\"");
    }
}
