//! `doveadm dump` of a transaction log: `dovecot.index.log` and its like.

use std::fmt::Write;
use std::path::Path;

use ::index::header;
use ::index::log::record::{
    EXPUNGE_PROT, EXTERNAL, ExtIntro, KeywordModify, RECORD_HEADER_SIZE, SYNC, TYPE_MASK, decode_size, ranges,
};
use ::index::log::{Kind, LogHeader, RawRecord, attribute};

use super::{broken, hex, number, read};
use crate::context::{Context, Outcome};
use crate::localtime;

pub(super) fn print(cx: &mut Context, path: &Path, _: &[String]) -> Outcome {
    let bytes = read(path)?;
    let header = LogHeader::parse(&bytes);
    if bytes.len() < HEADER_BYTES {
        return Err(broken(format_args!("file hdr read() {} != {HEADER_BYTES}", bytes.len())));
    }
    for (name, value) in [
        ("version", format!("{}.{}", header.major_version, header.minor_version)),
        ("hdr size", header.hdr_size.to_string()),
        ("index id", header.index_id.to_string()),
        ("file seq", header.file_seq.to_string()),
        ("prev file", format!("{}/{}", header.prev_file_seq, header.prev_file_offset)),
        ("create stamp", header.create_stamp.to_string()),
        ("initial modseq", header.initial_modseq.to_string()),
        ("compat flags", format!("{:x}", header.compat_flags)),
    ] {
        cx.output.line(&format!("{name} = {value}"));
    }
    let mut state = State { modseq: header.initial_modseq, version: header.version(), record_size: 0 };
    let mut at = usize::from(header.hdr_size);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let Some((size, kind)) = rest.first_chunk().and_then(|size| Some((*size, number(rest, 4)?))) else {
            return Err(broken(format_args!("rec hdr read() {} != {RECORD_HEADER_SIZE}", rest.len())));
        };
        let size_text = decode_size(size).filter(|&size| size >= RECORD_HEADER_SIZE);
        let begin = format!("record: offset={at}, type={}, size=", kind_word(kind));
        let Some(size) = size_text else {
            cx.output.line(&format!("{begin}broken ({:x})", u32::from_le_bytes(size)));
            break;
        };
        cx.output.plain(&format!("{begin}{size}"));
        let Some(body) = rest.get(RECORD_HEADER_SIZE..size) else {
            let (have, wanted) = (rest.len() - RECORD_HEADER_SIZE, size - RECORD_HEADER_SIZE);
            return Err(broken(format_args!("rec data read() {have} != {wanted}")));
        };
        cx.output.plain_bytes(&state.record(&RawRecord { offset: at as u64, kind, body }));
        at += size;
    }
    Ok(())
}

/// What the words for a record depend on, beside the record.
struct State {
    modseq: u64,
    version: (u8, u8),
    /// What the last intro said.
    record_size: u16,
}

impl State {
    /// The rest of the record's line, and the lines for what is in it.
    fn record(&mut self, record: &RawRecord<'_>) -> Vec<u8> {
        let before = self.modseq;
        record.advance_modseq(&mut self.modseq, self.version);
        let mut text = Vec::new();
        if self.modseq > before {
            text.extend(format!(", modseq={}", self.modseq).into_bytes());
        }
        text.push(b'\n');
        text.extend(self.content(record));
        text
    }

