//! `MIMEPART`: what a part of a message must be like. Parentheses are words of their own; OR comes before its
//! sides here, as in IMAP.

use storage::search::Day;
use storage::search::part::{Compare, NameMatch, PartField, PartQuery};

use super::date::imap_day;
use super::parse::{Parsed, Parser};
use crate::limits::QUERY_DEPTH_MAX;

impl Parser<'_> {
    /// The condition behind MIMEPART.
    pub(super) fn part(&mut self) -> Parsed<PartQuery> {
        self.part_key(0, false)?.ok_or_else(missing)
    }

    /// One key; `None` for EXISTS, which may stand where the key is about a relative.
    fn part_key(&mut self, depth: usize, is_relative: bool) -> Parsed<Option<PartQuery>> {
        if depth == QUERY_DEPTH_MAX {
            return Err("Too many nested conditions".to_owned());
        }
        let word = self.word().ok_or_else(missing)?.to_ascii_uppercase();
        self.key.clone_from(&word);
        Ok(Some(match word.as_str() {
            "(" => self.part_list(depth)?,
            ")" => return Err(missing()),
            "NOT" => PartQuery::Not(Box::new(self.part_inner(depth)?)),
            "OR" => self.part_or(depth)?,
            "PARENT" => PartQuery::Parent(self.part_key(depth + 1, true)?.map(Box::new)),
            "CHILD" => PartQuery::Child(self.part_key(depth + 1, true)?.map(Box::new)),
            "EXISTS" if is_relative => return Ok(None),
            "EXISTS" => return Err("EXISTS key can only be used with PARENT or CHILD".to_owned()),
            word => self.part_value(word)?,
        }))
    }

    fn part_inner(&mut self, depth: usize) -> Parsed<PartQuery> {
        self.part_key(depth + 1, false)?.ok_or_else(missing)
    }

    fn part_list(&mut self, depth: usize) -> Parsed<PartQuery> {
        let mut keys = Vec::new();
        loop {
            match self.peek() {
                None => return Err("Missing ')'".to_owned()),
                Some(")") => break,
                Some(_) => keys.push(self.part_inner(depth)?),
            }
        }
        self.word();
        match keys.pop() {
            None => Err("No MIMEPART keys inside list".to_owned()),
            Some(only) if keys.is_empty() => Ok(only),
            Some(last) => {
                keys.push(last);
                Ok(PartQuery::And(keys))
            }
        }
    }

    /// A chain of ORs becomes one list.
    fn part_or(&mut self, depth: usize) -> Parsed<PartQuery> {
        let mut keys = vec![self.part_inner(depth)?];
        while self.peek().is_some_and(|word| word.eq_ignore_ascii_case("OR")) {
            self.word();
            keys.push(self.part_inner(depth)?);
        }
        keys.push(self.part_inner(depth)?);
        Ok(PartQuery::Or(keys))
    }

    fn part_value(&mut self, word: &str) -> Parsed<PartQuery> {
        if let Some((_, field)) = FIELDS.iter().find(|(name, _)| *name == word) {
            return Ok(PartQuery::Text(*field, self.string()?));
        }
        Ok(match word {
            "SENTBEFORE" => PartQuery::SentBefore(self.part_day()?),
            "SENTON" => PartQuery::SentOn(self.part_day()?),
            "SENTSINCE" => PartQuery::SentSince(self.part_day()?),
            "SIZE" => {
                let words = [("LARGER", Compare::Above), ("SMALLER", Compare::Below)];
                let (compare, size) = self.part_number("SIZE value", words)?;
                PartQuery::Size(compare, size)
            }
            "DEPTH" => {
                let words = [("MIN", Compare::AtLeast), ("MAX", Compare::AtMost)];
                let (compare, depth) = self.part_number("DEPTH level", words)?;
                PartQuery::Depth(compare, depth)
            }
            "INDEX" => {
                let index = self.string()?.parse::<u32>();
                PartQuery::Index(index.map_err(|_| "Invalid MIMEPART INDEX number".to_owned())?.into())
            }
            "PARAM" => self.part_param(false)?,
            "DISPOSITION" => match self.keyword().as_deref() {
                Some("TYPE") => PartQuery::Text(PartField::Disposition, self.string()?),
                Some("PARAM") => self.part_param(true)?,
                _ => return Err("Invalid MIMEPART DISPOSITION key type".to_owned()),
            },
            "FILENAME" => self.part_file_name()?,
            "HEADER" => {
                self.string()?;
                self.string()?;
                PartQuery::Unsearched
            }
            "BODY" | "TEXT" => {
                self.string()?;
                PartQuery::Unsearched
            }
            _ => return Err(format!("Unknown MIMEPART key {word}")),
        })
    }

    fn part_day(&mut self) -> Parsed<Day> {
        let text = self.string()?;
        imap_day(&text).ok_or_else(|| "Invalid search date parameter".to_owned())
    }

    fn part_param(&mut self, of_disposition: bool) -> Parsed<PartQuery> {
        Ok(PartQuery::Param { of_disposition, name: self.string()?, text: self.string()? })
    }

    /// A word that says how to compare and a number, or the number itself.
    fn part_number(&mut self, what: &str, words: [(&str, Compare); 2]) -> Parsed<(Compare, u64)> {
        let invalid = || format!("Invalid MIMEPART {what}");
        let first = self.keyword().ok_or_else(invalid)?;
        let known = words.into_iter().find(|(name, _)| *name == first);
        let (compare, text) = match known {
            Some((_, compare)) => (compare, self.keyword().ok_or_else(invalid)?),
            None => (Compare::Equal, first),
        };
        Ok((compare, text.parse().map_err(|_| invalid())?))
    }

    fn part_file_name(&mut self) -> Parsed<PartQuery> {
        let how = match self.keyword().as_deref() {
            Some("IS") => NameMatch::Is,
            Some("CONTAINS") => NameMatch::Contains,
            Some("BEGINS") => NameMatch::Begins,
            Some("ENDS") => NameMatch::Ends,
            _ => return Err("Invalid MIMEPART FILENAME match type".to_owned()),
        };
        Ok(PartQuery::FileName(how, self.string()?))
    }

    fn keyword(&mut self) -> Option<String> {
        self.word().map(str::to_ascii_uppercase)
    }
}

fn missing() -> String {
    "Missing MIMEPART key".to_owned()
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
