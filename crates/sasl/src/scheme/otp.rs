//! OTP secrets (RFC 2289): `algorithm sequence seed hash`, where the hash is the password's,
//! iterated that many times and folded to 64 bits.

use md5::digest::Digest;

use super::{Random, SchemeError};
use crate::encoding::{from_hex, hex};
use crate::secret::constant_time_eq;

const SEQUENCE_DEFAULT: u32 = 1024;
/// Larger numbers only cost time; RFC 2289 §6.0 speaks of two to four digits.
const SEQUENCE_MAX: u32 = 9999;
/// RFC 2289 §6.0.
const SEED_CHARS_MAX: usize = 16;

pub(super) fn generate(password: &[u8], random: Random<'_>) -> String {
    let mut seed = [0; 8];
    random(&mut seed);
    let seed = hex(&seed);
    let hash = compute(Algorithm::Sha1, seed.as_bytes(), password, SEQUENCE_DEFAULT);
    format!("sha1 {SEQUENCE_DEFAULT} {seed} {}", hex(&hash))
}

pub(super) fn verify(password: &[u8], raw: &[u8]) -> Result<bool, SchemeError> {
    let bad = || SchemeError::Malformed("Invalid OTP data in passdb".into());
    let State { algorithm, sequence, seed, hash } = State::parse(raw).ok_or_else(bad)?;
    Ok(constant_time_eq(&compute(algorithm, seed.as_bytes(), password, sequence), &hash))
}

/// What a passdb has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) algorithm: Algorithm,
    pub(crate) sequence: u32,
    /// Letters and digits (RFC 2289 §6.0).
    pub(crate) seed: String,
    pub(crate) hash: [u8; 8],
}

impl State {
    pub(crate) fn parse(raw: &[u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(raw).ok()?.split(' ');
        let (algorithm, sequence, seed, hash) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let algorithm = Algorithm::find(algorithm).filter(|_| fields.next().is_none())?;
        let sequence = sequence.parse().ok().filter(|&count| count <= SEQUENCE_MAX)?;
        let hash = from_hex(hash.as_bytes())?.try_into().ok()?;
        Some(Self { algorithm, sequence, seed: seed.to_owned(), hash })
    }

    /// What a client chooses for the next times.
    pub(crate) fn new(algorithm: &str, sequence: &str, seed: &str, hash: [u8; 8]) -> Option<Self> {
        let is_seed =
            (1..=SEED_CHARS_MAX).contains(&seed.len()) && seed.bytes().all(|b| b.is_ascii_alphanumeric());
        let algorithm = Algorithm::find(algorithm).filter(|_| is_seed)?;
        let sequence = sequence.parse().ok().filter(|count| (1..=SEQUENCE_MAX).contains(count))?;
        Some(Self { algorithm, sequence, seed: seed.to_ascii_lowercase(), hash })
    }

    pub(crate) fn print(&self) -> String {
        format!("{} {} {} {}", self.algorithm.name(), self.sequence, self.seed, hex(&self.hash))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Md4,
    Md5,
    Sha1,
}

impl Algorithm {
    fn find(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "md4" => Self::Md4,
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Md4 => "md4",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
        }
    }

    /// One step from a hash to the one that came before it in time.
    pub(crate) fn step(self, parts: &[&[u8]]) -> [u8; 8] {
        step(self, parts)
    }
}

fn compute(algorithm: Algorithm, seed: &[u8], password: &[u8], sequence: u32) -> [u8; 8] {
    let seed = seed.to_ascii_lowercase();
    let mut state = step(algorithm, &[&seed, password]);
    for _ in 0..sequence {
        state = step(algorithm, &[&state]);
    }
    state
}

fn step(algorithm: Algorithm, parts: &[&[u8]]) -> [u8; 8] {
    fn run<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
        let mut digest = D::new();
        parts.iter().for_each(|part| digest.update(part));
        digest.finalize().to_vec()
    }
    match algorithm {
        Algorithm::Md4 => fold(&run::<md4::Md4>(parts)),
        Algorithm::Md5 => fold(&run::<md5::Md5>(parts)),
        Algorithm::Sha1 => {
            // RFC 2289 Appendix A takes SHA-1's words in little-endian order.
            let mut hash = run::<sha1::Sha1>(parts);
            hash.chunks_exact_mut(4).for_each(<[u8]>::reverse);
            fold(&hash)
        }
    }
}

fn fold(hash: &[u8]) -> [u8; 8] {
    let mut folded = [0; 8];
    for (at, byte) in hash.iter().enumerate() {
        // SHA-1's last four bytes fall on the first four again.
        folded[at % 8] ^= byte;
    }
    folded
}
