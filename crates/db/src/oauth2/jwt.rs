//! JSON web tokens, checked without asking anybody.

use aws_lc_rs::{hmac, signature};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value};

use super::{Fields, Oauth2Config, text_of};
use crate::limits::{JWT_BYTES_MAX, JWT_DEPTH_MAX, JWT_KEY_BYTES_MAX};

/// Checks a token and gives all its fields, those of objects within it too.
pub(super) fn validate(config: &Oauth2Config, token: &str, now_s: i64) -> Result<Fields, String> {
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
    let key = read_key(config, &party, &algorithm, &key_id)?;
    method.verify(&key, signed.as_bytes(), &seal)?;
    let mut fields = Fields::new();
    flatten(&claims, &mut fields, 0);
    Ok(fields)
}

enum Method {
    Hmac(hmac::Algorithm),
    Signature(&'static dyn signature::VerificationAlgorithm),
}

impl Method {
    /// Public keys and secrets are never mixed up: the algorithm is part of a key's name.
    fn find(algorithm: &str) -> Option<Self> {
        Some(match algorithm {
            "HS256" => Self::Hmac(hmac::HMAC_SHA256),
            "HS384" => Self::Hmac(hmac::HMAC_SHA384),
            "HS512" => Self::Hmac(hmac::HMAC_SHA512),
            "RS256" => Self::Signature(&signature::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Self::Signature(&signature::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Self::Signature(&signature::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => Self::Signature(&signature::RSA_PSS_2048_8192_SHA256),
            "PS384" => Self::Signature(&signature::RSA_PSS_2048_8192_SHA384),
            "PS512" => Self::Signature(&signature::RSA_PSS_2048_8192_SHA512),
            "ES256" => Self::Signature(&signature::ECDSA_P256_SHA256_FIXED),
            "ES384" => Self::Signature(&signature::ECDSA_P384_SHA384_FIXED),
            "ES512" => Self::Signature(&signature::ECDSA_P521_SHA512_FIXED),
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
            Self::Signature(algorithm) => {
                let key = SubjectPublicKeyInfoDer::from_pem_slice(key.as_bytes())
                    .map_err(|error| format!("Cannot load key: {error}"))?;
                signature::UnparsedPublicKey::new(*algorithm, key.as_ref())
                    .verify(signed, seal)
                    .map_err(|_| "Bad signature".into())
            }
        }
    }
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

fn read_key(config: &Oauth2Config, party: &str, algorithm: &str, key_id: &str) -> Result<String, String> {
    let missing = || format!("{algorithm} key '{key_id}' not found");
    let prefix = config.key_dir.as_ref().ok_or_else(missing)?;
    // 2.3 puts the prefix before the name, with or without a slash.
    let path = format!("{}{party}/{algorithm}/{key_id}", prefix.display());
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
        Err(error) => return Err(format!("open({path}) failed: {}", base::reason(&error))),
    };
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(file, JWT_KEY_BYTES_MAX), &mut text)
        .map_err(|error| format!("read({path}) failed: {}", base::reason(&error)))?;
    Ok(text)
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
