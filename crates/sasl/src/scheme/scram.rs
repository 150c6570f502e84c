//! SCRAM-SHA-1 and SCRAM-SHA-256 secrets as 2.3 stores them:
//! `iterations,salt,StoredKey,ServerKey`, the last three in base64 (RFC 5802 §3).

use hmac::{Hmac, KeyInit, Mac};
pub(crate) use sha1::Sha1;
use sha2::Digest;
pub(crate) use sha2::Sha256;

use super::{Random, SchemeError, pbkdf2};
use crate::Secret;
use crate::encoding::{base64, from_base64};
use crate::limits::{ITERATIONS_MAX, SCRAM_ITERATIONS_MIN};
use crate::secret::constant_time_eq;

const SALT_LEN: usize = 16;

/// A hash that SCRAM is defined with.
pub(crate) trait Variant: Digest {
    /// The scheme's name.
    const NAME: &'static str;
    /// Its HMAC.
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
    let secret = ScramSecret::parse::<V>(raw)?;
    let salt = from_base64(secret.salt.as_bytes()).ok_or_else(|| bad::<V>("salt in passdb"))?;
    let (stored, _) = keys::<V>(password, &salt, secret.iterations);
    Ok(constant_time_eq(&stored, secret.stored_key.expose()))
}

/// A SCRAM secret as it is stored.
#[derive(Debug)]
pub(crate) struct ScramSecret {
    pub(crate) iterations: u32,
    /// In base64, as the client is sent it.
    pub(crate) salt: String,
    pub(crate) stored_key: Secret,
    pub(crate) server_key: Secret,
}

impl ScramSecret {
    /// Takes a decoded hash apart.
    pub(crate) fn parse<V: Variant>(raw: &[u8]) -> Result<Self, SchemeError> {
        let mut fields = raw.split(|&byte| byte == b',');
        let (Some(count), Some(salt), Some(stored), Some(server), None) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(bad::<V>("passdb entry format"));
        };
        let iterations = std::str::from_utf8(count)
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|count| (SCRAM_ITERATIONS_MIN..=ITERATIONS_MAX).contains(count))
            .ok_or_else(|| bad::<V>("iteration count in passdb"))?;
        let key = |text: &[u8]| from_base64(text).filter(|key| key.len() == <V as Digest>::output_size());
        let stored_key = Secret::new(key(stored).ok_or_else(|| bad::<V>("StoredKey in passdb"))?);
        let server_key = Secret::new(key(server).ok_or_else(|| bad::<V>("ServerKey in passdb"))?);
        from_base64(salt).ok_or_else(|| bad::<V>("salt in passdb"))?;
        let salt = String::from_utf8_lossy(salt).into_owned();
        Ok(Self { iterations, salt, stored_key, server_key })
    }
}

fn bad<V: Variant>(what: &str) -> SchemeError {
    SchemeError::Malformed(format!("Invalid {} {what}", V::NAME))
}

/// StoredKey and ServerKey.
fn keys<V: Variant>(password: &[u8], salt: &[u8], count: u32) -> (Vec<u8>, Vec<u8>) {
    let salted = pbkdf2::derive::<V::Mac>(password, salt, count);
    let keyed = <V::Mac as KeyInit>::new_from_slice(&salted).expect("HMAC takes any key");
    let client = keyed.clone().chain_update(b"Client Key").finalize().into_bytes();
    let server = keyed.chain_update(b"Server Key").finalize().into_bytes();
    (V::digest(&client).to_vec(), server.to_vec())
}
