//! Password schemes: what stands behind `{SCHEME}` in a passdb, verified and generated exactly as
//! 2.3 does. To add a scheme, add a line to [`SCHEMES`] and a file under `scheme/`.

mod argon;
mod blowfish;
mod crypt;
mod des;
mod digest;
mod md5_crypt;
pub(crate) mod otp;
mod outdated;
mod pbkdf2;
pub(crate) mod scram;
mod sha_crypt;

pub use outdated::is_outdated;

pub(crate) use digest::hmac_md5_from_context;

use crate::secret::constant_time_eq;
use crate::{Secret, encoding};

/// What generation and some verifications need besides the password.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    /// The user, whose name is part of a DIGEST-MD5 secret.
    pub user: &'a str,
    /// Rounds or cost to generate with; 0 is the scheme's default.
    pub rounds: u32,
}

/// Fills a buffer with random bytes.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

/// How a hash is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The scheme's own text.
    Text,
    /// Base64 of the raw bytes (`.b64`, `.base64`).
    Base64,
    /// Hexadecimal digits of the raw bytes (`.hex`).
    Hex,
}

/// How long verification takes, which decides where it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Microseconds: done at once.
    Cheap,
    /// Milliseconds and more by design: done in a worker.
    Slow,
}

/// Why a stored password cannot be used. The texts are what 2.3 logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    /// No such scheme, or no such encoding suffix.
    #[error("Unknown scheme")]
    UnknownScheme,
    /// `.hex` with something else in it.
    #[error("Input isn't valid HEX encoded data")]
    BadHex,
    /// Base64 with something else in it.
    #[error("Input isn't valid base64 encoded data")]
    BadBase64,
    /// The hash has the wrong size.
    #[error("Input length isn't valid ({got} instead of {want})")]
    BadLength {
        /// Bytes that are there.
        got: usize,
        /// Bytes that the scheme has.
        want: usize,
    },
    /// The hash does not follow the scheme's format.
    #[error("{0}")]
    Malformed(String),
    /// A crypt(3) method or parameter that is not supported.
    #[error("crypt() failed: {0}")]
    Crypt(&'static str),
}

/// One password scheme.
#[derive(Debug)]
pub struct Scheme {
    /// Its name in upper case.
    pub name: &'static str,
    encoding: Encoding,
    /// The size of the raw hash where it is fixed, else 0.
    raw_len: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Argon2i,
    Argon2id,
    BlfCrypt,
    CramMd5,
    Crypt,
    DesCrypt,
    DigestMd5,
    Md5,
    Md5Crypt,
    Otp,
    Pbkdf2,
    Plain,
    PlainMd4,
    PlainMd5,
    PlainTrunc,
    ScramSha1,
    ScramSha256,
    Sha1,
    Sha256,
    Sha256Crypt,
    Sha512,
    Sha512Crypt,
    Smd5,
    Ssha,
    Ssha256,
    Ssha512,
}

const fn scheme(name: &'static str, encoding: Encoding, raw_len: usize, kind: Kind) -> Scheme {
    Scheme { name, encoding, raw_len, kind }
}

use Encoding::{Base64, Hex, Text};

