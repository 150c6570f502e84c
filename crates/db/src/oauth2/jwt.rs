//! JSON web tokens, checked without asking anybody.

use aws_lc_rs::{hmac, signature};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value};

use super::{Fields, Oauth2Config, text_of};
use crate::dict::{Dict, SHARED};
use crate::limits::{JWT_BYTES_MAX, JWT_DEPTH_MAX, JWT_KEY_BYTES_MAX};

/// Checks a token and gives all its fields, those of objects within it too.
pub(super) fn validate(
    config: &Oauth2Config,
    keys: Option<&mut Dict>,
    token: &str,
    now_s: i64,
) -> Result<Fields, String> {
    let not_jwt = || "Not a JWT token".to_owned();
    if token.len() > JWT_BYTES_MAX {
        return Err("Token is too long".into());
    }
    let mut parts = token.split('.');
    let (Some(head), Some(body), Some(seal), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(not_jwt());
    };
    let header = object(head).ok_or_else(not_jwt)?;
    if header.get("typ").and_then(Value::as_str) != Some("JWT") {
        return Err("Cannot find 'typ' field".into());
    }
    let algorithm = header.get("alg").and_then(Value::as_str).ok_or("Cannot find 'alg' field")?;
    let key_id = match header.get("kid").and_then(Value::as_str) {
        None => "default".to_owned(),
        Some("") => return Err("'kid' field is empty".into()),
        Some(key_id) => file_name(key_id)?,
    };
    let claims = object(body).ok_or("Invalid JSON in token")?;
    check_claims(config, &claims, now_s)?;
    let party = match claims.get("azp").and_then(Value::as_str) {
        None => "default".to_owned(),
        Some(party) => file_name(party)?,
    };
    let seal = decode(seal).ok_or("Incorrect JWT signature")?;
    let signed = token.rsplit_once('.').map(|(signed, _)| signed).unwrap_or_default();
    let algorithm = algorithm.to_ascii_uppercase();
    let method = Method::find(&algorithm).ok_or_else(|| format!("Unsupported algorithm '{algorithm}'"))?;
    let key = read_key(keys, &party, &algorithm, &key_id)?;
    method.verify(&key, signed.as_bytes(), &seal)?;
    let mut fields = Fields::new();
    flatten(&claims, &mut fields, 0);
    Ok(fields)
}

enum Method {
    Hmac(hmac::Algorithm),
    Rsa(&'static signature::RsaParameters),
    /// With how many bytes a coordinate has.
    Ecdsa(&'static signature::EcdsaVerificationAlgorithm, usize),
}

impl Method {
    /// Public keys and secrets are never mixed up: the algorithm is part of a key's name.
    fn find(algorithm: &str) -> Option<Self> {
        Some(match algorithm {
            "HS256" => Self::Hmac(hmac::HMAC_SHA256),
            "HS384" => Self::Hmac(hmac::HMAC_SHA384),
            "HS512" => Self::Hmac(hmac::HMAC_SHA512),
            "RS256" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            "PS384" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            "PS512" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            "ES256" => Self::Ecdsa(&signature::ECDSA_P256_SHA256_FIXED, 32),
            "ES384" => Self::Ecdsa(&signature::ECDSA_P384_SHA384_FIXED, 48),
            "ES512" => Self::Ecdsa(&signature::ECDSA_P521_SHA512_FIXED, 66),
            _ => return None,
        })
    }

    fn verify(&self, key: &str, signed: &[u8], seal: &[u8]) -> Result<(), String> {
        match self {
            Self::Hmac(algorithm) => {
                let key =
                    decode(key.trim()).filter(|key| !key.is_empty()).ok_or("Invalid base64 encoded key")?;
                hmac::verify(&hmac::Key::new(*algorithm, &key), signed, seal)
                    .map_err(|_| "Incorrect JWT signature".into())
            }
            Self::Rsa(algorithm) => match jwk(key, "RSA")? {
                Some(jwk) => {
                    let (n, e) = (member(&jwk, "n")?, member(&jwk, "e")?);
                    let key = signature::RsaPublicKeyComponents { n, e };
                    key.verify(algorithm, signed, seal).map_err(bad)
                }
                None => verify(*algorithm, &public_key(key)?, signed, seal),
            },
            Self::Ecdsa(algorithm, size) => match jwk(key, "EC")? {
                Some(jwk) => {
                    let (x, y) = (member(&jwk, "x")?, member(&jwk, "y")?);
                    if x.len() != *size || y.len() != *size {
                        return Err("Cannot load key: not a point of the algorithm's curve".into());
                    }
                    verify(*algorithm, &[&[POINT], &*x, &*y].concat(), signed, seal)
                }
                None => verify(*algorithm, &public_key(key)?, signed, seal),
            },
        }
    }
}

/// The first byte of a point on a curve, both coordinates of which follow.
const POINT: u8 = 4;

fn bad(_: aws_lc_rs::error::Unspecified) -> String {
    "Bad signature".into()
}

fn verify(
    algorithm: &'static dyn signature::VerificationAlgorithm,
    key: &[u8],
    signed: &[u8],
    seal: &[u8],
) -> Result<(), String> {
    signature::UnparsedPublicKey::new(algorithm, key).verify(signed, seal).map_err(bad)
}

/// A public key in PEM.
fn public_key(text: &str) -> Result<Vec<u8>, String> {
    SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes())
        .map(|key| key.as_ref().to_vec())
        .map_err(|error| format!("Cannot load key: {error}"))
}

/// A JSON Web Key of a kind (RFC 7517 section 4); `None` if the text is none.
fn jwk(text: &str, kind: &str) -> Result<Option<Map<String, Value>>, String> {
    if !text.trim_start().starts_with('{') {
        return Ok(None);
    }
    let key: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("Cannot load key: {error}"))?;
    match key.get("kty").and_then(Value::as_str) == Some(kind) {
        true => Ok(Some(key)),
        false => Err(format!("Cannot load key: no JWK of type {kind}")),
    }
}

