//! MD5-CRYPT, `$1$salt$hash`: a thousand rounds of MD5, as FreeBSD invented it.

use md5::{Digest, Md5};

use super::{Random, SchemeError, salt_text};
use crate::encoding::push_digits;
use crate::secret::constant_time_eq;

const SALT_LEN_MAX: usize = 8;
const ROUNDS: usize = 1000;

pub(super) fn generate(password: &[u8], random: Random<'_>) -> String {
    let salt = salt_text(SALT_LEN_MAX, random);
    crypt(password, salt.as_bytes())
}

pub(super) fn verify(password: &[u8], raw: &[u8]) -> Result<bool, SchemeError> {
    let salt = raw.strip_prefix(b"$1$").unwrap_or(raw);
    Ok(constant_time_eq(crypt(password, salt).as_bytes(), raw))
}

/// `setting` is the salt, ended by `$` or its end.
fn crypt(password: &[u8], setting: &[u8]) -> String {
    let salt = setting.split(|&byte| byte == b'$').next().unwrap_or_default();
    let salt = salt.get(..SALT_LEN_MAX).unwrap_or(salt);
    let mut hash = stretch(password, salt, first(password, salt));
    let mut text = format!("$1${}$", String::from_utf8_lossy(salt));
    let triple = |a: usize, b: usize, c: usize| {
        u32::from(hash[a]) << 16 | u32::from(hash[b]) << 8 | u32::from(hash[c])
    };
    for (a, b, c) in [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)] {
        push_digits(&mut text, triple(a, b, c), 4);
    }
    push_digits(&mut text, u32::from(hash[11]), 2);
    hash.fill(0);
    text
}

fn first(password: &[u8], salt: &[u8]) -> [u8; 16] {
    let alternate = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut digest = Md5::new().chain_update(password).chain_update(b"$1$").chain_update(salt);
    let mut left = password.len();
    while left > 0 {
        digest.update(&alternate[..left.min(16)]);
        left = left.saturating_sub(16);
    }
    // The original's quirk: one byte per bit of the length, zero or the password's first.
    let mut bits = password.len();
    while bits > 0 {
        match password.first() {
            Some(&byte) if bits & 1 == 0 => digest.update([byte]),
            _ => digest.update([0]),
        }
        bits >>= 1;
    }
    digest.finalize().into()
}

fn stretch(password: &[u8], salt: &[u8], mut hash: [u8; 16]) -> [u8; 16] {
    for round in 0..ROUNDS {
        let odd = round % 2 == 1;
        let mut digest = Md5::new();
        digest.update(if odd { password } else { &hash });
        if !round.is_multiple_of(3) {
            digest.update(salt);
        }
        if !round.is_multiple_of(7) {
            digest.update(password);
        }
        digest.update(if odd { &hash } else { password });
        hash = digest.finalize().into();
    }
    hash
}