/// Every scheme, in the order in which `doveadm pw -l` of 2.3 lists them and guesses try them.
pub static SCHEMES: &[Scheme] = &[
    scheme("SHA1", Base64, 20, Kind::Sha1),
    scheme("SSHA512", Base64, 0, Kind::Ssha512),
    scheme("SCRAM-SHA-256", Text, 0, Kind::ScramSha256),
    scheme("BLF-CRYPT", Text, 0, Kind::BlfCrypt),
    scheme("PLAIN", Text, 0, Kind::Plain),
    scheme("HMAC-MD5", Hex, 32, Kind::CramMd5),
    scheme("OTP", Text, 0, Kind::Otp),
    scheme("SHA512", Base64, 64, Kind::Sha512),
    scheme("SHA", Base64, 20, Kind::Sha1),
    scheme("DES-CRYPT", Text, 0, Kind::DesCrypt),
    scheme("CRYPT", Text, 0, Kind::Crypt),
    scheme("SSHA", Base64, 0, Kind::Ssha),
    scheme("MD5-CRYPT", Text, 0, Kind::Md5Crypt),
    scheme("PLAIN-MD4", Hex, 16, Kind::PlainMd4),
    scheme("PLAIN-MD5", Hex, 16, Kind::PlainMd5),
    scheme("SCRAM-SHA-1", Text, 0, Kind::ScramSha1),
    scheme("SHA512-CRYPT", Text, 0, Kind::Sha512Crypt),
    scheme("CLEAR", Text, 0, Kind::Plain),
    scheme("CLEARTEXT", Text, 0, Kind::Plain),
    scheme("ARGON2I", Text, 0, Kind::Argon2i),
    scheme("ARGON2ID", Text, 0, Kind::Argon2id),
    scheme("SSHA256", Base64, 0, Kind::Ssha256),
    scheme("MD5", Text, 0, Kind::Md5),
    scheme("PBKDF2", Text, 0, Kind::Pbkdf2),
    scheme("SHA256", Base64, 32, Kind::Sha256),
    scheme("CRAM-MD5", Hex, 32, Kind::CramMd5),
    scheme("PLAIN-TRUNC", Text, 0, Kind::PlainTrunc),
    scheme("SHA256-CRYPT", Text, 0, Kind::Sha256Crypt),
    scheme("SMD5", Base64, 0, Kind::Smd5),
    scheme("DIGEST-MD5", Hex, 16, Kind::DigestMd5),
    scheme("LDAP-MD5", Base64, 16, Kind::PlainMd5),
];

/// The scheme and encoding that `name` stands for, in any case and with an optional `.b64`,
/// `.base64` or `.hex`.
pub fn find(name: &str) -> Option<(&'static Scheme, Encoding)> {
    let (base, suffix) = match name.split_once('.') {
        Some((base, suffix)) => (base, Some(suffix)),
        None => (name, None),
    };
    let scheme = SCHEMES.iter().find(|scheme| scheme.name.eq_ignore_ascii_case(base))?;
    let encoding = match suffix {
        None => scheme.encoding,
        Some(suffix) if ["b64", "base64"].iter().any(|known| suffix.eq_ignore_ascii_case(known)) => Base64,
        Some(suffix) if suffix.eq_ignore_ascii_case("hex") => Hex,
        Some(_) => return None,
    };
    Some((scheme, encoding))
}

/// Splits `{SCHEME}hash` into scheme and hash. A hash that begins with `$1$` is MD5-CRYPT without
/// saying so. `None` as the scheme means that the passdb's default applies.
pub fn split_prefix(stored: &str) -> (Option<&str>, &str) {
    if let Some(rest) = stored.strip_prefix("$1$") {
        let Some((salt, hash)) = rest.split_once('$') else { return (None, stored) };
        // 2.3 ignores what comes after a further `$`.
        let hash = hash.split_once('$').map_or(hash, |(hash, _)| hash);
        return (Some("MD5-CRYPT"), &stored[..3 + salt.len() + 1 + hash.len()]);
    }
    match stored.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((scheme, hash)) => (Some(scheme), hash),
        None => (None, stored),
    }
}

/// Whether two scheme names stand for the same thing (`PLAIN` and `CLEARTEXT`), whatever their
/// encoding.
pub fn is_alias(a: &str, b: &str) -> bool {
    let base = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let (a, b) = (base(a), base(b));
    if a.is_empty() || b.is_empty() {
        return false;
    }
    a == b || matches!((find(&a), find(&b)), (Some((a, _)), Some((b, _))) if a.generates() == b.generates())
}

/// The raw bytes of a stored hash without its prefix.
pub fn decode(stored: &str, scheme_name: &str) -> Result<Secret, SchemeError> {
    let (scheme, encoding) = find(scheme_name).ok_or(SchemeError::UnknownScheme)?;
    let text = stored.as_bytes();
    // Without a suffix hexadecimal and base64 are told apart by the length.
    let guessed = encoding != Text && scheme.raw_len != 0 && !scheme_name.contains('.');
    let encoding = match encoding {
        _ if !guessed => encoding,
        _ if text.len() == scheme.raw_len * 2 => Hex,
        _ => Base64,
    };
    let raw = match (encoding, encoding::from_hex(text)) {
        (Text, _) => text.to_vec(),
        (Hex, Some(raw)) => raw,
        (Hex, None) if !guessed => return Err(SchemeError::BadHex),
        _ => encoding::from_base64(text).ok_or(SchemeError::BadBase64)?,
    };
    if scheme.raw_len != 0 && raw.len() != scheme.raw_len {
        return Err(SchemeError::BadLength { got: raw.len(), want: scheme.raw_len });
    }
    Ok(Secret::new(raw))
}

