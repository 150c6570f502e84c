//! BLF-CRYPT: bcrypt with `$2y$` and its relatives.

use super::{Random, SchemeError};
use crate::encoding::{BCRYPT, big_endian, from_big_endian};
use crate::limits::BCRYPT_COST;
use crate::secret::constant_time_eq;

const COST_DEFAULT: u32 = 5;
const KEY_LEN_MAX: usize = 72;
/// `$2y$05$` and the salt's 22 digits.
const SETTING_LEN: usize = 29;

pub(super) fn generate(password: &[u8], rounds: u32, random: Random<'_>) -> String {
    let cost = match rounds {
        0 => COST_DEFAULT,
        rounds => rounds.clamp(*BCRYPT_COST.start(), *BCRYPT_COST.end()),
    };
    let mut salt = [0; 16];
    random(&mut salt);
    format!("$2y${cost:02}${}", hash(password, cost, salt))
}

pub(super) fn verify(password: &[u8], raw: &[u8]) -> Result<bool, SchemeError> {
    let invalid = || SchemeError::Malformed("crypt_blowfish_rn failed: Invalid argument".into());
    let (version, rest) = match raw {
        [b'$', b'2', version @ b'a'..=b'z', b'$', rest @ ..] if raw.len() > SETTING_LEN => (*version, rest),
        [] => return Ok(false),
        _ => return Err(SchemeError::Malformed("Password is not blowfish password".into())),
    };
    match version {
        b'a' | b'b' | b'y' => {}
        // `$2x$` marks hashes of an implementation that read 8-bit characters wrongly; for ASCII
        // it is the same as the others.
        b'x' if password.is_ascii() => {}
        b'x' => return Err(SchemeError::Malformed("$2x$ is supported for ASCII passwords only".into())),
        _ => return Err(invalid()),
    }
    let cost = std::str::from_utf8(&rest[..2]).ok().and_then(|text| text.parse().ok()).ok_or_else(invalid)?;
    if !BCRYPT_COST.contains(&cost) || rest[2] != b'$' {
        return Err(invalid());
    }
    let salt: [u8; 16] =
        from_big_endian(&rest[3..25], BCRYPT).and_then(|salt| salt.try_into().ok()).ok_or_else(invalid)?;
    Ok(constant_time_eq(hash(password, cost, salt).as_bytes(), &rest[3..]))
}

/// Salt and hash as they stand after `$2y$05$`.
fn hash(password: &[u8], cost: u32, salt: [u8; 16]) -> String {
    // The key ends with a NUL, unless it is too long for that.
    let mut key = password.to_vec();
    key.push(0);
    key.truncate(KEY_LEN_MAX);
    let hash = bcrypt::bcrypt(cost, salt, &key);
    zeroize::Zeroize::zeroize(&mut key);
    // The original wrote 23 of the 24 bytes, and so does everybody since.
    format!("{}{}", big_endian(&salt, BCRYPT), big_endian(&hash[..23], BCRYPT))
}
