//! Attachments that real Dovecot 2.3 stored apart from its dbox messages are put together again byte for
//! byte; what we store for the same messages is the same, and real Dovecot reads it.

#[path = "support/real.rs"]
mod real;

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use base::{Logger, Uid, UidSet};
use real::Real;
use storage::api::copy;
use storage::attachment::{ExtRef, Extractor, HashFormat, Settings, Store, connect};
use storage::compress::{self, Compression, Format};
use storage::fs::Fs;
use storage::{
    CopyMode, DboxStorage, Location, MailSettings, Mailbox, MailboxUpdate, MessageReader, OpenMode, SaveMeta,
    Storage, SyncMode,
};

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

/// One message of a dbox file: what is stored of it, and its metadata lines.
struct Stored {
    rest: Vec<u8>,
    metadata: Vec<String>,
}

impl Stored {
    fn metadata(&self, key: char) -> Option<&str> {
        self.metadata.iter().find_map(|line| line.strip_prefix(key))
    }
}

/// The messages of a dbox file, as far as they matter here.
fn parse_dbox(file: &[u8]) -> Vec<Stored> {
    let mut at = file.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let mut all = Vec::new();
    while file.get(at..at + 2) == Some(b"\x01\x02") {
        let end = at + file[at..].iter().position(|&byte| byte == b'\n').unwrap();
        let header = String::from_utf8_lossy(&file[at + 2..end]).into_owned();
        let size = usize::from_str_radix(header.split_whitespace().last().unwrap(), 16).unwrap();
        let rest = file[end + 1..end + 1 + size].to_vec();
        at = end + 1 + size;
        assert_eq!(&file[at..at + 4], b"\n\x01\x03\n");
        at += 4;
        let mut metadata = Vec::new();
        loop {
            let end = at + file[at..].iter().position(|&byte| byte == b'\n').unwrap();
            let line = String::from_utf8_lossy(&file[at..end]).into_owned();
            at = end + 1;
            if line.is_empty() {
                break;
            }
            metadata.push(line);
        }
        all.push(Stored { rest, metadata });
    }
    all
}

fn settings(dir: &Path) -> Settings {
    Settings {
        dir: dir.join("attachments"),
        fs: "sis posix".to_owned(),
        hash: HashFormat::parse("%{sha1}").unwrap(),
        min_size: 1000,
        temp_dir: dir.to_owned(),
        syncs: false,
    }
}

fn store(dir: &Path) -> Arc<Store> {
    Arc::new(Store::new(Fs::default(), Logger::new("test: "), settings(dir)).unwrap())
}

/// The same location as a storage of ours; `None`: `mail_attachment_dir` is not set.
fn dbox(dir: &Path, driver: &str, compression: Compression, attachments: Option<Settings>) -> DboxStorage {
    let location = Location::parse(&format!("{driver}:{}/mail", dir.display()), None).unwrap();
    let settings =
        MailSettings { hostname: "host".to_owned(), compression, attachments, ..MailSettings::default() };
    DboxStorage::new(location, Arc::new(settings), true, Logger::new("test: ")).unwrap()
}

/// Every message of a mailbox; what went wrong in place of those that cannot be read.
fn read_all(storage: &DboxStorage, mailbox: &str) -> Vec<Result<Vec<u8>, String>> {
    let mut mailbox = storage.open(mailbox, OpenMode::ReadOnly).unwrap();
    mailbox.sync(SyncMode::Quick).unwrap();
    let uids: Vec<Uid> = mailbox.view().records().map(|record| record.uid).collect();
    let mut one = |uid| {
        let mut reader = mailbox.open_message(uid).map_err(|error| base::chain(&error).to_string())?;
        let mut whole = Vec::new();
        reader.read_to_end(&mut whole).map_err(|error| error.to_string())?;
        assert_eq!(reader.size(), whole.len() as u64);
        Ok(whole)
    };
    uids.into_iter().map(&mut one).collect()
}

