//! The extensions of an index in `doveadm dump`: those that are known have lines of their own.

use ::index::dump::Extension;

use super::index::with_date;
use super::{hex, number};
use crate::localtime;

/// The lines for all extensions and their headers.
pub(super) fn headers(extensions: &[Extension<'_>]) -> Vec<u8> {
    if extensions.is_empty() {
        return b"no extensions\n".to_vec();
    }
    let mut text = Vec::new();
    for (at, extension) in extensions.iter().enumerate() {
        let Extension { name, header, reset_id, record_offset, record_size, record_align, .. } = extension;
        text.extend(
            format!(
                "-- Extension {at} --\nname ........ = {}\nhdr_size .... = {}\nreset_id .... = {reset_id}\n\
                 record_offset = {record_offset}\nrecord_size . = {record_size}\n\
                 record_align  = {record_align}\n",
                String::from_utf8_lossy(name),
                header.len(),
            )
            .into_bytes(),
        );
        if !header.is_empty() && *name != b"keywords" {
            text.extend(header_of(name, header));
        }
    }
    text
}

/// A number in a header or record: its label, where it is, and its form.
type Part = (&'static str, usize, Form);

#[derive(Clone, Copy)]
enum Form {
    Number,
    Long,
    Date,
    NumberAndDate,
    Guid,
    Byte,
    HexByte,
}
use Form::{Byte, Date, Guid, HexByte, Long, Number, NumberAndDate};

const HEADERS: [(&[u8], &[Part]); 9] = [
    (
        b"hdr-vsize",
        &[("highest uid .", 8, Number), ("message count", 12, Number), ("vsize .......", 0, Long)],
    ),
    (
        b"maildir",
        &[
            ("new_check_time ....", 0, Date),
            ("new_mtime .........", 4, Date),
            ("new_mtime_nsecs ...", 8, Number),
            ("cur_check_time ....", 12, Date),
            ("cur_mtime .........", 16, Date),
            ("cur_mtime_nsecs....", 20, Number),
            ("uidlist_mtime .....", 24, Date),
            ("uidlist_mtime_nsecs", 28, Number),
            ("uidlist_size ......", 32, Number),
        ],
    ),
    (
        b"mbox",
        &[
            ("sync_mtime .", 8, Date),
            ("sync_size ..", 0, Long),
            ("dirty_flag .", 12, Byte),
            ("mailbox_guid", 16, Guid),
        ],
    ),
    (
        b"mdbox-hdr",
        &[
            ("map_uid_validity ..", 0, Number),
            ("mailbox_guid ......", 4, Guid),
            ("flags .............", 20, HexByte),
        ],
    ),
    (
        b"dbox-hdr",
        &[("rebuild_count .", 0, Number), ("mailbox_guid ..", 4, Guid), ("flags .........", 20, HexByte)],
    ),
    (
        b"modseq",
        &[("highest_modseq", 0, Long), ("log_seq ......", 8, Number), ("log_offset ...", 12, Number)],
    ),
    (b"fts", &[("last_indexed_uid .....", 0, Number), ("settings_checksum ....", 4, Number)]),
    (b"hdr-pop3-uidl", &[("max_uid_with_pop3_uidl", 0, Number)]),
    (
        b"virtual",
        &[
            ("change_counter ...", 0, Number),
            ("mailbox_count ....", 4, Number),
            ("highest_mailbox_id", 8, Number),
            ("search_args_crc32 ", 12, Number),
        ],
    ),
];

const RECORDS: [(&[u8], &[Part]); 5] = [
    (b"virtual", &[("mailbox_id", 0, Number), ("real_uid  ", 4, Number)]),
    (b"map", &[("file_id", 0, Number), ("offset ", 4, Number), ("size   ", 8, Number)]),
    (b"mdbox", &[("map_uid  ", 0, Number), ("save_date", 4, NumberAndDate)]),
    (
        b"list",
        &[
            ("name_id     ", 0, Number),
            ("parent_uid  ", 4, Number),
            ("guid        ", 8, Guid),
            ("uid_validity", 24, Number),
        ],
    ),
    (
        b"msgs",
        &[
            ("messages", 0, Number),
            ("unseen  ", 4, Number),
            ("recent  ", 8, Number),
            ("uidnext ", 12, Number),
        ],
    ),
];

/// `vsize` of the mailbox list's index; the one of a mailbox is a number of 32 bits.
const LIST_VSIZE: &[Part] =
    &[("vsize        ", 0, Long), ("highest_uid  ", 8, Number), ("message_count", 12, Number)];
const LIST_VSIZE_BYTES: usize = 16;

fn lines(parts: &[Part], bytes: &[u8], before: &str, text: &mut String) {
    for &(label, at, form) in parts {
        // What is not there is 0, as in 2.3.
        let number = number(bytes, at).unwrap_or(0);
        let byte = bytes.get(at).copied().unwrap_or(0);
        let value = match form {
            Number => number.to_string(),
            Long => wide(bytes, at).to_string(),
            Date => localtime::date(number.into()),
            NumberAndDate => with_date(number),
            Guid => hex(bytes.get(at..at + 16).unwrap_or(&[0; 16])),
            Byte => byte.to_string(),
            HexByte => format!("0x{byte:x}"),
        };
        text.push_str(&format!("{before}{label} = {value}\n"));
    }
}

fn wide(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |eight| u64::from_le_bytes(*eight))
}

fn header_of(name: &[u8], header: &[u8]) -> Vec<u8> {
    if let Some((_, parts)) = HEADERS.iter().find(|(known, _)| *known == name) {
        let mut text = "header\n".to_owned();
        lines(parts, header, " - ", &mut text);
        return text.into_bytes();
    }
    let mut text = format!("header ........ = {}\n", hex(header)).into_bytes();
    match name {
        b"list" => list_names(header, &mut text),
        b"box-name" => {
            header.split(|&byte| byte == 0).for_each(|name| text.extend([b" ", name, b"\n"].concat()));
            // 2.3 has a NUL more at the end, which separates nothing.
        }
        _ => {}
    }
    text
}

/// The names of a mailbox list's index: numbers, each with a name that ends in NUL.
fn list_names(header: &[u8], text: &mut Vec<u8>) {
    let refresh = header.first().copied().unwrap_or(0);
    text.extend(format!(" - refresh_flag = {refresh}\n").into_bytes());
    let mut rest = header.get(1..).unwrap_or_default();
    while !rest.is_empty() {
        let id = number(rest, 0);
        if id == Some(0) {
            return;
        }
        let names = rest.get(4..).unwrap_or_default();
        let end = names.iter().position(|&byte| byte == 0);
        let (Some(id), Some(end)) = (id, end) else {
            text.extend(b" - corrupted\n");
            return;
        };
        let (name, after) = names.split_at(end);
        text.extend([format!(" - {id} : ").as_bytes(), name, b"\n"].concat());
        rest = after.get(1..).unwrap_or_default();
    }
}

/// An extension in the records, as 2.3 knows it: it has numbers for two whether or not an index has
/// them, and the others follow.
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    offset: Option<usize>,
    size: usize,
    align: usize,
}

