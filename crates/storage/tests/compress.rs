//! Compressed mail in Maildir: what real Dovecot 2.3 with its zlib plugin wrote we read byte for byte, and
//! the reverse; sizes agree; damage gives errors.

#[path = "support/real.rs"]
mod real;
mod support;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{Logger, Uid};
use real::Real;
use storage::api::copy;
use storage::compress::{Compression, Encoder, Format};
use storage::fs::{Fs, Hook};
use storage::{
    CopyMode, ErrorKind, Flags, Location, MailSettings, Mailbox, MaildirStorage, OpenMode, Storage, SyncMode,
    Wanted,
};
use support::{Home, save, uids};

const ON: Compression = Compression { is_on: true, save: None };
const OFF: Compression = Compression { is_on: false, save: None };

fn storage(home: &Home, compression: Compression) -> MaildirStorage {
    let location = Location::parse(&format!("maildir:{}", home.root().display()), None).unwrap();
    let settings = MailSettings { hostname: "host".to_owned(), compression, ..MailSettings::default() };
    MaildirStorage::with_fs(location, Arc::new(settings), true, Logger::new("test: "), Fs::default())
}

fn inbox(home: &Home, compression: Compression) -> Box<dyn Mailbox> {
    let mut inbox = storage(home, compression).open("INBOX", OpenMode::ReadWrite).unwrap();
    inbox.sync(SyncMode::Quick).unwrap();
    inbox
}

/// A message of some length, with LF.
fn message(lines: usize) -> String {
    let mut text = "From: a@b\nSubject: hello\n\n".to_owned();
    (0..lines).for_each(|number| text.push_str(&format!("line {} of a text\n", number * number % 9973)));
    text
}

fn read(mailbox: &mut dyn Mailbox, uid: u32) -> Vec<u8> {
    let mut reader = mailbox.open_message(Uid::new(uid).unwrap()).unwrap();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(reader.size(), bytes.len() as u64);
    bytes
}

fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// The message is `text`, in every way of asking.
fn check(mailbox: &mut dyn Mailbox, uid: u32, text: &str) {
    assert!(read(mailbox, uid) == text.as_bytes(), "uid {uid}");
    let wanted = Wanted::SIZE_PHYSICAL | Wanted::SIZE_VIRTUAL | Wanted::HEADER | Wanted::BODYSTRUCTURE;
    let facts = mailbox.fetch_facts(Uid::new(uid).unwrap(), wanted).unwrap();
    assert_eq!(facts.size_physical, Some(text.len() as u64), "uid {uid}");
    assert_eq!(facts.size_virtual, Some(crlf(text).len() as u64), "uid {uid}");
    assert_eq!(facts.header.as_deref(), Some(&b"From: a@b\nSubject: hello\n\n"[..]));
}

fn compress(format: Format, text: &str) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(format, format.default_level()).unwrap(), Vec::new());
    encoder.push(text.as_bytes(), &mut out).unwrap();
    encoder.finish(&mut out).unwrap();
    out
}