/// All of real Dovecot's messages are whole; where attachments are missing, so are their messages.
fn check_reading(dir: &Path, driver: &str, compression: Compression, messages: &[String]) {
    let whole: Vec<Result<Vec<u8>, String>> = messages.iter().map(|it| Ok(it.clone().into_bytes())).collect();
    let read = || read_all(&dbox(dir, driver, compression, Some(settings(dir))), "INBOX");
    assert!(read() == whole);
    let unset = read_all(&dbox(dir, driver, compression, None), "INBOX");
    std::fs::rename(dir.join("attachments"), dir.join("away")).unwrap();
    let missing = read();
    std::fs::rename(dir.join("away"), dir.join("attachments")).unwrap();
    for (broken, expected) in [
        (unset, "contains references to external attachments, but mail_attachment_dir is unset"),
        (missing, "No such file or directory"),
    ] {
        let failed = broken.iter().zip(&whole).filter(|(found, whole)| match found {
            Err(why) => why.contains(expected) || panic!("{why}"),
            found => found != whole && panic!("not whole"),
        });
        assert!(failed.count() > 10, "{expected}");
    }
}

fn base64(bytes: usize, line: usize, line_end: &str) -> String {
    // Text that decodes to something without a pattern; what matters is its shape.
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 9u32;
    let mut characters: Vec<u8> = (0..bytes.div_ceil(3) * 4)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ALPHABET[(state >> 26) as usize]
        })
        .collect();
    match bytes % 3 {
        1 => characters.splice(characters.len() - 3.., *b"A==").for_each(drop),
        2 => characters.splice(characters.len() - 2.., *b"A=").for_each(drop),
        _ => {}
    }
    let lines = characters.chunks(line).map(|line| String::from_utf8(line.to_vec()).unwrap());
    lines.collect::<Vec<_>>().join(line_end)
}

/// Messages as dbox stores them, whatever `mail_save_crlf` says.
fn messages() -> Vec<String> {
    let part = |text: String| {
        format!(
            "From: a@b\nMime-Version: 1.0\nContent-Type: multipart/mixed; boundary=bound\n\nfirst\n--bound\n\
             Content-Type: text/plain\n\n{}\n--bound\nContent-Type: application/x-y; name=z\n\
             Content-Transfer-Encoding: base64\nContent-Disposition: attachment\n\n{text}\n--bound\n\
             Content-Type: image/png\n\n{}\n\n--bound--\nlast\n",
            "text ".repeat(400),
            base64(2000, 60, "\n")
        )
    };
    vec![
        part(base64(6000, 76, "\n")),
        part(base64(6001, 76, "\n") + "\n"),
        part(base64(6002, 76, "\n") + "\n\n\n"),
        part(base64(57 * 30, 76, "\n")),
        part(base64(6000, 100_000, "\n")),
        part(base64(6000, 76, "\n") + "\nand some words"),
        part(base64(6000, 76, "\n") + &"\nand some words".repeat(100)),
        part("no base64 ".repeat(300)),
        part(base64(6000, 76, "\n").replacen('\n', "\n\n", 1)),
        part("short".to_owned()),
        part("--boun\n-- bound\n".repeat(100)),
        format!("Content-Type: application/pdf\n\n{}\n", base64(5000, 64, "\n")),
        format!("Content-Type: message/rfc822\n\n{}", part(base64(3000, 76, "\n"))),
        format!("Subject: none\n\n{}\n", base64(3000, 76, "\n")),
    ]
}

fn files(dir: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => files(&path, out),
            path => out.push(path),
        }
    }
}