/// Whether `password` is the one that `raw`, the decoded hash, was made of.
pub fn verify(password: &[u8], params: &Params<'_>, scheme: &str, raw: &[u8]) -> Result<bool, SchemeError> {
    let (scheme, _) = find(scheme).ok_or(SchemeError::UnknownScheme)?;
    scheme.verify(password, params, raw)
}

/// Decodes and verifies in one go. `stored` may have a `{SCHEME}` prefix, else it is in
/// `default_scheme`.
pub fn verify_stored(
    password: &[u8],
    params: &Params<'_>,
    default_scheme: &str,
    stored: &str,
) -> Result<bool, SchemeError> {
    let (scheme, hash) = split_prefix(stored);
    let scheme = scheme.unwrap_or(default_scheme);
    verify(password, params, scheme, decode(hash, scheme)?.expose())
}

/// Makes a hash as it is stored, without the prefix. `random` gives the salt.
pub fn generate(
    password: &[u8],
    params: &Params<'_>,
    scheme: &str,
    random: Random<'_>,
) -> Result<String, SchemeError> {
    let (scheme, encoding) = find(scheme).ok_or(SchemeError::UnknownScheme)?;
    let raw = scheme.generate(password, params, random)?;
    Ok(match encoding {
        Text => String::from_utf8_lossy(raw.expose()).into_owned(),
        Base64 => encoding::base64(raw.expose()),
        Hex => encoding::hex(raw.expose()),
    })
}

