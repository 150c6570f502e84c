//! What a `dict` process says: the words of a line, the first of which begins with a letter.

use std::io;

use base::tab;

use crate::dict::wire::unexpected;
use crate::dict::{Committed, Row};

/// The answer to a lookup.
pub(super) enum Answer {
    Values(Vec<String>),
    NotFound,
    Failed(String),
}

impl Answer {
    pub(super) fn of_lookup(words: Vec<String>) -> io::Result<Self> {
        let first = words.first().map(String::as_str).unwrap_or_default();
        match first.split_at_checked(1) {
            Some(("O", value)) => Ok(Self::Values(vec![value.to_owned()])),
            // Several in one word, escaped once more.
            Some(("M", values)) => Ok(Self::Values(values.split('\t').map(tab::unescape).collect())),
            Some(("N", _)) => Ok(Self::NotFound),
            Some(("F", reason)) => Ok(Self::Failed(reason.to_owned())),
            _ => Err(unexpected(&words.join(" "))),
        }
    }

    /// A row, or the end with what went wrong.
    pub(super) fn of_iteration(mut words: Vec<String>) -> io::Result<Result<Row, Option<String>>> {
        let first = words.first().map(String::as_str).unwrap_or_default();
        match first.split_at_checked(1) {
            _ if first.is_empty() => Ok(Err(None)),
            Some(("O", key)) if words.len() > 1 => {
                let key = key.to_owned();
                Ok(Ok(Row { key, values: words.split_off(1) }))
            }
            Some(("F", reason)) => Ok(Err(Some(reason.to_owned()))),
            _ => Err(unexpected(&words.join(" "))),
        }
    }

    /// What came of a commit, or why nothing did, and whether that is certain.
    pub(super) fn of_commit(words: Vec<String>) -> io::Result<Result<Committed, (bool, String)>> {
        let first = words.first().map(String::as_str).unwrap_or_default();
        let reason = || words.get(1).cloned().unwrap_or_default();
        match first.split_at_checked(1) {
            Some(("O", _)) => Ok(Ok(Committed::Done)),
            Some(("N", _)) => Ok(Ok(Committed::NotFound)),
            Some(("F", _)) => Ok(Err((false, reason()))),
            Some(("W", _)) => Ok(Err((true, reason()))),
            _ => Err(unexpected(&words.join(" "))),
        }
    }
}
