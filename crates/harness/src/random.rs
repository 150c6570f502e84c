//! Random numbers for tests that tell their seed: the same seed is the same test.

/// A small generator.
pub struct Random(pub u64);

impl Random {
    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// A place in a list of `count`, which is not 0.
    pub fn index(&mut self, count: usize) -> usize {
        self.below(count as u64) as usize
    }

    /// One of a list that is not empty.
    pub fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.index(list.len())]
    }

    /// Up to two flags and keywords, with blanks between.
    pub fn flags(&mut self) -> String {
        const WORDS: [&str; 9] =
            ["\\Seen", "\\Answered", "\\Flagged", "\\Draft", "$Forwarded", "NonJunk", "kw1", "kw2", "kw3"];
        let count = self.below(3);
        (0..count).map(|_| self.pick(&WORDS)).collect::<Vec<_>>().join(" ")
    }
}
