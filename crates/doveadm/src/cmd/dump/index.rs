//! `doveadm dump` of an index: header, extensions, keywords, the cache's fields, and for each message its
//! record and what is cached of it. The log is read as far as it goes, nothing is written.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::index::cache::layout::packed_to_offset;
use ::index::cache::{Cache, CachePlace, CacheSettings, Found, IndexFacts, dump as cached};
use ::index::dump::IndexFile;
use ::index::fs::{Fs, Permissions};
use ::index::header::Header;
use ::index::{Index, Place, Settings};
use base::Logger;

use super::extension::{self, Field};
use super::{broken, number};
use crate::context::{Context, Failure, Outcome};
use crate::localtime;

/// The index that a path means: a file, or one of those in a directory.
pub(super) fn file_of(path: &Path) -> Option<PathBuf> {
    if !path.is_dir() {
        return Some(path.to_owned());
    }
    let files = ["dovecot.index", "dovecot.map.index"].map(|name| path.join(name));
    files.into_iter().find(|file| file.exists() || log_of(file).exists())
}

/// The log beside an index.
pub(super) fn log_of(file: &Path) -> PathBuf {
    beside(file, ".log")
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn print(cx: &mut Context, path: &Path, args: &[String]) -> Outcome {
    let file = file_of(path).ok_or_else(|| cannot_open(path))?;
    let only = match args.first() {
        None => 0,
        Some(text) => text.parse::<u32>().map_err(|_| {
            // As 2.3 ends then.
            Failure::fatal(format_args!("Invalid uid number {text}"))
        })?,
    };
    let bytes = mapped(&file).ok_or_else(|| cannot_open(path))?;
    let shown = IndexFile::parse(&bytes).map_err(broken)?;
    let mut cache = Messages::new(&file, &shown);
    if only == 0 {
        cx.output.line(&format!("-- INDEX: {}", file.display()));
        cx.output.plain(&base_header(&shown.header));
        cx.output.plain_bytes(&extension::headers(&shown.extensions));
        cx.output.line("-- Keywords --");
        for (number, keyword) in shown.keywords.iter().enumerate() {
            cx.output.line(&format!("{number:3} = {keyword}"));
        }
        cx.output.line(&format!("\n-- CACHE: {}", beside(&file, ".cache").display()));
        let header = cache.header();
        cx.output.plain(&header);
        cx.output.line(&format!("\n-- RECORDS: {}", shown.header.messages_count));
    }
    let fields = extension::fields(&shown.extensions);
    for (seq, (uid, flags, record)) in (1..).zip(shown.records()) {
        if only == 0 || uid == only {
            cx.output.plain(&message(seq, uid, flags, record, &fields));
            let text = cache.of(record, &fields);
            cx.output.plain_bytes(&text);
            cx.output.line("");
        }
    }
    Ok(())
}

fn cannot_open(path: &Path) -> crate::context::Failure {
    broken(format_args!("Couldn't open index {}", path.display()))
}

/// The index with what its log adds, as a file.
fn mapped(file: &Path) -> Option<Vec<u8>> {
    let name = file.file_name()?.to_string_lossy().into_owned();
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let place = Place::new(Some(directory.unwrap_or(Path::new(".")).to_owned()), name);
    let logger = Logger::new("doveadm: ");
    let index = Index::open(place, Arc::new(Settings::default()), Fs::default(), logger).ok()?;
    (index.index_id() != 0).then(|| index.to_bytes())
}

fn base_header(header: &Header) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} = {value}");
    };
    line("version ..................", format!("{}.{}", header.major_version, header.minor_version));
    line("base header size .........", header.base_header_size.to_string());
    line("header size ..............", header.header_size.to_string());
    line("record size ..............", header.record_size.to_string());
    line("compat flags .............", header.compat_flags.to_string());
    line("index id .................", with_date(header.index_id));
    line("flags ....................", header.flags.to_string());
    line("uid validity .............", with_date(header.uid_validity));
    line("next uid .................", header.next_uid.to_string());
    line("messages count ...........", header.messages_count.to_string());
    line("seen messages count ......", header.seen_count.to_string());
    line("deleted messages count ...", header.deleted_count.to_string());
    line("first recent uid .........", header.first_recent_uid.to_string());
    line("first unseen uid lowwater ", header.first_unseen_uid.to_string());
    line("first deleted uid lowwater", header.first_deleted_uid.to_string());
    line("log file seq .............", header.log_file_seq.to_string());
    let [tail, head] = match header.minor_version {
        0 => ["log file int offset ......", "log file ext offset ......"],
        _ => ["log file tail offset .....", "log file head offset ....."],
    };
    line(tail, header.log_file_tail_offset.to_string());
    line(head, header.log_file_head_offset.to_string());
    if header.minor_version >= 3 {
        line("log2 rotate time .........", with_date(header.log2_rotate_time));
        line("last temp file scan ......", with_date(header.last_temp_file_scan));
    }
    line("day stamp ................", with_date(header.day_stamp));
    for (day, uid) in header.day_first_uid.iter().enumerate() {
        line(&format!("day first uid[{day}] ........."), uid.to_string());
    }
    text
}

