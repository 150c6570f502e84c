//! BODY and BODYSTRUCTURE (RFC 3501 §7.4.2) as Dovecot 2.3 writes them.

use crate::envelope;
use crate::imap_string::{nstring_unfolded, string};
use crate::params::Param;
use crate::part::{Part, PartId, Parts};
use crate::part_data::PartData;

const EMPTY_TEXT: &[u8] = br#"("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0"#;
const PLAIN_TEXT: &[u8] = br#""text" "plain" ("charset" "us-ascii") NIL NIL "7bit""#;
const EMPTY_EXTENSION: &[u8] = b" NIL NIL NIL NIL";

/// Appends the structure of the whole message, without the parentheses around it: BODYSTRUCTURE if
/// `extended`, BODY if not.
pub fn write(out: &mut Vec<u8>, parts: &Parts, extended: bool) {
    let root = parts.root();
    if is_plain_7bit(parts) {
        // 2.3 remembers only that a message is such, and so loses the letter case it was told in.
        out.extend_from_slice(PLAIN_TEXT);
        number(out, root.body.virtual_);
        number(out, root.body.lines);
        if extended {
            out.extend_from_slice(EMPTY_EXTENSION);
        }
        return;
    }
    write_part(out, parts, PartId::ROOT, extended);
}

/// Appends the structure of one part, without the parentheses around it.
///
/// Recursion is bounded by [`limits::NESTED_PARTS_MAX`](crate::limits::NESTED_PARTS_MAX).
pub fn write_part(out: &mut Vec<u8>, parts: &Parts, id: PartId, extended: bool) {
    if parts.part(id).flags.multipart {
        write_multipart(out, parts, id, extended);
    } else {
        write_single(out, parts, id, extended);
    }
}

/// Whether the message is what 2.3 calls "plain 7bit": text/plain in ASCII that says nothing else. Its
/// structure is what [`write`] makes of a tree that was only [restored](Parts::restore).
pub fn is_plain_7bit(parts: &Parts) -> bool {
    let root = parts.root();
    let data = &root.data;
    let is = |value: &Option<Vec<u8>>, word: &[u8]| {
        value.as_ref().is_none_or(|value| value.eq_ignore_ascii_case(word))
    };
    let ascii = match data.type_params.as_slice() {
        [] => true,
        [param] => {
            param.name.eq_ignore_ascii_case(b"charset") && param.value.eq_ignore_ascii_case(b"us-ascii")
        }
        _ => false,
    };
    let silent = [&data.id, &data.description, &data.md5, &data.disposition, &data.location];
    root.flags.text
        && root.first_child.is_none()
        && ascii
        && is(&data.subtype, b"plain")
        && is(&data.transfer_encoding, b"7bit")
        && data.language.is_none()
        && silent.into_iter().all(Option::is_none)
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(format!(" {value}").as_bytes());
}

fn write_children(out: &mut Vec<u8>, parts: &Parts, id: PartId, extended: bool) {
    for child in parts.children(id) {
        out.push(b'(');
        write_part(out, parts, child, extended);
        out.push(b')');
    }
}

fn write_multipart(out: &mut Vec<u8>, parts: &Parts, id: PartId, extended: bool) {
    let part = parts.part(id);
    if part.first_child.is_some() {
        write_children(out, parts, id, extended);
    } else {
        // IMAP has no multipart without parts.
        out.extend_from_slice(EMPTY_TEXT);
        out.extend_from_slice(if extended { EMPTY_EXTENSION } else { b"" });
        out.push(b')');
    }
    out.push(b' ');
    string(out, part.data.subtype.as_deref().unwrap_or_default());
    if extended {
        out.push(b' ');
        write_params(out, &part.data.type_params, false);
        write_extension(out, &part.data);
    }
}

