//! crypt(3) without the C library: the method is told by the hash's prefix.

use yescrypt::Params;

use super::{Cost, SchemeError, blowfish, des, md5_crypt, sha_crypt};
use crate::encoding::{from_little_endian, little_endian};
use crate::limits::YESCRYPT_MEMORY_BYTES_MAX;
use crate::secret::constant_time_eq;

const INVALID: SchemeError = SchemeError::Crypt("Invalid argument");

pub(super) fn verify(password: &[u8], raw: &[u8]) -> Result<bool, SchemeError> {
    let computed = match raw {
        [] => return Ok(false),
        [b'$', b'2', _, b'$', ..] => return blowfish::verify(password, raw),
        [b'$', b'1', b'$', ..] => return md5_crypt::verify(password, raw),
        [b'$', b'5', b'$', ..] => sha_crypt::crypt::<sha_crypt::Sha256>(password, raw)?,
        [b'$', b'6', b'$', ..] => sha_crypt::crypt::<sha_crypt::Sha512>(password, raw)?,
        [b'$', b'y', b'$', ..] => yescrypt(password, raw)?,
        [b'$', ..] => return Err(SchemeError::Crypt("Hash method isn't supported")),
        // A locked account's `*` or `!` is no hash at all, which crypt(3) refuses too.
        _ => des::crypt(password, raw).ok_or(INVALID)?,
    };
    Ok(constant_time_eq(computed.as_bytes(), raw))
}

pub(super) fn cost(raw: &[u8]) -> Cost {
    if raw.len() > 4 { Cost::Slow } else { Cost::Cheap }
}

/// `$y$<parameters>$<salt>$<hash>`
fn yescrypt(password: &[u8], raw: &[u8]) -> Result<String, SchemeError> {
    let text = std::str::from_utf8(raw).map_err(|_| INVALID)?;
    let mut fields = text.split('$').skip(2);
    let (Some(shown), Some(salt)) = (fields.next(), fields.next()) else { return Err(INVALID) };
    let params: Params = shown.parse().map_err(|_| INVALID)?;
    if params.n().saturating_mul(u64::from(params.r())).saturating_mul(128) > YESCRYPT_MEMORY_BYTES_MAX {
        return Err(SchemeError::Crypt("yescrypt hash asks for too much memory"));
    }
    let salt_bytes = from_little_endian(salt.as_bytes()).ok_or(INVALID)?;
    let mut hash = [0; 32];
    yescrypt::yescrypt(password, &salt_bytes, &params, &mut hash).map_err(|_| INVALID)?;
    Ok(format!("$y${shown}${salt}${}", little_endian(&hash)))
}
