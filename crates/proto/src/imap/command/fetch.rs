//! FETCH (RFC 3501 §6.4.5): which facts and parts of messages are wanted.

use super::super::arg::Arg;
use super::super::error::{ArgsError, INVALID_ARGUMENTS};
use super::super::limits::{FETCH_ITEMS_MAX, SECTION_PARTS_MAX};
use super::super::response;
use super::super::sequence::SequenceSet;
use super::message_set;

/// A FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The messages.
    pub messages: SequenceSet,
    /// What is wanted, each once, in the order asked for.
    pub items: Vec<FetchItem>,
}

/// One thing wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the item of its name")]
pub enum FetchItem {
    Flags,
    InternalDate,
    Rfc822Size,
    Uid,
    Envelope,
    Body,
    BodyStructure,
    /// `BODY[…]`, `RFC822`, `RFC822.HEADER` or `RFC822.TEXT`.
    Section(BodySection),
}

/// The bytes of a message or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodySection {
    /// How it was asked for, and is answered.
    pub kind: StringKind,
    /// Whether `\Seen` stays as it is.
    pub is_peek: bool,
    /// Part numbers, from the outermost; empty for the message.
    pub part: Vec<u32>,
    /// What of the part.
    pub text: SectionText,
    /// Which bytes of it, if not all.
    pub partial: Option<Partial>,
}

/// The two spellings of body sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringKind {
    /// `BODY[…]`
    Body,
    /// `RFC822…`
    Rfc822,
}

/// What of a part is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// All: the content of a part, or the message with its header.
    Full,
    /// The header of the message, or of the message in the part.
    Header,
    /// Some lines of that header.
    HeaderFields {
        /// Whether these are the ones left out (`HEADER.FIELDS.NOT`).
        is_not: bool,
        /// Field names in upper case, and whether each was quoted.
        names: Vec<(Box<str>, bool)>,
    },
    /// What follows that header.
    Text,
    /// The MIME header of the part itself.
    Mime,
}

/// A range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// First byte, from zero.
    pub start: u64,
    /// How many at most; `None` for all that follow.
    pub count: Option<u64>,
}

impl Fetch {
    pub(super) fn parse(args: &[Arg]) -> Result<Self, ArgsError> {
        let [messages, items @ ..] = args else { return Err(INVALID_ARGUMENTS) };
        let messages = message_set_or_invalid(messages, items)?;
        let (items, modifiers) = match items {
            [Arg::List(items), rest @ ..] => (parse_list(items)?, rest),
            [] => return Err(INVALID_ARGUMENTS),
            single => parse_single(single)?,
        };
        match modifiers {
            [] => Ok(Self { messages, items }),
            [Arg::List(modifiers)] if modifiers.is_empty() => Ok(Self { messages, items }),
            [Arg::List(_)] => Err(ArgsError::bad("Unknown FETCH modifier")),
            _ => Err(INVALID_ARGUMENTS),
        }
    }
}

fn message_set_or_invalid(messages: &Arg, items: &[Arg]) -> Result<SequenceSet, ArgsError> {
    if items.is_empty() { Err(INVALID_ARGUMENTS) } else { message_set(messages) }
}

fn parse_list(args: &[Arg]) -> Result<Vec<FetchItem>, ArgsError> {
    if args.is_empty() {
        return Err(ArgsError::bad("FETCH list is empty"));
    }
    let mut items = Vec::new();
    let mut rest = args;
    while !rest.is_empty() {
        let (item, tail) = parse_item(rest, ArgsError::bad("FETCH list contains non-atoms"))?;
        push(&mut items, item)?;
        rest = tail;
    }
    Ok(items)
}

fn parse_single(args: &[Arg]) -> Result<(Vec<FetchItem>, &[Arg]), ArgsError> {
    use FetchItem as F;
    let (first, rest) = args.split_first().ok_or(INVALID_ARGUMENTS)?;
    let mut macro_items = vec![F::Flags, F::InternalDate, F::Rfc822Size];
    match first.atom().map(str::to_ascii_uppercase).as_deref() {
        Some("FAST") => {}
        Some("ALL") => macro_items.push(F::Envelope),
        Some("FULL") => macro_items.extend([F::Envelope, F::Body]),
        _ => {
            let (item, rest) = parse_item(args, INVALID_ARGUMENTS)?;
            return Ok((vec![item], rest));
        }
    }
    Ok((macro_items, rest))
}

