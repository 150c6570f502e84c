//! Reads a query from words, as 2.3's command line parser does: the words are not split further, `(`
//! and `)` are words of their own, OR stands between its sides.

use storage::search::{DateKind, Query};
use storage::thread::Algorithm;
use storage::view::Flags;

use super::date::{self, Side};
use super::{Arg, Leaf, Numbers, Term};
use crate::limits::QUERY_DEPTH_MAX;

pub(super) type Parsed<T> = Result<T, String>;

pub(super) struct Parser<'a> {
    words: std::iter::Peekable<std::slice::Iter<'a, String>>,
    now: i64,
    /// Open parentheses.
    depth: usize,
    /// Open NOTs and the like.
    within: usize,
    oldest_only: bool,
    /// The last key that was read.
    pub(super) key: String,
}

/// What a list's next word began.
enum Next {
    Arg(Arg),
    /// A condition behind OR.
    OrArg(Arg),
    End,
}

impl<'a> Parser<'a> {
    pub(super) fn new(words: &'a [String], now: i64) -> Self {
        Self {
            words: words.iter().peekable(),
            now,
            depth: 0,
            within: 0,
            oldest_only: false,
            key: String::new(),
        }
    }

    /// The whole query, and whether OLDESTONLY is in it.
    pub(super) fn all(mut self) -> Parsed<(Term, bool)> {
        let term = self.list()?;
        Ok((term, self.oldest_only))
    }

    /// Conditions up to the end or the parenthesis that closes: all of them, or with OR any.
    fn list(&mut self) -> Parsed<Term> {
        let mut args = Vec::new();
        let mut is_or = false;
        loop {
            match self.next()? {
                Next::End => break,
                Next::Arg(_) if is_or => {
                    return Err("Use parenthesis when mixing ANDs and ORs".to_owned());
                }
                Next::Arg(arg) => args.push(arg),
                Next::OrArg(arg) => {
                    is_or = true;
                    args.push(arg);
                }
            }
        }
        Ok(if is_or { Term::Any(args) } else { Term::All(args) })
    }

    fn next(&mut self) -> Parsed<Next> {
        let Some(word) = self.words.next() else {
            return match self.depth {
                0 => Ok(Next::End),
                _ => Err("Missing ')'".to_owned()),
            };
        };
        match word.as_str() {
            "(" => self.parenthesis().map(Next::Arg),
            ")" if self.depth == 0 => Err("Unexpected ')'".to_owned()),
            ")" => {
                self.depth -= 1;
                Ok(Next::End)
            }
            word if word.eq_ignore_ascii_case("OR") => self.inner().map(Next::OrArg),
            word => {
                let key = word.to_ascii_uppercase();
                self.key(&key).map(Next::Arg)
            }
        }
    }

    fn parenthesis(&mut self) -> Parsed<Arg> {
        if self.depth == QUERY_DEPTH_MAX {
            return Err("Too many nested parentheses".to_owned());
        }
        self.depth += 1;
        match self.list()? {
            Term::All(args) | Term::Any(args) if args.is_empty() => {
                Err("No search parameters inside list".to_owned())
            }
            term => Ok(Arg { not: false, term }),
        }
    }

    /// The condition behind NOT, OR and the like.
    fn inner(&mut self) -> Parsed<Arg> {
        if self.within == QUERY_DEPTH_MAX {
            return Err("Too many nested conditions".to_owned());
        }
        self.within += 1;
        let next = self.next()?;
        self.within -= 1;
        match next {
            Next::Arg(arg) | Next::OrArg(arg) => Ok(arg),
            Next::End => Err("Missing argument".to_owned()),
        }
    }

