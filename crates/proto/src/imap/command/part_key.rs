//! `MIMEPART`, Dovecot's own search key: what a part of a message must be like.
//!
//! ```text
//! part-key = "(" 1*part-key ")" / "NOT" part-key / "OR" part-key part-key
//!          / "PARENT" (part-key / "EXISTS") / "CHILD" (part-key / "EXISTS") / …
//! ```

use super::super::arg::Arg;
use super::super::date::Date;
use super::super::error::ArgsError;
use super::search::{Args, Parser, date, lossy, number};

/// A condition on one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartKey {
    /// All of these.
    And(Vec<PartKey>),
    /// At least one of these.
    Or(Vec<PartKey>),
    /// Not this.
    Not(Box<PartKey>),
    /// What the part says of itself in this respect.
    Text(PartField, String),
    /// A parameter of the content type.
    Param(String, String),
    /// A parameter of the disposition.
    DispositionParam(String, String),
    /// Bytes of the body.
    Size(PartNumber),
    /// How deep it lies.
    Depth(PartNumber),
    /// Its place among its neighbours.
    Index(u32),
    /// The date of a message inside is earlier.
    SentBefore(Date),
    /// Is this day.
    SentOn(Date),
    /// Is this day or later.
    SentSince(Date),
    /// The name of an attachment's file.
    FileName(PartName, String),
    /// What it lies in; `None` for EXISTS.
    Parent(Option<Box<PartKey>>),
    /// What lies in it; `None` for EXISTS.
    Child(Option<Box<PartKey>>),
    /// HEADER, BODY and TEXT, which are not looked for.
    Unsearched,
}

/// What is compared in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the search keys")]
pub enum PartField {
    Description,
    Disposition,
    Encoding,
    Id,
    Language,
    Location,
    Md5,
    Type,
    Subtype,
    Bcc,
    Cc,
    From,
    InReplyTo,
    MessageId,
    ReplyTo,
    Sender,
    Subject,
    To,
}

/// A number to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the search keys")]
pub enum PartNumber {
    Equal(u64),
    Larger(u64),
    Smaller(u64),
    Min(u64),
    Max(u64),
}

/// How names are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the search keys")]
pub enum PartName {
    Is,
    Contains,
    Begins,
    Ends,
}

