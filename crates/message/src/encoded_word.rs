//! Text in header fields: encoded words (RFC 2047) among plain text, read as tolerantly as real
//! mail demands.

use crate::charset::{Charset, Decoder};
use crate::transfer::{Base64, hex_digit};

/// A field's value as text. What is no encoded word is taken for UTF-8.
///
/// White space between encoded words goes, as RFC 2047 §6.2 says; a character whose bytes were
/// spread over two adjacent words of one charset is put together again.
pub fn decode(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    let mut open: Option<Open> = None;
    let mut rest = value;
    // Plain text since the last encoded word, from here.
    let mut plain = value;
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let (_, from) = rest.split_at(at);
        let Some((word, after)) = Word::read(from) else {
            rest = from.get(2..).unwrap_or_default();
            continue;
        };
        let before = plain.get(..plain.len() - from.len()).unwrap_or_default();
        if !before.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            close(&mut open, &mut out);
            out.push_str(&String::from_utf8_lossy(before));
        }
        word.decode(&mut open, &mut out);
        (rest, plain) = (after, after);
    }
    close(&mut open, &mut out);
    out.push_str(&String::from_utf8_lossy(plain));
    out
}

/// The charset being decoded across adjacent words.
struct Open {
    charset: Vec<u8>,
    decoder: Decoder,
}

fn close(open: &mut Option<Open>, out: &mut String) {
    if let Some(open) = open.take() {
        open.decoder.finish(out);
    }
}

/// `=?charset?encoding?text?=`, taken apart.
struct Word<'a> {
    charset: &'a [u8],
    base64: bool,
    text: &'a [u8],
}

impl<'a> Word<'a> {
    fn read(from: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (charset, rest) = until_mark(from.get(2..)?)?;
        let (encoding, rest) = until_mark(rest)?;
        let (text, rest) = until_mark(rest)?;
        let after = rest.strip_prefix(b"=")?;
        let base64 = match encoding {
            [b'b' | b'B', ..] => true,
            [b'q' | b'Q', ..] => false,
            _ => return None,
        };
        Some((Self { charset, base64, text }, after))
    }

    fn decode(&self, open: &mut Option<Open>, out: &mut String) {
        let bytes = if self.base64 {
            let mut bytes = Vec::new();
            Base64::default().push(self.text, &mut bytes);
            bytes
        } else {
            q_decoded(self.text)
        };
        if open.as_ref().is_none_or(|open| !open.charset.eq_ignore_ascii_case(self.charset)) {
            close(open, out);
            let decoder = Charset::of(self.charset).unwrap_or(Charset::UTF8).decoder();
            *open = Some(Open { charset: self.charset.to_vec(), decoder });
        }
        if let Some(open) = open {
            open.decoder.push(&bytes, out);
        }
    }
}

fn until_mark(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let mark = memchr::memchr(b'?', data)?;
    Some((data.get(..mark)?, data.get(mark + 1..)?))
}

/// The Q encoding (RFC 2047 §4.2).
fn q_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'_', _) => out.push(b' '),
            (b'=', [high, low, after @ ..])
                if let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low)) =>
            {
                out.push(high << 4 | low);
                rest = after;
            }
            (&byte, _) => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, want: &str) {
        assert_eq!(decode(input.as_bytes()), want, "{input:?}");
    }

    #[test]
    fn words() {
        check("plain Grüße", "plain Grüße");
        check("=?UTF-8?Q?Gr=C3=BC=C3=9Fe_an?= alle", "Grüße an alle");
        check("=?iso-8859-1?q?Gr=FC=DFe?=", "Grüße");
        check("=?utf-8?B?R3LDvMOfZQ==?=", "Grüße");
        check("Re: =?utf-8?b?5pel?= =?utf-8?b?5pys?= x", "Re: 日本 x");
        check("a =?utf-8?q?b?= c =?utf-8?q?d?=", "a b c d");
        check("=?us-ascii*en?q?x?=", "x");
        // One character over two words.
        check("=?utf-8?b?5pc=?= =?UTF-8?b?pQ==?=", "日");
        check("=?utf-8?q?=E6?==?iso-8859-1?q?=FC?=", "\u{fffd}ü");
    }

    #[test]
    fn what_is_none() {
        check("=?utf-8?x?abc?=", "=?utf-8?x?abc?=");
        check(" =?utf-8?q?abc", " =?utf-8?q?abc");
        check("=?=?utf-8?q?abc?=", "=?abc");
        check("=?x-nonsense?q?abc=3D?=", "abc=");
        check("=?utf-8?q?a=zb=3?=", "a=zb=3");
        check("=??q?a?=", "a");
        check("=?", "=?");
        check("", "");
    }
}
