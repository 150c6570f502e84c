use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::Logger;

use crate::api::MessageReader;
use crate::fs::{Fs, Hook};

use super::base64::{Judge, Shape};
use super::*;

struct Memory(Cursor<Vec<u8>>);

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Memory {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

impl MessageReader for Memory {
    fn size(&self) -> u64 {
        self.0.get_ref().len() as u64
    }
}

fn store_with(dir: &Path, fs: &str, hash: &str) -> Arc<Store> {
    let settings = Settings {
        dir: dir.join("attachments"),
        fs: fs.to_owned(),
        hash: HashFormat::parse(hash).unwrap(),
        min_size: 100,
        temp_dir: dir.to_owned(),
        syncs: false,
    };
    Arc::new(Store::new(Fs::default(), Logger::new(""), settings).unwrap())
}

fn store(dir: &Path) -> Arc<Store> {
    store_with(dir, "sis posix", "%{sha1}")
}

/// All files below `dir`, sorted.
fn files(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, root: &Path, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, root, out);
            } else {
                out.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut out = Vec::new();
    walk(dir, dir, &mut out);
    out.sort();
    out
}

fn extract(store: &Arc<Store>, message: &[u8], piece: usize) -> (Vec<u8>, Vec<ExtRef>) {
    let mut extractor = Extractor::new(store.clone());
    let mut rest = Vec::new();
    message.chunks(piece).for_each(|piece| extractor.push(piece, &mut rest).unwrap());
    let refs = extractor.finish(&mut rest).unwrap();
    (rest, refs)
}

fn connected(store: &Arc<Store>, rest: &[u8], refs: &[ExtRef], size: Option<u64>) -> Box<dyn MessageReader> {
    let line = ExtRef::write_all(refs);
    let refs = if line.is_empty() { Vec::new() } else { ExtRef::parse_all(&line).unwrap() };
    connect(Box::new(Memory(Cursor::new(rest.to_vec()))), refs, store.clone(), "", size).unwrap()
}

fn encoded(bytes: &[u8], line: usize, line_end: &str) -> String {
    let mut text = Vec::new();
    base64::encode(bytes, &mut text);
    let lines: Vec<_> = text.chunks(line).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
    lines.join(line_end)
}

fn part(text: &str) -> String {
    format!(
        "Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\nshort\n--b\n\
         Content-Type: application/x\n\n{text}\n--b--\nepilogue\n"
    )
}

/// Every shape comes back byte for byte, from any place; `decoded` tells whether it is stored decoded.
#[test]
fn there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let bytes: Vec<u8> = (0..70_000u32).map(|it| (it.wrapping_mul(it) / 7) as u8).collect();
    for (text, options) in [
        (encoded(&bytes, 76, "\n"), "B76"),
        (encoded(&bytes, 76, "\r\n"), "CB76"),
        (encoded(&bytes[..300], 72, "\n") + "\n", "B72"),
        (encoded(&bytes[..301], 4, "\n"), "B4"),
        (encoded(&bytes[..302], 10_000, "\n"), "B404"),
        (encoded(&bytes[..57 * 4], 76, "\n") + "\n\n\n", "B76"),
        (encoded(&bytes[..301], 76, "\n") + "\nand words after it", "B76"),
        (encoded(&bytes[..301], 76, "\n") + &"\nand words after it".repeat(100), "-"),
        (encoded(&bytes, 76, "\n").replacen('\n', "\r\n", 1), "-"),
        (encoded(&bytes, 76, "\n").replacen('\n', "\n\n", 1), "-"),
        (encoded(&bytes[..301], 76, "\n").replace("==", "!="), "-"),
        ("no base64 at all. ".repeat(20), "-"),
        (" ".repeat(200), "-"),
        // Bits that decoding loses: the last of `QR==`.
        (format!("{}\nQR==", "QUJD".repeat(60)), "-"),
    ] {
        let message = part(&text);
        for piece in [1, 77, 1 << 20] {
            if piece == 1 && text.len() > 10_000 {
                continue;
            }
            let (rest, refs) = extract(&store, message.as_bytes(), piece);
            let [one] = refs.as_slice() else { panic!("{text:.80}: {refs:?}") };
            assert_eq!(one.to_string().split(' ').nth(2), Some(options), "{text:.80}");
            assert_eq!(rest.len() as u64 + one.size, message.len() as u64);
            for size in [None, Some(message.len() as u64)] {
                let mut reader = connected(&store, &rest, &refs, size);
                let mut whole = Vec::new();
                reader.read_to_end(&mut whole).unwrap();
                assert!(whole == message.as_bytes(), "{text:.80}");
                for at in (0..message.len()).step_by(1 + message.len() / 500) {
                    let mut piece = [0; 9];
                    reader.seek(SeekFrom::Start(at as u64)).unwrap();
                    let end = message.len().min(at + 9);
                    reader.read_exact(&mut piece[..end - at]).unwrap();
                    assert_eq!(piece[..end - at], message.as_bytes()[at..end], "{at} of {text:.80}");
                }
            }
            refs.iter().for_each(|one| store.delete(&one.path).unwrap());
        }
    }
    assert_eq!(files(dir.path()), [""; 0]);
    assert!(std::fs::read_dir(dir.path().join("attachments")).unwrap().next().is_none());
}