/// The messages of the mailbox with the suffix that the driver adds to the names of their attachments.
fn stored(dir: &Path, driver: &str, real: &Real) -> Vec<(Stored, String)> {
    if driver == "mdbox" {
        let file = std::fs::read(dir.join("mail/storage/m.1")).unwrap();
        return parse_dbox(&file).into_iter().map(|one| (one, String::new())).collect();
    }
    let guid =
        String::from_utf8(real.run(&["-f", "tab", "mailbox", "status", "guid", "INBOX"], b"")).unwrap();
    let guid = guid.trim().rsplit(['\t', '\n']).next().unwrap().to_owned();
    let one = |uid: usize| {
        let file = std::fs::read(dir.join(format!("mail/mailboxes/INBOX/dbox-Mails/u.{uid}"))).ok()?;
        Some((parse_dbox(&file).remove(0), format!("-{guid}-{uid}")))
    };
    (1..).map_while(one).collect()
}

fn check(driver: &str, is_compressed: bool) {
    let dir = tempfile::tempdir().unwrap();
    let location = format!("{driver}:{}/mail", dir.path().display());
    let plugin = "mail_plugins = zlib\nplugin {\n  zlib_save = zstd\n}\n";
    let more = format!(
        "mail_attachment_dir = {0}/attachments\nmail_attachment_min_size = 1000 B\nmail_attachment_fs = sis posix\n\
         mail_temp_dir = {0}\n{1}",
        dir.path().display(),
        if is_compressed { plugin } else { "" }
    );
    let Some(real) = Real::new(dir.path(), &location, &more) else { return };
    let messages = messages();
    let compression = Compression { is_on: is_compressed, save: None };
    for message in &messages {
        real.run(&["save"], message.as_bytes());
    }
    let theirs = store(dir.path());
    let stored = stored(dir.path(), driver, &real);
    assert_eq!(stored.len(), messages.len());
    let elsewhere = dir.path().join("ours");
    std::fs::create_dir(&elsewhere).unwrap();
    let ours = store(&elsewhere);
    check_reading(dir.path(), driver, compression, &messages);
    let mut apart = 0;
    for (number, ((stored, suffix), message)) in stored.iter().zip(&messages).enumerate() {
        // What they wrote, read by us.
        let refs = stored.metadata('X').map_or(Vec::new(), |line| ExtRef::parse_all(line).unwrap());
        let size = stored.metadata('Z').map(|size| u64::from_str_radix(size, 16).unwrap());
        let memory = Box::new(Memory(Cursor::new(stored.rest.clone())));
        let mut base = compress::reader(memory, Path::new("u"), None, &compression).unwrap();
        let mut their_rest = Vec::new();
        base.read_to_end(&mut their_rest).unwrap();
        assert_eq!(their_rest == stored.rest, !is_compressed);
        let mut whole = Vec::new();
        let mut reader = connect(base, refs.clone(), theirs.clone(), suffix, size).unwrap();
        reader.read_to_end(&mut whole).unwrap();
        assert!(whole == message.as_bytes(), "message {number}");
        // The same, stored by us.
        let (mut extractor, mut rest) = (Extractor::new(ours.clone()), Vec::new());
        message.as_bytes().chunks(701).for_each(|piece| extractor.push(piece, &mut rest).unwrap());
        let mine = extractor.finish(&mut rest).unwrap();
        assert!(rest == their_rest, "message {number}");
        let without_guid = |refs: &[ExtRef]| {
            let lines = refs.iter().map(|one| one.to_string().rsplit_once('-').unwrap().0.to_owned());
            lines.collect::<Vec<_>>()
        };
        assert_eq!(without_guid(&mine), without_guid(&refs), "message {number}");
        for (one, their) in mine.iter().zip(&refs) {
            ours.rename(&one.path, &format!("{}{suffix}", their.path)).unwrap();
            apart += 1;
        }
    }
    assert!(apart > 15);
    // Files and links are as theirs.
    let names = |root: &Path| {
        let mut all = Vec::new();
        files(&root.join("attachments"), &mut all);
        let one = |path: &std::path::PathBuf| {
            let meta = path.metadata().unwrap();
            (path.strip_prefix(root).unwrap().to_owned(), meta.nlink(), meta.mode())
        };
        let mut all: Vec<_> = all.iter().map(one).collect();
        all.sort();
        all
    };
    assert_eq!(names(&elsewhere), names(dir.path()));
    // What we wrote, read by them.
    std::fs::rename(dir.path().join("attachments"), dir.path().join("theirs")).unwrap();
    std::fs::rename(elsewhere.join("attachments"), dir.path().join("attachments")).unwrap();
    for (uid, message) in (1..).zip(&messages) {
        assert!(real.text("INBOX", uid) == message.as_bytes(), "uid {uid}");
    }
    // With the last message goes the last attachment.
    real.run(&["expunge", "mailbox", "INBOX", "uid", "1:7"], b"");
    if driver == "sdbox" {
        for (stored, suffix) in stored.iter().skip(7) {
            let refs = stored.metadata('X').map_or(Vec::new(), |line| ExtRef::parse_all(line).unwrap());
            refs.iter().for_each(|one| theirs.delete(&format!("{}{suffix}", one.path)).unwrap());
        }
        assert_eq!(names(dir.path()), []);
    }
}

