//! What Dovecot 2.3.19 answers for the odd messages in `tests/dovecot`, recorded from the real
//! server: `NNN.eml` is the message, `NNN.txt` the answers. Ours must be the same bytes.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use message::crlf::{CrlfReader, Place};
use message::section::{self, Resolved, Section, Span, What};
use message::{Options, Parts, bodystructure, envelope, imap_string, parse, parse_reader};

const SECTIONS: [&str; 19] = [
    "HEADER",
    "TEXT",
    "HEADER.FIELDS (SUBJECT FROM X)",
    "HEADER.FIELDS.NOT (SUBJECT FROM)",
    "1",
    "2",
    "1.MIME",
    "2.MIME",
    "1.HEADER",
    "1.TEXT",
    "1.1",
    "2.1",
    "1.2",
    "2.HEADER.FIELDS (SUBJECT)",
    "2.HEADER.FIELDS.NOT (SUBJECT)",
    "1.1.1",
    "2.1.1",
    "<2.7>",
    "TEXT<1.5>",
];

/// Where we differ on purpose: asked for the fields of an empty message inside a message, 2.3 reads
/// on behind its end.
const DIFFERENT: (&str, &str) = ("079", "BODY.PEEK[2.HEADER.FIELDS.NOT (SUBJECT)]");

fn span_bytes(message: &[u8], span: Span) -> Vec<u8> {
    let start = span.start as usize;
    let stored = &message[start..start + span.size.physical as usize];
    let mut out = Vec::new();
    CrlfReader::new(stored).replacing_nul(0x80).read_to_end(&mut out).unwrap();
    assert_eq!(out.len() as u64, span.size.virtual_, "counted size");
    out
}

fn section_bytes(message: &[u8], parts: &Parts, section: &Section) -> Vec<u8> {
    let mut out = Vec::new();
    let header = |span: Span| &message[span.start as usize..][..span.size.physical as usize];
    match (section::resolve(parts, section), &section.what) {
        (Resolved::Missing, _) => {}
        (Resolved::Bytes(span), _) => out = span_bytes(message, span),
        (Resolved::Fields(span), What::Fields(names)) => {
            section::filter_header(header(span), names, false, &mut out).unwrap();
        }
        (Resolved::Fields(span), What::FieldsNot(names)) => {
            section::filter_header(header(span), names, true, &mut out).unwrap();
        }
        (Resolved::Fields(_), _) => panic!("fields without names"),
    }
    out.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = 0x80);
    out
}

fn answer_section(message: &[u8], parts: &Parts, spec: &str, out: &mut Vec<u8>) {
    let (spec, range) = match spec.split_once('<') {
        Some((spec, range)) => (spec, range.strip_suffix('>').and_then(|range| range.split_once('.'))),
        None => (spec, None),
    };
    let (word, names) = match spec.split_once(" (") {
        Some((word, names)) => {
            let names = names.trim_end_matches(')').split(' ').map(|name| name.as_bytes().to_vec());
            (word, Some(names.collect()))
        }
        None => (spec, None),
    };
    let section = Section::parse(word.as_bytes(), names).unwrap();
    let mut bytes = section_bytes(message, parts, &section);
    out.extend_from_slice(format!("BODY[{spec}]").as_bytes());
    if let Some((offset, length)) = range {
        let (offset, length) = (offset.parse().unwrap(), length.parse().unwrap());
        out.extend_from_slice(format!("<{offset}>").as_bytes());
        let (from, count) = section::partial(bytes.len() as u64, offset, Some(length));
        bytes = bytes[from as usize..][..count as usize].to_vec();
    }
    out.push(b' ');
    imap_string::literal(out, &bytes);
}

fn answers(message: &[u8], parts: &Parts) -> Vec<u8> {
    let mut out = Vec::new();
    let mut item = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
        out.extend_from_slice(format!("{name}\n* 1 FETCH (").as_bytes());
        write(&mut out);
        out.extend_from_slice(b")\r\n");
    };
    item("ENVELOPE", &|out| {
        out.extend_from_slice(b"ENVELOPE (");
        envelope::write(out, parts.envelope().unwrap());
        out.push(b')');
    });
    for (name, extended) in [("BODY", false), ("BODYSTRUCTURE", true)] {
        item(name, &|out| {
            out.extend_from_slice(format!("{name} (").as_bytes());
            bodystructure::write(out, parts, extended);
            out.push(b')');
        });
    }
    item("RFC822.SIZE", &|out| {
        out.extend_from_slice(format!("RFC822.SIZE {}", parts.size().virtual_).as_bytes());
    });
    for spec in SECTIONS {
        let (inside, range) = spec.split_at(spec.find('<').unwrap_or(spec.len()));
        item(&format!("BODY.PEEK[{inside}]{range}"), &|out| answer_section(message, parts, spec, out));
    }
    out
}

fn messages() -> Vec<PathBuf> {
    // A larger collection, recorded in the same way, may be named instead.
    let folder = match std::env::var_os("DOVECOT_ANSWERS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dovecot"),
    };
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    paths.sort();
    assert!(paths.len() > 100, "the fixtures are there");
    paths
}

