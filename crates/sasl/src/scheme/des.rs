//! Traditional DES crypt(3): 25 times DES with a salted expansion, over a block of zeros. Bits are
//! kept one per byte: slow, short, and fast enough for what is left of such hashes.

use super::{Random, salt_text};
use crate::encoding::{CRYPT, crypt_digit, push_digits};

const SALT_LEN: usize = 2;
const ITERATIONS: usize = 25;

pub(super) fn generate(password: &[u8], random: Random<'_>) -> String {
    let salt = salt_text(SALT_LEN, random);
    // The salt is of crypt(3)'s alphabet by construction.
    crypt(password, salt.as_bytes()).unwrap_or_default()
}

/// crypt(3) with the salt in `setting`'s first two characters; `None` if these are no salt.
pub(super) fn crypt(password: &[u8], setting: &[u8]) -> Option<String> {
    let &[first, second, ..] = setting else { return None };
    if setting.len() > 13 {
        return None;
    }
    let salt = crypt_digit(first)? | crypt_digit(second)? << 6;
    let keys = key_schedule(password);
    let mut block = [0; 64];
    for _ in 0..ITERATIONS {
        encrypt(&mut block, &keys, salt);
    }
    let mut text = String::with_capacity(13);
    text.push(char::from(first));
    text.push(char::from(second));
    for digit in 0..11 {
        let bits = (0..6).fold(0, |bits, at| bits << 1 | u32::from(*block.get(digit * 6 + at).unwrap_or(&0)));
        push_digits(&mut text, bits, 1);
    }
    debug_assert!(text.bytes().skip(2).all(|digit| CRYPT.contains(&digit)));
    Some(text)
}

type Bits<const N: usize> = [u8; N];

fn permute<const N: usize>(bits: &[u8], table: &[u8; N]) -> Bits<N> {
    table.map(|from| bits[usize::from(from) - 1])
}

fn key_schedule(password: &[u8]) -> Vec<Bits<48>> {
    // Seven bits of each of the first eight characters; the eighth bit would be parity.
    let mut key = [0; 64];
    for (byte, bits) in password.iter().take_while(|&&byte| byte != 0).zip(key.chunks_exact_mut(8)) {
        (0..7).for_each(|bit| bits[bit] = byte >> (6 - bit) & 1);
    }
    let mut halves = permute(&key, &PC1);
    SHIFTS
        .iter()
        .map(|&shift| {
            let (left, right) = halves.split_at_mut(28);
            left.rotate_left(shift);
            right.rotate_left(shift);
            permute(&halves, &PC2)
        })
        .collect()
}

fn encrypt(block: &mut Bits<64>, keys: &[Bits<48>], salt: u32) {
    let start = permute(block, &IP);
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.copy_from_slice(&start[..32]);
    right.copy_from_slice(&start[32..]);
    for key in keys {
        let mixed = feistel(&right, key, salt);
        let next: Bits<32> = std::array::from_fn(|at| left[at] ^ mixed[at]);
        left = right;
        right = next;
    }
    let mut end = [0; 64];
    end[..32].copy_from_slice(&right);
    end[32..].copy_from_slice(&left);
    *block = permute(&end, &FP);
}

fn feistel(right: &Bits<32>, key: &Bits<48>, salt: u32) -> Bits<32> {
    let mut wide = permute(right, &E);
    // Each salt bit exchanges an expanded bit with the one 24 further on.
    (0..12).filter(|bit| salt >> bit & 1 == 1).for_each(|bit| wide.swap(bit, bit + 24));
    wide.iter_mut().zip(key).for_each(|(bit, key)| *bit ^= key);
    let mut narrow = [0; 32];
    for (at, (six, four)) in wide.chunks_exact(6).zip(narrow.chunks_exact_mut(4)).enumerate() {
        let row = usize::from(six[0] << 1 | six[5]);
        let column = usize::from(six[1] << 3 | six[2] << 2 | six[3] << 1 | six[4]);
        let value = S[at][row * 16 + column];
        (0..4).for_each(|bit| four[bit] = value >> (3 - bit) & 1);
    }
    permute(&narrow, &P)
}

const SHIFTS: [usize; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

// The tables of FIPS 46-3, bits counted from one.
#[rustfmt::skip]
const IP: [u8; 64] = [
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4,
    62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
    57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3,
    61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
];
#[rustfmt::skip]
const FP: [u8; 64] = [
    40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31,
    38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45, 13, 53, 21, 61, 29,
    36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27,
    34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9, 49, 17, 57, 25,
];
#[rustfmt::skip]
const E: [u8; 48] = [
    32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17,
    16, 17, 18, 19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
];
#[rustfmt::skip]
const P: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
    2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
];
#[rustfmt::skip]
const PC1: [u8; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
    63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
];
#[rustfmt::skip]
const PC2: [u8; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
    41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];
#[rustfmt::skip]
const S: [[u8; 64]; 8] = [
    [
        14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
        4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13,
    ],
    [
        15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
        0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9,
    ],
    [
        10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
        13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12,
    ],
    [
        7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
        10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14,
    ],
    [
        2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
        4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3,
    ],
    [
        12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
        9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13,
    ],
    [
        4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
        1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12,
    ],
    [
        13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
        7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11,
    ],
];
