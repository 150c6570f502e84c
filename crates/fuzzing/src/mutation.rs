//! Damaged inputs: a small generator of mutations, the same for the same number.

/// Values that programs trip over, as text and as bytes.
const ODD: &[&[u8]] = &[
    b"0",
    b"-1",
    b"4294967295",
    b"4294967296",
    b"18446744073709551615",
    b"99999999999999999999",
    b"\0",
    b"\n",
    b"\r\n",
    b"\t",
    b"\x01",
    b"\"",
    b"\\",
    b"%",
    b"{",
    b"}",
    b"(",
    b")",
    b"=",
    b"\xff\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xc3",
    "\u{df}\u{130}".as_bytes(),
];

/// How many changes one input gets.
const CHANGES_MAX: usize = 6;

/// No input grows beyond this, or beyond the seed that it comes from.
const INPUT_BYTES_MAX: usize = 8 * 1024;

/// Numbers that look like chance: splitmix64.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to below `end`; 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    /// A part of something of `len` bytes, rather short than long.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = 1 << self.below(9);
        start..(start + self.below(most) + 1).min(len)
    }
}

/// A damaged one of `seeds`.
pub(crate) fn damaged(chance: &mut Chance, seeds: &[Vec<u8>]) -> Vec<u8> {
    let pick = |chance: &mut Chance| seeds.get(chance.below(seeds.len())).cloned().unwrap_or_default();
    let mut input = pick(chance);
    let most = INPUT_BYTES_MAX.max(input.len());
    for _ in 0..=chance.below(CHANGES_MAX) {
        let at = chance.below(input.len() + 1);
        match chance.below(9) {
            0 if at < input.len() => input[at] ^= 1 << chance.below(8),
            1 if at < input.len() => input[at] = chance.next() as u8,
            2 => drop(input.drain(chance.range(input.len()))),
            3 => drop(input.splice(at..at, [chance.next() as u8])),
            4 => {
                // A part of it once more, or many times.
                let part = input[chance.range(input.len())].to_vec();
                let times = 1 << chance.below(6);
                drop(input.splice(at..at, part.repeat(times)));
            }
            5 => {
                let other = pick(chance);
                drop(input.splice(at..at, other[chance.range(other.len())].iter().copied()));
            }
            6 => {
                let odd = ODD[chance.below(ODD.len())];
                let end = (at + chance.below(2) * odd.len()).min(input.len());
                drop(input.splice(at..end, odd.iter().copied()));
            }
            7 => {
                // A number in text becomes another.
                let end = at + input[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let odd = ODD[chance.below(6)];
                drop(input.splice(at..end, odd.iter().copied()));
            }
            _ => input.truncate(at),
        }
        input.truncate(most);
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_gives_the_same_input() {
        let seeds = [b"VERSION\t1\t2\n".to_vec(), b"other 5".to_vec()];
        let some = |seed| {
            let mut chance = Chance::new(seed);
            (0..500).map(|_| damaged(&mut chance, &seeds)).collect::<Vec<_>>()
        };
        assert_eq!(some(1), some(1));
        assert_ne!(some(1), some(2));
        let mut different = some(1);
        different.sort();
        different.dedup();
        assert!(different.len() > 400, "{}", different.len());
        assert!(damaged(&mut Chance::new(1), &[]).len() <= INPUT_BYTES_MAX);
    }
}
