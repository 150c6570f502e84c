//! Hexadecimal, base64 (RFC 4648 §4) and the two "crypt" flavours of base64 that the hash formats
//! use. Own code, because the alphabets and bit orders are four and the whole is short.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The alphabet of crypt(3), and of salts made of it.
pub const CRYPT: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
pub(crate) const BCRYPT: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Lowercase hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes of hexadecimal digits in either case; `None` if `text` is anything else.
pub fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks_exact(2)
        .map(|pair| {
            let (high, low) = (digit(*pair.first()?)?, digit(*pair.last()?)?);
            u8::try_from(high << 4 | low).ok()
        })
        .collect()
}

/// Base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = big_endian(bytes, STANDARD);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Decodes base64 with padding; `None` if it is anything else.
pub fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    if padding > 2 || !text.len().is_multiple_of(4) {
        return None;
    }
    from_big_endian(text.get(..text.len() - padding)?, STANDARD)
}

/// Base64 without padding, as the PHC string format uses it.
pub(crate) fn base64_bare(bytes: &[u8]) -> String {
    big_endian(bytes, STANDARD)
}

/// Decodes base64 without padding.
pub(crate) fn from_base64_bare(text: &[u8]) -> Option<Vec<u8>> {
    from_big_endian(text, STANDARD)
}

/// Groups of three bytes into four digits, highest bits first.
pub(crate) fn big_endian(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for digit in 0..=group.len() {
            text.push(char::from(alphabet[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

/// The reverse of [`big_endian`]; bits left over at the end are ignored.
pub(crate) fn from_big_endian(text: &[u8], alphabet: &[u8; 64]) -> Option<Vec<u8>> {
    if text.len() % 4 == 1 {
        return None;
    }
    let table = reverse(alphabet);
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for &digit in group {
            bits = bits << 6 | u32::from(table[usize::from(digit)]?);
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend(bits.to_be_bytes().iter().skip(1).take(group.len() - 1));
    }
    Some(bytes)
}

/// Groups of three bytes into four digits, lowest bits first, as yescrypt writes them.
pub(crate) fn little_endian(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().rev().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte));
        push_digits(&mut text, bits, group.len() + 1);
    }
    text
}

/// The reverse of [`little_endian`].
pub(crate) fn from_little_endian(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() % 4 == 1 {
        return None;
    }
    let table = reverse(CRYPT);
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for (at, &digit) in group.iter().enumerate() {
            bits |= u32::from(table[usize::from(digit)]?) << (6 * at);
        }
        bytes.extend(bits.to_le_bytes().iter().take(group.len() - 1));
    }
    Some(bytes)
}

/// Appends `count` digits of `bits` in crypt(3)'s alphabet, lowest first.
pub(crate) fn push_digits(text: &mut String, mut bits: u32, count: usize) {
    for _ in 0..count {
        text.push(char::from(CRYPT[(bits & 63) as usize]));
        bits >>= 6;
    }
}

/// The value of one digit of crypt(3)'s alphabet.
pub(crate) fn crypt_digit(digit: u8) -> Option<u32> {
    CRYPT.iter().position(|&known| known == digit).and_then(|at| u32::try_from(at).ok())
}

fn reverse(alphabet: &[u8; 64]) -> [Option<u8>; 256] {
    let mut table = [None; 256];
    for (value, &digit) in (0_u8..).zip(alphabet) {
        table[usize::from(digit)] = Some(value);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_round_trip() {
        for (bytes, text) in
            [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes), text);
            assert_eq!(from_base64(text.as_bytes()).as_deref(), Some(bytes));
            assert_eq!(from_base64_bare(text.trim_end_matches('=').as_bytes()).as_deref(), Some(bytes));
            assert_eq!(from_little_endian(little_endian(bytes).as_bytes()).as_deref(), Some(bytes));
        }
        for bad in ["Z", "Zg", "Zg=", "Zg===", "Z!==", "Z=g="] {
            assert_eq!(from_base64(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn hex_round_trip() {
        assert_eq!(hex(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(from_hex(b"001FfF"), Some(vec![0, 0x1f, 0xff]));
        assert_eq!(from_hex(b"001"), None);
        assert_eq!(from_hex(b"0g"), None);
    }
}