impl Parser<'_> {
    /// One key. `relative` says that EXISTS may stand here: `Ok(None)`.
    pub(super) fn part_key(
        &mut self,
        args: &mut Args<'_>,
        depth: usize,
        relative: bool,
    ) -> Result<Option<PartKey>, ArgsError> {
        self.count(depth)?;
        let word = match args.next() {
            None => return Err(ArgsError::bad("Missing MIMEPART key")),
            Some(Arg::List(list)) => return self.part_list(list, depth, relative),
            Some(Arg::Atom(word)) => word.to_ascii_uppercase(),
            Some(Arg::String(text)) => {
                let text = lossy(text).to_ascii_uppercase();
                return Err(ArgsError::Bad(format!("Unexpected string as search key: {text}").into()));
            }
        };
        Ok(Some(match word.as_str() {
            "NOT" => PartKey::Not(Box::new(self.inner(args, depth)?)),
            "OR" => self.part_or(args, depth)?,
            "PARENT" => PartKey::Parent(self.part_key(args, depth + 1, true)?.map(Box::new)),
            "CHILD" => PartKey::Child(self.part_key(args, depth + 1, true)?.map(Box::new)),
            "EXISTS" if relative => return Ok(None),
            "EXISTS" => return Err(ArgsError::bad("EXISTS key can only be used with PARENT or CHILD")),
            word => self.part_value(word, args)?,
        }))
    }

    /// A key where EXISTS makes no sense.
    fn inner(&mut self, args: &mut Args<'_>, depth: usize) -> Result<PartKey, ArgsError> {
        self.part_key(args, depth + 1, false)?.ok_or(ArgsError::bad("Missing MIMEPART key"))
    }

    fn part_list(
        &mut self,
        list: &[Arg],
        depth: usize,
        relative: bool,
    ) -> Result<Option<PartKey>, ArgsError> {
        if relative && matches!(list, [only] if only.is_atom("EXISTS")) {
            return Ok(None);
        }
        let (mut args, mut keys) = (list.iter(), Vec::new());
        while !args.as_slice().is_empty() {
            keys.push(self.inner(&mut args, depth)?);
        }
        match keys.pop() {
            Some(only) if keys.is_empty() => Ok(Some(only)),
            Some(last) => {
                keys.push(last);
                Ok(Some(PartKey::And(keys)))
            }
            None => Err(ArgsError::bad("No MIMEPART keys inside list")),
        }
    }

    /// A chain of ORs becomes one list.
    fn part_or(&mut self, args: &mut Args<'_>, depth: usize) -> Result<PartKey, ArgsError> {
        let mut keys = vec![self.inner(args, depth)?];
        while args.as_slice().first().is_some_and(|next| next.is_atom("OR")) {
            args.next();
            keys.push(self.inner(args, depth)?);
        }
        keys.push(self.inner(args, depth)?);
        Ok(PartKey::Or(keys))
    }

    fn part_value(&mut self, word: &str, args: &mut Args<'_>) -> Result<PartKey, ArgsError> {
        if let Some((_, field)) = FIELDS.iter().find(|(name, _)| *name == word) {
            return Ok(PartKey::Text(*field, lossy(super::search::argument(word, args)?)));
        }
        Ok(match word {
            "SENTBEFORE" => PartKey::SentBefore(date(word, args)?),
            "SENTON" => PartKey::SentOn(date(word, args)?),
            "SENTSINCE" => PartKey::SentSince(date(word, args)?),
            "SIZE" => PartKey::Size(part_number(
                word,
                args,
                &[("LARGER", PartNumber::Larger), ("SMALLER", PartNumber::Smaller)],
            )?),
            "DEPTH" => PartKey::Depth(part_number(
                word,
                args,
                &[("MIN", PartNumber::Min), ("MAX", PartNumber::Max)],
            )?),
            "INDEX" => {
                let index =
                    number(super::search::argument(word, args)?).and_then(|index| index.try_into().ok());
                PartKey::Index(index.ok_or(ArgsError::bad("Invalid MIMEPART INDEX number"))?)
            }
            "PARAM" => PartKey::Param(self.text(word, args)?, self.text(word, args)?),
            "DISPOSITION" => self.disposition(args)?,
            "FILENAME" => self.file_name(args)?,
            "HEADER" => {
                self.text(word, args)?;
                self.text(word, args)?;
                PartKey::Unsearched
            }
            "BODY" | "TEXT" => {
                self.text(word, args)?;
                PartKey::Unsearched
            }
            _ => return Err(ArgsError::Bad(format!("Unknown MIMEPART key {word}").into())),
        })
    }

    fn disposition(&mut self, args: &mut Args<'_>) -> Result<PartKey, ArgsError> {
        let word = "DISPOSITION";
        Ok(match keyword(args).as_deref() {
            Some("TYPE") => {
                PartKey::Text(PartField::Disposition, lossy(super::search::argument(word, args)?))
            }
            Some("PARAM") => PartKey::DispositionParam(self.text(word, args)?, self.text(word, args)?),
            _ => return Err(ArgsError::bad("Invalid MIMEPART DISPOSITION key type")),
        })
    }

    fn file_name(&mut self, args: &mut Args<'_>) -> Result<PartKey, ArgsError> {
        let how = match keyword(args).as_deref() {
            Some("IS") => PartName::Is,
            Some("CONTAINS") => PartName::Contains,
            Some("BEGINS") => PartName::Begins,
            Some("ENDS") => PartName::Ends,
            _ => return Err(ArgsError::bad("Invalid MIMEPART FILENAME match type")),
        };
        Ok(PartKey::FileName(how, self.text("FILENAME", args)?))
    }
}

/// A word that says how to compare, and what becomes of the number behind it.
type Comparison = (&'static str, fn(u64) -> PartNumber);

/// A word that says how to compare, or the number itself.
fn part_number(word: &str, args: &mut Args<'_>, words: &[Comparison]) -> Result<PartNumber, ArgsError> {
    let invalid = || ArgsError::Bad(format!("Invalid MIMEPART {word} value").into());
    let first = keyword(args).ok_or_else(invalid)?;
    match words.iter().find(|(name, _)| *name == first) {
        Some((_, make)) => number(super::search::argument(word, args)?).map(make).ok_or_else(invalid),
        None => number(first.as_bytes()).map(PartNumber::Equal).ok_or_else(invalid),
    }
}

fn keyword(args: &mut Args<'_>) -> Option<String> {
    args.next().and_then(Arg::atom).map(str::to_ascii_uppercase)
}

const FIELDS: [(&str, PartField); 17] = [
    ("DESCRIPTION", PartField::Description),
    ("ENCODING", PartField::Encoding),
    ("ID", PartField::Id),
    ("LANGUAGE", PartField::Language),
    ("LOCATION", PartField::Location),
    ("MD5", PartField::Md5),
    ("TYPE", PartField::Type),
    ("SUBTYPE", PartField::Subtype),
    ("BCC", PartField::Bcc),
    ("CC", PartField::Cc),
    ("FROM", PartField::From),
    ("IN-REPLY-TO", PartField::InReplyTo),
    ("MESSAGE-ID", PartField::MessageId),
    ("REPLY-TO", PartField::ReplyTo),
    ("SENDER", PartField::Sender),
    ("SUBJECT", PartField::Subject),
    ("TO", PartField::To),
];