pub(super) fn fields<'a>(extensions: &[Extension<'a>]) -> Vec<Field<'a>> {
    const OWN: [(&[u8], usize, usize); 2] = [(b"keywords", 2, 1), (b"modseq", 8, 8)];
    let mut fields: Vec<Field<'_>> =
        OWN.map(|(name, size, align)| Field { name, offset: None, size, align }).into();
    for extension in extensions {
        let offset = (extension.record_offset != 0).then_some(usize::from(extension.record_offset));
        if let Some(own) = fields.iter_mut().find(|field| field.name == extension.name) {
            own.offset = offset;
            continue;
        }
        let (size, align) = (extension.record_size.into(), extension.record_align.into());
        fields.push(Field { name: extension.name, offset, size, align });
    }
    fields
}

impl Field<'_> {
    /// What it holds for the message with this record.
    pub(super) fn of<'r>(&self, record: &'r [u8]) -> Option<&'r [u8]> {
        let rest = record.get(self.offset?..)?;
        Some(rest.get(..self.size).unwrap_or(rest)).filter(|bytes| !bytes.is_empty())
    }

    pub(super) fn show(&self, at: usize, record: &[u8]) -> String {
        let Some(bytes) = self.of(record) else { return String::new() };
        let name = String::from_utf8_lossy(self.name);
        let value = match (self.size, self.align) {
            (2 | 4 | 8, align) if self.size == align => {
                bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte)).to_string()
            }
            _ => String::new(),
        };
        let mut text = format!(" - ext {at} {name:10}: {value:>10} ({})\n", hex(bytes));
        let known = RECORDS.iter().find(|(known, _)| *known == self.name).map(|(_, parts)| *parts);
        let list_vsize = (self.name == b"vsize" && self.size >= LIST_VSIZE_BYTES).then_some(LIST_VSIZE);
        if let Some(parts) = known.or(list_vsize) {
            lines(parts, bytes, "                   : ", &mut text);
        }
        text
    }
}
