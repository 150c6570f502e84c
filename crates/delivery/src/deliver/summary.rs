//! What the log and rejections say of a message: its id, sender and subject.

use message::address::{self, Missing};
use message::encoded_word;
use message::header::{self, Field};

/// Facts from a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// `<left@right>`; `None` where the header has no usable one.
    pub message_id: Option<String>,
    /// The address in From.
    pub from: String,
    /// Decoded.
    pub subject: String,
}

impl Summary {
    /// Of the message with this header.
    pub fn of(header: &[u8]) -> Self {
        let first = |name: &[u8]| header::first(header, name);
        Self {
            message_id: first(b"Message-ID").and_then(|field| message_id(&field.value_oneline())),
            from: first(b"From").and_then(|field| first_address(&field)).unwrap_or_default(),
            subject: first(b"Subject").map_or_else(String::new, |field| subject(&field)),
        }
    }
}

/// The first address of a field, as `local@domain` without quotes.
pub fn first_address(field: &Field<'_>) -> Option<String> {
    let (local, domain) = first_address_parts(field)?;
    Some(format!("{local}@{domain}"))
}

/// Local part and domain of the first address of a field, if it has both.
pub fn first_address_parts(field: &Field<'_>) -> Option<(String, String)> {
    // As in 2.3 an address in a group does not count.
    let first = address::parse(&field.value_lf(), Missing::Empty).into_iter().next()?;
    let text = |part: Option<Vec<u8>>| part.map(|part| String::from_utf8_lossy(&part).into_owned());
    let (local, domain) = (text(first.mailbox)?, text(first.domain)?);
    (!local.is_empty() && !domain.is_empty()).then_some((local, domain))
}

fn subject(field: &Field<'_>) -> String {
    encoded_word::decode(&field.value_oneline())
}

/// Between angle brackets, without white space, comments and quotes, if there is an `@` in it.
fn message_id(value: &[u8]) -> Option<String> {
    let start = memchr::memchr(b'<', value)?;
    let (mut id, mut depth, mut quoted) = (vec![b'<'], 0u32, false);
    let mut bytes = value.get(start + 1..)?.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' if quoted || depth > 0 => {
                let escaped = bytes.next()?;
                if depth == 0 {
                    id.push(*escaped);
                }
            }
            b'(' if !quoted => depth += 1,
            b')' if !quoted && depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            b'"' => quoted = !quoted,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'>' if !quoted => {
                id.push(b'>');
                return id.contains(&b'@').then(|| String::from_utf8_lossy(&id).into_owned());
            }
            byte => id.push(byte),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from 2.3.19.
    #[test]
    fn message_ids() {
        let check = |value: &str, expected: Option<&str>| {
            let summary = Summary::of(format!("Message-ID: {value}\nX: y\n\n").as_bytes());
            assert_eq!(summary.message_id.as_deref(), expected, "{value}");
        };
        check("<a@b>", Some("<a@b>"));
        check("<x y@z>", Some("<xy@z>"));
        check("<a\n @b>", Some("<a@b>"));
        check("<a(c)@b>", Some("<a@b>"));
        check("foo <a@b>", Some("<a@b>"));
        check("<a@b> <c@d>", Some("<a@b>"));
        check("<<a@b>>", Some("<<a@b>"));
        check("<@b>", Some("<@b>"));
        check("<é@x>", Some("<é@x>"));
        for none in ["foo", "<foo>", "a@b", "<a@b", "", "<a\"@b"] {
            check(none, None);
        }
    }

    /// Recorded from 2.3.19.
    #[test]
    fn senders_and_subjects() {
        let check = |value: &str, expected: &str| {
            let summary = Summary::of(format!("From: {value}\nFrom: second@x\n\n").as_bytes());
            assert_eq!(summary.from, expected, "{value}");
        };
        check("a@b, c@d", "a@b");
        check("x: a@b;", "");
        check("\"Q\" <a@b>", "a@b");
        check("foo", "");
        check("<@r:a@b>", "a@b");
        check("\"x y\"@b", "x y@b");
        check("é <é@x>", "é@x");
        check("=?utf-8?q?a?= <a@b>", "a@b");
        let summary = Summary::of(b"Subject: =?utf-8?q?h=C3=BC?= x\nSubject: second\n\n");
        assert_eq!(summary.subject, "hü x");
    }
}
