//! A cache as text, for `doveadm dump`: the words and forms of 2.3's. What comes from elsewhere is for
//! the caller: dates need a time zone, `mime.parts` needs crate `message`.

use super::field::{Decision, FieldId, FieldType, Want};
use super::layout::u32_at;
use super::lookup::{Found, FoundRecord};

/// The three letters for a type.
pub fn type_word(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Fixed(_) => "fix",
        FieldType::Variable => "var",
        FieldType::String => "str",
        FieldType::Bitmask(_) => "bit",
        FieldType::Header => "hdr",
    }
}

/// The word for a decision; `!` says that the settings force it.
pub fn decision_word(decision: Decision) -> &'static str {
    match (decision.want, decision.forced) {
        (Want::No, false) => "no",
        (Want::No, true) => "no!",
        (Want::Temp, false) => "tmp",
        (Want::Temp, true) => "tmp!",
        (Want::Yes, false) => "yes",
        (Want::Yes, true) => "yes!",
    }
}

/// The records of a message with their fields, newest first.
pub fn records(found: &Found) -> impl Iterator<Item = (FoundRecord, Vec<(FieldId, &[u8])>)> {
    let ends = found.records().iter().skip(1).map(|next| next.fields_before).chain([usize::MAX]);
    found.records().iter().zip(ends).map(|(record, end)| {
        let count = end.saturating_sub(record.fields_before);
        (*record, found.iter().skip(record.fields_before).take(count).collect())
    })
}

/// What stands behind a field's name. For `mime.parts` the tree is still to be appended, after a space.
pub fn value(name: &str, kind: FieldType, bytes: &[u8]) -> Vec<u8> {
    match kind {
        FieldType::Fixed(_) => [number(bytes), hex(bytes)].concat(),
        FieldType::Variable | FieldType::Bitmask(_) if name == "body.snippet" => {
            [hex(bytes), snippet(bytes)].concat()
        }
        FieldType::Variable | FieldType::Bitmask(_) => hex(bytes),
        FieldType::String => without_nul(bytes).to_vec(),
        FieldType::Header => header(bytes),
    }
}

fn number(bytes: &[u8]) -> Vec<u8> {
    match bytes.len() {
        4 => format!("{} ", u32_at(bytes, 0).unwrap_or(0)).into_bytes(),
        8 => super::value::decode_size(bytes).unwrap_or(0).to_string().into_bytes(),
        _ => Vec::new(),
    }
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("({digits})").into_bytes()
}

fn snippet(bytes: &[u8]) -> Vec<u8> {
    let Some((version, text)) = bytes.split_first() else { return Vec::new() };
    [format!(" (version={version}: ").as_bytes(), without_nul(text), b")"].concat()
}

/// Strings of old versions end in NUL.
fn without_nul(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\0").unwrap_or(bytes)
}

fn header(bytes: &[u8]) -> Vec<u8> {
    let Some(header) = super::value::Header::decode(bytes) else {
        let numbers = bytes.chunks_exact(4).filter_map(|word| u32_at(word, 0));
        let broken = "\n - BROKEN: header field doesn't end with 0 line";
        return [join(numbers), broken.into()].concat().into_bytes();
    };
    let mut text = &*header.text;
    if header.lines.len() == 1 {
        text = text.strip_suffix(b"\n").unwrap_or(text);
    }
    let colon: &[u8] = if text.is_empty() { b"" } else { b": " };
    [join(header.lines.iter().copied()).as_bytes(), colon, text].concat()
}

fn join(numbers: impl Iterator<Item = u32>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
}
