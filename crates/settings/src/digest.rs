//! The hashes that settings name: in variables such as `%{sha256:user}`, and in `mail_attachment_hash`.

use md4::Md4;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use sha3::{Sha3_256, Sha3_512};

/// A hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `md4`
    Md4,
    /// `md5`
    Md5,
    /// `sha1`
    Sha1,
    /// `sha256`
    Sha256,
    /// `sha384`
    Sha384,
    /// `sha512`
    Sha512,
    /// `sha3-256`
    Sha3x256,
    /// `sha3-512`
    Sha3x512,
    /// `size`: no hash, but the number of bytes, as eight bytes.
    Size,
}

impl Method {
    /// The one with a name; `None` if there is none.
    pub fn find(name: &str) -> Option<Self> {
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

    /// Bytes of what comes out.
    pub fn bytes(self) -> usize {
        match self {
            Self::Md4 | Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Sha3x256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 | Self::Sha3x512 => 64,
            Self::Size => 8,
        }
    }

    /// Begins one.
    pub fn start(self) -> Box<dyn Running> {
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

/// A hash that takes bytes piece by piece.
pub trait Running: Send {
    /// Takes more bytes.
    fn update(&mut self, bytes: &[u8]);

    /// What comes out.
    fn finish(self: Box<Self>) -> Vec<u8>;
}

/// Keeps the first bits, moved to the end of the last byte.
pub fn truncate(bytes: &mut Vec<u8>, bits: usize) {
    bytes.truncate(bits.div_ceil(8));
    let spare = bits % 8;
    if spare == 0 {
        return;
    }
    for at in (0..bytes.len()).rev() {
        let above = if at > 0 { (bytes[at - 1] & (0xff >> spare)) << spare } else { 0 };
        bytes[at] = (bytes[at] >> (8 - spare)).wrapping_add(above);
    }
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
