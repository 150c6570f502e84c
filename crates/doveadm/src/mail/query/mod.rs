//! The search language of doveadm-search-query(7): IMAP's keys in the words of a command line, dates
//! and sizes as people write them, and which mailboxes are meant.

mod date;
mod guard;
mod parse;
mod part;
mod resolve;

pub(crate) use resolve::Place;

use base::ModSeq;
use mail_user::Pattern;
use storage::search::Query;
use storage::thread::Algorithm;

use crate::context::{Failure, Outcome};

/// A search query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SearchQuery {
    /// As it was written, all of which must hold.
    written: Vec<Arg>,
    /// The same with every NOT at its leaf.
    root: Expr,
    /// `OLDESTONLY`: the search ends at the first message that does not fit.
    pub(crate) oldest_only: bool,
}

/// A condition as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arg {
    not: bool,
    term: Term,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    All(Vec<Arg>),
    Any(Vec<Arg>),
    Leaf(Leaf),
}

/// A condition without parts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Leaf {
    Mailbox(String),
    /// With `*` or `%`.
    MailboxGlob(String),
    MailboxGuid(String),
    Sequences(Numbers),
    Uids(Numbers),
    Key(Query),
    /// Some message of its thread fits all of these.
    InThread(Algorithm, Vec<Arg>),
}

/// Ranges of numbers; `None` is `*`.
type Numbers = Vec<(Option<u32>, Option<u32>)>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expr {
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Leaf { not: bool, leaf: Leaf },
}

impl SearchQuery {
    /// Reads a query from the words of a command line; `now` is what ages are counted from, in
    /// seconds since 1970.
    pub(crate) fn parse(words: &[String]) -> Outcome<Self> {
        let now = jiff::Timestamp::now().as_second();
        Self::parse_at(words, now).map_err(Failure::fatal)
    }

    fn parse_at(words: &[String], now: i64) -> Result<Self, String> {
        let (written, oldest_only) = parse::Parser::new(words, now).all()?;
        Ok(Self {
            root: Expr::of(&Arg { not: false, term: written.clone() }, false),
            written: list(written),
            oldest_only,
        })
    }

    /// A query for mailboxes only: names and patterns, any of them.
    pub(crate) fn mailboxes(names: &[String]) -> Self {
        let leaf = |name: &String| Arg { not: false, term: Term::Leaf(parse::mailbox(name.clone())) };
        let args: Vec<Arg> = names.iter().map(leaf).collect();
        let term = if args.len() > 1 { Term::Any(args) } else { Term::All(args) };
        let root = Expr::of(&Arg { not: false, term: term.clone() }, false);
        Self { root, written: list(term), oldest_only: false }
    }

    /// 2.3's care with commands that remove: every branch must name a mailbox, and something besides.
    pub(crate) fn check_removal(&self, command: &str) -> Outcome {
        guard::check(&self.written, command)
    }

    /// The names and patterns that every mailbox in question must fit, and whether GUIDs are asked
    /// for.
    pub(crate) fn patterns(&self) -> (Vec<&str>, bool) {
        let mut patterns = Vec::new();
        let mut has_guid = false;
        if !self.root.patterns(&mut patterns, &mut has_guid) {
            patterns.clear();
        }
        (patterns, has_guid)
    }

    /// Whether a mailbox of this name may hold what is looked for.
    pub(crate) fn fits_mailbox(&self, name: &str, separator: char) -> bool {
        self.root.fits_mailbox(name, separator)
    }
}

fn list(term: Term) -> Vec<Arg> {
    match term {
        Term::All(args) => args,
        term => vec![Arg { not: false, term }],
    }
}

impl Expr {
    fn of(arg: &Arg, not: bool) -> Self {
        let not = not != arg.not;
        let parts = |args: &[Arg]| args.iter().map(|arg| Self::of(arg, not)).collect();
        match (&arg.term, not) {
            (Term::All(args), false) | (Term::Any(args), true) => Self::All(parts(args)),
            (Term::Any(args), false) | (Term::All(args), true) => Self::Any(parts(args)),
            (Term::Leaf(leaf), not) => Self::Leaf { not, leaf: leaf.clone() },
        }
    }

    /// `false` where a mailbox is excluded, so that all must be looked at.
    fn patterns<'a>(&'a self, patterns: &mut Vec<&'a str>, has_guid: &mut bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.patterns(patterns, has_guid)),
            // As in 2.3 an OR of mailboxes looks at all of them.
            Self::Any(_) => true,
            Self::Leaf { not, leaf: Leaf::Mailbox(name) | Leaf::MailboxGlob(name) } => {
                patterns.push(name);
                !not
            }
            Self::Leaf { leaf: Leaf::MailboxGuid(_), .. } => {
                *has_guid = true;
                true
            }
            Self::Leaf { .. } => true,
        }
    }

    fn fits_mailbox(&self, name: &str, separator: char) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.fits_mailbox(name, separator)),
            Self::Any(parts) => parts.iter().any(|part| part.fits_mailbox(name, separator)),
            Self::Leaf { not, leaf: Leaf::Mailbox(wanted) } => is_mailbox(name, wanted) != *not,
            Self::Leaf { not, leaf: Leaf::MailboxGlob(pattern) } => {
                Pattern::new(pattern, separator).matches(name) != *not
            }
            Self::Leaf { .. } => true,
        }
    }
}

/// Equal, but for the case of INBOX.
fn is_mailbox(name: &str, wanted: &str) -> bool {
    match name {
        "INBOX" => wanted.eq_ignore_ascii_case(name),
        _ => name == wanted,
    }
}

const fn modseq(value: u64) -> Query {
    Query::ModSeq(ModSeq(value))
}

#[cfg(test)]
mod tests;
