//! `RETURN (…)` of SEARCH and SORT (RFC 4731, RFC 5182, RFC 5267): what the answer consists of.

use super::super::arg::Arg;
use super::super::error::ArgsError;

/// What an ESEARCH response has. Empty means nothing but [`save`](Self::save).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SearchReturn {
    /// The first result.
    pub min: bool,
    /// The last result.
    pub max: bool,
    /// All results.
    pub all: bool,
    /// How many results there are.
    pub count: bool,
    /// The result is kept for `$`; it is not sent if nothing else is asked for.
    pub save: bool,
    /// The results from and to these places, counted from one.
    pub partial: Option<(u32, u32)>,
    /// How well each result fits (RFC 6203).
    pub relevancy: bool,
    /// The client wants to hear of later changes of the result.
    pub update: bool,
}

impl SearchReturn {
    /// Takes `RETURN (…)` off the front of the arguments, if it is there.
    pub(super) fn take(args: &[Arg]) -> Result<(Option<Self>, &[Arg]), ArgsError> {
        match args {
            [word, Arg::List(options), rest @ ..] if word.is_atom("RETURN") => {
                Ok((Some(Self::parse(options)?), rest))
            }
            _ => Ok((None, args)),
        }
    }

    /// Whether the arguments of a SEARCH or SORT ask to save its result; it is then lost if they are
    /// refused with NO (RFC 5182 §2.1).
    pub fn is_save_wanted(args: &[Arg]) -> bool {
        matches!(Self::take(args), Ok((Some(returns), _)) if returns.save)
    }

    fn parse(options: &[Arg]) -> Result<Self, ArgsError> {
        let mut wanted = Self::default();
        let mut options = options.iter().peekable();
        while let Some(option) = options.next() {
            let name = option.atom().ok_or(ArgsError::bad("SEARCH return options contain non-atoms"))?;
            match name.to_ascii_uppercase().as_str() {
                "MIN" => wanted.min = true,
                "MAX" => wanted.max = true,
                "ALL" => wanted.all = true,
                "COUNT" => wanted.count = true,
                "SAVE" => wanted.save = true,
                "RELEVANCY" => wanted.relevancy = true,
                // A hint that the client will ask again (RFC 5267 §4.2).
                "CONTEXT" => {}
                "UPDATE" if wanted.update => {
                    return Err(ArgsError::bad("SEARCH return options have duplicate UPDATE"));
                }
                "UPDATE" => {
                    wanted.update = true;
                    options.next_if(|next| next.list().is_some());
                }
                "PARTIAL" if wanted.partial.is_some() => {
                    return Err(ArgsError::bad("PARTIAL can be used only once"));
                }
                "PARTIAL" => {
                    let range =
                        options.next().and_then(Arg::atom).ok_or(ArgsError::bad("PARTIAL range missing"))?;
                    wanted.partial = Some(range_of(range).ok_or(ArgsError::bad("PARTIAL range broken"))?);
                }
                _ => return Err(ArgsError::bad("Unknown SEARCH return option")),
            }
        }
        if wanted.partial.is_some() && wanted.all {
            return Err(ArgsError::bad("PARTIAL conflicts with ALL"));
        }
        wanted.all |= wanted == Self { update: wanted.update, ..Self::default() };
        Ok(wanted)
    }
}

fn range_of(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once(':')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|&number| is_number && number > 0)
    };
    let (first, last) = (number(first)?, number(last)?);
    Some((first.min(last), first.max(last)))
}