#[test]
fn sdbox() {
    check("sdbox", false);
}

#[test]
fn sdbox_compressed() {
    check("sdbox", true);
}

#[test]
fn mdbox() {
    check("mdbox", false);
}

fn attachments(dir: &Path) -> usize {
    let mut all = Vec::new();
    files(&dir.join("attachments"), &mut all);
    all.len()
}

fn uids(uids: impl IntoIterator<Item = u32>) -> UidSet {
    uids.into_iter().filter_map(Uid::new).collect()
}

/// What we save, copy and expunge, real Dovecot reads, and the other way round; when the last message
/// is gone, so are the attachments.
fn check_saving(driver: &str, is_compressed: bool) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let plugin = "mail_plugins = zlib\nplugin {\n  zlib_save = zstd\n}\n";
    let more = format!(
        "mail_attachment_dir = {0}/attachments\nmail_attachment_min_size = 1000 B\nmail_attachment_fs = sis posix\n\
         mail_temp_dir = {0}\n{1}",
        path.display(),
        if is_compressed { plugin } else { "" }
    );
    let Some(real) = Real::new(path, &format!("{driver}:{}/mail", path.display()), &more) else { return };
    let save = is_compressed.then_some((Format::Zstd, Format::Zstd.default_level()));
    let compression = Compression { is_on: is_compressed, save };
    let storage = dbox(path, driver, compression, Some(settings(path)));
    let messages = messages();
    let whole = || messages.iter().map(|it| Ok(it.clone().into_bytes())).collect::<Vec<_>>();
    let last = u32::try_from(messages.len()).unwrap();
    let (mut inbox, mut other) = {
        storage.create("other", false).unwrap();
        let open = |name| storage.open(name, OpenMode::ReadWrite).unwrap();
        (open("INBOX"), open("other"))
    };
    let save_all = |inbox: &mut dyn Mailbox| {
        let mut batch = inbox.begin_save().unwrap();
        for message in &messages {
            batch.begin(SaveMeta::default()).unwrap();
            message.as_bytes().chunks(701).for_each(|piece| batch.write(piece).unwrap());
            batch.end().unwrap();
        }
        batch
    };
    // A batch that is given up leaves nothing.
    drop(save_all(&mut *inbox));
    assert_eq!(attachments(path), 0);
    save_all(&mut *inbox).commit().unwrap();
    assert!(read_all(&storage, "INBOX") == whole());
    let stored = attachments(path);
    assert!(stored > 15);
    for (uid, message) in (1..).zip(&messages) {
        assert!(real.text("INBOX", uid) == message.as_bytes(), "uid {uid}");
    }
    // Copies have links of their own in sdbox, and share what they have in mdbox.
    inbox.sync(SyncMode::Quick).unwrap();
    copy(&mut *inbox, &uids(1..=last), &mut *other, CopyMode::Copy).unwrap();
    if driver == "mdbox" {
        assert_eq!(attachments(path), stored);
    } else {
        assert!(attachments(path) > stored + 15);
    }
    inbox.expunge(&uids(1..=last)).unwrap();
    storage.purge().unwrap();
    assert_eq!(attachments(path), stored);
    assert!(read_all(&storage, "other") == whole());
    for (uid, message) in (1..).zip(&messages) {
        assert!(real.text("other", uid) == message.as_bytes(), "uid {uid}");
    }
    // Theirs of ours, and ours of theirs.
    real.run(&["copy", "INBOX", "mailbox", "other", "all"], b"");
    other.sync(SyncMode::Quick).unwrap();
    other.expunge(&uids(1..=last)).unwrap();
    storage.purge().unwrap();
    assert!(read_all(&storage, "INBOX") == whole());
    inbox.sync(SyncMode::Quick).unwrap();
    let all = inbox.view().uids();
    copy(&mut *inbox, &all, &mut *other, CopyMode::Copy).unwrap();
    real.run(&["expunge", "mailbox", "INBOX", "all"], b"");
    real.run(&["purge"], b"");
    assert!(read_all(&storage, "other") == whole());
    drop((inbox, other));
    storage.delete("other").unwrap();
    storage.purge().unwrap();
    assert_eq!(attachments(path), 0);
}

