//! SORT (RFC 5256 §3, RFC 5957, RFC 5267): a search whose results come in an order.

use super::super::arg::Arg;
use super::super::error::ArgsError;
use super::search::{Charsets, SearchKey};
use super::search_return::SearchReturn;

/// A SORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// What the ESEARCH response has; `None` asks for the old SORT response.
    pub returns: Option<SearchReturn>,
    /// What to sort by, the most important first; each key once.
    pub criteria: Vec<SortCriterion>,
    /// What messages must satisfy.
    pub key: SearchKey,
}

/// A key and its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortCriterion {
    /// What to sort by.
    pub key: SortKey,
    /// Whether the largest comes first.
    pub reverse: bool,
}

/// What to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the key of its name")]
pub enum SortKey {
    Arrival,
    Cc,
    Date,
    From,
    Size,
    Subject,
    To,
    DisplayFrom,
    DisplayTo,
    Relevancy,
}

const KEYS: [(&str, SortKey); 10] = [
    ("ARRIVAL", SortKey::Arrival),
    ("CC", SortKey::Cc),
    ("DATE", SortKey::Date),
    ("FROM", SortKey::From),
    ("SIZE", SortKey::Size),
    ("SUBJECT", SortKey::Subject),
    ("TO", SortKey::To),
    ("DISPLAYFROM", SortKey::DisplayFrom),
    ("DISPLAYTO", SortKey::DisplayTo),
    ("RELEVANCY", SortKey::Relevancy),
];

impl Sort {
    pub(super) fn parse(args: &[Arg], charsets: &dyn Charsets) -> Result<Self, ArgsError> {
        let (returns, args) = SearchReturn::take(args)?;
        let [program, rest @ ..] = args else { return Err(ArgsError::bad("Invalid sort argument")) };
        let program = program.list().ok_or(ArgsError::bad("Invalid sort argument"))?;
        let criteria = criteria(program)?;
        let charset = rest.first().and_then(Arg::text).ok_or(ArgsError::bad("Invalid charset argument"))?;
        let key = SearchKey::parse(rest.get(1..).unwrap_or_default(), &charset, charsets)?;
        Ok(Self { returns, criteria, key })
    }
}

fn criteria(program: &[Arg]) -> Result<Vec<SortCriterion>, ArgsError> {
    if program.is_empty() {
        return Err(ArgsError::bad("Empty sort program"));
    }
    let mut criteria: Vec<SortCriterion> = Vec::new();
    let mut reverse = false;
    for (index, word) in program.iter().enumerate() {
        let word = word.text().ok_or(ArgsError::bad("Invalid sort list argument"))?;
        if word.eq_ignore_ascii_case("REVERSE") {
            if index + 1 == program.len() {
                return Err(ArgsError::bad("Sort list ends with REVERSE"));
            }
            reverse = !reverse;
            continue;
        }
        let key = KEYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&word)).map(|&(_, key)| key);
        let key = key.ok_or_else(|| ArgsError::Bad(format!("Unknown sort argument: {word}").into()))?;
        // A key that comes again decides nothing; as in 2.3, its REVERSE stays for the next.
        if criteria.iter().all(|known| known.key != key) {
            criteria.push(SortCriterion { key, reverse: std::mem::take(&mut reverse) });
        }
    }
    Ok(criteria)
}