    fn key(&mut self, key: &str) -> Parsed<Arg> {
        key.clone_into(&mut self.key);
        if let Some(query) = flag(key) {
            return Ok(leaf(Leaf::Key(query)));
        }
        let query = match key {
            "NOT" => {
                let arg = self.inner()?;
                return Ok(Arg { not: !arg.not, ..arg });
            }
            "FUZZY" => return self.inner(),
            "MAILBOX" => return Ok(leaf(mailbox(self.string()?))),
            "MAILBOX-GUID" => return Ok(leaf(Leaf::MailboxGuid(self.string()?))),
            "X-MAILBOX" => {
                let name = base::mutf7::decode(&self.string()?);
                return match name {
                    Ok(name) => Ok(leaf(Leaf::MailboxGlob(name))),
                    Err(_) => Err("X-MAILBOX name not mUTF-7".to_owned()),
                };
            }
            "UID" => return Ok(leaf(Leaf::Uids(self.numbers("Invalid UID messageset")?))),
            "X-REAL-UID" => return Ok(leaf(Leaf::Uids(self.numbers("Invalid X-REAL-UID messageset")?))),
            "OLDESTONLY" => {
                self.oldest_only = true;
                Query::All
            }
            // Nobody has saved a result in this session.
            "$" => Query::None,
            "KEYWORD" => Query::Keyword(self.string()?),
            "UNKEYWORD" => Query::Not(Box::new(Query::Keyword(self.string()?))),
            "LARGER" => Query::Larger(self.size()?),
            "SMALLER" => Query::Smaller(self.size()?),
            "OLDER" => Query::Older(self.interval()?),
            "YOUNGER" => Query::Younger(self.interval()?),
            "BCC" | "CC" | "FROM" | "TO" | "SUBJECT" => {
                Query::Header { name: key.to_owned(), text: self.string()? }
            }
            "HEADER" => Query::Header { name: self.string()?.to_ascii_uppercase(), text: self.string()? },
            "BODY" => Query::Body(self.string()?),
            "TEXT" => Query::Text(self.string()?),
            "MODSEQ" => self.modseq()?,
            "GUID" | "X-GUID" => Query::Guid(self.string()?),
            "MIMEPART" => Query::Part(Box::new(self.part()?)),
            "INTHREAD" => return self.in_thread(),
            key if key.starts_with(|c: char| c == '*' || c.is_ascii_digit()) => {
                let numbers = numbers(key).ok_or("Invalid messageset")?;
                return Ok(leaf(Leaf::Sequences(numbers)));
            }
            key => self.date_key(key)?,
        };
        Ok(leaf(Leaf::Key(query)))
    }

    fn in_thread(&mut self) -> Parsed<Arg> {
        let algorithm = match self.string()?.to_ascii_uppercase().as_str() {
            "ORDEREDSUBJECT" => Algorithm::OrderedSubject,
            "REFERENCES" => Algorithm::References,
            "REFS" => Algorithm::Refs,
            _ => return Err("Unknown thread algorithm".to_owned()),
        };
        Ok(leaf(Leaf::InThread(algorithm, vec![self.inner()?])))
    }

    fn date_key(&mut self, key: &str) -> Parsed<Query> {
        let unknown = || Err(format!("Unknown argument {key}"));
        let (kind, rest) = match key.strip_prefix("X-SAVED").or_else(|| key.strip_prefix("SAVED")) {
            Some(rest) => (DateKind::Saved, rest),
            None => match key.strip_prefix("SENT") {
                Some(rest) => (DateKind::Sent, rest),
                None => (DateKind::Received, key),
            },
        };
        let side = match rest {
            "BEFORE" => Side::Before,
            "ON" => Side::On,
            "SINCE" => Side::Since,
            _ => return unknown(),
        };
        let text = self.string()?;
        match date::parse(&text, self.now) {
            Some(when) => Ok(date::query(side, kind, when)),
            None => Err(format!("Invalid search date parameter: {text}")),
        }
    }