#[test]
fn what_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let long = "x".repeat(200);
    for message in [
        part("short"),
        format!("Content-Type: text/plain\n\n{long}"),
        format!("Content-Type: TEXT/html\n\n{long}"),
        format!("Subject: no type\n\n{long}"),
        part(&long).replace("application/x", "Text / x"),
        String::new(),
        "Content-Type: a/b".to_owned(),
    ] {
        let (rest, refs) = extract(&store, message.as_bytes(), 10);
        assert_eq!((String::from_utf8(rest).unwrap(), refs.len()), (message, 0));
    }
    // The message itself may be one, also without Mime-Version.
    let (rest, refs) = extract(&store, format!("Content-Type: a/b\n\n{long}").as_bytes(), 10);
    assert_eq!((rest.as_slice(), refs.len()), (&b"Content-Type: a/b\n\n"[..], 1));
}

#[test]
fn equal_ones_are_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let message = part(&encoded(&[7; 400], 76, "\n"));
    let first = extract(&store, message.as_bytes(), 100).1.remove(0).path;
    // The same bytes in lines of another length.
    let second = extract(&store, part(&encoded(&[7; 400], 72, "\r\n")).as_bytes(), 100).1.remove(0).path;
    let links = |name: &str| {
        std::os::unix::fs::MetadataExt::nlink(
            &std::fs::metadata(dir.path().join("attachments").join(name)).unwrap(),
        )
    };
    assert_eq!((links(&first), links(&second)), (3, 3));
    store.link(&first, "", "aa/bb/copy-1").unwrap();
    store.rename(&second, &format!("{second}-mailbox-7")).unwrap();
    assert_eq!(files(dir.path()).len(), 4);
    for name in [first.clone(), format!("{second}-mailbox-7"), first, "aa/bb/copy-1".to_owned()] {
        store.delete(&name).unwrap();
    }
    // The copy lies elsewhere than its hash, which no one looks for there.
    assert_eq!(files(dir.path()).len(), 1);
}