/// A time as a number and as a date.
pub(super) fn with_date(time: u32) -> String {
    format!("{time} ({})", localtime::date(time.into()))
}

fn message(seq: u32, uid: u32, flags: u8, record: &[u8], fields: &[Field<'_>]) -> String {
    const NAMES: [(u8, &str); 5] =
        [(0x08, "Seen"), (0x01, "Answered"), (0x02, "Flagged"), (0x04, "Deleted"), (0x10, "Draft")];
    let names: Vec<&str> = NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    let names = if names.is_empty() { String::new() } else { format!("({})", names.join(" ")) };
    let mut text = format!("RECORD: seq={seq}, uid={uid}, flags=0x{flags:02x} {names}\n");
    for (number, field) in fields.iter().enumerate() {
        text.push_str(&field.show(number, record));
    }
    text
}

/// The cache of an index.
struct Messages {
    cache: Cache,
    facts: IndexFacts,
    usable: bool,
    found: Found,
}

impl Messages {
    fn new(file: &Path, shown: &IndexFile<'_>) -> Self {
        let place = CachePlace {
            path: beside(file, ".cache"),
            permissions: Permissions::default(),
            readonly: true,
            about: String::new(),
        };
        // The file's own decisions are to be shown, not ours.
        let settings =
            CacheSettings { fields: String::new(), never_fields: String::new(), ..CacheSettings::default() };
        let header = &shown.header;
        let extension = shown.extensions.iter().find(|extension| extension.name == b"cache");
        let facts = IndexFacts {
            indexid: header.index_id,
            reset_id: extension.map(|extension| extension.reset_id),
            messages: header.messages_count,
            day_stamp: header.day_stamp,
            week_first_uid: header.day_first_uid.last().copied().unwrap_or(0),
            now: 0,
        };
        let mut cache = Cache::new(Fs::default(), place, settings, Logger::new("doveadm: "));
        let usable = cache.open(&facts).unwrap_or(false);
        Self { cache, facts, usable, found: Found::default() }
    }

    fn header(&mut self) -> String {
        let Some(header) = self.cache.header().filter(|_| self.usable) else {
            return "cache is unusable\n".to_owned();
        };
        let purges = header.file_seq.wrapping_sub(header.indexid).cast_signed();
        let mut text = format!(
            "major version ........ = {}\nminor version ........ = {}\nindexid .............. = {}\n\
             file_seq ............. = {} ({purges} purges)\ncontinued_record_count = {}\n\
             record_count ......... = {}\nused_file_size (old) . = {}\ndeleted_record_count . = {}\n\
             field_header_offset .. = {} (0x{:08x} nontranslated)\n-- Cache fields --\n \
             #  Name                                         Type Size Dec  Last used\n",
            header.major_version,
            header.minor_version,
            with_date(header.indexid),
            with_date(header.file_seq),
            header.continued_record_count,
            header.record_count,
            header.used_file_size,
            header.deleted_record_count,
            packed_to_offset(header.field_list),
            header.field_list,
        );
        for (number, (_, field)) in self.cache.registry().in_file().enumerate() {
            let kind = cached::type_word(field.kind);
            let size = field.kind.fixed_size().map_or("- ".to_owned(), |size| format!("{size} "));
            let decision = cached::decision_word(field.decision);
            let date = localtime::date(field.last_used.into());
            let date = date.get(..16).unwrap_or(&date);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{number:2}: {:44} {kind:4} {size:>5}{decision:4} {date}", field.name);
        }
        text
    }

    /// What is cached of a message.
    fn of(&mut self, record: &[u8], fields: &[Field<'_>]) -> Vec<u8> {
        let offset = fields.iter().find(|field| field.name == b"cache");
        let offset = offset.and_then(|field| number(field.of(record)?, 0)).unwrap_or(0);
        if !self.usable || self.cache.lookup(offset, &self.facts, &mut self.found).is_err() {
            return Vec::new();
        }
        let mut text = Vec::new();
        for (record, fields) in cached::records(&self.found) {
            let (offset, size, previous) = (record.offset, record.size, record.previous);
            let line = format!(" - cache offset={offset} size={size}, prev_offset = {previous}\n");
            text.extend(line.into_bytes());
            for (id, bytes) in fields {
                let field = self.cache.registry().field(id);
                text.extend(format!("    - {}: ", field.name).into_bytes());
                text.extend(cached::value(&field.name, field.kind, bytes));
                if field.name == "mime.parts" {
                    let parts = message::Parts::restore(bytes);
                    let parts = parts.map_or_else(|error| format!("error: {error}"), |parts| parts.dump());
                    text.extend(format!(" {parts}").into_bytes());
                }
                text.push(b'\n');
            }
        }
        text
    }
}
