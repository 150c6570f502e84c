//! `mail_attachment_hash`: what an attachment's name begins with, such as `%{sha1}`.

use std::fmt::Write;

use md4::Md4;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use sha3::{Sha3_256, Sha3_512};

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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Method {
    Md4,
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
    Sha3x256,
    Sha3x512,
    /// No hash: the number of bytes, as eight bytes.
    Size,
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
        let method = Method::of_name(name).ok_or_else(|| format!("Unknown hash method: {name}"))?;
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

impl Method {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "md4" => Self::Md4,
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            "sha3-256" => Self::Sha3x256,
            "sha3-512" => Self::Sha3x512,
            "size" => Self::Size,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::Md4 | Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Sha3x256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 | Self::Sha3x512 => 64,
            Self::Size => 8,
        }
    }

    fn start(self) -> Box<dyn Running> {
        match self {
            Self::Md4 => Box::new(Digesting(Md4::new())),
            Self::Md5 => Box::new(Digesting(Md5::new())),
            Self::Sha1 => Box::new(Digesting(Sha1::new())),
            Self::Sha256 => Box::new(Digesting(Sha256::new())),
            Self::Sha384 => Box::new(Digesting(Sha384::new())),
            Self::Sha512 => Box::new(Digesting(Sha512::new())),
            Self::Sha3x256 => Box::new(Digesting(Sha3_256::new())),
            Self::Sha3x512 => Box::new(Digesting(Sha3_512::new())),
            Self::Size => Box::new(Counting(0)),
        }
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

trait Running: Send {
    fn update(&mut self, bytes: &[u8]);
    fn finish(self: Box<Self>) -> Vec<u8>;
}

struct Digesting<D>(D);

impl<D: Digest + Send> Running for Digesting<D> {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

struct Counting(u64);

impl Running for Counting {
    fn update(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }
}
