//! ENVELOPE (RFC 3501 §7.4.2) as Dovecot 2.3 computes and writes it.

use crate::address::{self, Address, Missing};
use crate::header::{Field, Fields};
use crate::imap_string::{human, nstring, nstring_unfolded};
use crate::limits::ADDRESSES_MAX;
use crate::part_data::without_nul;

/// The header fields an envelope is made from.
pub const FIELDS: [&str; 10] =
    ["Date", "Subject", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "In-Reply-To", "Message-ID"];

/// The facts of ENVELOPE.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// `Date`, as it stands.
    pub date: Option<Vec<u8>>,
    /// `Subject`, not decoded.
    pub subject: Option<Vec<u8>>,
    /// `From`.
    pub from: Vec<Address>,
    /// `Sender`; empty means "as From".
    pub sender: Vec<Address>,
    /// `Reply-To`; empty means "as From".
    pub reply_to: Vec<Address>,
    /// `To`.
    pub to: Vec<Address>,
    /// `Cc`.
    pub cc: Vec<Address>,
    /// `Bcc`.
    pub bcc: Vec<Address>,
    /// `In-Reply-To`.
    pub in_reply_to: Option<Vec<u8>>,
    /// `Message-ID`.
    pub message_id: Option<Vec<u8>>,
}

impl Envelope {
    /// Takes a field in, if it is one of [`FIELDS`]. Of the plain ones the last counts; addresses
    /// of repeated fields add up, so that no second `From` can hide from a client.
    pub fn take(&mut self, field: &Field<'_>) {
        let text = || Some(without_nul(&field.value_lf()));
        let Some(place) = FIELDS.iter().position(|name| field.is(name.as_bytes())) else { return };
        let addresses = match place {
            0 => return self.date = text(),
            1 => return self.subject = text(),
            2 => &mut self.from,
            3 => &mut self.sender,
            4 => &mut self.reply_to,
            5 => &mut self.to,
            6 => &mut self.cc,
            7 => &mut self.bcc,
            8 => return self.in_reply_to = text(),
            _ => return self.message_id = text(),
        };
        if addresses.len() < ADDRESSES_MAX {
            addresses.extend(address::parse(&field.value_lf(), Missing::Named));
        }
    }

    /// The envelope of a header in memory.
    pub fn of_header(header: &[u8]) -> Self {
        let mut envelope = Self::default();
        for field in Fields::new(header) {
            envelope.take(&field);
        }
        envelope
    }

    /// Bytes held, roughly.
    pub(crate) fn weight(&self) -> usize {
        let strings = [&self.date, &self.subject, &self.in_reply_to, &self.message_id];
        let lists = [&self.from, &self.sender, &self.reply_to, &self.to, &self.cc, &self.bcc];
        let strings: usize = strings.into_iter().flatten().map(Vec::len).sum();
        strings + lists.into_iter().map(|list| list.len() * 128).sum::<usize>()
    }
}

/// Appends the ten members, without the parentheses around them.
pub fn write(out: &mut Vec<u8>, envelope: &Envelope) {
    nstring_unfolded(out, envelope.date.as_deref());
    out.push(b' ');
    match &envelope.subject {
        Some(subject) => human(out, subject),
        None => nstring(out, None),
    }
    out.push(b' ');
    let from = out.len();
    write_addresses(out, &envelope.from);
    let from = from..out.len();
    for list in [&envelope.sender, &envelope.reply_to] {
        out.push(b' ');
        match list.is_empty() {
            true => out.extend_from_within(from.clone()),
            false => write_addresses(out, list),
        }
    }
    for list in [&envelope.to, &envelope.cc, &envelope.bcc] {
        out.push(b' ');
        write_addresses(out, list);
    }
    for id in [&envelope.in_reply_to, &envelope.message_id] {
        out.push(b' ');
        nstring_unfolded(out, id.as_deref());
    }
}

fn write_addresses(out: &mut Vec<u8>, addresses: &[Address]) {
    if addresses.is_empty() {
        return nstring(out, None);
    }
    out.push(b'(');
    for address in addresses {
        out.push(b'(');
        match &address.name {
            Some(name) => human(out, name),
            None => nstring(out, None),
        }
        for part in [&address.route, &address.mailbox, &address.domain] {
            out.push(b' ');
            nstring(out, part.as_deref());
        }
        out.push(b')');
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_imap() {
        let header = b"From: A <a@b>\r\nSubject: hi\r\n there\r\nTo: x: ;\r\nFrom: c@d\r\nDate: x\r\n\r\n";
        let mut out = Vec::new();
        write(&mut out, &Envelope::of_header(header));
        let from = "((\"A\" NIL \"a\" \"b\")(NIL NIL \"c\" \"d\"))";
        let want = format!(
            "\"x\" {{8}}\r\nhi there {from} {from} {from} ((NIL NIL \"x\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL NIL"
        );
        assert_eq!(String::from_utf8_lossy(&out), want);
    }
}
