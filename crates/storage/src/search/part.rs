//! `MIMEPART`, Dovecot's own search key: whether any part of a message is as described. Strings are
//! compared as 2.3 does: names without regard to case, other text as it stands in the header. What a
//! part does not say is what BODYSTRUCTURE says for it, from which 2.3 takes all of this.

use message::address::{self, Address};
use message::casefold::fold;
use message::envelope::Envelope;
use message::params::{self, Param};
use message::{Part, PartData, PartId, Parts};

use super::query::Day;

/// A condition on one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartQuery {
    /// All of them hold.
    And(Vec<PartQuery>),
    /// At least one holds.
    Or(Vec<PartQuery>),
    /// Turns it around.
    Not(Box<PartQuery>),
    /// A word or a piece of text in what the part says of itself.
    Text(PartField, String),
    /// A parameter contains the text, or is there if that is empty.
    Param {
        /// Of the disposition rather than the content type.
        of_disposition: bool,
        /// Its name, in any case.
        name: String,
        /// The text.
        text: String,
    },
    /// `SIZE`: of the body with line ends as CRLF, in bytes.
    Size(Compare, u64),
    /// `DEPTH`: 0 is the message itself.
    Depth(Compare, u64),
    /// `INDEX`: the place among the parts beside it, from one.
    Index(u64),
    /// `SENTBEFORE`: the date of a message inside the message, disregarding its time zone.
    SentBefore(Day),
    /// `SENTON`
    SentOn(Day),
    /// `SENTSINCE`
    SentSince(Day),
    /// `FILENAME`: of an attachment; compared without regard to case.
    FileName(NameMatch, String),
    /// `PARENT`: the part it lies in fits, or is there (`EXISTS`).
    Parent(Option<Box<PartQuery>>),
    /// `CHILD`: a part in it, however deep, fits, or is there.
    Child(Option<Box<PartQuery>>),
    /// `HEADER`, `BODY`, `TEXT`: known, but not looked for, by 2.3 either. Neither true nor false.
    Unsearched,
}

/// What is compared in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The same.
    Equal,
    /// `SIZE LARGER`.
    Above,
    /// `SIZE SMALLER`.
    Below,
    /// `DEPTH MIN`.
    AtLeast,
    /// `DEPTH MAX`.
    AtMost,
}

/// How names of files are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the search keys")]
pub enum NameMatch {
    Is,
    Contains,
    Begins,
    Ends,
}

impl PartQuery {
    /// Whether a part of the message fits. As in 2.3 the first part of which that cannot be said ends
    /// the search.
    pub(super) fn matches(&self, parts: &Parts) -> bool {
        let mut answers = parts.iter().map(|(id, _)| At::new(parts, id).fits(self));
        answers.find(|answer| *answer != Some(false)).flatten().unwrap_or(false)
    }
}

/// A part in its place.
struct At<'a> {
    parts: &'a Parts,
    id: PartId,
    part: &'a Part,
    depth: u64,
}

impl<'a> At<'a> {
    fn new(parts: &'a Parts, id: PartId) -> Self {
        let above = |part: &&Part| part.parent.map(|id| parts.part(id));
        let depth = std::iter::successors(Some(parts.part(id)), above).count() as u64 - 1;
        Self { parts, id, part: parts.part(id), depth }
    }

    /// `None` where that cannot be said.
    fn fits(&self, query: &PartQuery) -> Option<bool> {
        let data = &self.part.data;
        Some(match query {
            PartQuery::And(all) => return self.list(all, false),
            PartQuery::Or(any) => return self.list(any, true),
            PartQuery::Not(inner) => return self.fits(inner).map(|fits| !fits),
            PartQuery::Unsearched => return None,
            PartQuery::Text(field, text) => self.has_text(*field, text),
            PartQuery::Param { of_disposition: true, name, text } => {
                has_param(&data.disposition_params, name, text)
            }
            PartQuery::Param { name, text, .. } => {
                has_param(&data.type_params, name, text) || self.has_default_charset(name, text)
            }
            PartQuery::Size(compare, size) => {
                let own = if self.part.flags.multipart { 0 } else { self.part.body.virtual_ };
                compare.holds(own, *size)
            }
            PartQuery::Depth(compare, depth) => compare.holds(self.depth, *depth),
            PartQuery::Index(index) => self.index() == *index,
            PartQuery::SentBefore(day) => sent(data).is_some_and(|own| own < *day),
            PartQuery::SentOn(day) => sent(data).is_some_and(|own| own == *day),
            PartQuery::SentSince(day) => sent(data).is_some_and(|own| own >= *day),
            PartQuery::FileName(how, wanted) => file_name(data).is_some_and(|name| how.holds(&name, wanted)),
            PartQuery::Parent(inner) => return self.parent(inner.as_deref()),
            PartQuery::Child(inner) => return self.child(inner.as_deref()),
        })
    }