fn files(dir: &Path) -> Vec<Vec<u8>> {
    let entries = ["new", "cur"].into_iter().flat_map(|sub| std::fs::read_dir(dir.join(sub)).unwrap());
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

const KINDS: [(&str, &str, Format); 7] = [
    ("gz", "", Format::Gz),
    ("gz", "9", Format::Gz),
    ("gz", "0", Format::Gz),
    ("bz2", "1", Format::Bz2),
    ("lz4", "", Format::Lz4),
    ("zstd", "", Format::Zstd),
    ("zstd", "19", Format::Zstd),
];

#[test]
fn dovecot_writes_we_read() {
    let home = Home::new();
    let location = format!("maildir:{}", home.root().display());
    let Some(real) = Real::new(home.dir.path(), &location, "mail_plugins = zlib\n") else { return };
    let texts = [message(0), message(30), message(20_000)];
    for (name, level, _) in KINDS {
        for text in &texts {
            let (save, level) =
                (format!("plugin/zlib_save={name}"), format!("plugin/zlib_save_level={level}"));
            real.run(&["-o", &save, "-o", &level, "save"], crlf(text).as_bytes());
        }
    }
    let mut inbox = inbox(&home, ON);
    for (uid, text) in (1..).zip(KINDS.iter().flat_map(|_| &texts)) {
        check(&mut *inbox, uid, text);
    }
    check_formats(&home);
    // The largest windows there are.
    real.run(
        &["-o", "plugin/zlib_save=zstd", "-o", "plugin/zlib_save_level=22", "save"],
        texts[2].as_bytes(),
    );
    inbox.sync(SyncMode::Quick).unwrap();
    check(&mut *inbox, 22, &texts[2]);
}

/// Three messages of each kind are on disk.
fn check_formats(home: &Home) {
    let files = files(&home.root());
    for format in [Format::Gz, Format::Bz2, Format::Lz4, Format::Zstd] {
        let stored = files.iter().filter(|file| Format::detect(file) == Some(format)).count();
        assert_eq!(stored, 3 * KINDS.iter().filter(|kind| kind.2 == format).count(), "{format:?}");
    }
}

#[test]
fn we_write_dovecot_reads() {
    let home = Home::new();
    let location = format!("maildir:{}", home.root().display());
    let Some(real) = Real::new(home.dir.path(), &location, "mail_plugins = zlib\n") else { return };
    let texts = [message(0), message(30), message(20_000)];
    for (name, level, _) in KINDS {
        let (settings, errors) = Compression::of_plugin(Some(name), Some(level));
        assert!(errors.is_empty());
        let mut inbox = inbox(&home, settings);
        for text in &texts {
            let uid = save(&mut *inbox, &crlf(text), Flags::NONE, &[]).unwrap();
            check(&mut *inbox, uid, text);
        }
    }
    check_formats(&home);
    let sizes = real.fields("INBOX", "uid size.physical size.virtual");
    for (uid, text) in (1..).zip(KINDS.iter().flat_map(|_| &texts)) {
        assert!(real.text("INBOX", uid) == text.as_bytes(), "uid {uid}");
        assert_eq!(sizes[uid as usize - 1], format!("{uid}\t{}\t{}", text.len(), crlf(text).len()));
    }
}

/// A copy is a hard link also of a compressed file, whatever new mail is saved as.
#[test]
fn copies() {
    let home = Home::new();
    let text = message(100);
    let (zstd, _) = Compression::of_plugin(Some("zstd"), None);
    save(&mut *inbox(&home, OFF), &text, Flags::NONE, &[]).unwrap();
    save(&mut *inbox(&home, Compression::of_plugin(Some("gz"), None).0), &text, Flags::NONE, &[]).unwrap();
    // From elsewhere, without sizes in the name.
    std::fs::write(home.root().join("new/9999999999.x"), compress(Format::Bz2, &text)).unwrap();
    let storage = storage(&home, zstd);
    storage.create("other", false).unwrap();
    let mut inbox = inbox(&home, zstd);
    let mut other = storage.open("other", OpenMode::ReadWrite).unwrap();
    copy(&mut *inbox, &uids(&[1, 2, 3]), &mut *other, CopyMode::Copy).unwrap();
    other.sync(SyncMode::Quick).unwrap();
    (1..=3).for_each(|uid| check(&mut *other, uid, &text));
    (1..=3).for_each(|uid| check(&mut *inbox, uid, &text));
    let stored: Vec<_> = files(&home.root().join(".other")).iter().map(|file| Format::detect(file)).collect();
    assert_eq!(stored.iter().filter(|format| **format == Some(Format::Zstd)).count(), 0);
    let Some(real) =
        Real::new(home.dir.path(), &format!("maildir:{}", home.root().display()), "mail_plugins = zlib\n")
    else {
        return;
    };
    (1..=3).for_each(|uid| assert!(real.text("other", uid) == text.as_bytes()));
}

#[test]
fn without_the_plugin_mail_is_shown_as_it_is() {
    let home = Home::new();
    let stored = compress(Format::Gz, &message(3));
    drop(inbox(&home, OFF));
    std::fs::write(home.root().join("new/1.x"), &stored).unwrap();
    let mut off = inbox(&home, OFF);
    assert_eq!(read(&mut *off, 1), stored);
    let facts = off.fetch_facts(Uid::ONE, Wanted::SIZE_PHYSICAL).unwrap();
    assert_eq!(facts.size_physical, Some(stored.len() as u64));
    drop(off);
    check(&mut *inbox(&home, ON), 1, &message(3));
}

#[test]
fn clients_may_not_save_compressed_mail() {
    let home = Home::new();
    for compressed in ["BZh9x\n\nbody\n", "Dovecot-LZ4\r*"] {
        let saved = save(&mut *inbox(&home, ON), compressed, Flags::NONE, &[]);
        // The LZ4 magic is not text; only what is whole counts.
        match saved {
            Err(error) => {
                assert!(compressed.starts_with("BZh9"));
                assert_eq!(error.kind(), ErrorKind::NotPossible);
                assert_eq!(error.client_text(), "Saving mails compressed by client isn't supported");
            }
            Ok(_) => assert!(compressed.starts_with("Dovecot")),
        }
    }
    assert_eq!(home.files().len(), 1);
    // Compressed once more it is no danger, and comes back as it was.
    let mut gz = inbox(&home, Compression::of_plugin(Some("gz"), None).0);
    let uid = save(&mut *gz, "BZh9x\n\nbody\n", Flags::NONE, &[]).unwrap();
    assert_eq!(read(&mut *gz, uid), b"BZh9x\n\nbody\n");
}

/// A file that the `xz` program made; Dovecot writes none.
#[test]
fn xz_is_read() {
    let home = Home::new();
    drop(inbox(&home, ON));
    std::fs::write(home.root().join("new/1.x"), XZ).unwrap();
    let text = b"Subject: xz\n\na text a text a text a text a text\n";
    assert_eq!(read(&mut *inbox(&home, ON), 1), text);
    for at in 0..XZ.len() {
        let mut damaged = XZ.to_vec();
        damaged[at] ^= 0x11;
        std::fs::write(home.root().join("new/1.x"), &damaged).unwrap();
        let mut mailbox = inbox(&home, ON);
        let outcome = mailbox.open_message(Uid::ONE).and_then(|mut reader| {
            let mut bytes = Vec::new();
            let read = reader.read_to_end(&mut bytes).map(|_| bytes);
            read.map_err(|error| storage::Error::io("read", "x", error))
        });
        // A changed magic makes it a mail like any other.
        assert!(at < 6 || outcome.is_err(), "at {at}");
    }
}

#[test]
fn damage_is_an_error_with_path_and_place() {
    let home = Home::new();
    drop(inbox(&home, ON));
    let whole = compress(Format::Gz, &message(20_000));
    let path = home.root().join("new/1.x");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let mut inbox = inbox(&home, ON);
    let error = inbox.open_message(Uid::ONE).err().unwrap();
    let told = base::chain(&error).to_string();
    let cur = told.split(['(', ')']).nth(1).unwrap().to_owned();
    assert!(cur.ends_with("/1.x") || cur.contains("cur/1.x:2,"), "{told}");
    let expected = format!("read({cur}) failed: zlib.read({cur}): unexpected EOF at ");
    assert!(told.starts_with(&expected), "{told}");
    assert_eq!(error.kind(), ErrorKind::Temporary);
    assert!(inbox.fetch_facts(Uid::ONE, Wanted::SIZE_VIRTUAL).is_err());
}

/// A wrong size in the name is found out at the end of the message; `maildir_broken_filename_sizes`
/// makes us count.
#[test]
fn wrong_sizes_in_names() {
    let home = Home::new();
    drop(inbox(&home, ON));
    let text = message(50);
    std::fs::write(home.root().join("new/1.x,S=100,W=110"), compress(Format::Zstd, &text)).unwrap();
    let mut trusting = inbox(&home, ON);
    let mut bytes = Vec::new();
    let error = trusting.open_message(Uid::ONE).unwrap().read_to_end(&mut bytes).unwrap_err().to_string();
    assert_eq!(error, format!("Cached message size smaller than expected (100 < {})", text.len()));
    drop(trusting);
    let location = Location::parse(&format!("maildir:{}", home.root().display()), None).unwrap();
    let settings =
        MailSettings { compression: ON, maildir_broken_filename_sizes: true, ..MailSettings::default() };
    let counting =
        MaildirStorage::with_fs(location, Arc::new(settings), true, Logger::new("test: "), Fs::default());
    let mut inbox = counting.open("INBOX", OpenMode::ReadWrite).unwrap();
    inbox.sync(SyncMode::Quick).unwrap();
    check(&mut *inbox, 1, &text);
}

/// Fails every change from this number on.
struct Full(AtomicUsize);

impl Hook for Full {
    fn before(&self, op: &'static str, _: &Path, bytes: usize) -> std::io::Result<usize> {
        match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Err(_) if op != "unlink" => Err(std::io::Error::from_raw_os_error(28)),
            _ => Ok(bytes),
        }
    }
}

