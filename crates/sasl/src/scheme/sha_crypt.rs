//! SHA256-CRYPT (`$5$`) and SHA512-CRYPT (`$6$`), after Ulrich Drepper's specification. Own code,
//! because it must take any salt that crypt(3) takes.

use sha2::Digest;
pub(super) use sha2::{Sha256, Sha512};

use super::{Random, SchemeError, salt_text};
use crate::encoding::push_digits;
use crate::limits::SHA_CRYPT_ROUNDS;

const SALT_LEN_MAX: usize = 16;
const ROUNDS_DEFAULT: u32 = 5000;

/// What differs between the two sizes.
pub(super) trait Variant: Digest + Clone {
    /// `$5$` or `$6$`.
    const PREFIX: &'static str;
    /// The order in which bytes become digits, three at a time; what is left over comes last.
    const ORDER: &'static [[usize; 3]];
    /// The bytes left over, highest first.
    const TAIL: &'static [usize];
}

impl Variant for Sha256 {
    const PREFIX: &'static str = "$5$";
    const ORDER: &'static [[usize; 3]] = &[
        [0, 10, 20],
        [21, 1, 11],
        [12, 22, 2],
        [3, 13, 23],
        [24, 4, 14],
        [15, 25, 5],
        [6, 16, 26],
        [27, 7, 17],
        [18, 28, 8],
        [9, 19, 29],
    ];
    const TAIL: &'static [usize] = &[31, 30];
}

impl Variant for Sha512 {
    const PREFIX: &'static str = "$6$";
    const ORDER: &'static [[usize; 3]] = &[
        [0, 21, 42],
        [22, 43, 1],
        [44, 2, 23],
        [3, 24, 45],
        [25, 46, 4],
        [47, 5, 26],
        [6, 27, 48],
        [28, 49, 7],
        [50, 8, 29],
        [9, 30, 51],
        [31, 52, 10],
        [53, 11, 32],
        [12, 33, 54],
        [34, 55, 13],
        [56, 14, 35],
        [15, 36, 57],
        [37, 58, 16],
        [59, 17, 38],
        [18, 39, 60],
        [40, 61, 19],
        [62, 20, 41],
    ];
    const TAIL: &'static [usize] = &[63];
}

pub(super) fn generate<V: Variant>(password: &[u8], rounds: u32, random: Random<'_>) -> String {
    let salt = salt_text(SALT_LEN_MAX, random);
    let rounds = match rounds {
        0 => ROUNDS_DEFAULT,
        rounds => rounds.clamp(*SHA_CRYPT_ROUNDS.start(), *SHA_CRYPT_ROUNDS.end()),
    };
    // Only a count that is not the default is written, as 2.3 does.
    let shown = (rounds != ROUNDS_DEFAULT).then_some(rounds);
    hash::<V>(password, salt.as_bytes(), rounds, shown)
}

/// crypt(3) with `setting`, a whole hash or its beginning.
pub(super) fn crypt<V: Variant>(password: &[u8], setting: &[u8]) -> Result<String, SchemeError> {
    let rest = setting.strip_prefix(V::PREFIX.as_bytes()).ok_or(SchemeError::Crypt("Invalid argument"))?;
    let (shown, rest) = rounds(rest)?;
    let salt = rest.split(|&byte| byte == b'$').next().unwrap_or_default();
    let salt = salt.get(..SALT_LEN_MAX).unwrap_or(salt);
    Ok(hash::<V>(password, salt, shown.unwrap_or(ROUNDS_DEFAULT), shown))
}

fn rounds(setting: &[u8]) -> Result<(Option<u32>, &[u8]), SchemeError> {
    let Some(rest) = setting.strip_prefix(b"rounds=") else { return Ok((None, setting)) };
    let invalid = SchemeError::Crypt("Invalid argument");
    let end = rest.iter().position(|&byte| byte == b'$').ok_or(invalid.clone())?;
    let (digits, rest) = rest.split_at(end);
    // Leading zeros and counts out of range are refused, as libxcrypt does.
    let count = std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'))
        .and_then(|text| text.parse().ok())
        .filter(|count| SHA_CRYPT_ROUNDS.contains(count))
        .ok_or(invalid)?;
    Ok((Some(count), rest.get(1..).unwrap_or_default()))
}

fn hash<V: Variant>(password: &[u8], salt: &[u8], rounds: u32, shown: Option<u32>) -> String {
    let mut text = String::from(V::PREFIX);
    if let Some(rounds) = shown {
        text.push_str(&format!("rounds={rounds}$"));
    }
    text.push_str(&String::from_utf8_lossy(salt));
    text.push('$');
    let mut hash = stretch::<V>(password, salt, rounds);
    for &[a, b, c] in V::ORDER {
        push_digits(&mut text, u32::from(hash[a]) << 16 | u32::from(hash[b]) << 8 | u32::from(hash[c]), 4);
    }
    let tail = V::TAIL.iter().fold(0, |bits, &at| bits << 8 | u32::from(hash[at]));
    push_digits(&mut text, tail, V::TAIL.len() + 1);
    hash.fill(0);
    text
}

fn stretch<V: Variant>(password: &[u8], salt: &[u8], rounds: u32) -> Vec<u8> {
    let mut hash = first::<V>(password, salt);
    let mut digest = V::new();
    (0..password.len()).for_each(|_| digest.update(password));
    let p_bytes = repeat(&digest.finalize(), password.len());
    let mut digest = V::new();
    (0..16 + usize::from(hash[0])).for_each(|_| digest.update(salt));
    let s_bytes = repeat(&digest.finalize(), salt.len());
    for round in 0..rounds {
        let odd = round % 2 == 1;
        let mut digest = V::new();
        digest.update(if odd { &p_bytes } else { &hash });
        if round % 3 != 0 {
            digest.update(&s_bytes);
        }
        if round % 7 != 0 {
            digest.update(&p_bytes);
        }
        digest.update(if odd { &hash } else { &p_bytes });
        hash.copy_from_slice(&digest.finalize());
    }
    hash
}

fn first<V: Variant>(password: &[u8], salt: &[u8]) -> Vec<u8> {
    let alternate = V::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut digest = V::new().chain_update(password).chain_update(salt);
    digest.update(repeat(&alternate, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        if bits & 1 == 1 {
            digest.update(&alternate);
        } else {
            digest.update(password);
        }
        bits >>= 1;
    }
    digest.finalize().to_vec()
}

fn repeat(bytes: &[u8], len: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(len).collect()
}
