//! Numbers that must not be mixed up: unique identifiers, sequence numbers, modification
//! sequences and mailbox or message GUIDs.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The smallest one.
            pub const ONE: Self = Self(NonZeroU32::MIN);

            /// `None` for zero, which is no valid number in any protocol that uses it.
            pub const fn new(value: u32) -> Option<Self> {
                match NonZeroU32::new(value) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The plain number.
            pub const fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl TryFrom<u32> for $name {
            type Error = ZeroNumber;

            fn try_from(value: u32) -> Result<Self, ZeroNumber> {
                Self::new(value).ok_or(ZeroNumber)
            }
        }

        impl From<$name> for u32 {
            fn from(value: $name) -> u32 {
                value.get()
            }
        }
    };
}

number! {
    /// A message's unique identifier, which never changes within one [`UidValidity`]
    /// (RFC 3501 §2.3.1.1).
    Uid
}
number! {
    /// A message's position in a session's view of a mailbox, counted from one
    /// (RFC 3501 §2.3.1.2).
    Seq
}
number! {
    /// The number that says whether UIDs seen earlier are still valid (RFC 3501 §2.3.1.1).
    UidValidity
}

impl Seq {
    /// The sequence number of the message at `index`, which counts from zero.
    pub fn from_index(index: usize) -> Option<Self> {
        u32::try_from(index).ok().and_then(|index| index.checked_add(1)).and_then(Self::new)
    }

    /// The position counted from zero.
    pub fn index(self) -> usize {
        self.get() as usize - 1
    }
}

/// Zero where a number must be at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("zero is not a valid message number")]
pub struct ZeroNumber;

/// A modification sequence (RFC 7162 §3.1). Zero means "not tracked".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct ModSeq(pub u64);

/// A mailbox or message GUID of 128 bits, printed as 32 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Guid(pub [u8; 16]);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}

impl std::str::FromStr for Guid {
    type Err = BadGuid;

    fn from_str(text: &str) -> Result<Self, BadGuid> {
        if text.len() != 32 || !text.is_ascii() {
            return Err(BadGuid);
        }
        let mut guid = [0; 16];
        for (byte, pair) in guid.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| BadGuid)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| BadGuid)?;
        }
        Ok(Self(guid))
    }
}

/// Text that is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID of 32 hexadecimal digits")]
pub struct BadGuid;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guid_round_trip() {
        let text = "05afe8382c1c046bb808000083ecc375";
        assert_eq!(text.parse::<Guid>().unwrap().to_string(), text);
        assert!("05".parse::<Guid>().is_err());
    }

    #[test]
    fn sequence_numbers_count_from_one() {
        assert_eq!(Seq::from_index(0), Some(Seq::ONE));
        assert_eq!(Seq::ONE.index(), 0);
        assert_eq!(Uid::new(0), None);
    }
}