    fn has_text(&self, field: PartField, text: &str) -> bool {
        let (data, flags) = (&self.part.data, &self.part.flags);
        let is = |word: &str| word.eq_ignore_ascii_case(text);
        match field {
            PartField::Type if flags.rfc822 => is("message"),
            PartField::Subtype if flags.rfc822 => is("rfc822"),
            PartField::Type if data.content_type.is_none() => is("text"),
            PartField::Subtype if data.content_type.is_none() => is("plain"),
            PartField::Encoding if data.transfer_encoding.is_none() => !flags.multipart && is("7bit"),
            field => has_text(data, field, text),
        }
    }

    fn has_default_charset(&self, name: &str, text: &str) -> bool {
        let data = &self.part.data;
        let is_text = data.content_type.is_none() && !self.part.flags.rfc822 || self.part.flags.text;
        is_text
            && name.eq_ignore_ascii_case("charset")
            && "us-ascii".contains(text)
            && params::find(&data.type_params, b"charset").is_none()
    }

    /// `decisive` is the value that decides the list: true for OR.
    fn list(&self, list: &[PartQuery], decisive: bool) -> Option<bool> {
        let mut is_open = false;
        for query in list {
            match self.fits(query) {
                Some(fits) if fits == decisive => return Some(decisive),
                Some(_) => {}
                None => is_open = true,
            }
        }
        (!is_open).then_some(!decisive)
    }

    fn index(&self) -> u64 {
        let Some(parent) = self.part.parent else { return 1 };
        1 + self.parts.children(parent).take_while(|&id| id != self.id).count() as u64
    }

    fn parent(&self, inner: Option<&PartQuery>) -> Option<bool> {
        match (self.part.parent, inner) {
            (None, _) => Some(false),
            (Some(_), None) => Some(true),
            (Some(parent), Some(inner)) => At::new(self.parts, parent).fits(inner),
        }
    }

    /// Depths below are counted from here.
    fn child(&self, inner: Option<&PartQuery>) -> Option<bool> {
        let Some(inner) = inner else { return Some(self.part.first_child.is_some()) };
        let below = self.parts.iter().map(|(id, _)| id).filter(|&id| self.is_above(id));
        let mut answers = below.map(|id| {
            let at = At::new(self.parts, id);
            At { depth: at.depth - self.depth, ..at }.fits(inner)
        });
        answers.find(|answer| *answer != Some(false)).unwrap_or(Some(false))
    }

    fn is_above(&self, id: PartId) -> bool {
        let parents = std::iter::successors(self.parts.part(id).parent, |&id| self.parts.part(id).parent);
        parents.into_iter().any(|parent| parent == self.id)
    }
}

impl Compare {
    fn holds(self, own: u64, wanted: u64) -> bool {
        match self {
            Self::Equal => own == wanted,
            Self::Above => own > wanted,
            Self::Below => own < wanted,
            Self::AtLeast => own >= wanted,
            Self::AtMost => own <= wanted,
        }
    }
}

impl NameMatch {
    fn holds(self, own: &[u8], wanted: &str) -> bool {
        let folded = |text: &str| {
            let mut out = Vec::new();
            fold(text, &mut out);
            out
        };
        let (own, wanted) = (folded(&String::from_utf8_lossy(own)), folded(wanted));
        match self {
            Self::Is => own == wanted,
            Self::Contains => contains(&own, &wanted),
            Self::Begins => own.starts_with(&wanted),
            Self::Ends => own.ends_with(&wanted),
        }
    }
}

fn has_text(data: &PartData, field: PartField, text: &str) -> bool {
    let text = text.as_bytes();
    let is = |own: &Option<Vec<u8>>| own.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(text));
    let has = |own: &Option<Vec<u8>>| own.as_deref().is_some_and(|own| contains(own, text));
    let envelope =
        |of: fn(&Envelope) -> &Option<Vec<u8>>| data.envelope.as_deref().is_some_and(|it| has(of(it)));
    let address = |of: fn(&Envelope) -> &[Address]| {
        data.envelope.as_deref().is_some_and(|envelope| {
            let mut written = Vec::new();
            address::write(&mut written, of(envelope));
            contains(&written, text)
        })
    };
    match field {
        PartField::Description => has(&data.description),
        PartField::Disposition => is(&data.disposition),
        PartField::Encoding => is(&data.transfer_encoding),
        PartField::Id => is(&data.id),
        PartField::Language => data.language.iter().flatten().any(|own| own.eq_ignore_ascii_case(text)),
        PartField::Location => is(&data.location),
        PartField::Md5 => data.md5.as_deref() == Some(text),
        PartField::Type => is(&data.content_type),
        PartField::Subtype => is(&data.subtype),
        PartField::Bcc => address(|envelope| &envelope.bcc),
        PartField::Cc => address(|envelope| &envelope.cc),
        PartField::From => address(|envelope| &envelope.from),
        PartField::ReplyTo => address(|envelope| &envelope.reply_to),
        PartField::Sender => address(|envelope| &envelope.sender),
        PartField::To => address(|envelope| &envelope.to),
        PartField::InReplyTo => envelope(|envelope| &envelope.in_reply_to),
        PartField::MessageId => envelope(|envelope| &envelope.message_id),
        PartField::Subject => envelope(|envelope| &envelope.subject),
    }
}

