//! ID (RFC 2971): what a client says about itself, for the log.

use super::super::arg::Arg;
use super::super::limits::ID_PAIRS_MAX;

/// The pairs of field and value in the order sent; NIL values are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdParams(pub Vec<(String, Option<String>)>);

impl IdParams {
    /// Takes what can be understood and leaves the rest: an ID never fails after login.
    pub fn parse(args: &[Arg]) -> Self {
        let items = args.first().and_then(Arg::list).unwrap_or_default();
        Self(pairs(items).take(ID_PAIRS_MAX).collect())
    }

    /// The same for the time before login, where anything but NIL, nothing or a list that begins
    /// with strings is refused with `None`.
    pub fn parse_strict(args: &[Arg]) -> Option<Self> {
        match args {
            [] => Some(Self::default()),
            [nil] if nil.is_atom("NIL") => Some(Self::default()),
            [Arg::List(items)] => {
                let are_strings = items.iter().step_by(2).all(|field| field.string().is_some());
                are_strings.then(|| Self::parse(args))
            }
            _ => None,
        }
    }
}

fn pairs(items: &[Arg]) -> impl Iterator<Item = (String, Option<String>)> {
    items.chunks_exact(2).filter_map(|pair| {
        let [field, value] = pair else { return None };
        let value = if value.is_atom("NIL") { None } else { Some(value.text()?.into_owned()) };
        Some((field.text()?.into_owned(), value))
    })
}
