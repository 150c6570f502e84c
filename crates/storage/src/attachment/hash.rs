//! `mail_attachment_hash`: what an attachment's name begins with, such as `%{sha1}`.

use std::fmt::Write;

use settings::digest::{Method, Running};

use super::base64;

/// A template with hashes: `%{method}` and `%{method:bits}` in hexadecimal, `%X{…}` without leading
/// zeros, `%B{…}` in base64 without padding. All else stands for itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HashFormat {
    pieces: Vec<Piece>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    Hash { method: Method, bytes: usize, encoding: Encoding },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Encoding {
    Hex,
    ShortHex,
    Base64,
}

impl HashFormat {
    /// Reads a template.
    ///
    /// # Errors
    /// In 2.3's words, what is wrong with it.
    pub fn parse(template: &str) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), template);
        while let Some((text, after)) = rest.split_once('%') {
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            let (encoding, after) = match after.as_bytes().first() {
                Some(b'B') => (Encoding::Base64, &after[1..]),
                Some(b'X') => (Encoding::ShortHex, &after[1..]),
                _ => (Encoding::Hex, after),
            };
            let inner = after.strip_prefix('{').ok_or("No '{' after '%'")?;
            let (hash, after) = inner.split_once('}').ok_or("Missing '}'")?;
            pieces.push(Piece::of_hash(hash, encoding)?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// Starts on the bytes of one attachment.
    pub(super) fn start(&self) -> Hasher {
        let running = self.pieces.iter().map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Hash { method, .. } => Some(method.start()),
        });
        Hasher { running: running.collect(), format: self.clone() }
    }
}

impl Piece {
    fn of_hash(hash: &str, encoding: Encoding) -> Result<Self, String> {
        let (name, bits) = hash.split_once(':').map_or((hash, None), |(name, bits)| (name, Some(bits)));
        let method = Method::find(name).ok_or_else(|| format!("Unknown hash method: {name}"))?;
        let all = method.bytes() * 8;
        let bits = match bits {
            None => all,
            Some(text) => match text.parse().ok().filter(|bits| (1..=all).contains(bits)) {
                None => return Err(format!("Invalid :bits number: {text}")),
                Some(bits) if bits % 8 != 0 => {
                    return Err(format!("Currently :bits must be divisible by 8: {text}"));
                }
                Some(bits) => bits,
            },
        };
        Ok(Self::Hash { method, bytes: bits / 8, encoding })
    }
}

/// A [`HashFormat`] at work.
pub(super) struct Hasher {
    /// One for each piece that is a hash.
    running: Vec<Option<Box<dyn Running>>>,
    format: HashFormat,
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.running.iter_mut().flatten().for_each(|running| running.update(bytes));
    }

    pub(super) fn finish(self) -> String {
        let mut out = String::new();
        for (piece, running) in self.format.pieces.iter().zip(self.running) {
            match (piece, running) {
                (Piece::Hash { bytes, encoding, .. }, Some(running)) => {
                    let digest = running.finish();
                    encoding.write(digest.get(..*bytes).unwrap_or(&digest), &mut out);
                }
                (Piece::Text(text), _) => out.push_str(text),
                (Piece::Hash { .. }, None) => {}
            }
        }
        out
    }
}

impl Encoding {
    fn write(self, digest: &[u8], out: &mut String) {
        let mut hex = String::new();
        for byte in digest {
            let _ = write!(hex, "{byte:02x}");
        }
        match self {
            Self::Hex => out.push_str(&hex),
            Self::ShortHex => {
                let short = hex.trim_start_matches('0');
                out.push_str(if short.is_empty() { "0" } else { short });
            }
            Self::Base64 => {
                let mut text = Vec::new();
                base64::encode(digest, &mut text);
                out.push_str(String::from_utf8_lossy(&text).trim_end_matches('='));
            }
        }
    }
}
