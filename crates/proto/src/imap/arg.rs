//! The arguments of a command as a tree of atoms, strings and lists, before they get a meaning.

use std::borrow::Cow;

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// An unquoted word: printable ASCII without `(`, `)`, `{`, `"` and space. `NIL` is one.
    Atom(Box<str>),
    /// A quoted string or a literal: any bytes but NUL.
    String(Box<[u8]>),
    /// What stands between parentheses.
    List(Vec<Arg>),
}

impl Arg {
    /// The word, if it is an atom.
    pub fn atom(&self) -> Option<&str> {
        match self {
            Self::Atom(word) => Some(word),
            _ => None,
        }
    }

    /// Whether it is the atom `word`, in any case.
    pub fn is_atom(&self, word: &str) -> bool {
        self.atom().is_some_and(|atom| atom.eq_ignore_ascii_case(word))
    }

    /// The bytes of an astring: an atom, quoted string or literal (RFC 3501 §9 `astring`).
    pub fn astring(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(word) => Some(word.as_bytes()),
            Self::String(bytes) => Some(bytes),
            Self::List(_) => None,
        }
    }

    /// The bytes of a quoted string or literal.
    pub fn string(&self) -> Option<&[u8]> {
        match self {
            Self::String(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// An astring as text, with bytes that are no UTF-8 replaced.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        self.astring().map(String::from_utf8_lossy)
    }

    /// The items of a list.
    pub fn list(&self) -> Option<&[Arg]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }
}
