//! SCRAM-SHA-1 and SCRAM-SHA-256 secrets as 2.3 stores them:
//! `iterations,salt,StoredKey,ServerKey`, the last three in base64 (RFC 5802 §3).

use hmac::{Hmac, KeyInit, Mac};
pub(super) use sha1::Sha1;
use sha2::Digest;
pub(super) use sha2::Sha256;

use super::{Random, SchemeError, pbkdf2};
use crate::encoding::{base64, from_base64};
use crate::limits::{ITERATIONS_MAX, SCRAM_ITERATIONS_MIN};
use crate::secret::constant_time_eq;

const SALT_LEN: usize = 16;

/// A hash that SCRAM is defined with.
pub(super) trait Variant: Digest {
    /// The scheme's name.
    const NAME: &'static str;
    type Mac: Mac + KeyInit + Clone;
}

impl Variant for Sha1 {
    const NAME: &'static str = "SCRAM-SHA-1";
    type Mac = Hmac<Sha1>;
}

impl Variant for Sha256 {
    const NAME: &'static str = "SCRAM-SHA-256";
    type Mac = Hmac<Sha256>;
}

pub(super) fn generate<V: Variant>(password: &[u8], random: Random<'_>) -> String {
    let mut salt = [0; SALT_LEN];
    random(&mut salt);
    let (stored, server) = keys::<V>(password, &salt, SCRAM_ITERATIONS_MIN);
    format!("{SCRAM_ITERATIONS_MIN},{},{},{}", base64(&salt), base64(&stored), base64(&server))
}

pub(super) fn verify<V: Variant>(password: &[u8], raw: &[u8]) -> Result<bool, SchemeError> {
    let bad = |what: &str| SchemeError::Malformed(format!("Invalid {} {what}", V::NAME));
    let mut fields = raw.split(|&byte| byte == b',');
    let (Some(count), Some(salt), Some(stored), Some(server), None) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(bad("passdb entry format"));
    };
    let count: u32 = std::str::from_utf8(count)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|count| (SCRAM_ITERATIONS_MIN..=ITERATIONS_MAX).contains(count))
        .ok_or_else(|| bad("iteration count in passdb"))?;
    let key = |text: &[u8]| from_base64(text).filter(|key| key.len() == <V as Digest>::output_size());
    let stored = key(stored).ok_or_else(|| bad("StoredKey in passdb"))?;
    key(server).ok_or_else(|| bad("ServerKey in passdb"))?;
    let salt = from_base64(salt).ok_or_else(|| bad("salt in passdb"))?;
    Ok(constant_time_eq(&keys::<V>(password, &salt, count).0, &stored))
}

/// StoredKey and ServerKey.
fn keys<V: Variant>(password: &[u8], salt: &[u8], count: u32) -> (Vec<u8>, Vec<u8>) {
    let salted = pbkdf2::derive::<V::Mac>(password, salt, count);
    let keyed = <V::Mac as KeyInit>::new_from_slice(&salted).expect("HMAC takes any key");
    let client = keyed.clone().chain_update(b"Client Key").finalize().into_bytes();
    let server = keyed.chain_update(b"Server Key").finalize().into_bytes();
    (V::digest(&client).to_vec(), server.to_vec())
}
