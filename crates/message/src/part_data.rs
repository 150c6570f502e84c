//! What a part says of itself in its `Content-*` fields, read as Dovecot 2.3 reads them.

use crate::envelope::Envelope;
use crate::header::Field;
use crate::limits::LANGUAGES_MAX;
use crate::params::{self, Param};
use crate::part::PartFlags;
use crate::rfc822::{Cursor, NUL_REPLACEMENT, Step};

/// A part's `Content-*` fields, and the envelope where the part is a message inside a message.
#[derive(Debug, Clone, Default)]
pub struct PartData {
    /// The type, `text` in `text/plain`. Empty if there was a field that made no sense.
    pub content_type: Option<Vec<u8>>,
    /// The subtype; there exactly if the type is.
    pub subtype: Option<Vec<u8>>,
    /// Parameters of the content type.
    pub type_params: Vec<Param>,
    /// `Content-Transfer-Encoding`.
    pub transfer_encoding: Option<Vec<u8>>,
    /// `Content-ID`.
    pub id: Option<Vec<u8>>,
    /// `Content-Description`.
    pub description: Option<Vec<u8>>,
    /// `Content-Disposition` (RFC 2183).
    pub disposition: Option<Vec<u8>>,
    /// Parameters of the disposition.
    pub disposition_params: Vec<Param>,
    /// `Content-MD5` (RFC 1864).
    pub md5: Option<Vec<u8>>,
    /// `Content-Language` (RFC 3282); never an empty list.
    pub language: Option<Vec<Vec<u8>>>,
    /// `Content-Location` (RFC 2557).
    pub location: Option<Vec<u8>>,
    /// The envelope, for the message inside a `message/rfc822` part.
    pub envelope: Option<Box<Envelope>>,
}

/// What the first `Content-Type` of a part says about how to go on.
#[derive(Debug, Default)]
pub(crate) struct TypeFacts {
    pub(crate) flags: PartFlags,
    pub(crate) boundary: Option<Vec<u8>>,
}

impl PartData {
    /// Takes one field in. `Content-Type` is told apart because it also decides the structure.
    pub(crate) fn take(&mut self, field: &Field<'_>) -> Option<TypeFacts> {
        let (head, name) = field.name.split_at_checked("Content-".len())?;
        if !head.eq_ignore_ascii_case(b"Content-") {
            return None;
        }
        let value = field.value_lf();
        let value = value.as_ref();
        match name.to_ascii_lowercase().as_slice() {
            b"type" if self.content_type.is_none() => return Some(self.take_type(value)),
            b"transfer-encoding" if self.transfer_encoding.is_none() => self.take_encoding(value),
            b"disposition" if self.disposition_params.is_empty() => self.take_disposition(value),
            b"language" if self.language.is_none() => self.take_language(value),
            b"id" => keep_first(&mut self.id, value),
            b"description" => keep_first(&mut self.description, value),
            b"md5" => keep_first(&mut self.md5, value),
            b"location" => keep_first(&mut self.location, value),
            _ => {}
        }
        None
    }

    /// Forgets everything but the envelope, for a part that turned out not to be MIME.
    pub(crate) fn forget(&mut self) {
        *self = Self { envelope: self.envelope.take(), ..Self::default() };
    }

    /// Bytes held, roughly, for the limit on all parts together.
    pub(crate) fn weight(&self) -> usize {
        let strings = [
            &self.content_type,
            &self.subtype,
            &self.transfer_encoding,
            &self.id,
            &self.description,
            &self.disposition,
            &self.md5,
            &self.location,
        ];
        let strings: usize = strings.into_iter().flatten().map(Vec::len).sum();
        let params = self.type_params.iter().chain(&self.disposition_params);
        let params: usize = params.map(|param| param.name.len() + param.value.len() + 48).sum();
        strings + params + self.envelope.as_ref().map_or(0, |envelope| envelope.weight())
    }

    /// The charset parameter, if there is one.
    pub fn charset(&self) -> Option<&[u8]> {
        params::find(&self.type_params, b"charset")
    }

    fn take_type(&mut self, value: &[u8]) -> TypeFacts {
        let mut cursor = Cursor::new(value);
        cursor.skip_lwsp();
        let mut both = Vec::new();
        let step = cursor.content_type(&mut both);
        let mut facts = TypeFacts { flags: flags_of(&both), boundary: None };
        let mut halves = both.splitn(2, |&byte| byte == b'/');
        self.content_type = halves.next().map(<[u8]>::to_vec);
        self.subtype = Some(halves.next().unwrap_or_default().to_vec());
        // A broken type keeps what could be read of it, or the part would pass for text/plain.
        if step.is_ok() {
            self.type_params = params::parse(&mut cursor);
            if facts.flags.multipart {
                facts.boundary = params::find(&self.type_params, b"boundary").map(<[u8]>::to_vec);
            }
        }
        facts
    }

    fn take_encoding(&mut self, value: &[u8]) {
        let mut cursor = Cursor::new(value);
        cursor.skip_lwsp();
        let mut token = Vec::new();
        let step = cursor.mime_token(&mut token);
        if step.is_ok() && cursor.skip_lwsp() == Step::End && !token.is_empty() {
            self.transfer_encoding = Some(token);
        }
    }

    fn take_disposition(&mut self, value: &[u8]) {
        let mut cursor = Cursor::new(value);
        cursor.skip_lwsp();
        let mut token = Vec::new();
        if cursor.mime_token(&mut token).is_ok() {
            self.disposition = Some(token);
            self.disposition_params = params::parse(&mut cursor);
        }
    }

    fn take_language(&mut self, value: &[u8]) {
        let mut cursor = Cursor::new(value);
        cursor.skip_lwsp();
        let mut tags = Vec::new();
        while tags.len() < LANGUAGES_MAX {
            let mut tag = Vec::new();
            if !cursor.atom(&mut tag).is_ok() {
                break;
            }
            tags.push(tag);
            if cursor.peek() != Some(b',') {
                break;
            }
            cursor.bump();
            cursor.skip_lwsp();
        }
        if !tags.is_empty() {
            self.language = Some(tags);
        }
    }
}

fn flags_of(both: &[u8]) -> PartFlags {
    let lower = both.to_ascii_lowercase();
    let multipart = lower.starts_with(b"multipart/");
    PartFlags {
        rfc822: lower == b"message/rfc822",
        text: lower == b"text" || lower.starts_with(b"text/"),
        multipart,
        digest: lower == b"multipart/digest",
        ..PartFlags::default()
    }
}

fn keep_first(slot: &mut Option<Vec<u8>>, value: &[u8]) {
    if slot.is_none() {
        *slot = Some(without_nul(value));
    }
}

/// A copy in which NUL bytes are replaced, since no IMAP string can hold them.
pub(crate) fn without_nul(value: &[u8]) -> Vec<u8> {
    if memchr::memchr(0, value).is_none() {
        return value.to_vec();
    }
    let mut out = Vec::with_capacity(value.len() + NUL_REPLACEMENT.len());
    for (number, piece) in value.split(|&byte| byte == 0).enumerate() {
        if number > 0 {
            out.extend_from_slice(NUL_REPLACEMENT);
        }
        out.extend_from_slice(piece);
    }
    out
}
