//! `%{sha256;rounds=..,truncate=..,salt=..,format=..:variable}`.

use sha2::{Digest, Sha256};

use crate::digest::{Method, truncate};

use super::{Found, Run, VarError};

/// More rounds than anyone configures; each login pays for them.
const ROUNDS_MAX: u32 = 10_000_000;

/// What stands between the method's name and the colon.
struct Arguments {
    rounds: u32,
    truncate_bits: usize,
    salt: Option<String>,
    base64: bool,
}

impl Run<'_> {
    pub(super) fn hash(&mut self, function: &str, field: &str) -> Result<String, VarError> {
        let (name, arguments) = function.split_once(';').unwrap_or((function, ""));
        let value = match self.long(field) {
            Found::Value(value) => value,
            Found::Missing(_, error) => return Err(error),
        };
        let is_pkcs5 = name == "pkcs5";
        let arguments = self.arguments(arguments, if is_pkcs5 { 2048 } else { 1 })?;
        let mut digest = match Method::find(name) {
            Some(method) => {
                let salt = arguments.salt.as_deref().unwrap_or_default().as_bytes();
                let mut digest = value.into_bytes();
                for _ in 0..arguments.rounds {
                    let mut running = method.start();
                    running.update(salt);
                    running.update(&digest);
                    digest = running.finish();
                }
                digest
            }
            // The variable's name is the salt of a password that has none of its own.
            None => pbkdf2(
                value.as_bytes(),
                arguments.salt.as_deref().unwrap_or(field).as_bytes(),
                arguments.rounds,
            ),
        };
        let bits = arguments.truncate_bits.min(digest.len() * 8);
        if bits > 0 {
            truncate(&mut digest, bits);
        }
        Ok(if arguments.base64 { base64(&digest) } else { hex(&digest) })
    }

    fn arguments(&mut self, text: &str, rounds: u32) -> Result<Arguments, VarError> {
        let invalid = |why: String| VarError::Invalid(format!("Cannot parse hash arguments:{why}"));
        let mut arguments = Arguments { rounds, truncate_bits: 0, salt: None, base64: false };
        for argument in text.split([',', ';']) {
            let Some((name, value)) = argument.split_once('=') else { continue };
            match name {
                "rounds" => {
                    let number =
                        value.parse().map_err(|_| invalid(format!("'{value}' is not number for rounds")))?;
                    arguments.rounds = number;
                    if number < 1 {
                        return Err(invalid("rounds must be at least 1".into()));
                    }
                    if number > ROUNDS_MAX {
                        return Err(invalid(format!("rounds must be at most {ROUNDS_MAX}")));
                    }
                }
                "truncate" => {
                    let number = value
                        .parse()
                        .map_err(|_| invalid(format!("'{value}' is not number for truncbits")))?;
                    arguments.truncate_bits = number;
                }
                "salt" => {
                    arguments.salt = Some(self.part(value)?);
                    break;
                }
                "format" => match value {
                    "hex" | "hexuc" => arguments.base64 = false,
                    "base64" => arguments.base64 = true,
                    _ => return Err(invalid(format!("'{value}' is not supported format"))),
                },
                _ => {}
            }
        }
        Ok(arguments)
    }
}

/// PBKDF2 with HMAC-SHA-256 (RFC 8018 §5.2), 1,024 bytes as in 2.3.
fn pbkdf2(password: &[u8], salt: &[u8], rounds: u32) -> Vec<u8> {
    const BYTES: usize = 1024;
    let mut out = Vec::with_capacity(BYTES);
    for block in 1u32.. {
        let mut round = hmac_sha256(password, &[salt, &block.to_be_bytes()]);
        let mut sum = round;
        for _ in 1..rounds {
            round = hmac_sha256(password, &[&round]);
            sum.iter_mut().zip(round).for_each(|(sum, byte)| *sum ^= byte);
        }
        out.extend_from_slice(&sum);
        if out.len() >= BYTES {
            break;
        }
    }
    out
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36));
    parts.iter().for_each(|part| inner.update(part));
    let outer = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .chain([0; 2].iter())
            .take(3)
            .fold(0u32, |group, byte| (group << 8) | u32::from(*byte));
        for at in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}
