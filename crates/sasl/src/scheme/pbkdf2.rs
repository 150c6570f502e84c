//! PBKDF2 with HMAC-SHA1 (RFC 8018), `$1$salt$rounds$hex`, and the function itself, which SCRAM
//! calls `Hi` (RFC 5802 §2.2).

use hmac::{Hmac, KeyInit, Mac};

use super::{Random, SchemeError, salt_text};
use crate::encoding::{from_hex, hex};
use crate::limits::ITERATIONS_MAX;
use crate::secret::constant_time_eq;

const SALT_LEN: usize = 16;
const ROUNDS_DEFAULT: u32 = 5000;
const KEY_LEN: usize = 20;

pub(super) fn generate(password: &[u8], rounds: u32, random: Random<'_>) -> String {
    let rounds = if rounds == 0 { ROUNDS_DEFAULT } else { rounds };
    let salt = salt_text(SALT_LEN, random);
    let key = derive::<Hmac<sha1::Sha1>>(password, salt.as_bytes(), rounds);
    format!("$1${salt}${rounds}${}", hex(&key))
}

pub(super) fn verify(password: &[u8], raw: &[u8]) -> Result<bool, SchemeError> {
    let malformed = |text: &str| SchemeError::Malformed(text.into());
    let rest = raw.strip_prefix(b"$1$").ok_or_else(|| malformed("Invalid PBKDF2 passdb entry prefix"))?;
    let mut fields = rest.split(|&byte| byte == b'$');
    let (Some(salt), Some(rounds), Some(key), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(malformed("Invalid PBKDF2 passdb entry format"));
    };
    let rounds: u32 = std::str::from_utf8(rounds)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|&rounds| rounds <= ITERATIONS_MAX)
        .ok_or_else(|| malformed("Invalid PBKDF2 passdb entry format"))?;
    let key = from_hex(key)
        .filter(|key| key.len() == KEY_LEN)
        .ok_or_else(|| malformed("PBKDF2 hash not 160bit hex-encoded"))?;
    Ok(constant_time_eq(&derive::<Hmac<sha1::Sha1>>(password, salt, rounds), &key))
}

/// One block of PBKDF2, as long as the hash.
pub(super) fn derive<M: Mac + KeyInit + Clone>(password: &[u8], salt: &[u8], rounds: u32) -> Vec<u8> {
    // HMAC takes keys of any length.
    let keyed = <M as KeyInit>::new_from_slice(password).expect("HMAC takes any key");
    let mut block =
        keyed.clone().chain_update(salt).chain_update(1_u32.to_be_bytes()).finalize().into_bytes();
    let mut key = block.to_vec();
    for _ in 1..rounds {
        block = keyed.clone().chain_update(&block).finalize().into_bytes();
        key.iter_mut().zip(&block).for_each(|(key, byte)| *key ^= byte);
    }
    key
}