    fn content(&mut self, record: &RawRecord<'_>) -> Vec<u8> {
        let mut text = String::new();
        match record.what() {
            Some(Kind::Expunge) => text = format!(" - uids={}\n", range_list(record.body, ",")),
            Some(Kind::KeywordReset) => text = format!(" - uids={}\n", range_list(record.body, ", ")),
            Some(Kind::ExpungeGuid) => record.expunges().for_each(|(uid, guid)| {
                line(&mut text, format_args!(" - uid={uid} (guid {guid})"));
            }),
            Some(Kind::Append) => {
                let one = |(uid, flags)| match flags {
                    0 => format!("{uid},"),
                    flags => format!("{uid} (flags={flags:x}),"),
                };
                text = format!(" - uids={}\n", record.appends().map(one).collect::<String>());
            }
            Some(Kind::FlagUpdate) => record.flag_updates().for_each(|update| {
                let (first, last, counts) = (update.first, update.last, u8::from(update.counts));
                let (add, remove) = (update.add, update.remove);
                let what = format_args!("flags +{add:x}-{remove:x}, modseq_inc_flag={counts}");
                line(&mut text, format_args!(" - uids={first}-{last} ({what})"));
            }),
            Some(Kind::HeaderUpdate) => header_update(record.body, &mut text),
            Some(Kind::ExtIntro) => return self.intro(record),
            Some(Kind::ExtReset) => {
                let (id, keeps) = (number(record.body, 0), record.body.get(4).copied());
                line(&mut text, format_args!(" - new_reset_id = {}", id.unwrap_or(0)));
                line(&mut text, format_args!(" - preserve_data = {}", keeps.unwrap_or(0)));
            }
            Some(Kind::ExtHeaderUpdate | Kind::ExtHeaderUpdate32) => ext_header(record, &mut text),
            Some(Kind::ExtRecordUpdate) => self.ext_records(record.body, &mut text),
            Some(Kind::ExtAtomicInc) => record.increments().for_each(|(uid, step)| {
                let sign = if step > 0 { "+" } else { "" };
                line(&mut text, format_args!(" - uid={uid}: {sign}{step}"));
            }),
            Some(Kind::KeywordUpdate) => return keyword_update(record),
            Some(Kind::ModseqUpdate) => record.modseq_updates().for_each(|(uid, modseq)| {
                line(&mut text, format_args!(" - uid={uid} modseq={modseq}"));
            }),
            Some(Kind::Boundary) => {
                line(&mut text, format_args!(" - size={}", number(record.body, 0).unwrap_or(0)));
            }
            Some(Kind::AttributeUpdate) => attributes(record.body, &mut text),
            Some(Kind::IndexDeleted | Kind::IndexUndeleted) | None => {}
        }
        text.into_bytes()
    }

    fn intro(&mut self, record: &RawRecord<'_>) -> Vec<u8> {
        let Some(intro) = record.intros().next() else { return Vec::new() };
        let ExtIntro { ext_id, reset_id, hdr_size, record_size, record_align, flags, name } = intro;
        self.record_size = record_size;
        let mut text = format!(
            " - ext_id = {ext_id}\n - reset_id = {reset_id}\n - hdr_size = {hdr_size}\n \
             - record_size = {record_size}\n - record_align = {record_align}\n - flags = {flags}\n \
             - name_size = {}\n",
            name.len()
        )
        .into_bytes();
        if !name.is_empty() {
            text.extend([b" - name = '", name, b"'\n"].concat());
            if self.modseq == 0 && name == b"modseq" {
                self.modseq = 1;
            }
        }
        text
    }