#[test]
fn another_file_of_the_same_hash() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with(dir.path(), "sis posix", "%{size}");
    let one = extract(&store, part(&"a.".repeat(100)).as_bytes(), 100).1.remove(0).path;
    let other = extract(&store, part(&"b.".repeat(100)).as_bytes(), 100).1.remove(0).path;
    let text = |name: &str| {
        let mut text = String::new();
        store.open(name, "").unwrap().read_to_string(&mut text).unwrap();
        text
    };
    assert!(text(&one).starts_with('a') && text(&other).starts_with('b'));
    assert!(text("00/00/hashes/00000000000000c8").starts_with('b'));
    [&one, &other].into_iter().for_each(|name| store.delete(name).unwrap());
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn other_file_systems() {
    let dir = tempfile::tempdir().unwrap();
    let message = part(&"z".repeat(200));
    let plain = store_with(dir.path(), "posix:mode=0640", "%{md5}");
    extract(&plain, message.as_bytes(), 100);
    extract(&plain, message.as_bytes(), 100);
    assert_eq!(files(dir.path()).len(), 2);
    let queue = dir.path().join("queue");
    let queued = store_with(dir.path(), &format!("sis-queue {}:posix", queue.display()), "%{md5}");
    assert!(queued.is_queue() && !plain.is_queue());
    let refs = extract(&queued, message.as_bytes(), 100).1;
    assert_eq!(files(&queue), [refs[0].path.rsplit('/').next().unwrap()]);
    for (fs, error) in [
        ("sis", "mail_attachment_fs: Parent filesystem not given as parameter"),
        ("sis-queue /q", "mail_attachment_fs: Parent filesystem not given as parameter"),
        ("nope", "mail_attachment_fs: Unknown fs driver: nope"),
        ("posix:x", "mail_attachment_fs: Unknown arg 'x'"),
        ("posix:mode=9", "mail_attachment_fs: Invalid mode value: 9"),
    ] {
        let settings = Settings { fs: fs.to_owned(), ..plain.settings.clone() };
        let refused = Store::new(Fs::default(), Logger::new(""), settings).err().unwrap();
        assert_eq!(refused.to_string(), error);
    }
}

#[test]
fn an_unfinished_message_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let mut extractor = Extractor::new(store.clone());
    extractor.push(part(&"a.".repeat(100)).as_bytes(), &mut Vec::new()).unwrap();
    assert!(!files(dir.path()).is_empty());
    drop(extractor);
    assert_eq!(files(dir.path()), [""; 0]);
}

/// Fails the change of this number, once. What cannot be removed cannot be cleaned up either.
struct Fault(AtomicUsize);

impl Hook for Fault {
    fn before(&self, op: &'static str, _: &Path, bytes: usize) -> std::io::Result<usize> {
        if op == "unlink" {
            return Ok(bytes);
        }
        match self.0.fetch_sub(1, Ordering::SeqCst) {
            0 => Err(std::io::Error::from_raw_os_error(28)),
            _ => Ok(bytes),
        }
    }
}

/// Wherever the disk is full: the message is stored whole, or nothing of it.
#[test]
fn faults_leave_nothing_half() {
    let message = part(&"a.".repeat(200)) + &part(&encoded(&[7; 400], 76, "\n"));
    let mut outcomes = (0, 0);
    for number in 0..30 {
        let dir = tempfile::tempdir().unwrap();
        let plain = store(dir.path());
        // The second attachment is there already, the first is new.
        let before = extract(&plain, part(&encoded(&[7; 400], 76, "\n")).as_bytes(), 100).1;
        let fs = Fs::with_hook(Arc::new(Fault(AtomicUsize::new(number))));
        let faulty = Arc::new(Store::new(fs, Logger::new(""), plain.settings.clone()).unwrap());
        let (mut extractor, mut rest) = (Extractor::new(faulty), Vec::new());
        let saved = extractor.push(message.as_bytes(), &mut rest).and_then(|()| extractor.finish(&mut rest));
        match saved {
            Ok(refs) => {
                let mut whole = Vec::new();
                connected(&plain, &rest, &refs, None).read_to_end(&mut whole).unwrap();
                assert!(whole == message.as_bytes());
                refs.iter().for_each(|one| plain.delete(&one.path).unwrap());
                outcomes.0 += 1;
            }
            Err(error) => {
                assert!(error.is_internal(), "{error}");
                outcomes.1 += 1;
            }
        }
        before.iter().for_each(|one| plain.delete(&one.path).unwrap());
        assert_eq!(files(dir.path()), [""; 0], "{number}");
    }
    assert!(outcomes.0 > 3 && outcomes.1 > 3, "{outcomes:?}");
}

