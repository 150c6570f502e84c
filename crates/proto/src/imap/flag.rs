//! Flags and keywords of messages (RFC 3501 §2.3.2).

use super::arg::Arg;
use super::error::ArgsError;

/// A set of the system flags that clients may set; `\Recent` is the server's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct SystemFlags(u8);

impl SystemFlags {
    /// `\Answered`
    pub const ANSWERED: Self = Self(1);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(2);
    /// `\Deleted`
    pub const DELETED: Self = Self(4);
    /// `\Seen`
    pub const SEEN: Self = Self(8);
    /// `\Draft`
    pub const DRAFT: Self = Self(16);

    /// All of them, each with its name, in the order in which Dovecot lists them.
    pub const NAMED: [(Self, &'static str); 5] = [
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::SEEN, "\\Seen"),
        (Self::DRAFT, "\\Draft"),
    ];

    /// Whether all of `other` are in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether none is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// With those of `other` added.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The flags of a STORE or APPEND.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlagList {
    /// Those with a backslash.
    pub system: SystemFlags,
    /// All others, as the client wrote them.
    pub keywords: Vec<Box<str>>,
}

impl FlagList {
    /// Parses a list of flags or, as 2.3 does, flags without parentheses around them.
    pub fn parse(args: &[Arg]) -> Result<Self, ArgsError> {
        let mut flags = Self::default();
        for arg in args {
            let word = arg.atom().ok_or(ArgsError::bad("Flags list contains non-atoms"))?;
            if !word.starts_with('\\') {
                if !flags.keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case(word)) {
                    flags.keywords.push(word.into());
                }
                continue;
            }
            let known = SystemFlags::NAMED.iter().find(|(_, name)| name.eq_ignore_ascii_case(word));
            let (flag, _) = known.ok_or_else(|| {
                ArgsError::Bad(format!("Invalid system flag {}", word.to_ascii_uppercase()).into())
            })?;
            flags.system = flags.system.with(*flag);
        }
        Ok(flags)
    }
}

/// Whether `keyword` may become one: printable ASCII without what would end an atom.
pub fn is_keyword(keyword: &str) -> bool {
    let is_good = |byte: u8| {
        byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
    };
    !keyword.is_empty() && keyword.bytes().all(is_good)
}
