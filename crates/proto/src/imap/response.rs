//! Writes the pieces of answers: strings, names, flags. All append to a buffer of the caller's.

use super::flag::SystemFlags;

/// Longer strings become literals even where they could be quoted, as in 2.3.
const QUOTED_BYTES_MAX: usize = 4096;

/// Appends `bytes` as a quoted string or, where that cannot hold them, as a literal.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_quotable = |&byte: &u8| byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0);
    if bytes.len() > QUOTED_BYTES_MAX || !bytes.iter().all(is_quotable) {
        return put_literal(out, bytes);
    }
    out.push(b'"');
    for &byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Appends `bytes` as a literal. A NUL, which no literal may contain, becomes 0x80 as in 2.3.
pub fn put_literal(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{{{}}}\r\n", bytes.len()).as_bytes());
    out.extend(bytes.iter().map(|&byte| if byte == 0 { 0x80 } else { byte }));
}

/// Appends a string, or NIL for none (RFC 3501 §9 `nstring`).
pub fn put_nstring(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => put_string(out, bytes),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends an atom if `bytes` can be one, else a string (RFC 3501 §9 `astring`).
pub fn put_astring(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_atom_byte = |&byte: &u8| {
        byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
    };
    let is_nil = bytes.eq_ignore_ascii_case(b"NIL");
    match !bytes.is_empty() && !is_nil && bytes.iter().all(is_atom_byte) {
        true => out.extend_from_slice(bytes),
        false => put_string(out, bytes),
    }
}

/// Appends a mailbox name in its wire form.
pub fn put_mailbox(out: &mut Vec<u8>, name: &str) {
    put_astring(out, base::mutf7::encode(name).as_bytes());
}

/// Appends flags and keywords with spaces between them, without parentheses.
pub fn put_flags<'a>(
    out: &mut Vec<u8>,
    system: SystemFlags,
    is_recent: bool,
    keywords: impl IntoIterator<Item = &'a str>,
) {
    let named = SystemFlags::NAMED.iter().filter(|(flag, _)| system.contains(*flag)).map(|(_, name)| *name);
    let recent = is_recent.then_some("\\Recent");
    let mut is_first = true;
    for name in named.chain(recent).chain(keywords) {
        if !is_first {
            out.push(b' ');
        }
        is_first = false;
        out.extend_from_slice(name.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(put: impl Fn(&mut Vec<u8>), expected: &[u8]) {
        let mut out = Vec::new();
        put(&mut out);
        assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn strings() {
        check(|out| put_string(out, b"a \"b\" \\"), b"\"a \\\"b\\\" \\\\\"");
        check(|out| put_string(out, b"a\r\nb"), b"{4}\r\na\r\nb");
        check(|out| put_string(out, b"\xc3\xa9\0"), b"{3}\r\n\xc3\xa9\x80");
        check(|out| put_nstring(out, None), b"NIL");
        check(|out| put_nstring(out, Some(b"")), b"\"\"");
    }

    #[test]
    fn names() {
        check(|out| put_mailbox(out, "INBOX/a&b"), b"INBOX/a&-b");
        check(|out| put_mailbox(out, "été"), b"&AOk-t&AOk-");
        check(|out| put_mailbox(out, "a*b"), b"\"a*b\"");
        check(|out| put_mailbox(out, "nil"), b"\"nil\"");
        check(|out| put_mailbox(out, ""), b"\"\"");
    }

    #[test]
    fn flags() {
        let flags = SystemFlags::SEEN.with(SystemFlags::ANSWERED);
        check(|out| put_flags(out, flags, true, ["$Junk"]), b"\\Answered \\Seen \\Recent $Junk");
        check(|out| put_flags(out, SystemFlags::default(), false, []), b"");
    }
}