    /// The next word, whatever it is.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        self.words.next().map(String::as_str)
    }

    /// The same, which is left there.
    pub(super) fn peek(&mut self) -> Option<&'a str> {
        self.words.peek().map(|word| word.as_str())
    }

    pub(super) fn string(&mut self) -> Parsed<String> {
        self.words
            .next()
            .cloned()
            .ok_or_else(|| format!("Missing parameter for search key (for search key: {})", self.key))
    }

    fn numbers(&mut self, invalid: &str) -> Parsed<Numbers> {
        let text = self.string()?;
        // The empty result that "$" stands for.
        if text == "$" && invalid.contains(" UID ") {
            return Ok(Vec::new());
        }
        numbers(&text).ok_or_else(|| invalid.to_owned())
    }

    fn size(&mut self) -> Parsed<u64> {
        let text = self.string()?;
        base::units::parse_size(&text).map_err(|_| format!("Invalid size: {text}"))
    }

    fn interval(&mut self) -> Parsed<u32> {
        let secs = self.string()?.parse().ok().filter(|secs| *secs != 0);
        secs.ok_or_else(|| "Invalid search interval parameter".to_owned())
    }

    /// `[/flags/<name> all|priv|shared] <modseq>`
    fn modseq(&mut self) -> Parsed<Query> {
        let mut text = self.string()?;
        if let Some(name) = text.to_ascii_lowercase().strip_prefix("/flags/") {
            if name.starts_with('\\')
                && !matches!(name, "\\answered" | "\\deleted" | "\\draft" | "\\flagged" | "\\seen")
            {
                return Err("Invalid MODSEQ system flag".to_owned());
            }
            let kind = self.string()?.to_ascii_lowercase();
            if !matches!(kind.as_str(), "all" | "priv" | "shared") {
                return Err("Invalid MODSEQ type".to_owned());
            }
            text = self.string()?;
        }
        text.parse().map(super::modseq).map_err(|_| "Invalid MODSEQ value".to_owned())
    }
}

fn leaf(leaf: Leaf) -> Arg {
    Arg { not: false, term: Term::Leaf(leaf) }
}

/// A mailbox's name, or a pattern if it has wildcards.
pub(super) fn mailbox(name: String) -> Leaf {
    match name.contains(['*', '%']) {
        true => Leaf::MailboxGlob(name),
        false => Leaf::Mailbox(name),
    }
}

/// Keys that take nothing.
fn flag(key: &str) -> Option<Query> {
    let not = |query| Query::Not(Box::new(query));
    Some(match key {
        "ALL" => Query::All,
        "SAVEDATESUPPORTED" => Query::SaveDateSupported,
        "ANSWERED" => Query::Flags(Flags::ANSWERED),
        "UNANSWERED" => not(Query::Flags(Flags::ANSWERED)),
        "DELETED" => Query::Flags(Flags::DELETED),
        "UNDELETED" => not(Query::Flags(Flags::DELETED)),
        "DRAFT" => Query::Flags(Flags::DRAFT),
        "UNDRAFT" => not(Query::Flags(Flags::DRAFT)),
        "FLAGGED" => Query::Flags(Flags::FLAGGED),
        "UNFLAGGED" => not(Query::Flags(Flags::FLAGGED)),
        "SEEN" => Query::Flags(Flags::SEEN),
        "UNSEEN" => not(Query::Flags(Flags::SEEN)),
        "RECENT" => Query::Recent,
        "OLD" => not(Query::Recent),
        "NEW" => Query::And(vec![Query::Recent, not(Query::Flags(Flags::SEEN))]),
        _ => return None,
    })
}

/// `1,3:5,7:*`
fn numbers(text: &str) -> Option<Numbers> {
    let number = |text: &str| match text {
        "*" => Some(None),
        text => match text.parse::<u32>() {
            Ok(number) if number != 0 && !text.starts_with('+') => Some(Some(number)),
            _ => None,
        },
    };
    text.split(',')
        .map(|range| match range.split_once(':') {
            Some((first, last)) => Some((number(first)?, number(last)?)),
            None => number(range).map(|one| (one, one)),
        })
        .collect()
}