fn push(items: &mut Vec<FetchItem>, item: FetchItem) -> Result<(), ArgsError> {
    if items.contains(&item) {
        return Ok(());
    }
    if items.len() == FETCH_ITEMS_MAX {
        return Err(ArgsError::bad("Too many FETCH items"));
    }
    items.push(item);
    Ok(())
}

fn parse_item(args: &[Arg], not_atom: ArgsError) -> Result<(FetchItem, &[Arg]), ArgsError> {
    let (first, rest) = args.split_first().ok_or(INVALID_ARGUMENTS)?;
    let name = first.atom().ok_or(not_atom)?.to_ascii_uppercase();
    let item = match name.as_str() {
        "FLAGS" => FetchItem::Flags,
        "INTERNALDATE" => FetchItem::InternalDate,
        "RFC822.SIZE" => FetchItem::Rfc822Size,
        "UID" => FetchItem::Uid,
        "ENVELOPE" => FetchItem::Envelope,
        "BODY" => FetchItem::Body,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "RFC822" => rfc822(SectionText::Full, false),
        "RFC822.HEADER" => rfc822(SectionText::Header, true),
        "RFC822.TEXT" => rfc822(SectionText::Text, false),
        _ => match name.strip_prefix("BODY.PEEK").map(|rest| (rest, true)).or(name
            .strip_prefix("BODY")
            .filter(|section| section.starts_with('['))
            .map(|rest| (rest, false)))
        {
            Some((section, is_peek)) => return parse_section(section, is_peek, rest),
            None => return Err(unknown(&name)),
        },
    };
    Ok((item, rest))
}

fn unknown(name: &str) -> ArgsError {
    let separator = if name.starts_with("RFC822.") { "" } else { ":" };
    ArgsError::Bad(format!("Unknown parameter{separator} {name}").into())
}

fn rfc822(text: SectionText, is_peek: bool) -> FetchItem {
    let part = Vec::new();
    FetchItem::Section(BodySection { kind: StringKind::Rfc822, is_peek, part, text, partial: None })
}

const SECTION: ArgsError = ArgsError::bad("Invalid BODY[..] section");

/// Parses from the bracket on. `rest` is what follows the atom: a list of header fields, perhaps.
fn parse_section<'a>(
    section: &str,
    is_peek: bool,
    rest: &'a [Arg],
) -> Result<(FetchItem, &'a [Arg]), ArgsError> {
    let section = section.strip_prefix('[').ok_or(parameter("Missing '['"))?;
    let (part, word) = parse_part(section)?;
    let (text, after, rest) = match word.split_once(']') {
        Some((word, after)) => (section_text(word, &part)?, after.to_owned(), rest),
        None if matches!(word, "HEADER.FIELDS" | "HEADER.FIELDS.NOT") => {
            let [Arg::List(names), Arg::Atom(after), rest @ ..] = rest else { return Err(INVALID_ARGUMENTS) };
            let after = after.strip_prefix(']').ok_or(parameter("Missing ']'"))?;
            (header_fields(word.ends_with(".NOT"), names)?, after.to_owned(), rest)
        }
        None => return Err(parameter("Missing ']'")),
    };
    let partial = parse_partial(&after)?;
    let section = BodySection { kind: StringKind::Body, is_peek, part, text, partial };
    Ok((FetchItem::Section(section), rest))
}

fn parameter(text: &str) -> ArgsError {
    ArgsError::Bad(format!("Invalid BODY[..] parameter: {text}").into())
}

