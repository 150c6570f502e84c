//! SEARCH (RFC 3501 §6.4.4 and the keys of later extensions): which messages are looked for.

use super::super::arg::Arg;
use super::super::date::Date;
use super::super::error::ArgsError;
use super::super::flag::SystemFlags;
use super::super::limits::{SEARCH_DEPTH_MAX, SEARCH_KEYS_MAX};
use super::super::sequence::SequenceSet;
use super::part_key::PartKey;
use super::search_return::SearchReturn;
use super::thread::ThreadAlgorithm;

/// A SEARCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What the ESEARCH response has; `None` asks for the old SEARCH response.
    pub returns: Option<SearchReturn>,
    /// What messages must satisfy.
    pub key: SearchKey,
}

/// One condition. Negative and combined keys of the RFC (UNSEEN, NEW, OLD…) are written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// Every message.
    All,
    /// All of these.
    And(Vec<SearchKey>),
    /// At least one of these.
    Or(Vec<SearchKey>),
    /// Not this.
    Not(Box<SearchKey>),
    /// These sequence numbers.
    Seqs(SequenceSet),
    /// These UIDs.
    Uids(SequenceSet),
    /// With all of these flags.
    Flags(SystemFlags),
    /// With `\Recent`.
    Recent,
    /// With this keyword.
    Keyword(String),
    /// On an earlier day.
    Before(DateField, Date),
    /// On this day.
    On(DateField, Date),
    /// On this or a later day.
    Since(DateField, Date),
    /// More bytes than this.
    Larger(u64),
    /// Fewer bytes than this.
    Smaller(u64),
    /// A header field of this name that contains the text; an empty text is contained in any.
    Header {
        /// The field's name.
        name: String,
        /// The text in UTF-8.
        value: String,
    },
    /// This text in the body.
    Body(String),
    /// This text in header or body.
    Text(String),
    /// Arrived at least so many seconds ago (RFC 5032).
    Older(u32),
    /// Arrived at most so many seconds ago (RFC 5032).
    Younger(u32),
    /// Changed at this modification sequence or later (RFC 7162 §3.1.5). Servers that keep one for the
    /// whole message ignore which flag is named.
    ModSeq(u64),
    /// What the last SEARCH with SAVE found: `$` (RFC 5182).
    LastResult,
    /// A save date is known (RFC 8514).
    SaveDateSupported,
    /// Some message of its thread satisfies this.
    InThread(ThreadAlgorithm, Box<SearchKey>),
    /// With this GUID: Dovecot's X-GUID.
    Guid(String),
    /// Some part of it is like this: Dovecot's MIMEPART.
    Part(PartKey),
    /// In a mailbox whose name, in UTF-8, fits this pattern: Dovecot's X-MAILBOX.
    Mailbox(String),
}

/// Which date of a message is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateField {
    /// When it arrived.
    Internal,
    /// Its Date field.
    Sent,
    /// When it was put into the mailbox (RFC 8514).
    Saved,
}

/// Why a search string could not be turned into UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CharsetError {
    /// No such charset is known.
    #[error("unknown charset")]
    Unknown,
    /// The bytes are not of the charset.
    #[error("text is not of the charset")]
    Invalid,
}

/// Turns search strings into UTF-8. The caller brings the conversion tables.
pub trait Charsets {
    /// The text that `bytes` are in `charset`, whose name may be in any case.
    fn decode(&self, charset: &str, bytes: &[u8]) -> Result<String, CharsetError>;
}

/// Knows UTF-8 and its subset US-ASCII.
#[derive(Debug, Clone, Copy)]
pub struct Utf8Only;

impl Charsets for Utf8Only {
    fn decode(&self, charset: &str, bytes: &[u8]) -> Result<String, CharsetError> {
        let is_known = ["UTF-8", "UTF8", "US-ASCII"].iter().any(|known| known.eq_ignore_ascii_case(charset));
        if !is_known {
            return Err(CharsetError::Unknown);
        }
        String::from_utf8(bytes.to_vec()).map_err(|_| CharsetError::Invalid)
    }
}