fn has_param(params: &[Param], name: &str, text: &str) -> bool {
    params::find(params, name.as_bytes()).is_some_and(|own| contains(own, text.as_bytes()))
}

/// As in 2.3, only what is to be shown apart has a name.
fn file_name(data: &PartData) -> Option<Vec<u8>> {
    let is_attachment = |own: &Vec<u8>| own.eq_ignore_ascii_case(b"attachment");
    let may_have = data.disposition.as_ref().is_none_or(is_attachment);
    params::find(&data.disposition_params, b"filename").filter(|_| may_have).map(<[u8]>::to_vec)
}

fn sent(data: &PartData) -> Option<Day> {
    let date = data.envelope.as_deref()?.date.as_deref()?;
    let secs = message::date::parse(date)?.local_secs();
    i32::try_from(secs.div_euclid(86_400)).ok().map(Day)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

#[cfg(test)]
mod tests {
    use super::PartQuery::{
        And, Child, Depth, FileName, Index, Not, Or, Parent, SentOn, SentSince, Size, Text, Unsearched,
    };
    use super::*;

    const TEXT: &str = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
        --b\nContent-Type: text/plain; charset=utf-8\nContent-Description: Some text\n\nhello\n\
        --b\nContent-Type: message/rfc822\n\nFrom: In Ner <inner@example.com>\nSubject: inside\n\
        Date: Sat, 3 Jan 2015 23:00:00 -0500\n\nbody\n\
        --b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=\"Bill \u{c4}.PDF\"\n\n\
        pdf\n--b--\n";

    fn check(query: &PartQuery, expected: bool) {
        let parts = message::parse(TEXT.as_bytes(), message::Options::default());
        assert_eq!(query.matches(&parts), expected, "{query:?}");
    }

    fn text(field: PartField, text: &str) -> PartQuery {
        Text(field, text.to_owned())
    }

    #[test]
    fn parts_that_fit() {
        let pdf = || text(PartField::Subtype, "PDF");
        let name = |how, name: &str| FileName(how, name.to_owned());
        let param = |name: &str, text: &str| PartQuery::Param {
            of_disposition: false,
            name: name.to_owned(),
            text: text.to_owned(),
        };
        check(&text(PartField::Type, "TEXT"), true);
        check(&text(PartField::Type, "tex"), false);
        check(&text(PartField::Description, "me te"), true);
        check(&text(PartField::Description, "Me Te"), false);
        check(&text(PartField::From, "inner@"), true);
        check(&text(PartField::Subject, "inside"), true);
        check(&SentOn(Day::from_ymd(2015, 1, 3).unwrap()), true);
        check(&SentSince(Day::from_ymd(2015, 1, 4).unwrap()), false);
        check(&name(NameMatch::Is, "bill \u{e4}.pdf"), true);
        check(&name(NameMatch::Begins, "BILL"), true);
        check(&name(NameMatch::Ends, ".pd"), false);
        check(&name(NameMatch::Contains, "ll"), true);
        check(&param("CHARSET", ""), true);
        check(&param("charset", "utf-9"), false);
        check(&And(vec![pdf(), Index(3), Depth(Compare::Equal, 1)]), true);
        check(&And(vec![pdf(), Index(2)]), false);
        check(&Depth(Compare::AtLeast, 3), false);
        check(&And(vec![text(PartField::Type, "multipart"), Child(Some(Box::new(pdf())))]), true);
        check(&And(vec![pdf(), Parent(None), Not(Box::new(Child(None)))]), true);
        check(&Parent(Some(Box::new(pdf()))), false);
        check(&Parent(Some(Box::new(text(PartField::Type, "message")))), true);
        check(&Size(Compare::Equal, 3), true);
        check(&Unsearched, false);
        check(&Not(Box::new(Unsearched)), false);
        check(&Or(vec![Unsearched, Depth(Compare::Equal, 0)]), true);
    }
}