/// A number of a JSON Web Key (RFC 7518 section 6).
fn member(key: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let bytes = key.get(name).and_then(Value::as_str).and_then(decode).filter(|bytes| !bytes.is_empty());
    bytes.ok_or_else(|| format!("Cannot load key: the JWK has no '{name}'"))
}

fn check_claims(config: &Oauth2Config, claims: &Map<String, Value>, now_s: i64) -> Result<(), String> {
    if !claims.get("sub").is_some_and(|value| value.is_string() || value.is_number()) {
        return Err("Missing 'sub' field".into());
    }
    let time = |name: &str| match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => time_of(value).map(Some).ok_or_else(|| format!("Malformed '{name}' field")),
    };
    let expires = time("exp")?.ok_or("Missing 'exp' field")?;
    let not_before = time("nbf")?.filter(|time| *time != 0).unwrap_or(now_s);
    let issued = time("iat")?.filter(|time| *time != 0).unwrap_or(now_s);
    if not_before > now_s {
        return Err("Token is not valid yet".into());
    }
    if issued > now_s {
        return Err("Token is issued in future".into());
    }
    if expires < now_s {
        return Err("Token has expired".into());
    }
    if config.issuers.is_empty() {
        return Ok(());
    }
    let issuer = claims.get("iss").and_then(Value::as_str).ok_or("Token is missing 'iss' field")?;
    match config.issuers.iter().any(|known| known == issuer) {
        true => Ok(()),
        false => Err(format!("Issuer '{}' is not allowed", issuer.chars().take(128).collect::<String>())),
    }
}

/// Seconds since 1970, a number or a text with one. A fraction is cut off.
fn time_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// The name of a key's file or directory, which the token chose.
fn file_name(text: &str) -> Result<String, String> {
    let escaped = text.replace('%', "%25").replace('/', "%2f");
    match escaped.as_str() {
        "" | "." | ".." => Err("Invalid key identifier".into()),
        name if name.contains('\0') || name.len() > 200 => Err("Invalid key identifier".into()),
        _ => Ok(escaped),
    }
}

fn read_key(keys: Option<&mut Dict>, party: &str, algorithm: &str, key_id: &str) -> Result<String, String> {
    let missing = || format!("{algorithm} key '{key_id}' not found");
    let keys = keys.ok_or_else(missing)?;
    let found = keys.lookup("", &format!("{SHARED}{party}/{algorithm}/{key_id}"));
    let key = found.map_err(|error| error.to_string())?.ok_or_else(missing)?;
    match key.len() > JWT_KEY_BYTES_MAX {
        true => Err(format!("{algorithm} key '{key_id}' is too long")),
        false => Ok(key),
    }
}

fn flatten(map: &Map<String, Value>, fields: &mut Fields, depth: usize) {
    for (name, value) in map {
        match value {
            Value::Object(inner) if depth < JWT_DEPTH_MAX => flatten(inner, fields, depth + 1),
            value => fields.extend(text_of(value).map(|text| (name.clone(), text))),
        }
    }
}

fn object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&decode(text)?).ok()? {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// Base64 in either alphabet, with or without padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut value, mut bits) = (0_u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            b'\r' | b'\n' => continue,
            _ => return None,
        };
        value = value << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((value >> bits & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
