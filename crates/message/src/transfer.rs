//! Content transfer encodings (RFC 2045 §6), decoded as the bytes go by. Real mail breaks the rules,
//! so nothing is an error: what cannot be decoded is kept or left out, as noted.

/// How a body is encoded for transfer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `7bit`, `8bit`, `binary`, or nothing said.
    #[default]
    Identity,
    /// `quoted-printable`.
    QuotedPrintable,
    /// `base64`.
    Base64,
    /// Something else, which nobody here can read.
    Unknown,
}

impl Encoding {
    /// From the token in `Content-Transfer-Encoding`.
    pub fn of(token: Option<&[u8]>) -> Self {
        match token.map(<[u8]>::to_ascii_lowercase).as_deref() {
            None | Some(b"7bit" | b"8bit" | b"binary") => Self::Identity,
            Some(b"quoted-printable") => Self::QuotedPrintable,
            Some(b"base64") => Self::Base64,
            Some(_) => Self::Unknown,
        }
    }
}

/// Decodes one body that comes in pieces.
#[derive(Debug)]
pub enum Decoder {
    /// Nothing to do.
    Identity,
    /// See [`QuotedPrintable`].
    QuotedPrintable(QuotedPrintable),
    /// See [`Base64`].
    Base64(Base64),
    /// Shows nothing.
    Unknown,
}

impl Decoder {
    /// Starts a body.
    pub fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Identity => Self::Identity,
            Encoding::QuotedPrintable => Self::QuotedPrintable(QuotedPrintable::default()),
            Encoding::Base64 => Self::Base64(Base64::default()),
            Encoding::Unknown => Self::Unknown,
        }
    }

    /// Appends what `data` decodes to.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Identity => out.extend_from_slice(data),
            Self::QuotedPrintable(decoder) => decoder.push(data, out),
            Self::Base64(decoder) => decoder.push(data, out),
            Self::Unknown => {}
        }
    }

    /// Ends the body and appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Self::QuotedPrintable(decoder) = self {
            decoder.finish(out);
        }
    }
}

/// Base64 (RFC 2045 §6.8). Bytes outside the alphabet are passed over, as the RFC demands; padding
/// ends the data, and text that a mailing list put behind it is not taken for more.
#[derive(Debug, Default)]
pub struct Base64 {
    bits: u32,
    count: u32,
    ended: bool,
}

impl Base64 {
    /// Appends what `data` decodes to. Bits that make no whole byte are dropped at the end.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        out.reserve(data.len() / 4 * 3 + 3);
        for &byte in data {
            if byte == b'=' && self.count != 0 {
                self.ended = true;
                return;
            }
            let Some(value) = sextet(byte) else { continue };
            self.bits = self.bits << 6 | value;
            self.count += 1;
            match self.count {
                1 => {}
                2 => out.push(low_byte(self.bits >> 4)),
                3 => out.push(low_byte(self.bits >> 2)),
                _ => {
                    out.push(low_byte(self.bits));
                    *self = Self::default();
                }
            }
        }
    }
}

fn low_byte(bits: u32) -> u8 {
    bits.to_le_bytes()[0]
}

/// The value of a base64 digit.
pub(crate) fn sextet(byte: u8) -> Option<u32> {
    Some(
        match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }
        .into(),
    )
}

/// Quoted-printable (RFC 2045 §6.7). White space at the end of a line goes, line ends become CRLF,
/// and a `=` that begins nothing sensible stays.
#[derive(Debug, Default)]
pub struct QuotedPrintable {
    /// White space that shows only if something follows on its line, or a `=` with what came after
    /// it and decided nothing yet.
    held: Vec<u8>,
}

/// White space kept while it is not known whether its line ends. Lines have at most 76 bytes, so
/// more of it can only be what gets dropped.
const HELD_BYTES_MAX: usize = 80;

