//! Names of message files: `1700000000.M123P456.host,S=1234,W=1250:2,FSab`. Before the colon stands
//! the base name, which never changes; behind it the flags.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::view::Flags;

/// How many keywords the letters `a` to `z` can tell apart.
pub(crate) const KEYWORDS_MAX: usize = 26;

/// The part before the flags.
pub(crate) fn base(name: &[u8]) -> &[u8] {
    match memchr::memchr(b':', name) {
        Some(at) => &name[..at],
        None => name,
    }
}

/// A new name that no other file of this host has.
pub(crate) fn generate(hostname: &str) -> String {
    static LAST: Mutex<(u64, u32)> = Mutex::new((0, 0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut last = LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let now = (now.as_secs(), now.subsec_micros());
    *last = if now > *last {
        now
    } else if last.1 + 1 >= 1_000_000 {
        (last.0 + 1, 0)
    } else {
        (last.0, last.1 + 1)
    };
    format!("{}.M{}P{}.{hostname}", last.0, last.1, std::process::id())
}

/// A size in the name: `,S=` (bytes as stored) or `,W=` (with CRLF).
pub(crate) fn size(name: &[u8], key: u8) -> Option<u64> {
    let mut rest = name;
    loop {
        let at = memchr::memchr(b',', rest)?;
        rest = rest.get(at + 1..)?;
        if rest.first() == Some(&key) && rest.get(1) == Some(&b'=') {
            break;
        }
    }
    let value = rest.get(2..)?;
    let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
    match value.get(end) {
        None | Some(b',' | b':') => std::str::from_utf8(value.get(..end)?).ok()?.parse().ok(),
        Some(_) => None,
    }
}

/// The flags and the keyword letters (bit 0 is `a`) in a name.
pub(crate) fn flags(name: &[u8]) -> (Flags, u32) {
    let (mut flags, mut letters) = (Flags::NONE, 0);
    for &byte in info(name).1 {
        match byte {
            b'R' => flags |= Flags::ANSWERED,
            b'S' => flags |= Flags::SEEN,
            b'T' => flags |= Flags::DELETED,
            b'D' => flags |= Flags::DRAFT,
            b'F' => flags |= Flags::FLAGGED,
            b'a'..=b'z' => letters |= 1 << (byte - b'a'),
            b',' => break,
            _ => {}
        }
    }
    (flags, letters)
}

/// The numbers of the keyword letters in a set of bits.
pub(crate) fn letters(bits: u32) -> impl Iterator<Item = usize> {
    (0..KEYWORDS_MAX).filter(move |letter| bits >> letter & 1 == 1)
}

/// The name with other flags. Letters that are not known stay, all in the order of their codes, and
/// so does whatever follows a comma.
pub(crate) fn with_flags(name: &[u8], flags: Flags, letters: u32) -> Vec<u8> {
    let (stem, old) = info(name);
    let (old, tail) = match memchr::memchr(b',', old) {
        Some(at) => old.split_at(at),
        None => (old, &[][..]),
    };
    let known = |byte: &u8| matches!(byte, b'D' | b'F' | b'R' | b'S' | b'T' | b'a'..=b'z');
    let mut codes: Vec<u8> = old.iter().copied().filter(|byte| !known(byte)).collect();
    for (flag, code) in [
        (Flags::DRAFT, b'D'),
        (Flags::FLAGGED, b'F'),
        (Flags::ANSWERED, b'R'),
        (Flags::SEEN, b'S'),
        (Flags::DELETED, b'T'),
    ] {
        if flags.has(flag) {
            codes.push(code);
        }
    }
    codes.extend((0..KEYWORDS_MAX as u8).filter(|bit| letters >> bit & 1 == 1).map(|bit| b'a' + bit));
    codes.sort_unstable();
    [stem, b":2,", &codes, tail].concat()
}

/// Sorts as 2.3 does when it gives UIDs to new files: by seconds, microseconds, then bytes.
pub(crate) fn sort_key(name: &[u8]) -> (u64, u64, &[u8]) {
    let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (secs, rest) = name.split_at(digits);
    (number(secs), microseconds(rest).unwrap_or(0), base(rest))
}

fn microseconds(rest: &[u8]) -> Option<u64> {
    let rest = rest.strip_prefix(b".")?;
    let end = rest.iter().position(|byte| matches!(byte, b'.' | b':')).unwrap_or(rest.len());
    let unique = rest.get(..end)?;
    let value = unique.get(memchr::memchr(b'M', unique)? + 1..)?;
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some(number(value.get(..digits)?))
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0u64, |value, &digit| {
        value.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

/// What stands before `:2,` and what stands behind it. Another kind of info part is dropped, as 2.3
/// drops it.
fn info(name: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memrchr(b':', name) {
        Some(at) => {
            let (stem, info) = name.split_at(at);
            (stem, info.strip_prefix(b":2,").unwrap_or_default())
        }
        None => (name, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (name, s, w) in [
            ("1.M2P3.h,S=12,W=34:2,S", Some(12), Some(34)),
            ("1.M2P3.h,W=34", None, Some(34)),
            ("1.M2P3.h,S=1x", None, None),
            ("1.M2P3.h", None, None),
            ("1,S", None, None),
        ] {
            assert_eq!((size(name.as_bytes(), b'S'), size(name.as_bytes(), b'W')), (s, w), "{name}");
        }
    }

    #[test]
    fn flags_both_ways() {
        for (name, flags_set, letters, expected) in [
            ("x", Flags::SEEN, 0, "x:2,S"),
            ("x:2,S", Flags::NONE, 0, "x:2,"),
            ("x:2,PX", Flags::SEEN | Flags::DRAFT, 0b101, "x:2,DPSXac"),
            ("x:2,Sa,extra", Flags::FLAGGED, 0b10, "x:2,Fb,extra"),
            ("x:1,foo", Flags::ALL, 0, "x:2,DFRST"),
        ] {
            let new = with_flags(name.as_bytes(), flags_set, letters);
            assert_eq!(String::from_utf8_lossy(&new), expected);
            assert_eq!(flags(&new), (flags_set, letters));
        }
        assert_eq!(base(b"x,S=1:2,S"), b"x,S=1");
    }

    #[test]
    fn order_of_arrival() {
        let mut names = ["10.M5P1.h", "9.x.h", "10.M40P1.h", "abc", "10.h", "10.M5P0.h"];
        names.sort_by_key(|name| sort_key(name.as_bytes()));
        assert_eq!(names, ["abc", "9.x.h", "10.h", "10.M5P0.h", "10.M5P1.h", "10.M40P1.h"]);
    }

    #[test]
    fn generated_names_differ() {
        let names: std::collections::HashSet<_> = (0..2000).map(|_| generate("h")).collect();
        assert_eq!(names.len(), 2000);
    }
}
