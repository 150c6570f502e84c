//! Letters between `%` and a variable that change its value.

use md5::{Digest, Md5};

use super::Shape;
use super::hash::hex;

/// Most modifiers of one variable; a further letter is the variable.
pub(super) const COUNT_MAX: usize = 10;

pub(super) fn is_modifier(c: char) -> bool {
    matches!(c, 'L' | 'U' | 'E' | 'X' | 'R' | 'H' | 'N' | 'M' | 'D' | 'T')
}

pub(super) fn apply(modifier: char, value: Vec<u8>, shape: &mut Shape) -> Vec<u8> {
    match modifier {
        'L' => value.to_ascii_lowercase(),
        'U' => value.to_ascii_uppercase(),
        'E' => escape(&value),
        'X' => {
            let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse::<u64>().ok());
            format!("{:x}", number.unwrap_or(0)).into_bytes()
        }
        'R' => value.into_iter().rev().collect(),
        'H' => bucket(u64::from(old_hash(&value)), shape),
        'N' => bucket(new_hash(&value), shape),
        'M' => hex(&Md5::digest(&value)).into_bytes(),
        'D' => String::from_utf8_lossy(&value).replace('.', ",dc=").into_bytes(),
        'T' => value.trim_ascii_end().to_vec(),
        _ => value,
    }
}

fn escape(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value {
        if matches!(byte, b'"' | b'\\' | b'\'') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

/// For directory hashing the width is the number of buckets and the offset the least number of
/// digits; both are used up by it.
fn bucket(hash: u64, shape: &mut Shape) -> Vec<u8> {
    let buckets = std::mem::take(&mut shape.width);
    let digits = usize::try_from(std::mem::take(&mut shape.offset)).unwrap_or(0).min(1024);
    // 2.3 divides by the number as unsigned, so that a negative one is huge.
    let hash = if buckets == 0 { hash } else { hash % buckets.unsigned_abs() };
    format!("{:0>digits$x}", hash & u64::from(u32::MAX)).into_bytes()
}

fn old_hash(value: &[u8]) -> u32 {
    value.iter().fold(0u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(*byte));
        match hash & 0xf000_0000 {
            0 => hash,
            top => (hash ^ (top >> 24)) ^ top,
        }
    })
}

fn new_hash(value: &[u8]) -> u64 {
    let digest = Md5::digest(value);
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}