#[test]
fn sdbox_saved() {
    check_saving("sdbox", false);
}

#[test]
fn sdbox_saved_compressed() {
    check_saving("sdbox", true);
}

#[test]
fn mdbox_saved() {
    check_saving("mdbox", false);
}

#[test]
fn mdbox_saved_compressed() {
    check_saving("mdbox", true);
}

/// Between storages with attachments in different places, and to one that has none, bytes are copied.
#[test]
fn copied_elsewhere() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [from, to, plain] = dirs.each_ref().map(tempfile::TempDir::path);
    let settings_of = |dir| (dir != plain).then(|| settings(dir));
    let [source, target, plain_target] =
        [from, to, plain].map(|dir| dbox(dir, "sdbox", Compression::default(), settings_of(dir)));
    let text = messages().remove(0);
    let mut inbox = source.open("INBOX", OpenMode::ReadWrite).unwrap();
    let mut batch = inbox.begin_save().unwrap();
    batch.begin(SaveMeta::default()).unwrap();
    batch.write(text.as_bytes()).unwrap();
    batch.end().unwrap();
    batch.commit().unwrap();
    for target in [&target, &plain_target] {
        let mut other = target.open("INBOX", OpenMode::ReadWrite).unwrap();
        inbox.sync(SyncMode::Quick).unwrap();
        copy(&mut *inbox, &uids([1]), &mut *other, CopyMode::Copy).unwrap();
    }
    assert_eq!((attachments(from), attachments(to), attachments(plain)), (4, 4, 0));
    inbox.expunge(&uids([1])).unwrap();
    assert_eq!(attachments(from), 0);
    for target in [&target, &plain_target] {
        assert!(read_all(target, "INBOX") == [Ok(text.clone().into_bytes())]);
    }
}

/// sdbox renames attachments, which `sis-queue` cannot do.
#[test]
fn sdbox_has_no_queue() {
    let dir = tempfile::tempdir().unwrap();
    let location =
        |driver| Location::parse(&format!("{driver}:{}/mail", dir.path().display()), None).unwrap();
    let attachments = Settings { fs: "sis-queue queue:posix".to_owned(), ..settings(dir.path()) };
    let settings = Arc::new(MailSettings { attachments: Some(attachments), ..MailSettings::default() });
    let open = |driver| DboxStorage::new(location(driver), settings.clone(), true, Logger::new("test: "));
    let error = open("sdbox").err().unwrap().to_string();
    assert_eq!(error, "mail_attachment_fs: Backend doesn't support renaming");
    assert!(open("mdbox").is_ok());
}

