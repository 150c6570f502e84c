//! Flags of a message. The bits are those of Dovecot's index and cache files.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// System flags as bits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `\Answered`
    pub const ANSWERED: Self = Self(0x01);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(0x02);
    /// `\Deleted`
    pub const DELETED: Self = Self(0x04);
    /// `\Seen`
    pub const SEEN: Self = Self(0x08);
    /// `\Draft`
    pub const DRAFT: Self = Self(0x10);
    /// All that can be stored.
    pub const ALL: Self = Self(0x1f);
    /// Each with its IMAP name, in the order in which Dovecot lists them.
    pub const NAMES: [(Self, &'static str); 5] = [
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::SEEN, "\\Seen"),
        (Self::DRAFT, "\\Draft"),
    ];

    /// The flag with an IMAP name such as `\Seen`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|&(flag, _)| flag)
    }

    /// Whether all flags of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether none is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The IMAP names of those set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |&(flag, _)| self.has(flag)).map(|(_, name)| name)
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Flags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Flags {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().collect();
        write!(f, "({})", names.join(" "))
    }
}

/// Keywords of a message as indexes into its mailbox's names. Up to 64 need no allocation.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct KeywordSet {
    repr: Repr,
}

// Invariant: `Many` is used only when an index of 64 or more is set, and its last word is not zero,
// so that equal sets are equal values.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Few(u64),
    Many(Box<[u64]>),
}

impl Default for Repr {
    fn default() -> Self {
        Self::Few(0)
    }
}

impl KeywordSet {
    /// None.
    pub const fn new() -> Self {
        Self { repr: Repr::Few(0) }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        matches!(self.repr, Repr::Few(0))
    }

    /// Whether the keyword at `index` is set.
    pub fn contains(&self, index: usize) -> bool {
        self.words().get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Sets the keyword at `index`.
    pub fn insert(&mut self, index: usize) {
        let mut words = self.words().to_vec();
        words.resize(words.len().max(index / 64 + 1), 0);
        if let Some(word) = words.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
        self.repr = Repr::from_words(words);
    }

    /// Clears the keyword at `index`.
    pub fn remove(&mut self, index: usize) {
        let mut words = self.words().to_vec();
        if let Some(word) = words.get_mut(index / 64) {
            *word &= !(1 << (index % 64));
        }
        self.repr = Repr::from_words(words);
    }

    /// The indexes in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words().iter().enumerate().flat_map(|(at, &word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit)
        })
    }

    /// From the first 64 keywords.
    #[inline]
    pub(crate) fn from_word(word: u64) -> Self {
        Self { repr: Repr::Few(word) }
    }

    /// From 64 keywords each.
    pub(crate) fn from_words(words: Vec<u64>) -> Self {
        Self { repr: Repr::from_words(words) }
    }

    /// 64 keywords each; at least one word.
    pub(crate) fn words(&self) -> &[u64] {
        match &self.repr {
            Repr::Few(word) => std::slice::from_ref(word),
            Repr::Many(words) => words,
        }
    }
}

impl Repr {
    fn from_words(mut words: Vec<u64>) -> Self {
        while words.len() > 1 && words.last() == Some(&0) {
            words.pop();
        }
        match words.as_slice() {
            [] => Self::Few(0),
            [word] => Self::Few(*word),
            _ => Self::Many(words.into_boxed_slice()),
        }
    }
}

impl FromIterator<usize> for KeywordSet {
    fn from_iter<I: IntoIterator<Item = usize>>(indexes: I) -> Self {
        let mut set = Self::new();
        indexes.into_iter().for_each(|index| set.insert(index));
        set
    }
}

impl fmt::Debug for KeywordSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
