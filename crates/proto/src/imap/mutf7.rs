//! Modified UTF-7, the encoding of mailbox names on the wire (RFC 3501 §5.1.3): printable ASCII
//! stands for itself, `&` is `&-`, all else is UTF-16 in a base64 that uses `,` for `/`.
//!
//! Decoding accepts exactly what encoding produces, so that a mailbox has one name only.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// A name that is not in the one form its decoded text would be encoded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid modified UTF-7")]
pub struct InvalidMutf7;

/// The wire form of `name`.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    for character in name.chars() {
        if matches!(character, ' '..='~') {
            flush_shifted(&mut out, &mut shifted);
            out.push(character);
            if character == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                shifted.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush_shifted(&mut out, &mut shifted);
    out
}

fn flush_shifted(out: &mut String, shifted: &mut Vec<u8>) {
    if shifted.is_empty() {
        return;
    }
    out.push('&');
    for group in shifted.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for digit in 0..=group.len() {
            let value = bits >> (18 - 6 * digit) & 63;
            out.push(char::from(ALPHABET[value as usize]));
        }
    }
    out.push('-');
    shifted.clear();
}

/// The text that `wire` stands for. Refuses 8-bit bytes, control characters, needless or
/// unfinished base64, unpaired surrogates and printable characters in base64.
pub fn decode(wire: &[u8]) -> Result<String, InvalidMutf7> {
    let mut out = String::with_capacity(wire.len());
    let mut rest = wire;
    // A second base64 run right after the first would be a second spelling of the same name.
    let mut after_shift = false;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'&' => {
                let end = rest.iter().position(|&byte| byte == b'-').ok_or(InvalidMutf7)?;
                let (shifted, tail) = rest.split_at(end);
                rest = tail.get(1..).unwrap_or_default();
                if shifted.is_empty() {
                    out.push('&');
                    after_shift = false;
                } else if after_shift {
                    return Err(InvalidMutf7);
                } else {
                    decode_shifted(shifted, &mut out)?;
                    after_shift = true;
                }
            }
            b' '..=b'~' => {
                out.push(char::from(byte));
                after_shift = false;
            }
            _ => return Err(InvalidMutf7),
        }
    }
    Ok(out)
}

fn decode_shifted(digits: &[u8], out: &mut String) -> Result<(), InvalidMutf7> {
    let mut bits = 0u32;
    let mut bit_count = 0;
    let mut units = Vec::with_capacity(digits.len() * 6 / 16);
    for &digit in digits {
        bits = bits << 6 | digit_value(digit)?;
        bit_count += 6;
        if bit_count >= 16 {
            bit_count -= 16;
            units.push((bits >> bit_count) as u16);
            bits &= (1 << bit_count) - 1;
        }
    }
    // What is left must be padding: less than a digit's worth, and zero.
    if bit_count >= 6 || bits != 0 || units.is_empty() {
        return Err(InvalidMutf7);
    }
    for character in char::decode_utf16(units) {
        match character {
            Ok(' '..='~') | Err(_) => return Err(InvalidMutf7),
            Ok(character) => out.push(character),
        }
    }
    Ok(())
}

fn digit_value(digit: u8) -> Result<u32, InvalidMutf7> {
    Ok(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b',' => 63,
        _ => return Err(InvalidMutf7),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, wire: &str) {
        assert_eq!(encode(text), wire);
        assert_eq!(decode(wire.as_bytes()).as_deref(), Ok(text));
    }

    fn check_bad(wire: &[u8]) {
        assert_eq!(decode(wire), Err(InvalidMutf7), "{}", wire.escape_ascii());
    }

    #[test]
    fn both_ways() {
        check("", "");
        check("INBOX", "INBOX");
        check("a&b", "a&-b");
        check("été", "&AOk-t&AOk-");
        check("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        check("😀", "&2D3eAA-");
        check("&é", "&-&AOk-");
        check("\t", "&AAk-");
    }

    #[test]
    fn refuses_other_spellings() {
        for wire in [
            &b"&abc"[..],
            b"&",
            b"\xc3\xa9",
            b"a\tb",
            b"&AOk",
            b"&AOl-",
            b"&A-",
            b"&AO-",
            b"&AGE-",
            b"&2D0-",
            b"&3gA-",
            b"&AOk-&AOk-",
            b"&A/k-",
            b"&AOkA-",
            b"&=-",
        ] {
            check_bad(wire);
        }
    }

    proptest! {
        #[test]
        fn every_name_survives(name in ".*") {
            prop_assert_eq!(decode(encode(&name).as_bytes()), Ok(name));
        }

        #[test]
        fn bytes_never_panic(wire in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(name) = decode(&wire) {
                prop_assert_eq!(encode(&name).into_bytes(), wire);
            }
        }
    }
}