/// sdbox's attachments are named after the mailbox's GUID: they can be read with another one, too.
#[test]
fn with_another_guid() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let location = format!("sdbox:{}/mail", path.display());
    let more = format!(
        "mail_attachment_dir = {0}/attachments\nmail_attachment_min_size = 1000 B\nmail_attachment_fs = sis posix\n",
        path.display()
    );
    let real = Real::new(path, &location, &more);
    let storage = dbox(path, "sdbox", Compression::default(), Some(settings(path)));
    let texts: Vec<String> = messages().into_iter().take(3).collect();
    let whole: Vec<Result<Vec<u8>, String>> = texts.iter().map(|it| Ok(it.clone().into_bytes())).collect();
    storage.create("other", false).unwrap();
    let open = |name| storage.open(name, OpenMode::ReadWrite).unwrap();
    let (mut inbox, mut other) = (open("INBOX"), open("other"));
    let mut batch = inbox.begin_save().unwrap();
    for text in &texts {
        batch.begin(SaveMeta::default()).unwrap();
        batch.write(text.as_bytes()).unwrap();
        batch.end().unwrap();
    }
    batch.commit().unwrap();
    inbox.sync(SyncMode::Quick).unwrap();
    copy(&mut *inbox, &uids(1..=3), &mut *other, CopyMode::Copy).unwrap();
    let stored = attachments(path);
    // The administrator gives it another one: no name is left over.
    let guid = "00112233445566778899aabbccddeeff".parse().unwrap();
    inbox.update(&MailboxUpdate { guid: Some(guid), ..MailboxUpdate::default() }).unwrap();
    assert_eq!(attachments(path), stored);
    let check = |name: &str, expected: &[Result<Vec<u8>, String>]| {
        assert!(read_all(&storage, name) == expected);
        let real = real.iter().flat_map(|real| (1..).zip(expected).map(move |(uid, text)| (real, uid, text)));
        real.for_each(|(real, uid, text)| assert!(Ok(real.text(name, uid)) == *text, "{name} {uid}"));
    };
    check("INBOX", &whole);
    check("other", &whole);
    // The index is lost, and with it the GUID.
    drop((inbox, other));
    for file in ["dovecot.index", "dovecot.index.log", "dovecot.index.backup"] {
        let _ = std::fs::remove_file(path.join("mail/mailboxes/INBOX/dbox-Mails").join(file));
    }
    let (mut inbox, mut other) = (open("INBOX"), open("other"));
    inbox.sync(SyncMode::Quick).unwrap();
    assert_ne!(inbox.guid().unwrap(), guid);
    check("INBOX", &whole);
    // Somebody who does not rename them has changed it.
    let names = attachments(path);
    let own = inbox.guid().unwrap().to_string();
    let mut all = Vec::new();
    files(&path.join("attachments"), &mut all);
    for file in all.iter().filter(|file| file.to_string_lossy().contains(&own)) {
        let renamed = file.to_string_lossy().replace(&own, &"7".repeat(32));
        std::fs::rename(file, renamed).unwrap();
    }
    assert!(read_all(&storage, "INBOX") == whole);
    // What one mailbox has no more is there for the other.
    other.sync(SyncMode::Quick).unwrap();
    other.expunge(&uids(1..=3)).unwrap();
    assert!(read_all(&storage, "INBOX") == whole);
    inbox.rebuild(false).unwrap();
    check("INBOX", &whole);
    assert!(attachments(path) >= names - stored / 2);
    copy(&mut *inbox, &uids(1..=3), &mut *other, CopyMode::Copy).unwrap();
    inbox.expunge(&uids(1..=3)).unwrap();
    assert!(read_all(&storage, "other") == whole);
}
