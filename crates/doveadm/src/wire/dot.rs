//! A command's input, as SMTP has it: lines end in CRLF, one that begins with a dot gets another before
//! it, a dot alone ends it. As in 2.3 the CRLF before that dot is no part of the input.

use std::io::{self, BufRead, Read, Write};

/// Writes all of `input`, and the end.
pub(crate) fn write(mut input: impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; crate::limits::COPY_BYTES];
    // The last two bytes that were written.
    let mut last = *b"\r\n";
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        let mut escaped = Vec::with_capacity(bytes.len() + bytes.len() / 32);
        for &byte in bytes {
            match byte {
                b'\n' if last[1] != b'\r' => escaped.push(b'\r'),
                b'.' if last == *b"\r\n" => escaped.push(b'.'),
                _ => {}
            }
            escaped.push(byte);
            last = match byte {
                b'\n' => *b"\r\n",
                byte => [last[1], byte],
            };
        }
        output.write_all(&escaped)?;
    }
    output.write_all(b"\r\n.\r\n")
}

/// Copies the input that follows from `input` to `output`.
pub(crate) fn read(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<()> {
    // The end of the line before, which is no part of the input if that was the last one.
    let mut pending: &[u8] = b"";
    let mut at_start = true;
    loop {
        let mut piece = Vec::new();
        let mut limited = Read::take(&mut *input, crate::limits::COPY_BYTES as u64);
        limited.read_until(b'\n', &mut piece)?;
        if piece.is_empty() {
            let text = "dot-input stream ends without '.' line";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        // A CR at the end of a piece may belong to the line's end.
        while piece.ends_with(b"\r") && piece.len() < 2 * crate::limits::COPY_BYTES {
            let before = piece.len();
            Read::take(&mut *input, 1).read_to_end(&mut piece)?;
            if piece.len() == before {
                break;
            }
        }
        let (mut text, end): (&[u8], &[u8]) = match piece.strip_suffix(b"\n") {
            Some(rest) => match rest.strip_suffix(b"\r") {
                Some(rest) => (rest, b"\r\n"),
                None => (rest, b"\n"),
            },
            None => (&piece, b""),
        };
        if at_start && text.starts_with(b".") {
            if text == b"." && !end.is_empty() {
                return Ok(());
            }
            text = text.get(1..).unwrap_or_default();
        }
        output.write_all(pending)?;
        output.write_all(text)?;
        at_start = !end.is_empty();
        pending = if end == b"\r\n" {
            b"\r\n"
        } else if at_start {
            b"\n"
        } else {
            b""
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], wire: &[u8], back: &[u8]) {
        let mut written = Vec::new();
        write(input, &mut written).unwrap();
        assert_eq!(written, wire);
        let mut read_back = Vec::new();
        let mut rest = &*[wire, b"next"].concat();
        read(&mut rest, &mut read_back).unwrap();
        assert_eq!((read_back.as_slice(), rest), (back, &b"next"[..]));
    }

    #[test]
    fn dots_and_line_ends() {
        check(b"", b"\r\n.\r\n", b"");
        check(b"a\n.b\r\n..\nc", b"a\r\n..b\r\n...\r\nc\r\n.\r\n", b"a\r\n.b\r\n..\r\nc");
        check(b"a\n", b"a\r\n\r\n.\r\n", b"a\r\n");
        check(b".", b"..\r\n.\r\n", b".");
        let long = [b'x'; 3 * crate::limits::COPY_BYTES];
        check(&long, &[&long[..], b"\r\n.\r\n"].concat(), &long);
        let cr = [&[b'x'; crate::limits::COPY_BYTES - 1][..], b"\r\n.y"].concat();
        let wire = [&cr[..cr.len() - 2], b"..y\r\n.\r\n"].concat();
        check(&cr, &wire, &cr);
        assert!(read(&mut &b"a\r\n"[..], &mut Vec::new()).is_err());
    }
}
