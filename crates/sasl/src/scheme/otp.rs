//! OTP secrets (RFC 2289): `algorithm sequence seed hash`, where the hash is the password's,
//! iterated that many times and folded to 64 bits.

use md5::digest::Digest;

use super::{Random, SchemeError};
use crate::encoding::{from_hex, hex};
use crate::secret::constant_time_eq;

const SEQUENCE_DEFAULT: u32 = 1024;
/// Larger numbers only cost time; RFC 2289 §6.0 speaks of two to four digits.
const SEQUENCE_MAX: u32 = 9999;

pub(super) fn generate(password: &[u8], random: Random<'_>) -> String {
    let mut seed = [0; 8];
    random(&mut seed);
    let seed = hex(&seed);
    let hash = compute(Algorithm::Sha1, seed.as_bytes(), password, SEQUENCE_DEFAULT);
    format!("sha1 {SEQUENCE_DEFAULT} {seed} {}", hex(&hash))
}

pub(super) fn verify(password: &[u8], raw: &[u8]) -> Result<bool, SchemeError> {
    let bad = || SchemeError::Malformed("Invalid OTP data in passdb".into());
    let text = std::str::from_utf8(raw).map_err(|_| bad())?;
    let mut fields = text.split(' ');
    let (Some(algorithm), Some(sequence), Some(seed), Some(hash), None) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(bad());
    };
    let algorithm = match algorithm.to_ascii_lowercase().as_str() {
        "md4" => Algorithm::Md4,
        "md5" => Algorithm::Md5,
        "sha1" => Algorithm::Sha1,
        _ => return Err(bad()),
    };
    let sequence = sequence.parse().ok().filter(|&count| count <= SEQUENCE_MAX).ok_or_else(bad)?;
    let hash = from_hex(hash.as_bytes()).filter(|hash| hash.len() == 8).ok_or_else(bad)?;
    Ok(constant_time_eq(&compute(algorithm, seed.as_bytes(), password, sequence), &hash))
}

#[derive(Clone, Copy)]
enum Algorithm {
    Md4,
    Md5,
    Sha1,
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
