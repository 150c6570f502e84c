//! Throws away the rest of a command line, literals that come with it included: a client that does
//! not wait sends their bytes in any case, and they must never be taken for commands.

/// Where in the line the skipping is.
#[derive(Debug)]
pub(super) struct Skip {
    /// Bytes of a literal still to be thrown away.
    literal_left: u64,
    tail: Tail,
}

/// How much of `{n+}` the line ends with so far.
#[derive(Debug, Clone, Copy)]
enum Tail {
    Other,
    Size(u64),
    Plus(u64),
    Closed(u64),
}

impl Skip {
    /// To the end of the line.
    pub(super) const fn line() -> Self {
        Self { literal_left: 0, tail: Tail::Other }
    }

    /// Over a literal of `size` bytes and then to the end of the line.
    pub(super) const fn literal(size: u64) -> Self {
        Self { literal_left: size, tail: Tail::Other }
    }

    /// Takes bytes; `true` once the line has ended.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> bool {
        loop {
            let take = usize::try_from(self.literal_left).unwrap_or(usize::MAX).min(input.len());
            *input = input.get(take..).unwrap_or_default();
            self.literal_left -= take as u64;
            let Some((&byte, rest)) = input.split_first() else { return false };
            *input = rest;
            self.tail = match (byte, self.tail) {
                (b'\n', Tail::Closed(size)) => {
                    self.literal_left = size;
                    Tail::Other
                }
                (b'\n', _) => return true,
                (b'{', _) => Tail::Size(0),
                (b'0'..=b'9', Tail::Size(size)) => {
                    Tail::Size(size.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
                }
                (b'+', Tail::Size(size)) => Tail::Plus(size),
                (b'}', Tail::Plus(size)) => Tail::Closed(size),
                (b'\r', tail) => tail,
                _ => Tail::Other,
            };
        }
    }
}