#[test]
fn answers_as_recorded() {
    let mut failures = String::new();
    for path in messages() {
        let message = fs::read(&path).unwrap();
        let mut want = fs::read(path.with_extension("txt")).unwrap();
        let mut got = answers(&message, &parse(&message, Options { envelope: true }));
        if path.file_stem().is_some_and(|stem| stem == DIFFERENT.0) {
            for side in [&mut got, &mut want] {
                let text = String::from_utf8_lossy(side).into_owned();
                let (before, after) = text.split_once(DIFFERENT.1).unwrap();
                let after = after.split_once("\nBODY.PEEK").unwrap().1;
                *side = format!("{before}{after}").into_bytes();
            }
        }
        if got != want {
            let (got, want) = (String::from_utf8_lossy(&got), String::from_utf8_lossy(&want));
            let first = got.lines().zip(want.lines()).find(|(got, want)| got != want);
            failures.push_str(&format!("{}: {first:#?}\n", path.display()));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Gives its bytes in pieces of one size.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.len().min(self.1).min(out.len());
        let (now, later) = self.0.split_at(count);
        out[..count].copy_from_slice(now);
        self.0 = later;
        Ok(count)
    }
}

#[test]
fn pieces_make_no_difference() {
    let options = Options { envelope: true };
    for path in messages() {
        let message = fs::read(&path).unwrap();
        let whole = format!("{:?}", parse(&message, options));
        for size in [1, 2, 3, 7, 100] {
            let read = parse_reader(Drip(&message, size), options, ()).unwrap();
            assert_eq!(format!("{read:?}"), whole, "{} read by {size}", path.display());
            let mut parser = message::Parser::new(options, ());
            message.chunks(size).for_each(|piece| parser.push(piece));
            assert_eq!(format!("{:?}", parser.finish().0), whole, "{} pushed by {size}", path.display());
        }
    }
}

#[test]
fn virtual_places_agree_with_the_reader() {
    for path in messages().into_iter().step_by(7) {
        let message = fs::read(&path).unwrap();
        let sent = message::crlf::to_crlf(&message);
        for target in 0..=sent.len().min(300) {
            let place = Place::START.advance(&message, target as u64);
            let mut out = Vec::new();
            let rest = &message[place.physical as usize..];
            CrlfReader::after(rest, place.before).read_to_end(&mut out).unwrap();
            assert_eq!(
                &out[target - place.virtual_ as usize..],
                &sent[target..],
                "{} {target}",
                path.display()
            );
        }
    }
}

/// `flags` and `mime.parts` of the messages in the cache of Dovecot 2.3.19, which is also what it takes
/// from there.
#[test]
fn stored_parts_are_dovecots() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dovecot");
    let recorded = fs::read_to_string(folder.join("parts.txt")).unwrap();
    let mut wrong = Vec::new();
    for line in recorded.lines() {
        let (name, want) = line.split_once(' ').unwrap();
        let message = fs::read(folder.join(name).with_extension("eml")).unwrap();
        let parts = parse(&message, Options::default());
        let restored = Parts::restore(&parts.store()).unwrap();
        let hex: String = parts.store().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut ours = format!("{:02x} {hex}", flags(&parts));
        if name == DIFFERENT.0 {
            // 2.3 puts an empty message inside a message one byte before the end of the header above it.
            ours = ours.replace("90000000", "8f000000").replace("b1000000", "b0000000");
        }
        if ours != want || restored.store() != parts.store() {
            wrong.push(format!("{name}\n  {want}\n  {ours}"));
        }
        if bodystructure::is_plain_7bit(&parts) {
            let written = |parts: &Parts| {
                let mut out = Vec::new();
                bodystructure::write(&mut out, parts, true);
                out
            };
            assert_eq!(written(&parts), written(&restored), "{name}");
        }
    }
    assert!(recorded.lines().count() > 100 && wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The bits of the cache's `flags`.
fn flags(parts: &Parts) -> u8 {
    let nuls = parts.iter().any(|(_, part)| part.flags.nuls);
    u8::from(parts.root().header.is_crlf())
        | u8::from(parts.root().body.is_crlf()) << 1
        | if nuls { 4 } else { 32 }
        | u8::from(bodystructure::is_plain_7bit(parts)) << 4
}

/// `hdr.from`, `hdr.subject` and `hdr.to` of the messages in the same cache.
#[test]
fn stored_headers_are_dovecots() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dovecot");
    let recorded = fs::read_to_string(folder.join("headers.txt")).unwrap();
    for line in recorded.lines() {
        let [file, name, want] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let message = fs::read(folder.join(file).with_extension("eml")).unwrap();
        let (lines, text) = message::header::stored(&message, name.as_bytes());
        let bytes = lines.iter().chain(&[0]).flat_map(|line| line.to_ne_bytes()).chain(text);
        let ours: String = bytes.map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(ours, want, "{file} {name}");
    }
    assert!(recorded.lines().count() > 50);
}