    fn ext_records(&self, body: &[u8], text: &mut String) {
        let size = usize::from(self.record_size);
        let mut rest = body;
        while let Some(uid) = number(rest, 0) {
            let data = rest.get(4..4 + size).map_or("(record_size too large)".to_owned(), data);
            line(text, format_args!(" - uid={uid}: {data}"));
            rest = rest.get((4 + size).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{content}");
}

fn kind_word(kind: u32) -> String {
    let what = RawRecord { offset: 0, kind, body: &[] }.what();
    let protected = kind & EXPUNGE_PROT == EXPUNGE_PROT;
    let word = match what {
        Some(Kind::Expunge) if protected => "expunge",
        Some(Kind::ExpungeGuid) if protected => "expunge-guid",
        Some(Kind::Append) => "append",
        Some(Kind::FlagUpdate) => "flag-update",
        Some(Kind::HeaderUpdate) => "header-update",
        Some(Kind::ExtIntro) => "ext-intro",
        Some(Kind::ExtReset) => "ext-reset",
        Some(Kind::ExtHeaderUpdate) => "ext-hdr",
        Some(Kind::ExtHeaderUpdate32) => "ext-hdr32",
        Some(Kind::ExtRecordUpdate) => "ext-rec",
        Some(Kind::KeywordUpdate) => "keyword-update",
        Some(Kind::KeywordReset) => "keyword-reset",
        Some(Kind::ExtAtomicInc) => "ext-atomic-inc",
        Some(Kind::ModseqUpdate) => "modseq-update",
        Some(Kind::IndexDeleted) => "index-deleted",
        Some(Kind::IndexUndeleted) => "index-undeleted",
        Some(Kind::Boundary) => "boundary",
        Some(Kind::AttributeUpdate) => "attribute-update",
        Some(Kind::Expunge | Kind::ExpungeGuid) | None => &format!("unknown: {kind:x}"),
    };
    let external = if kind & EXTERNAL != 0 { " (ext)" } else { "" };
    let sync = if kind & SYNC & !TYPE_MASK != 0 { " (sync)" } else { "" };
    format!("{word}{external}{sync}")
}

fn range_list(bytes: &[u8], after: &str) -> String {
    ranges(bytes).map(|(first, last)| format!("{first}-{last}{after}")).collect()
}

/// Bytes, and what they are as a number where there are four.
fn data(bytes: &[u8]) -> String {
    match bytes.first_chunk().filter(|_| bytes.len() == 4) {
        Some(word) => format!("{} (dec={})", hex(bytes), u32::from_le_bytes(*word)),
        None => hex(bytes),
    }
}

fn header_update(body: &[u8], text: &mut String) {
    let half = |at: usize| body.get(at..)?.first_chunk().map(|two| usize::from(u16::from_le_bytes(*two)));
    let (Some(mut offset), Some(size)) = (half(0), half(2)) else { return };
    let Some(mut rest) = body.get(4..4 + size) else {
        line(text, format_args!(" - offset = {offset}, size = {size} (too large)"));
        return;
    };
    while !rest.is_empty() {
        let known = HEADER_FIELDS.iter().find(|field| field.1 == offset && field.2 <= rest.len());
        let Some(&(name, _, size)) = known else {
            line(text, format_args!(" - offset = {offset}, size = {}: {}", rest.len(), data(rest)));
            return;
        };
        let (own, after) = rest.split_at(size);
        let value = own.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        line(text, format_args!(" - {name} = {value}"));
        (offset, rest) = (offset + size, after);
    }
}

fn ext_header(record: &RawRecord<'_>, text: &mut String) {
    let is_wide = record.what() == Some(Kind::ExtHeaderUpdate32);
    let (body, half) = (record.body, |at: usize| {
        record.body.get(at..)?.first_chunk().map(|two| u32::from(u16::from_le_bytes(*two)))
    });
    let fields = match is_wide {
        true => number(body, 0).zip(number(body, 4)),
        false => half(0).zip(half(2)),
    };
    let Some((offset, size)) = fields else { return };
    let bytes = body.get(if is_wide { 8 } else { 4 }..).and_then(|rest| rest.get(..size as usize));
    let shown = bytes.map_or(" (too large)".to_owned(), |bytes| format!(": {}", data(bytes)));
    line(text, format_args!(" - offset = {offset}, size = {size}{shown}"));
}

fn keyword_update(record: &RawRecord<'_>) -> Vec<u8> {
    let Some((modify, name, uids)) = record.keyword_update() else { return Vec::new() };
    let modify = match modify {
        KeywordModify::Add => 0,
        KeywordModify::Remove => 1,
        KeywordModify::Unknown => record.body.first().copied().unwrap_or(0),
    };
    let uids = range_list(uids, ",");
    [format!(" - modify={modify}, name=").as_bytes(), name, format!(", uids={uids}\n").as_bytes()].concat()
}

fn attributes(body: &[u8], text: &mut String) {
    let updates = attribute::updates(body);
    if updates.is_empty() {
        line(text, format_args!(" - broken entry"));
    }
    for update in updates {
        let what = if update.value_size.is_some() { "add" } else { "remove" };
        let scope = if update.private { "private" } else { "shared" };
        let size = update.value_size.map(|size| format!(" value_len={size}")).unwrap_or_default();
        let (name, time) = (&update.name, localtime::date(update.time.into()));
        line(text, format_args!(" - {what}: {scope}/{name} : timestamp={time}{size}"));
    }
}

const HEADER_BYTES: usize = index::log::header::LOG_HEADER_SIZE;

/// The base header's fields by 2.3's names, each with its offset and size.
const HEADER_FIELDS: [(&str, usize, usize); 20] = [
    ("minor_version", 1, 1),
    ("base_header_size", 2, 2),
    ("header_size", 4, 4),
    ("record_size", 8, 4),
    ("compat_flags", 12, 1),
    ("indexid", 16, 4),
    ("flags", header::FLAGS, 4),
    ("uid_validity", header::UID_VALIDITY, 4),
    ("next_uid", header::NEXT_UID, 4),
    ("messages_count", header::NEXT_UID + 4, 4),
    ("unused_old_recent_messages_count", header::NEXT_UID + 8, 4),
    ("seen_messages_count", header::NEXT_UID + 12, 4),
    ("deleted_messages_count", header::NEXT_UID + 16, 4),
    ("first_recent_uid", header::FIRST_RECENT_UID, 4),
    ("first_unseen_uid_lowwater", header::FIRST_RECENT_UID + 4, 4),
    ("first_deleted_uid_lowwater", header::FIRST_RECENT_UID + 8, 4),
    ("log_file_seq", header::LOG_TAIL_OFFSET - 4, 4),
    ("log_file_tail_offset", header::LOG_TAIL_OFFSET, 4),
    ("log_file_head_offset", header::LOG_TAIL_OFFSET + 4, 4),
    ("day_stamp", header::DAY_STAMP, 4),
];