fn write_single(out: &mut Vec<u8>, parts: &Parts, id: PartId, extended: bool) {
    let part = parts.part(id);
    let data = &part.data;
    let text = write_type(out, parts, part);
    out.push(b' ');
    write_params(out, &data.type_params, text);
    for value in [&data.id, &data.description] {
        out.push(b' ');
        nstring_unfolded(out, value.as_deref());
    }
    out.push(b' ');
    string(out, data.transfer_encoding.as_deref().unwrap_or(b"7bit"));
    number(out, part.body.virtual_);
    if part.flags.rfc822 {
        write_message(out, parts, id, extended);
    }
    if text || part.flags.rfc822 {
        number(out, part.body.lines);
    }
    if extended {
        out.push(b' ');
        nstring_unfolded(out, data.md5.as_deref());
        write_extension(out, data);
    }
}

/// Writes type and subtype and says whether it is text.
fn write_type(out: &mut Vec<u8>, parts: &Parts, part: &Part) -> bool {
    if part.flags.rfc822 {
        out.extend_from_slice(br#""message" "rfc822""#);
        return false;
    }
    if is_cut_off(parts, part) {
        out.extend_from_slice(br#""application" "octet-stream""#);
        return false;
    }
    match &part.data.content_type {
        None => {
            out.extend_from_slice(br#""text" "plain""#);
            true
        }
        Some(content_type) => {
            string(out, content_type);
            out.push(b' ');
            string(out, part.data.subtype.as_deref().unwrap_or_default());
            content_type.eq_ignore_ascii_case(b"text")
        }
    }
}

/// Whether the part would have been taken further apart, had a limit not been reached.
fn is_cut_off(parts: &Parts, part: &Part) -> bool {
    let Some(content_type) = &part.data.content_type else {
        return part.parent.is_some_and(|parent| parts.part(parent).flags.digest);
    };
    let subtype = part.data.subtype.as_deref().unwrap_or_default();
    content_type.eq_ignore_ascii_case(b"multipart")
        || (content_type.eq_ignore_ascii_case(b"message") && subtype.eq_ignore_ascii_case(b"rfc822"))
}

fn write_message(out: &mut Vec<u8>, parts: &Parts, id: PartId, extended: bool) {
    let child = parts.part(id).first_child.map(|child| parts.part(child));
    out.extend_from_slice(b" (");
    match child.and_then(|child| child.data.envelope.as_deref()) {
        Some(envelope) => envelope::write(out, envelope),
        None => envelope::write(out, &envelope::Envelope::default()),
    }
    out.extend_from_slice(b") ");
    write_children(out, parts, id, extended);
}

fn write_params(out: &mut Vec<u8>, params: &[Param], default_charset: bool) {
    if params.is_empty() && !default_charset {
        return out.extend_from_slice(b"NIL");
    }
    out.push(b'(');
    for (number, param) in params.iter().enumerate() {
        if number > 0 {
            out.push(b' ');
        }
        string(out, &param.name);
        out.push(b' ');
        string(out, &param.value);
    }
    let has_charset = params.iter().any(|param| param.name.eq_ignore_ascii_case(b"charset"));
    if default_charset && !has_charset {
        out.extend_from_slice(if params.is_empty() { b"" } else { b" " });
        out.extend_from_slice(br#""charset" "us-ascii""#);
    }
    out.push(b')');
}

/// Disposition, language and location.
fn write_extension(out: &mut Vec<u8>, data: &PartData) {
    match &data.disposition {
        None => out.extend_from_slice(b" NIL"),
        Some(disposition) => {
            out.extend_from_slice(b" (");
            string(out, disposition);
            out.push(b' ');
            write_params(out, &data.disposition_params, false);
            out.push(b')');
        }
    }
    match &data.language {
        None => out.extend_from_slice(b" NIL"),
        Some(tags) => {
            for (number, tag) in tags.iter().enumerate() {
                out.extend_from_slice(if number == 0 { b" (" } else { b" " });
                string(out, tag);
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    nstring_unfolded(out, data.location.as_deref());
}
