//! What is known of one message without, or with, opening it. A caller says what it wants as bits,
//! so that the driver answers from the file name, the index or the cache where these are enough.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};
use std::sync::Arc;
use std::time::SystemTime;

use message::date::SentDate;
use message::header::{self, Fields};

/// A fact that is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberFact {
    /// INTERNALDATE, in seconds since 1970.
    Arrival,
    /// The moment in `Date`, in seconds since 1970; 0 if there is none.
    Sent,
    /// RFC822.SIZE, in bytes.
    Size,
}

/// Which facts are wanted, combined with `|`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted(pub u32);

impl Wanted {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// [`Facts::size_physical`].
    pub const SIZE_PHYSICAL: Self = Self(1);
    /// [`Facts::size_virtual`], RFC822.SIZE.
    pub const SIZE_VIRTUAL: Self = Self(1 << 1);
    /// [`Facts::internal_date`].
    pub const INTERNAL_DATE: Self = Self(1 << 2);
    /// [`Facts::save_date`].
    pub const SAVE_DATE: Self = Self(1 << 3);
    /// [`Facts::guid`].
    pub const GUID: Self = Self(1 << 4);
    /// [`Facts::header`]: the whole header.
    pub const HEADER: Self = Self(1 << 5);
    /// [`Facts::file_name`].
    pub const FILE_NAME: Self = Self(1 << 6);
    /// [`Facts::pop3_uidl`].
    pub const POP3_UIDL: Self = Self(1 << 7);
    /// [`Facts::pop3_order`].
    pub const POP3_ORDER: Self = Self(1 << 8);

    /// [`Facts::envelope`].
    pub const ENVELOPE: Self = Self(1 << 9);
    /// [`Facts::body`].
    pub const BODY: Self = Self(1 << 10);
    /// [`Facts::bodystructure`].
    pub const BODYSTRUCTURE: Self = Self(1 << 11);
    /// [`Facts::sent_date`].
    pub const SENT_DATE: Self = Self(1 << 12);

    /// Nothing that the cache or the file's name do not tell: what would take a look at the message is
    /// [`Error::TooSlow`](crate::Error::TooSlow).
    pub const AT_HAND: Self = Self(1 << 13);

    /// A size that had to be counted is kept where a lost cache does not lose it, if the mail store has a
    /// place for it: POP3 needs those of all messages each time.
    pub const LASTING: Self = Self(1 << 14);

    /// Whether all bits of `other` are in it.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Wanted {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Wanted {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wanted({:#x})", self.0)
    }
}

/// The answer: at least what was wanted is `Some`, except [`pop3_uidl`](Self::pop3_uidl) and
/// [`pop3_order`](Self::pop3_order), which a message need not have.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Bytes as stored.
    pub size_physical: Option<u64>,
    /// Bytes when every line ends with CRLF: IMAP's RFC822.SIZE, POP3's LIST.
    pub size_virtual: Option<u64>,
    /// IMAP's INTERNALDATE: when the message arrived. The time zone is the server's.
    pub internal_date: Option<SystemTime>,
    /// When it was put into this mailbox (RFC 8514).
    pub save_date: Option<SystemTime>,
    /// What stays when the message is copied: up to 255 bytes of text, often not hexadecimal.
    pub guid: Option<Arc<str>>,
    /// The header as stored, up to and with the empty line. Line ends are as stored (LF or CRLF).
    pub header: Option<Arc<[u8]>>,
    /// IMAP's ENVELOPE as `message::envelope::write` makes it.
    pub envelope: Option<Arc<[u8]>>,
    /// IMAP's BODY as `message::bodystructure::write` makes it.
    pub body: Option<Arc<[u8]>>,
    /// IMAP's BODYSTRUCTURE.
    pub bodystructure: Option<Arc<[u8]>>,
    /// What the first `Date` field says, Dovecot's `date.sent`; zero for none, or none that is a date.
    pub sent_date: Option<SentDate>,
    /// The header fields that [`Mailbox::fetch_fields`](crate::Mailbox::fetch_fields) was asked for,
    /// as they stand in the message and in its order, without the empty line.
    pub fields: Option<Arc<[u8]>>,
    /// The name of the message's file without directory and flags (`%f` of `pop3_uidl_format`).
    pub file_name: Option<Arc<str>>,
    /// A POP3 UIDL that was saved with the message and overrides `pop3_uidl_format`.
    pub pop3_uidl: Option<Arc<str>>,
    /// Its place in POP3's listing, where one was saved.
    pub pop3_order: Option<u32>,
    /// The message, or what the system says of its file, had to be looked at.
    pub was_slow: bool,
}

impl Facts {
    /// Takes over what was not known.
    pub(crate) fn learn(&mut self, other: Self) {
        self.size_physical = self.size_physical.or(other.size_physical);
        self.size_virtual = self.size_virtual.or(other.size_virtual);
        self.internal_date = self.internal_date.or(other.internal_date);
        self.save_date = self.save_date.or(other.save_date);
        self.pop3_order = self.pop3_order.or(other.pop3_order);
        let texts = [
            (&mut self.guid, other.guid),
            (&mut self.pop3_uidl, other.pop3_uidl),
            (&mut self.file_name, other.file_name),
        ];
        for (own, other) in texts {
            *own = own.take().or(other);
        }
    }

    /// Takes `sent_date` and `fields` from [`header`](Self::header), as far as they are not known.
    pub fn fill_from_header(&mut self, wanted: Wanted, names: &[&str]) {
        let Some(whole) = self.header.clone() else { return };
        if wanted.has(Wanted::SENT_DATE) && self.sent_date.is_none() {
            let date = header::first(&whole, b"Date");
            let date = date.and_then(|field| message::date::parse(&field.value_oneline()));
            self.sent_date = Some(date.unwrap_or_default());
        }
        if !names.is_empty() && self.fields.is_none() {
            let mut fields = Vec::new();
            for field in
                Fields::new(&whole).filter(|field| names.iter().any(|name| field.is(name.as_bytes())))
            {
                for piece in [field.name, field.middle, field.raw_value, field.line_end] {
                    fields.extend_from_slice(piece);
                }
            }
            self.fields = Some(fields.into());
        }
    }
}