impl Search {
    pub(super) fn parse(args: &[Arg], charsets: &dyn Charsets) -> Result<Self, ArgsError> {
        let (returns, args) = SearchReturn::take(args)?;
        let (charset, keys) = match args {
            [word, rest @ ..] if word.is_atom("CHARSET") => {
                let charset = rest.first().and_then(Arg::text);
                let charset = charset.ok_or(ArgsError::bad("Invalid charset argument"))?;
                (charset.into_owned(), rest.get(1..).unwrap_or_default())
            }
            _ => ("UTF-8".to_owned(), args),
        };
        Ok(Self { returns, key: SearchKey::parse(keys, &charset, charsets)? })
    }
}

impl SearchKey {
    /// The keys to the end of the arguments, all of which must hold.
    pub(super) fn parse(keys: &[Arg], charset: &str, charsets: &dyn Charsets) -> Result<Self, ArgsError> {
        if keys.is_empty() {
            return Err(ArgsError::bad("Missing search parameters"));
        }
        charsets.decode(charset, b"").map_err(charset_error)?;
        let mut parser = Parser { charset, charsets, keys: 0 };
        parser.all(&mut keys.iter(), 0)
    }

    /// Whether this or any key in it is one that `is` says yes to; what stands in INTHREAD aside.
    pub fn any(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        is(self)
            || match self {
                Self::And(keys) | Self::Or(keys) => keys.iter().any(|key| key.any(is)),
                Self::Not(key) => key.any(is),
                _ => false,
            }
    }
}

pub(super) type Args<'a> = std::slice::Iter<'a, Arg>;

pub(super) struct Parser<'a> {
    charset: &'a str,
    charsets: &'a dyn Charsets,
    keys: usize,
}

