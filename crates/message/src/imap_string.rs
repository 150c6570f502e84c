//! Strings as IMAP responses carry them (RFC 3501 §4.3), choosing between quoted and literal as
//! Dovecot 2.3 does.

/// Escapes in a quoted string before a literal is the shorter form.
const QUOTED_ESCAPES_MAX: usize = 4;

/// Appends a string, quoted where possible, a literal where not.
pub fn string(out: &mut Vec<u8>, value: &[u8]) {
    let escapes = value.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    let bare = value.iter().all(|&byte| byte < 0x80 && byte != b'\r' && byte != b'\n');
    if escapes > QUOTED_ESCAPES_MAX || !bare {
        return literal(out, value);
    }
    out.push(b'"');
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
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
    let plain =
        value.iter().all(|&byte| byte < 0x80 && !matches!(byte, 0 | b'\r' | b'\n' | b'\t' | b'"' | b'\\'));
    let text = squeezed(value);
    if plain && text.len() == value.len() {
        out.push(b'"');
        out.extend_from_slice(value);
        out.push(b'"');
    } else if text.is_empty() {
        out.extend_from_slice(b"\"\"");
    } else {
        literal(out, &text);
    }
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
    out.extend_from_slice(format!("{{{}}}\r\n", value.len()).as_bytes());
    out.extend_from_slice(value);
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