/// The first scheme in which `stored`, which has no prefix, is a hash of `password`; for tools
/// that guess.
pub fn detect(password: &[u8], params: &Params<'_>, stored: &str) -> Option<&'static str> {
    let matches = |scheme: &&Scheme| {
        decode(stored, scheme.name)
            .and_then(|raw| scheme.verify(password, params, raw.expose()))
            .unwrap_or(false)
    };
    SCHEMES.iter().find(matches).map(|scheme| scheme.name)
}

/// How long verifying `raw` takes under `scheme`; unknown schemes are cheap to refuse.
pub fn cost(scheme: &str, raw: &[u8]) -> Cost {
    match find(scheme).map(|(scheme, _)| scheme.kind) {
        Some(Kind::Crypt | Kind::DesCrypt | Kind::Sha256Crypt | Kind::Sha512Crypt) => crypt::cost(raw),
        Some(
            Kind::Argon2i
            | Kind::Argon2id
            | Kind::BlfCrypt
            | Kind::Md5Crypt
            | Kind::Otp
            | Kind::Pbkdf2
            | Kind::ScramSha1
            | Kind::ScramSha256,
        ) => Cost::Slow,
        Some(Kind::Md5) if raw.starts_with(b"$1$") => Cost::Slow,
        _ => Cost::Cheap,
    }
}

impl Scheme {
    /// Schemes that generate the same are aliases of each other.
    fn generates(&self) -> Kind {
        match self.kind {
            Kind::PlainTrunc => Kind::Plain,
            Kind::Md5 => Kind::Md5Crypt,
            Kind::Crypt => Kind::BlfCrypt,
            kind => kind,
        }
    }

    fn verify(&self, password: &[u8], params: &Params<'_>, raw: &[u8]) -> Result<bool, SchemeError> {
        match self.kind {
            Kind::Crypt | Kind::DesCrypt | Kind::Sha256Crypt | Kind::Sha512Crypt => {
                crypt::verify(password, raw)
            }
            Kind::BlfCrypt => blowfish::verify(password, raw),
            Kind::Md5Crypt => md5_crypt::verify(password, raw),
            Kind::Md5 if raw.starts_with(b"$1$") => md5_crypt::verify(password, raw),
            Kind::Md5 => verify_plain_md5(password, params, raw),
            Kind::Argon2i | Kind::Argon2id => argon::verify(password, raw),
            Kind::Pbkdf2 => pbkdf2::verify(password, raw),
            Kind::ScramSha1 => scram::verify::<scram::Sha1>(password, raw),
            Kind::ScramSha256 => scram::verify::<scram::Sha256>(password, raw),
            Kind::Otp => otp::verify(password, raw),
            Kind::Plain => Ok(constant_time_eq(password, raw)),
            Kind::PlainTrunc => verify_plain_trunc(password, raw),
            Kind::Smd5 | Kind::Ssha | Kind::Ssha256 | Kind::Ssha512 => {
                digest::verify_salted(self.kind, self.name, password, raw)
            }
            Kind::CramMd5
            | Kind::DigestMd5
            | Kind::PlainMd4
            | Kind::PlainMd5
            | Kind::Sha1
            | Kind::Sha256
            | Kind::Sha512 => Ok(constant_time_eq(&digest::unsalted(self.kind, password, params), raw)),
        }
    }

    fn generate(
        &self,
        password: &[u8],
        params: &Params<'_>,
        random: Random<'_>,
    ) -> Result<Secret, SchemeError> {
        let text = match self.kind {
            Kind::Crypt | Kind::BlfCrypt => blowfish::generate(password, params.rounds, random),
            Kind::DesCrypt => des::generate(password, random),
            Kind::Md5 | Kind::Md5Crypt => md5_crypt::generate(password, random),
            Kind::Sha256Crypt => sha_crypt::generate::<sha_crypt::Sha256>(password, params.rounds, random),
            Kind::Sha512Crypt => sha_crypt::generate::<sha_crypt::Sha512>(password, params.rounds, random),
            Kind::Argon2i => argon::generate(argon::Variant::I, password, params.rounds, random)?,
            Kind::Argon2id => argon::generate(argon::Variant::Id, password, params.rounds, random)?,
            Kind::Pbkdf2 => pbkdf2::generate(password, params.rounds, random),
            Kind::ScramSha1 => scram::generate::<scram::Sha1>(password, random),
            Kind::ScramSha256 => scram::generate::<scram::Sha256>(password, random),
            Kind::Otp => otp::generate(password, random),
            Kind::Plain | Kind::PlainTrunc => return Ok(Secret::new(password)),
            Kind::Smd5 | Kind::Ssha | Kind::Ssha256 | Kind::Ssha512 => {
                return Ok(Secret::new(digest::generate_salted(self.kind, password, random)));
            }
            Kind::CramMd5
            | Kind::DigestMd5
            | Kind::PlainMd4
            | Kind::PlainMd5
            | Kind::Sha1
            | Kind::Sha256
            | Kind::Sha512 => return Ok(Secret::new(digest::unsalted(self.kind, password, params))),
        };
        Ok(Secret::new(text))
    }
}

/// `{MD5}` is MD5-CRYPT or, in old databases, the bare digest in hexadecimal or base64.
fn verify_plain_md5(password: &[u8], params: &Params<'_>, raw: &[u8]) -> Result<bool, SchemeError> {
    let digest = std::str::from_utf8(raw)
        .ok()
        .and_then(|text| decode(text, "PLAIN-MD5").ok())
        .ok_or_else(|| SchemeError::Malformed("Not a valid MD5-CRYPT or PLAIN-MD5 password".into()))?;
    Ok(constant_time_eq(&digest::unsalted(Kind::PlainMd5, password, params), digest.expose()))
}

/// `<length>-<password>`: if the stored password has just that length it may have been cut, and a
/// longer one that begins with it is accepted.
fn verify_plain_trunc(password: &[u8], raw: &[u8]) -> Result<bool, SchemeError> {
    let missing = || SchemeError::Malformed("PLAIN-TRUNC missing length: prefix".into());
    let at = raw.iter().position(|byte| !byte.is_ascii_digit()).ok_or_else(missing)?;
    let (length, rest) = raw.split_at(at);
    let stored = rest.strip_prefix(b"-").ok_or_else(missing)?;
    let length: usize = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    match password.get(..length) {
        Some(start) if stored.len() == length => Ok(constant_time_eq(stored, start)),
        _ => Ok(constant_time_eq(stored, password)),
    }
}

/// Salt of `len` characters of crypt(3)'s alphabet.
fn salt_text(len: usize, random: Random<'_>) -> String {
    let mut bytes = vec![0; len];
    random(&mut bytes);
    bytes.iter().map(|byte| char::from(encoding::CRYPT[usize::from(byte & 63)])).collect()
}

#[cfg(test)]
mod tests;