impl Parser<'_> {
    /// All keys to the end of a list, which must all hold.
    fn all(&mut self, args: &mut Args<'_>, depth: usize) -> Result<SearchKey, ArgsError> {
        let mut keys = Vec::new();
        while !args.as_slice().is_empty() {
            keys.push(self.key(args, depth)?);
        }
        match keys.pop() {
            Some(only) if keys.is_empty() => Ok(only),
            Some(last) => {
                keys.push(last);
                Ok(SearchKey::And(keys))
            }
            None => Err(ArgsError::bad("No search parameters inside list")),
        }
    }

    pub(super) fn count(&mut self, depth: usize) -> Result<(), ArgsError> {
        self.keys += 1;
        if depth > SEARCH_DEPTH_MAX {
            return Err(ArgsError::bad("Search query is nested too deeply"));
        }
        if self.keys > SEARCH_KEYS_MAX {
            return Err(ArgsError::bad("Too many search keys"));
        }
        Ok(())
    }

    fn key(&mut self, args: &mut Args<'_>, depth: usize) -> Result<SearchKey, ArgsError> {
        self.count(depth)?;
        let word = match args.next().ok_or(ArgsError::bad("Missing argument"))? {
            Arg::Atom(word) => word,
            Arg::List(list) => return self.all(&mut list.iter(), depth + 1),
            Arg::String(text) => {
                let text = String::from_utf8_lossy(text).to_ascii_uppercase();
                return Err(ArgsError::Bad(format!("Unexpected string as search key: {text}").into()));
            }
        };
        if word.starts_with(|first: char| first.is_ascii_digit() || first == '*') {
            return SequenceSet::parse(word).map(SearchKey::Seqs).ok_or(ArgsError::bad("Invalid messageset"));
        }
        self.named(&word.to_ascii_uppercase(), args, depth)
    }

    fn named(&mut self, word: &str, args: &mut Args<'_>, depth: usize) -> Result<SearchKey, ArgsError> {
        if let Some(key) = simple_key(word) {
            return Ok(key);
        }
        Ok(match word {
            "NOT" => not(self.key(args, depth + 1)?),
            "OR" => self.or(args, depth)?,
            "UID" => match argument(word, args)? {
                b"$" => SearchKey::LastResult,
                set => SearchKey::Uids(set_of(set, "Invalid UID messageset")?),
            },
            "KEYWORD" => SearchKey::Keyword(lossy(argument(word, args)?)),
            "UNKEYWORD" => not(SearchKey::Keyword(lossy(argument(word, args)?))),
            "BEFORE" => SearchKey::Before(DateField::Internal, date(word, args)?),
            "ON" => SearchKey::On(DateField::Internal, date(word, args)?),
            "SINCE" => SearchKey::Since(DateField::Internal, date(word, args)?),
            "SENTBEFORE" => SearchKey::Before(DateField::Sent, date(word, args)?),
            "SENTON" => SearchKey::On(DateField::Sent, date(word, args)?),
            "SENTSINCE" => SearchKey::Since(DateField::Sent, date(word, args)?),
            "SAVEDBEFORE" | "X-SAVEDBEFORE" => SearchKey::Before(DateField::Saved, date(word, args)?),
            "SAVEDON" | "X-SAVEDON" => SearchKey::On(DateField::Saved, date(word, args)?),
            "SAVEDSINCE" | "X-SAVEDSINCE" => SearchKey::Since(DateField::Saved, date(word, args)?),
            "OLDER" => SearchKey::Older(interval(word, args)?),
            "YOUNGER" => SearchKey::Younger(interval(word, args)?),
            "MODSEQ" => SearchKey::ModSeq(modseq(word, args)?),
            // Without an index of words, what is asked for vaguely is looked for exactly.
            "FUZZY" => self.key(args, depth + 1)?,
            "INTHREAD" => {
                let algorithm = ThreadAlgorithm::of(&lossy(argument(word, args)?));
                let algorithm = algorithm.ok_or(ArgsError::bad("Unknown thread algorithm"))?;
                SearchKey::InThread(algorithm, Box::new(self.key(args, depth + 1)?))
            }
            "MIMEPART" => {
                let key = self.part_key(args, depth + 1, false)?;
                SearchKey::Part(key.ok_or(ArgsError::bad("Missing MIMEPART key"))?)
            }
            "X-GUID" => SearchKey::Guid(lossy(argument(word, args)?)),
            "X-REAL-UID" => SearchKey::Uids(set_of(argument(word, args)?, "Invalid X-REAL-UID messageset")?),
            "X-MAILBOX" => {
                let name = base::mutf7::decode(&lossy(argument(word, args)?));
                SearchKey::Mailbox(name.map_err(|_| ArgsError::bad("X-MAILBOX name not mUTF-7"))?)
            }
            "LARGER" => SearchKey::Larger(size(word, args)?),
            "SMALLER" => SearchKey::Smaller(size(word, args)?),
            "BCC" | "CC" | "FROM" | "TO" | "SUBJECT" => {
                SearchKey::Header { name: word.to_owned(), value: self.text(word, args)? }
            }
            "HEADER" => {
                let name = lossy(argument(word, args)?);
                SearchKey::Header { name, value: self.text(word, args)? }
            }
            "BODY" => SearchKey::Body(self.text(word, args)?),
            "TEXT" => SearchKey::Text(self.text(word, args)?),
            _ => return Err(ArgsError::Bad(format!("Unknown argument {word}").into())),
        })
    }

    /// A chain `OR a OR b c` becomes one list, so that long ones need no deep stack.
    fn or(&mut self, args: &mut Args<'_>, depth: usize) -> Result<SearchKey, ArgsError> {
        let mut keys = vec![self.key(args, depth + 1)?];
        while args.as_slice().first().is_some_and(|next| next.is_atom("OR")) {
            args.next();
            keys.push(self.key(args, depth + 1)?);
        }
        keys.push(self.key(args, depth + 1)?);
        Ok(SearchKey::Or(keys))
    }

    pub(super) fn text(&self, word: &str, args: &mut Args<'_>) -> Result<String, ArgsError> {
        self.charsets.decode(self.charset, argument(word, args)?).map_err(charset_error)
    }
}

