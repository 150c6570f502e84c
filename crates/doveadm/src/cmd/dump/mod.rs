//! `doveadm dump`: what is in a file of the mail formats, in 2.3's words. A type is a line in
//! [`TYPES`]; those without a printer are recognised, and say that they cannot be shown.

mod dbox;
mod extension;
mod imap_zlib;
mod index;
mod log;
mod mailbox_log;
mod multiplex;
mod thread;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Failure, Outcome, status};
use crate::limits::FILE_BYTES_MAX;

/// A type of file.
struct Type {
    name: &'static str,
    /// Whether a file is of this type; `None` for types that must be named.
    test: Option<fn(&Path) -> bool>,
    /// Shows a file.
    print: Option<Print>,
}

/// Shows a file, with what follows the path on the command line.
type Print = fn(&mut Context, &Path, &[String]) -> Outcome;

/// In 2.3's order, in which they are tried.
const TYPES: [Type; 9] = [
    Type { name: "dbox", test: Some(is_dbox), print: Some(dbox::print) },
    Type { name: "index", test: Some(is_index), print: Some(index::print) },
    Type { name: "log", test: Some(is_log), print: Some(log::print) },
    Type { name: "mailboxlog", test: Some(is_mailbox_log), print: Some(mailbox_log::print) },
    Type {
        name: "thread",
        test: Some(|path| name_of(path).ends_with(".thread")),
        print: Some(thread::print),
    },
    Type { name: "imapzlib", test: Some(imap_zlib::is_one), print: Some(imap_zlib::print) },
    Type { name: "dcrypt-file", test: Some(|path| begins_with(path, b"CRYPTED\x03\x07")), print: None },
    Type { name: "dcrypt-key", test: None, print: None },
    Type { name: "multiplex", test: None, print: Some(multiplex::print) },
];

pub(crate) fn dump(cx: &mut Context, args: &Args) -> Outcome {
    let path = args.text("path").ok_or_else(|| help("dump"))?;
    let file = Path::new(path);
    let found = match args.text("type") {
        Some(wanted) => TYPES.iter().find(|known| known.name == wanted).ok_or_else(|| {
            let names: Vec<&str> = TYPES.iter().map(|known| known.name).collect();
            eprintln!("Available dump types: {}", names.join(" "));
            Failure::Fatal(format!("Unknown type: {wanted}"), status::USAGE)
        })?,
        None => {
            let found = TYPES.iter().find(|known| known.test.is_some_and(|test| test(file)));
            let found = found
                .ok_or_else(|| Failure::Fatal(format!("Can't autodetect file type: {path}"), status::DATA))?;
            cx.output.line(&format!("Detected file type: {}", found.name));
            found
        }
    };
    match found.print {
        Some(print) => print(cx, file, args.list("args")),
        None => {
            Err(Failure::fatal(format_args!("Files of type {} can't be shown: no dcrypt here", found.name)))
        }
    }
}

fn name_of(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default()
}

/// The first bytes of a file, as many as there are.
fn beginning(path: &Path, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A file that cannot be read is of no type.
    let _ = File::open(path).and_then(|file| file.take(length).read_to_end(&mut bytes));
    bytes
}

fn begins_with(path: &Path, magic: &[u8]) -> bool {
    beginning(path, magic.len() as u64) == magic
}

fn is_dbox(path: &Path) -> bool {
    let name = name_of(path);
    name.starts_with("m.") || name.starts_with("u.")
}

/// `dovecot.index`, of which there may only be the log, or the directory that it is in. Without its log it is
/// a copy.
fn is_index(path: &Path) -> bool {
    index::file_of(path).is_some_and(|file| {
        // The major version, which is the first byte.
        (begins_with(&file, &[7]) || !file.exists()) && is_log(&index::log_of(&file))
    })
}

fn is_log(path: &Path) -> bool {
    let name = name_of(path);
    let ends = name.split_once(".log").is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('.'));
    // Major version 1, some minor version, and a header of at least 24 bytes (little endian).
    ends && match *beginning(path, LOG_HEADER_BYTES_MIN).as_slice() {
        [1, _, low, high, ..] => u64::from(u16::from_le_bytes([low, high])) >= LOG_HEADER_BYTES_MIN,
        _ => false,
    }
}

/// `dovecot.mailbox.log`: a record's type, three empty bytes, GUID and time.
fn is_mailbox_log(path: &Path) -> bool {
    name_of(path).ends_with(".log")
        && matches!(*beginning(path, MAILBOX_LOG_RECORD_BYTES).as_slice(), [1..=6, 0, 0, 0, ref rest @ ..] if rest.len() == 20)
}

/// A file as a whole.
fn read(path: &Path) -> Outcome<Vec<u8>> {
    let opened = File::open(path)
        .map_err(|error| broken(format_args!("open({}) failed: {}", path.display(), base::reason(&error))))?;
    let mut bytes = Vec::new();
    match opened.take(FILE_BYTES_MAX).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(broken(format_args!("read() failed: {}", base::reason(&error)))),
    }
}

