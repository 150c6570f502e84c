//! LIST (RFC 3501 §6.3.8, extended by RFC 5258, SPECIAL-USE by RFC 6154, STATUS by RFC 5819) and
//! LSUB (RFC 3501 §6.3.9).

use super::super::arg::Arg;
use super::super::error::ArgsError;
use super::status::StatusItems;

/// A LIST.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// What patterns are relative to.
    pub reference: String,
    /// Names with `%` and `*`; any may match.
    pub patterns: Vec<String>,
    /// Selection options; `None` without parentheses before the reference.
    pub select: Option<ListSelect>,
    /// Return options; `None` without RETURN.
    pub returns: Option<ListReturn>,
}

/// Which mailboxes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListSelect {
    /// Subscribed ones, even those that do not exist.
    pub subscribed: bool,
    /// Those with a special use.
    pub special_use: bool,
    /// Also parents of those that match the other options.
    pub recursive_match: bool,
}

/// What is wanted to be known about each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListReturn {
    /// `\Subscribed`
    pub subscribed: bool,
    /// `\HasChildren` or `\HasNoChildren`
    pub children: bool,
    /// `\Sent` and the like.
    pub special_use: bool,
    /// A STATUS response for each.
    pub status: Option<StatusItems>,
}

impl List {
    pub(super) fn parse(args: &[Arg]) -> Result<Self, ArgsError> {
        let (select, args) = match args.split_first() {
            Some((Arg::List(options), rest)) => (Some(parse_select(options)?), rest),
            _ => (None, args),
        };
        let (reference, args) = take_name(args, "Invalid reference")?;
        let (patterns, args) = match args.split_first() {
            Some((Arg::List(patterns), rest)) => {
                let patterns = patterns.iter().map(|pattern| pattern.astring().map(pattern_text));
                let patterns = patterns.collect::<Option<Vec<_>>>();
                (patterns.ok_or(ArgsError::bad("Invalid pattern list"))?, rest)
            }
            _ => take_name(args, "Invalid pattern").map(|(pattern, rest)| (vec![pattern], rest))?,
        };
        let returns = match args {
            [] => None,
            [word, Arg::List(options)] if word.is_atom("RETURN") => Some(parse_returns(options)?),
            _ => return Err(ArgsError::bad("Extra arguments")),
        };
        Ok(Self { reference, patterns, select, returns })
    }

    /// Whether it uses RFC 5258's syntax, which answers what was asked for and no more.
    pub fn is_extended(&self) -> bool {
        self.select.is_some() || self.returns.is_some() || self.patterns.len() != 1
    }
}

pub(super) fn parse_lsub(args: &[Arg]) -> Result<(String, String), ArgsError> {
    let (reference, args) = take_name(args, "Invalid reference")?;
    let (pattern, rest) = take_name(args, "Invalid pattern")?;
    match rest {
        [] => Ok((reference, pattern)),
        _ => Err(ArgsError::bad("Extra arguments")),
    }
}

fn take_name<'a>(args: &'a [Arg], error: &'static str) -> Result<(String, &'a [Arg]), ArgsError> {
    let (name, rest) = args.split_first().ok_or(ArgsError::bad(error))?;
    Ok((pattern_text(name.astring().ok_or(ArgsError::bad(error))?), rest))
}

/// Patterns are decoded like names. One that cannot be decoded can match nothing but is no error.
fn pattern_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    base::mutf7::decode(&text).unwrap_or_else(|_| text.into_owned())
}

fn parse_select(options: &[Arg]) -> Result<ListSelect, ArgsError> {
    let mut select = ListSelect::default();
    for option in options {
        let option = option.atom().ok_or(ArgsError::bad("List options contains non-atoms"))?;
        match option.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => select.subscribed = true,
            "SPECIAL-USE" => select.special_use = true,
            "RECURSIVEMATCH" => select.recursive_match = true,
            // There are no remote mailboxes.
            "REMOTE" => {}
            _ => return Err(ArgsError::bad("Unknown select options")),
        }
    }
    if select.recursive_match && !select.subscribed && !select.special_use {
        return Err(ArgsError::bad("RECURSIVEMATCH must not be the only selection"));
    }
    Ok(select)
}

fn parse_returns(options: &[Arg]) -> Result<ListReturn, ArgsError> {
    let mut returns = ListReturn::default();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let option = option.atom().ok_or(ArgsError::bad("List options contains non-atoms"))?;
        match option.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => returns.subscribed = true,
            "CHILDREN" => returns.children = true,
            "SPECIAL-USE" => returns.special_use = true,
            "STATUS" => {
                let items =
                    options.next().and_then(Arg::list).ok_or(ArgsError::bad("Unknown return options"))?;
                returns.status = Some(StatusItems::parse(items)?);
            }
            _ => return Err(ArgsError::bad("Unknown return options")),
        }
    }
    Ok(returns)
}