#[test]
fn damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let message = part(&encoded(&[7; 400], 76, "\n"));
    let (rest, refs) = extract(&store, message.as_bytes(), 100);
    let read = |refs: &[ExtRef]| {
        let mut whole = Vec::new();
        connected(&store, &rest, refs, None).read_to_end(&mut whole).map_err(|error| error.to_string())
    };
    let path = dir.path().join("attachments").join(&refs[0].path);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    assert!(read(&refs).unwrap_err().contains("Attachment is smaller than"));
    std::fs::remove_file(&path).unwrap();
    assert!(read(&refs).unwrap_err().starts_with("open("));
    let outside = ExtRef { size: 1 << 40, ..refs[0].clone() };
    let memory = Box::new(Memory(Cursor::new(rest.clone())));
    let error = connect(memory, vec![outside], store.clone(), "", Some(message.len() as u64)).err().unwrap();
    assert!(error.to_string().contains("Attachment points outside message"), "{error}");
}

#[test]
fn lines_of_references() {
    for line in ["12 34 B76 ab/cd/x-y", "0 1 - a-b 1 2 CB4 c-d", "5 6 C a-b"] {
        assert_eq!(ExtRef::write_all(&ExtRef::parse_all(line).unwrap()), line);
    }
    for line in [
        "",
        "1 2 -",
        "1 2 - a b",
        "x 2 - a",
        "1 2 B a",
        "1 2 B5 a",
        "1 2 B0 a",
        "1 2 Z a",
        "9 9 - a 1 1 - b",
        "1 2 - ../../etc/passwd",
        "1 2 - /etc/passwd",
        "1 2 - ",
        "1 18446744073709551615 - a",
    ] {
        assert_eq!(ExtRef::parse_all(line), None, "{line}");
    }
}

#[test]
fn hashes() {
    let check = |template: &str, expected: &str| {
        let mut hasher = HashFormat::parse(template).unwrap().start();
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), expected);
    };
    check("%{sha1}", "a9993e364706816aba3e25717850c26c9cd0d89d");
    check("x%{sha1:32}.%{md5:16}", "xa9993e36.9001");
    check("%{size}", "0000000000000003");
    check("%X{size}", "3");
    check("%B{md5}", "kAFQmDzST7DWlj99KOF/cg");
    check("%{sha3-256:8}", "3a");
    for (template, error) in [
        ("%sha1", "No '{' after '%'"),
        ("%{sha1", "Missing '}'"),
        ("%{nope}", "Unknown hash method: nope"),
        ("%{md5:129}", "Invalid :bits number: 129"),
        ("%{md5:12}", "Currently :bits must be divisible by 8: 12"),
    ] {
        assert_eq!(HashFormat::parse(template), Err(error.to_owned()));
    }
}

#[test]
fn judging_base64() {
    let check = |text: &str, expected: Option<(u64, u32, bool)>| {
        let mut judge = Judge::default();
        text.bytes().for_each(|byte| judge.push(&[byte]));
        let expected = expected.map(|(bytes, blocks_per_line, crlf)| Shape { bytes, blocks_per_line, crlf });
        assert_eq!(judge.finish(), expected, "{text:?}");
    };
    check("", None);
    check("\nQUJD", None);
    check("QUJD", Some((4, 1, false)));
    check("QUJDQUJD\nQUJD\n", Some((13, 2, false)));
    check("QUJDQUJD\r\nQUI=", Some((14, 2, true)));
    check("QUJDQUJD\r\nQUJDQUJD\n", None);
    check("QUJD\nQUJD\r\n", None);
    check("QUJD\nQUJDQUJD", None);
    check("QUJ", None);
    check("QQ==x", Some((4, 1, false)));
    check("QR==", None);
    check("QUJ=", None);
    check("QUI=", Some((4, 1, false)));
}