/// The file is not what it should be.
fn broken(what: impl std::fmt::Display) -> Failure {
    Failure::Fatal(what.to_string(), status::FATAL)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The little-endian number at `at`.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

const LOG_HEADER_BYTES_MIN: u64 = 24;
const MAILBOX_LOG_RECORD_BYTES: u64 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, content: &[u8], expected: Option<&str>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        let found = TYPES.iter().find(|known| known.test.is_some_and(|test| test(&path)));
        assert_eq!(found.map(|known| known.name), expected, "{name}");
    }

    /// As the original wrote it, and as it shows it.
    #[test]
    fn threads_are_shown() {
        let file = [
            &b"\x02\x01\x00\x00\x06\xa9\x07\x6b(|\x94\xd4\xec\xc5\xa7\x1e"[..],
            b"\x80\x80\x80\x9c\x00\x01\xfd\x0a\xbe\x7a\x9d\x74\xb6\x97\x06\x00\x00\x00\x05\x00\x00\x00",
            b"\x02\x00\x00\x00\x00\x00\x07\x00\x00\x00\x80",
        ];
        let doveadm = crate::context::tests::Doveadm::new();
        let path = doveadm.path().join("dovecot.index.thread");
        std::fs::write(&path, file.concat()).unwrap();
        let (out, ended) = doveadm.run(&format!("dump {}", path.display()));
        assert_eq!(ended, Ok(0));
        assert_eq!(
            out,
            "Detected file type: thread\nversion = 2\nuid validity = 1795664134\nblock at offset 16:\n \
             - block_size=28\n - uid 1: n=1\n   - message-id: crc32=7abe0afd index=6\n   \
             - in-reply-to: crc32=97b6749d index=5\n - uid 3: n=0\n   - message-id: crc32=00000000 index=7\n\
             block at offset 48:\n"
        );
        std::fs::write(&path, &file.concat()[..30]).unwrap();
        let (out, _) = doveadm.run(&format!("dump {}", path.display()));
        assert!(out.ends_with(" - block_size=28\n   - broken!\n"), "{out}");
    }

    /// Shows a file with these bytes; what is printed and how it ended.
    fn shown(kind: &str, bytes: &[u8]) -> (String, Outcome<i32>) {
        let doveadm = crate::context::tests::Doveadm::new();
        let path = doveadm.path().join("it");
        std::fs::write(&path, bytes).unwrap();
        doveadm.run(&format!("dump -t {kind} {}", path.display()))
    }

    /// A session's bytes as zlib deflates them, a block flushed without an end behind it.
    #[test]
    fn compressed_sessions_are_shown() {
        let deflated = b"\x4a\x52\xf0\xf3\xf7\x0f\xe0\xe5\x4a\x56\xf0\xf1\x77\xf7\x0f\x0d\xe1\xe5\x02\x00\x00\x00\xff\xff";
        let before = "a NOOP\r\n\r\na OK Begin compression.\r\n";
        let whole = [before.as_bytes(), deflated].concat();
        assert_eq!(shown("imapzlib", &whole), (format!("{before}b NOOP\r\nc LOGOUT\r\n"), Ok(0)));
        let asked = [b"a compress deflate\n", &deflated[..]].concat();
        assert!(shown("imapzlib", &asked).0.ends_with("c LOGOUT\r\n"));
        let cut = shown("imapzlib", &whole[..whole.len() - 14]);
        assert!(cut.0.starts_with(before) && cut.0.len() < before.len() + 18 && cut.1 == Ok(0), "{cut:?}");
        let damaged = shown("imapzlib", &[before.as_bytes(), b"\xff\xff\xff"].concat());
        assert_eq!(damaged.0, before);
        assert!(format!("{:?}", damaged.1).contains("it) failed: "), "{damaged:?}");
    }

    #[test]
    fn channels_are_shown() {
        let whole = b"\x00\0\0\0\x03abc\x01\0\0\0\x02de\x00\0\0\0\x01f";
        let lines = "CHANNEL 0: 4 bytes:\nabcf\nCHANNEL 1: 2 bytes:\nde\n";
        assert_eq!(shown("multiplex", whole), (lines.to_owned(), Ok(0)));
        let cut = format!("{:?}", shown("multiplex", b"\x00\0\0\0\x05ab").1);
        assert!(cut.contains("Unexpected EOF - 3 bytes remaining in packet"), "{cut}");
    }

    #[test]
    fn types_are_recognised() {
        let log = [&[1, 3, 40, 0][..], &[0; 40]].concat();
        check("m.1", b"", Some("dbox"));
        // Without its log it is a copy.
        check("dovecot.index", &[7, 3, 120, 0], None);
        check("dovecot.index.log", &log, Some("log"));
        check("dovecot.index.log.2", &log, Some("log"));
        check("dovecot.mailbox.log", &[&[4, 0, 0, 0][..], &[9; 20]].concat(), Some("mailboxlog"));
        check("dovecot.index.thread", b"", Some("thread"));
        check("x.in", b"1 OK Begin compression.\r\n", Some("imapzlib"));
        check("dovecot.index.log", &[1, 3], None);
        check("other", b"x", None);
    }
}
