//! ARGON2I and ARGON2ID as PHC strings (`$argon2id$v=19$m=65536,t=3,p=1$salt$hash`), with the
//! presets of libsodium that 2.3 uses.

use argon2::{Algorithm, Argon2, Params, Version};

use super::{Random, SchemeError};
use crate::encoding::{base64_bare, from_base64_bare};
use crate::limits::{ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX};
use crate::secret::constant_time_eq;

const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;

#[derive(Clone, Copy)]
pub(super) enum Variant {
    I,
    Id,
}

impl Variant {
    /// Passes and memory in KiB of libsodium's presets, by the number of passes asked for.
    fn cost(self, rounds: u32) -> (u32, u32) {
        match (self, rounds) {
            (Self::I, 0) => (4, 32 * 1024),
            (Self::I, 8..) => (rounds, 512 * 1024),
            (Self::I, 6..) => (rounds, 128 * 1024),
            (Self::I, _) => (rounds.max(3), 32 * 1024),
            (Self::Id, 4..) => (rounds, 1024 * 1024),
            (Self::Id, 3) => (3, 256 * 1024),
            // libsodium 1.0.13 wanted three passes, and 2.3 kept that.
            (Self::Id, _) => (3, 64 * 1024),
        }
    }
}

pub(super) fn generate(
    variant: Variant,
    password: &[u8],
    rounds: u32,
    random: Random<'_>,
) -> Result<String, SchemeError> {
    let (passes, memory_kib) = variant.cost(rounds);
    let mut salt = [0; SALT_LEN];
    random(&mut salt);
    let (name, algorithm) = match variant {
        Variant::I => ("argon2i", Algorithm::Argon2i),
        Variant::Id => ("argon2id", Algorithm::Argon2id),
    };
    let hash = compute(algorithm, Version::V0x13, (memory_kib, passes, 1), password, &salt, HASH_LEN)
        .ok_or_else(|| SchemeError::Malformed("argon2 failed: parameters out of range".into()))?;
    let (salt, hash) = (base64_bare(&salt), base64_bare(&hash));
    Ok(format!("${name}$v=19$m={memory_kib},t={passes},p=1${salt}${hash}"))
}

/// Any variant is accepted under either scheme name, as libsodium does. What is no Argon2 hash
/// never matches.
pub(super) fn verify(password: &[u8], raw: &[u8]) -> Result<bool, SchemeError> {
    let Some(stored) = std::str::from_utf8(raw).ok().and_then(parse) else { return Ok(false) };
    let (memory_kib, passes, _) = stored.cost;
    if memory_kib > ARGON2_MEMORY_KIB_MAX || passes > ARGON2_PASSES_MAX {
        return Err(SchemeError::Malformed("argon2 hash asks for too much memory or time".into()));
    }
    let length = stored.hash.len();
    let computed = compute(stored.algorithm, stored.version, stored.cost, password, &stored.salt, length);
    Ok(computed.is_some_and(|computed| constant_time_eq(&computed, &stored.hash)))
}

struct Stored {
    algorithm: Algorithm,
    version: Version,
    /// Memory in KiB, passes, lanes.
    cost: (u32, u32, u32),
    salt: Vec<u8>,
    hash: Vec<u8>,
}

fn parse(text: &str) -> Option<Stored> {
    let mut fields = text.strip_prefix('$')?.split('$').peekable();
    let algorithm = match fields.next()? {
        "argon2i" => Algorithm::Argon2i,
        "argon2id" => Algorithm::Argon2id,
        _ => return None,
    };
    let version = match fields.next_if(|field| field.starts_with("v=")) {
        Some("v=19") => Version::V0x13,
        Some("v=16") | None => Version::V0x10,
        Some(_) => return None,
    };
    let mut cost = fields.next()?.split(',');
    let mut number = |key: &str| cost.next()?.strip_prefix(key)?.parse().ok();
    let cost = (number("m=")?, number("t=")?, number("p=")?);
    let salt = from_base64_bare(fields.next()?.as_bytes())?;
    let hash = from_base64_bare(fields.next()?.as_bytes())?;
    fields.next().is_none().then_some(Stored { algorithm, version, cost, salt, hash })
}

fn compute(
    algorithm: Algorithm,
    version: Version,
    (memory_kib, passes, lanes): (u32, u32, u32),
    password: &[u8],
    salt: &[u8],
    length: usize,
) -> Option<Vec<u8>> {
    let params = Params::new(memory_kib, passes, lanes, Some(length)).ok()?;
    let mut hash = vec![0; length];
    Argon2::new(algorithm, version, params).hash_password_into(password, salt, &mut hash).ok()?;
    Some(hash)
}