impl QuotedPrintable {
    /// Appends what `data` decodes to.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let mut rest = data;
        while let [byte, tail @ ..] = rest {
            if self.held.is_empty() {
                let plain = rest.iter().take_while(|byte| !is_special(**byte)).count();
                let (text, special) = rest.split_at(plain);
                out.extend_from_slice(text);
                if plain > 0 {
                    rest = special;
                    continue;
                }
            }
            rest = tail;
            self.take(*byte, out);
        }
    }

    /// Appends what is still held, for a body that ends in the middle of something.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.held.first() == Some(&b'=') && self.held.len() > 1 {
            out.extend_from_slice(&self.held);
        }
        self.held.clear();
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        let soft = self.held.first() == Some(&b'=');
        match (soft, byte) {
            (true, b'\n') => self.held.clear(),
            (false, b'\n') => {
                self.held.clear();
                out.extend_from_slice(b"\r\n");
            }
            (_, b'\r') => self.hold(byte),
            (_, b' ' | b'\t') if self.held.get(1).is_none_or(|held| matches!(held, b' ' | b'\t')) => {
                self.hold(byte);
            }
            (true, _) => self.take_hex(byte, out),
            (false, b'=') => {
                out.append(&mut self.held);
                self.held.push(b'=');
            }
            (false, b' ' | b'\t') => {
                out.append(&mut self.held);
                self.held.push(byte);
            }
            (false, _) => {
                out.append(&mut self.held);
                out.push(byte);
            }
        }
    }

    fn hold(&mut self, byte: u8) {
        if self.held.len() < HELD_BYTES_MAX {
            self.held.push(byte);
        }
    }

    /// `=` was held, perhaps with a first digit; `byte` comes after it.
    fn take_hex(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.held.as_slice(), hex_digit(byte)) {
            ([b'='], Some(_)) => self.held.push(byte),
            ([b'=', high], Some(low)) if let Some(high) = hex_digit(*high) => {
                out.push(high << 4 | low);
                self.held.clear();
            }
            _ => {
                out.append(&mut self.held);
                // What broke it is looked at anew.
                if is_special(byte) { self.take(byte, out) } else { out.push(byte) }
            }
        }
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'=' | b' ' | b'\t' | b'\r' | b'\n')
}

/// The value of a hexadecimal digit, in either case.
pub(crate) fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(encoding: Encoding, input: &str, want: &[u8]) {
        for piece in [1, 2, 3, 7, 1000] {
            let (mut decoder, mut out) = (Decoder::new(encoding), Vec::new());
            for chunk in input.as_bytes().chunks(piece) {
                decoder.push(chunk, &mut out);
            }
            decoder.finish(&mut out);
            assert_eq!(out, want, "{input:?} in pieces of {piece}: {}", String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn base64() {
        for (input, want) in [
            ("", ""),
            ("aGVsbG8=", "hello"),
            ("aGVs\r\nbG8gd29y bGQ", "hello world"),
            ("aGVsbG8=\r\n-- \r\nlist footer", "hello"),
            ("aG*Vs", "hel"),
            ("====aGVs", "hel"),
            ("a", ""),
        ] {
            check(Encoding::Base64, input, want.as_bytes());
        }
    }

    #[test]
    fn quoted_printable() {
        for (input, want) in [
            ("", &b""[..]),
            ("a=3Db=3d", b"a=b="),
            ("soft=\r\nbreak=\nhere= \t\r\nthere", b"softbreakherethere"),
            ("end  \r\nof \t\nline", b"end\r\nof\r\nline"),
            ("a b  c", b"a b  c"),
            ("caf=C3=A9 =E4", b"caf\xc3\xa9 \xe4"),
            ("=zz =4 =4g =", b"=zz =4 =4g "),
            ("= x", b"= x"),
            ("==41=", b"=A"),
            ("a\rb\n", b"a\rb\r\n"),
            ("trailing   ", b"trailing"),
        ] {
            check(Encoding::QuotedPrintable, input, want);
        }
    }

    #[test]
    fn others() {
        check(Encoding::of(Some(b"8BIT")), "as it is", b"as it is");
        check(Encoding::of(Some(b"x-uuencode")), "begin 644", b"");
        check(Encoding::of(None), "=41", b"=41");
    }
}