fn simple_key(word: &str) -> Option<SearchKey> {
    let flag = SearchKey::Flags;
    Some(match word {
        "ALL" => SearchKey::All,
        "$" => SearchKey::LastResult,
        "SAVEDATESUPPORTED" => SearchKey::SaveDateSupported,
        "ANSWERED" => flag(SystemFlags::ANSWERED),
        "DELETED" => flag(SystemFlags::DELETED),
        "DRAFT" => flag(SystemFlags::DRAFT),
        "FLAGGED" => flag(SystemFlags::FLAGGED),
        "SEEN" => flag(SystemFlags::SEEN),
        "UNANSWERED" => not(flag(SystemFlags::ANSWERED)),
        "UNDELETED" => not(flag(SystemFlags::DELETED)),
        "UNDRAFT" => not(flag(SystemFlags::DRAFT)),
        "UNFLAGGED" => not(flag(SystemFlags::FLAGGED)),
        "UNSEEN" => not(flag(SystemFlags::SEEN)),
        "RECENT" => SearchKey::Recent,
        "OLD" => not(SearchKey::Recent),
        "NEW" => SearchKey::And(vec![SearchKey::Recent, not(flag(SystemFlags::SEEN))]),
        _ => return None,
    })
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

pub(super) fn argument<'a>(word: &str, args: &mut Args<'a>) -> Result<&'a [u8], ArgsError> {
    let error = |text: &str| ArgsError::Bad(format!("{text} (for search key: {word})").into());
    let argument = args.next().ok_or_else(|| error("Missing parameter for search key"))?;
    argument.astring().ok_or_else(|| error("Unexpected ("))
}

pub(super) fn date(word: &str, args: &mut Args<'_>) -> Result<Date, ArgsError> {
    let date = std::str::from_utf8(argument(word, args)?).ok().and_then(Date::parse);
    date.ok_or(ArgsError::bad("Invalid search date parameter"))
}

fn size(word: &str, args: &mut Args<'_>) -> Result<u64, ArgsError> {
    number(argument(word, args)?).ok_or(ArgsError::bad("Invalid search size parameter"))
}

pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn interval(word: &str, args: &mut Args<'_>) -> Result<u32, ArgsError> {
    let secs = number(argument(word, args)?).and_then(|secs| u32::try_from(secs).ok());
    secs.filter(|&secs| secs > 0).ok_or(ArgsError::bad("Invalid search interval parameter"))
}

/// `[entry-name entry-type] modseq`.
fn modseq(word: &str, args: &mut Args<'_>) -> Result<u64, ArgsError> {
    let mut value = argument(word, args)?;
    let is_flag = value.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"/flags/"));
    if is_flag {
        let flag = lossy(value.get(7..).unwrap_or_default());
        let is_known =
            |flag: &str| SystemFlags::NAMED.iter().any(|(_, name)| name.eq_ignore_ascii_case(flag));
        if flag.starts_with('\\') && !is_known(&flag) {
            return Err(ArgsError::bad("Invalid MODSEQ system flag"));
        }
        let kind = argument(word, args)?;
        if ![&b"all"[..], b"priv", b"shared"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
            return Err(ArgsError::bad("Invalid MODSEQ type"));
        }
        value = argument(word, args)?;
    }
    number(value).ok_or(ArgsError::bad("Invalid MODSEQ value"))
}

fn set_of(set: &[u8], error: &'static str) -> Result<SequenceSet, ArgsError> {
    std::str::from_utf8(set).ok().and_then(SequenceSet::parse).ok_or(ArgsError::bad(error))
}

fn charset_error(error: CharsetError) -> ArgsError {
    match error {
        CharsetError::Unknown => ArgsError::No { code: Some("BADCHARSET"), text: "Unknown charset".into() },
        CharsetError::Invalid => ArgsError::bad("Invalid search key"),
    }
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