/// The part numbers, and what follows them.
fn parse_part(section: &str) -> Result<(Vec<u32>, &str), ArgsError> {
    let mut part = Vec::new();
    let mut rest = section;
    while rest.starts_with(|first: char| first.is_ascii_digit()) {
        let end = rest.find(|end: char| !end.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        part.push(number.parse().map_err(|_| SECTION)?);
        if part.len() > SECTION_PARTS_MAX {
            return Err(SECTION);
        }
        rest = match tail.strip_prefix('.') {
            Some(tail) if !tail.is_empty() && !tail.starts_with(']') => tail,
            Some(_) => return Err(SECTION),
            None if tail.is_empty() || tail.starts_with(']') => tail,
            None => return Err(SECTION),
        };
    }
    Ok((part, rest))
}

fn section_text(word: &str, part: &[u32]) -> Result<SectionText, ArgsError> {
    Ok(match word {
        "" => SectionText::Full,
        "HEADER" => SectionText::Header,
        "TEXT" => SectionText::Text,
        "MIME" if !part.is_empty() => SectionText::Mime,
        _ => return Err(SECTION),
    })
}

fn header_fields(is_not: bool, names: &[Arg]) -> Result<SectionText, ArgsError> {
    if names.is_empty() {
        return Err(SECTION);
    }
    let name = |arg: &Arg| Some((arg.text()?.to_ascii_uppercase().into(), arg.string().is_some()));
    let names = names.iter().map(name).collect::<Option<Vec<_>>>().ok_or(SECTION)?;
    Ok(SectionText::HeaderFields { is_not, names })
}

/// `<start>` (which RFC 3501 does not have, but 2.3 takes) or `<start.count>`.
fn parse_partial(after: &str) -> Result<Option<Partial>, ArgsError> {
    if after.is_empty() {
        return Ok(None);
    }
    let range = after.strip_prefix('<').ok_or(parameter("Unexpected data after ']'"))?;
    let range = range.strip_suffix('>').ok_or(parameter("Missing '>' in partial"))?;
    let (start, count) = match range.split_once('.') {
        Some((start, count)) => (start, Some(count)),
        None => (range, None),
    };
    // Like 2.3, keep the sum of both within what a file offset can hold.
    let number = |text: &str| text.parse::<u64>().ok().filter(|&number| number <= i64::MAX as u64);
    let start = number(start).ok_or(parameter("Too big partial start"))?;
    let count = match count {
        None => None,
        Some(count) if count.contains('.') => return Err(parameter("Missing '>' in partial")),
        Some(count) => Some(number(count).ok_or(parameter("Too big partial end"))?),
    };
    Ok(Some(Partial { start, count }))
}

impl BodySection {
    /// Appends the name that the answer gives it, such as `BODY[1.MIME]<0>`.
    pub fn write_label(&self, out: &mut Vec<u8>) {
        if self.kind == StringKind::Rfc822 {
            out.extend_from_slice(match self.text {
                SectionText::Header => b"RFC822.HEADER".as_slice(),
                SectionText::Text => b"RFC822.TEXT",
                _ => b"RFC822",
            });
            return;
        }
        out.extend_from_slice(b"BODY[");
        let part = self.part.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
        out.extend_from_slice(part.as_bytes());
        let text: &[u8] = match &self.text {
            SectionText::Full => b"",
            SectionText::Header => b"HEADER",
            SectionText::HeaderFields { is_not: false, .. } => b"HEADER.FIELDS (",
            SectionText::HeaderFields { is_not: true, .. } => b"HEADER.FIELDS.NOT (",
            SectionText::Text => b"TEXT",
            SectionText::Mime => b"MIME",
        };
        if !part.is_empty() && !text.is_empty() {
            out.push(b'.');
        }
        out.extend_from_slice(text);
        if let SectionText::HeaderFields { names, .. } = &self.text {
            write_names(names, out);
        }
        out.push(b']');
        if let Some(partial) = self.partial {
            out.extend_from_slice(format!("<{}>", partial.start).as_bytes());
        }
    }
}

fn write_names(names: &[(Box<str>, bool)], out: &mut Vec<u8>) {
    for (index, (name, is_quoted)) in names.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        match is_quoted {
            true => response::put_string(out, name.as_bytes()),
            false => out.extend_from_slice(name.as_bytes()),
        }
    }
    out.push(b')');
}
