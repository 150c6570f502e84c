//! The tree of MIME parts: where each part lies in the message, how large it is, what it says of
//! itself.

use crate::envelope::Envelope;
use crate::part_data::PartData;

/// How large something is, as stored and as IMAP sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes as stored.
    pub physical: u64,
    /// Bytes with every line ending in CRLF, which is what all IMAP and POP3 sizes mean.
    pub virtual_: u64,
    /// Line ends.
    pub lines: u64,
}

impl Size {
    /// Whether the stored bytes are the ones to send, with no line end to be changed.
    pub fn is_crlf(&self) -> bool {
        self.physical == self.virtual_
    }

    /// Counts `data`, of which `before` is the byte that came just before it.
    pub fn count(&mut self, before: u8, data: &[u8]) {
        let mut bare = 0;
        for lf in memchr::memchr_iter(b'\n', data) {
            let previous = if lf == 0 { Some(&before) } else { data.get(lf - 1) };
            bare += u64::from(previous != Some(&b'\r'));
            self.lines += 1;
        }
        self.physical += data.len() as u64;
        self.virtual_ += data.len() as u64 + bare;
    }
}

impl std::ops::Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            physical: self.physical + other.physical,
            virtual_: self.virtual_ + other.virtual_,
            lines: self.lines + other.lines,
        }
    }
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Which part of a message: an index into its [`Parts`], in the order of their beginnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId(pub(crate) u32);

impl PartId {
    /// The message itself.
    pub const ROOT: Self = Self(0);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a part is, as far as its structure goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartFlags {
    /// Its content type is `multipart/*`, and its children are its parts.
    pub multipart: bool,
    /// It is `multipart/digest`, whose parts are messages unless they say otherwise.
    pub digest: bool,
    /// It is `message/rfc822`, and its only child is that message.
    pub rfc822: bool,
    /// It is `text/*`.
    pub text: bool,
    /// Its `Content-*` fields count, because it lies in a multipart or says that it is MIME.
    pub mime: bool,
    /// It has NUL bytes, which IMAP literals must not have.
    pub nuls: bool,
    /// A limit was reached here: what follows was not taken apart.
    pub overflow: bool,
}

/// One part of a message.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Where its header begins, in stored bytes from the beginning of the message.
    pub start: u64,
    /// Its header, the empty line included.
    pub header: Size,
    /// Its body.
    pub body: Size,
    /// What it is.
    pub flags: PartFlags,
    /// Its `Content-*` fields.
    pub data: PartData,
    /// The part it lies in.
    pub parent: Option<PartId>,
    /// The first of its own parts.
    pub first_child: Option<PartId>,
    /// The next part of the same parent.
    pub next: Option<PartId>,
}

impl Part {
    /// Where its body begins, in stored bytes from the beginning of the message.
    pub fn body_start(&self) -> u64 {
        self.start + self.header.physical
    }
}

/// All parts of a message. There is always at least one, the message itself.
#[derive(Debug, Clone)]
pub struct Parts {
    parts: Vec<Part>,
    envelope: Option<Box<Envelope>>,
}

impl Parts {
    pub(crate) fn new(parts: Vec<Part>, envelope: Option<Box<Envelope>>) -> Self {
        assert!(!parts.is_empty(), "a message is always a part");
        Self { parts, envelope }
    }

    /// The message itself.
    pub fn root(&self) -> &Part {
        self.part(PartId::ROOT)
    }

    /// The message's envelope, where [`Options::envelope`](crate::Options::envelope) asked for it.
    pub fn envelope(&self) -> Option<&Envelope> {
        self.envelope.as_deref()
    }

    /// One part.
    pub fn part(&self, id: PartId) -> &Part {
        // Invariant: an id comes from these very parts, and there are no fewer than one.
        self.parts.get(id.index()).unwrap_or(&self.parts[0])
    }

    /// The parts directly inside of one.
    pub fn children(&self, id: PartId) -> impl Iterator<Item = PartId> + '_ {
        std::iter::successors(self.part(id).first_child, |&child| self.part(child).next)
    }

    /// All parts, in the order in which they begin.
    pub fn iter(&self) -> impl Iterator<Item = (PartId, &Part)> {
        (0..).map(PartId).zip(&self.parts)
    }

    /// The whole message: its virtual size is `RFC822.SIZE`.
    pub fn size(&self) -> Size {
        self.root().header + self.root().body
    }
}
