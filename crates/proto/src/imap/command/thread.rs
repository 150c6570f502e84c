//! THREAD (RFC 5256 §3): a search whose results come as trees.

use super::super::arg::Arg;
use super::super::error::{ArgsError, INVALID_ARGUMENTS};
use super::search::{Charsets, SearchKey};

/// A THREAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// How to put messages together.
    pub algorithm: ThreadAlgorithm,
    /// What messages must satisfy.
    pub key: SearchKey,
}

/// How to put messages together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the algorithm of its name")]
pub enum ThreadAlgorithm {
    OrderedSubject,
    References,
    Refs,
}

impl ThreadAlgorithm {
    /// The algorithm of that name, in any case.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "ORDEREDSUBJECT" => Self::OrderedSubject,
            "REFERENCES" => Self::References,
            "REFS" => Self::Refs,
            _ => return None,
        })
    }
}

impl Thread {
    pub(super) fn parse(args: &[Arg], charsets: &dyn Charsets) -> Result<Self, ArgsError> {
        let [name, charset, keys @ ..] = args else { return Err(INVALID_ARGUMENTS) };
        let (name, charset) = name.text().zip(charset.text()).ok_or(INVALID_ARGUMENTS)?;
        let algorithm = ThreadAlgorithm::of(&name).ok_or(ArgsError::bad("Unknown thread algorithm"))?;
        Ok(Self { algorithm, key: SearchKey::parse(keys, &charset, charsets)? })
    }
}