/// On a full disk a message is saved whole or not at all.
#[test]
fn a_full_disk() {
    let text = message(3000);
    let (compression, _) = Compression::of_plugin(Some("lz4"), None);
    let (mut saved, mut failed) = (0, 0);
    for number in 0..20 {
        let home = Home::new();
        drop(inbox(&home, compression));
        let location = Location::parse(&format!("maildir:{}", home.root().display()), None).unwrap();
        let settings = MailSettings { hostname: "host".to_owned(), compression, ..MailSettings::default() };
        let fs = Fs::with_hook(Arc::new(Full(AtomicUsize::new(number))));
        let full = MaildirStorage::with_fs(location, Arc::new(settings), true, Logger::new("test: "), fs);
        let outcome = full
            .open("INBOX", OpenMode::ReadWrite)
            .and_then(|mut inbox| save(&mut *inbox, &text, Flags::NONE, &[]));
        drop(full);
        match outcome {
            Ok(uid) => {
                check(&mut *inbox(&home, compression), uid, &text);
                saved += 1;
            }
            Err(_) => {
                assert_eq!(home.files(), [""; 0], "{number}");
                failed += 1;
            }
        }
    }
    assert!(saved > 0 && failed > 3, "{saved} {failed}");
}

const XZ: &[u8] = b"\
    \xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\
    \xe0\x00\x2f\x00\x1c\x5d\x00\x29\x9d\x48\x46\xca\x80\xef\x58\x68\x59\xa4\xc8\xad\x69\x0a\x76\xa8\
    \xe6\x63\x8b\x9b\x23\xe4\x12\x25\x7f\x40\x40\x00\xd8\xea\x8e\xa1\xe7\xc9\x6f\x14\x00\x01\x38\x30\
    \x7c\x39\xc0\x11\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";
