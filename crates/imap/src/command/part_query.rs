//! MIMEPART keys as the search engine has them.

use proto::imap::command::{PartField as Field, PartKey, PartName, PartNumber};
use storage::search::part::{Compare, NameMatch, PartField, PartQuery};

use super::search::day;

pub(super) fn of(key: &PartKey) -> PartQuery {
    let all = |keys: &[PartKey]| keys.iter().map(of).collect();
    let inner = |key: &Option<Box<PartKey>>| key.as_deref().map(|key| Box::new(of(key)));
    match key {
        PartKey::And(keys) => PartQuery::And(all(keys)),
        PartKey::Or(keys) => PartQuery::Or(all(keys)),
        PartKey::Not(key) => PartQuery::Not(Box::new(of(key))),
        PartKey::Text(field, text) => PartQuery::Text(field_of(*field), text.clone()),
        PartKey::Param(name, text) => param(false, name, text),
        PartKey::DispositionParam(name, text) => param(true, name, text),
        PartKey::Size(number) => {
            let (compare, size) = compared(*number);
            PartQuery::Size(compare, size)
        }
        PartKey::Depth(number) => {
            let (compare, depth) = compared(*number);
            PartQuery::Depth(compare, depth)
        }
        PartKey::Index(index) => PartQuery::Index((*index).into()),
        PartKey::SentBefore(date) => PartQuery::SentBefore(day(date.days())),
        PartKey::SentOn(date) => PartQuery::SentOn(day(date.days())),
        PartKey::SentSince(date) => PartQuery::SentSince(day(date.days())),
        PartKey::FileName(how, name) => PartQuery::FileName(name_match(*how), name.clone()),
        PartKey::Parent(key) => PartQuery::Parent(inner(key)),
        PartKey::Child(key) => PartQuery::Child(inner(key)),
        PartKey::Unsearched => PartQuery::Unsearched,
    }
}

fn param(of_disposition: bool, name: &str, text: &str) -> PartQuery {
    PartQuery::Param { of_disposition, name: name.to_owned(), text: text.to_owned() }
}

fn compared(number: PartNumber) -> (Compare, u64) {
    match number {
        PartNumber::Equal(number) => (Compare::Equal, number),
        PartNumber::Larger(number) => (Compare::Above, number),
        PartNumber::Smaller(number) => (Compare::Below, number),
        PartNumber::Min(number) => (Compare::AtLeast, number),
        PartNumber::Max(number) => (Compare::AtMost, number),
    }
}

fn name_match(how: PartName) -> NameMatch {
    match how {
        PartName::Is => NameMatch::Is,
        PartName::Contains => NameMatch::Contains,
        PartName::Begins => NameMatch::Begins,
        PartName::Ends => NameMatch::Ends,
    }
}

fn field_of(field: Field) -> PartField {
    match field {
        Field::Description => PartField::Description,
        Field::Disposition => PartField::Disposition,
        Field::Encoding => PartField::Encoding,
        Field::Id => PartField::Id,
        Field::Language => PartField::Language,
        Field::Location => PartField::Location,
        Field::Md5 => PartField::Md5,
        Field::Type => PartField::Type,
        Field::Subtype => PartField::Subtype,
        Field::Bcc => PartField::Bcc,
        Field::Cc => PartField::Cc,
        Field::From => PartField::From,
        Field::InReplyTo => PartField::InReplyTo,
        Field::MessageId => PartField::MessageId,
        Field::ReplyTo => PartField::ReplyTo,
        Field::Sender => PartField::Sender,
        Field::Subject => PartField::Subject,
        Field::To => PartField::To,
    }
}
