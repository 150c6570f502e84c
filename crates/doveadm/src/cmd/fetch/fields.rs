//! The fields of `doveadm fetch`.

use message::section::Section;
use storage::Wanted;

use crate::context::{Failure, Outcome};

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    User,
    Mailbox,
    MailboxGuid,
    Seq,
    Uid,
    Flags,
    ModSeq,
    /// What storage has as one of its facts.
    Fact(Wanted),
    Date {
        kind: Date,
        unixtime: bool,
    },
    Refcount,
    StorageId,
    Header,
    Body,
    Snippet,
    Text,
    TextUtf8,
    /// `hdr.<name>[.<filter>]`
    NamedHeader {
        name: String,
        filter: Option<String>,
    },
    /// `body.<section>` and, decoded, `binary.<section>`
    Section {
        section: Section,
        decoded: bool,
    },
}

/// Which date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Date {
    Received,
    Sent,
    Saved,
}

const NAMES: [&str; 29] = [
    "user",
    "mailbox",
    "mailbox-guid",
    "seq",
    "uid",
    "guid",
    "flags",
    "modseq",
    "hdr",
    "body",
    "body.preview",
    "body.snippet",
    "text",
    "text.utf8",
    "size.physical",
    "size.virtual",
    "date.received",
    "date.sent",
    "date.saved",
    "date.received.unixtime",
    "date.sent.unixtime",
    "date.saved.unixtime",
    "imap.envelope",
    "imap.body",
    "imap.bodystructure",
    "pop3.uidl",
    "pop3.order",
    "refcount",
    "storageid",
];

/// Reads names with spaces between them; they are given back in lower case.
pub(super) fn parse(text: &str) -> Outcome<Vec<(String, Field)>> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(|word| one(word.to_ascii_lowercase())).collect()
}

fn one(name: String) -> Outcome<(String, Field)> {
    let field = if let Some(field) = plain(&name) {
        field
    } else if let Some(rest) = name.strip_prefix("hdr.") {
        let (name, filter) = match rest.split_once('.') {
            Some((name, filter)) => (name, Some(filter.to_owned())),
            None => (rest, None),
        };
        Field::NamedHeader { name: name.to_owned(), filter }
    } else if let Some(rest) = name.strip_prefix("body.") {
        Field::Section { section: section(rest)?, decoded: false }
    } else if let Some(rest) = name.strip_prefix("binary.") {
        Field::Section { section: section(rest)?, decoded: true }
    } else {
        return Err(unknown("field", &name));
    };
    Ok((name, field))
}

fn plain(name: &str) -> Option<Field> {
    let date = |kind| Field::Date { kind, unixtime: name.ends_with(".unixtime") };
    Some(match name {
        "user" => Field::User,
        "mailbox" => Field::Mailbox,
        "mailbox-guid" => Field::MailboxGuid,
        "seq" => Field::Seq,
        "uid" => Field::Uid,
        "guid" => Field::Fact(Wanted::GUID),
        "flags" => Field::Flags,
        "modseq" => Field::ModSeq,
        "hdr" => Field::Header,
        "body" => Field::Body,
        "body.preview" | "body.snippet" => Field::Snippet,
        "text" => Field::Text,
        "text.utf8" => Field::TextUtf8,
        "size.physical" => Field::Fact(Wanted::SIZE_PHYSICAL),
        "size.virtual" => Field::Fact(Wanted::SIZE_VIRTUAL),
        "date.received" | "date.received.unixtime" => date(Date::Received),
        "date.sent" | "date.sent.unixtime" => date(Date::Sent),
        "date.saved" | "date.saved.unixtime" => date(Date::Saved),
        "imap.envelope" => Field::Fact(Wanted::ENVELOPE),
        "imap.body" => Field::Fact(Wanted::BODY),
        "imap.bodystructure" => Field::Fact(Wanted::BODYSTRUCTURE),
        "pop3.uidl" => Field::Fact(Wanted::POP3_UIDL),
        "pop3.order" => Field::Fact(Wanted::POP3_ORDER),
        "refcount" => Field::Refcount,
        "storageid" => Field::StorageId,
        _ => return None,
    })
}

/// A section as IMAP has it; names of header fields follow in parentheses, with commas for spaces.
fn section(text: &str) -> Outcome<Section> {
    let (words, names) = match text.split_once('(') {
        None => (text, None),
        Some((words, rest)) => {
            let list = rest.strip_suffix(')').ok_or_else(|| unknown("section", text))?;
            let names = list.split([',', ' ']).filter(|name| !name.is_empty());
            (words, Some(names.map(|name| name.as_bytes().to_vec()).collect()))
        }
    };
    Section::parse(words.as_bytes(), names).map_err(|_| unknown("section", text))
}

fn unknown(what: &str, name: &str) -> Failure {
    eprintln!("Available fetch fields: hdr.<name> body.<section> binary.<section> {}", NAMES.join(" "));
    Failure::fatal(format_args!("Unknown fetch {what}: {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known() {
        for name in NAMES {
            assert_eq!(parse(name).unwrap().len(), 1, "{name}");
        }
        assert_eq!(parse(" UID  flags ").unwrap()[0], ("uid".to_owned(), Field::Uid));
    }

    #[test]
    fn headers_and_sections() {
        let field = |text: &str| parse(text).unwrap().remove(0).1;
        let filter = Some("address_name.utf8".to_owned());
        assert_eq!(field("hdr.From.address_name.utf8"), Field::NamedHeader { name: "from".into(), filter });
        let section = Section::parse(b"1.2.mime", None).unwrap();
        assert_eq!(field("binary.1.2.MIME"), Field::Section { section, decoded: true });
        let section = Section::parse(b"header.fields", Some(vec![b"a".to_vec(), b"b".to_vec()])).unwrap();
        assert_eq!(field("body.header.fields(a,b)"), Field::Section { section, decoded: false });
        for wrong in ["bogus", "body.bogus", "body.mime", "body.header.fields", "body.header.fields.(a)"] {
            assert!(matches!(parse(wrong), Err(Failure::Fatal(..))), "{wrong}");
        }
    }
}
