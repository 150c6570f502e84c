//! Files damaged in every way: the mailbox opens, no message is lost, UIDVALIDITY stays while anything
//! holds it, and saving goes on. Never a panic.
//!
//! `DAMAGE_SEEDS` says how many ways are tried, `DAMAGE_SEED` where to begin.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/faults.rs"]
mod faults;
mod support;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use disk::Random;
use faults::{Kind, MAILDIR, MDBOX, SDBOX, Tree, ask, memory, number, read_tree, write_tree};
use storage::api::copy;
use storage::fs::Fs;
use storage::{CopyMode, FlagMode, Flags, OpenMode, Storage, SyncMode, Wanted};
use support::{change, save, uids};

fn storage(kind: Kind, root: &Path) -> Box<dyn Storage> {
    kind.storage(root, kind.busy_settings(root), Fs::default())
}

/// Uses a mailbox for a while.
fn fill(kind: Kind, storage: &dyn Storage) {
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    inbox.sync(SyncMode::Quick).unwrap();
    for subject in ["one", "two", "three", "four", "five", "six"] {
        save(&mut *inbox, &kind.text(subject), Flags::SEEN, &["kw"]).unwrap();
        ask(&mut *inbox);
    }
    inbox.store_flags(&uids(&[2, 3]), &change(FlagMode::Add, Flags::FLAGGED, &["other"])).unwrap();
    inbox.expunge(&uids(&[1])).unwrap();
    storage.create("Archive", false).unwrap();
    let mut archive = storage.open("Archive", OpenMode::ReadWrite).unwrap();
    copy(&mut *inbox, &uids(&[2, 4]), &mut *archive, CopyMode::Copy).unwrap();
    copy(&mut *inbox, &uids(&[6]), &mut *archive, CopyMode::Move).unwrap();
    ask(&mut *archive);
    for uid in [3, 4, 5, 3, 4, 5] {
        inbox.store_flags(&uids(&[uid]), &change(FlagMode::Replace, Flags::SEEN, &["kw"])).unwrap();
    }
}

#[derive(Debug, PartialEq)]
struct Found {
    validity: u32,
    /// UID, last line of the text, flags and keywords, GUID.
    messages: Vec<(u32, String, String, String)>,
}

impl Found {
    fn texts(&self) -> Vec<String> {
        let mut all: Vec<String> = self.messages.iter().map(|one| one.1.clone()).collect();
        all.sort();
        all
    }
}

const MAILBOXES: [&str; 2] = ["INBOX", "Archive"];

fn look(storage: &dyn Storage, name: &str) -> Result<Found, String> {
    let words = |error: storage::Error| base::chain(&error).to_string();
    let mut mailbox = storage.open(name, OpenMode::ReadWrite).map_err(words)?;
    let view = mailbox.sync(SyncMode::Quick).map_err(words)?;
    let mut messages = Vec::new();
    for record in view.records() {
        let mut text = String::new();
        let mut reader = match mailbox.open_message(record.uid) {
            Ok(reader) => reader,
            // What is wrong is found now, and mended with the next look.
            Err(_) => return Err("again".to_owned()),
        };
        reader.read_to_string(&mut text).map_err(|error| error.to_string())?;
        let mut words: Vec<&str> = record.flags.names().collect();
        words.extend(view.keyword_names(&record.keywords));
        words.sort_unstable();
        let last = text.lines().last().unwrap_or_default().to_owned();
        let words = words.join(" ");
        let Ok(facts) = mailbox.fetch_facts(record.uid, Wanted::GUID) else {
            return Err("again".to_owned());
        };
        messages.push((record.uid.get(), last, words, facts.guid.unwrap_or_default().to_string()));
    }
    Ok(Found { validity: view.uid_validity().get(), messages })
}

/// Damages a file; says how.
fn damage(random: &mut Random, tree: &mut Tree, at: usize) -> &'static str {
    let (path, foreign) = tree[random.below(tree.len())].clone();
    // Another mailbox's file of the same kind is as good as its own.
    let is_index = [".backup", ".index"].iter().any(|end| name(&path).ends_with(end));
    let is_foreign = foreign != b"/" && name(&path) != name(&tree[at].0) && !is_index;
    let bytes = &mut tree[at].1;
    let place = random.below(bytes.len().max(1));
    match random.below(9) {
        0 => {
            bytes.truncate(place);
            "cut"
        }
        1 => {
            bytes.clear();
            "empty"
        }
        2 => {
            let end = bytes.len().min(place + 1 + random.below(64));
            bytes[place.min(end)..end].fill(0);
            "zeros"
        }
        3 => {
            bytes.fill(0);
            "all zeros"
        }
        4 if is_foreign => {
            *bytes = foreign;
            "another file"
        }
        5 => {
            bytes.extend((0..1 + random.below(50)).map(|_| random.next() as u8));
            "garbage at the end"
        }
        6 => {
            let more: Vec<u8> = bytes[place.min(bytes.len())..].to_vec();
            bytes.extend(more);
            "a repeated end"
        }
        _ => {
            let mut hits = false;
            for _ in 0..1 + random.below(3) {
                let place = random.below(bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << random.below(8);
                }
                hits |= INDEX_UID_VALIDITY.contains(&place);
            }
            if hits { "flipped bits where an index has UIDVALIDITY" } else { "flipped bits" }
        }
    }
}

/// Which bytes of `dovecot.index` UIDVALIDITY is.
const INDEX_UID_VALIDITY: std::ops::Range<usize> = 24..28;

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Files that no message is in.
fn is_about(path: &Path) -> bool {
    name(path).starts_with("dovecot")
}

fn verify(kind: Kind, root: &Path, good: &[Found; 2], damaged: &[PathBuf], how: &str) -> Result<(), String> {
    let storage = storage(kind, root);
    for (good, mailbox) in good.iter().zip(MAILBOXES) {
        let mut found = look(&*storage, mailbox);
        for _ in 0..3 {
            let short = |found: &Found| found.messages.len() < good.messages.len();
            if found == Err("again".to_owned()) || found.as_ref().is_ok_and(short) {
                found = look(&*storage, mailbox);
            }
        }
        let found = found.map_err(|error| format!("{mailbox}: {error}"))?;
        let (now, then) = (found.texts(), good.texts());
        // What mdbox can bring back is seen in the end, for it may come back in the other mailbox.
        let complete = match kind.driver {
            "mdbox" => true,
            // A log that lacks its end is a log: what it had is found when its name is needed.
            "sdbox" if damaged.iter().any(|path| name(path).ends_with(".log")) => true,
            _ => then.iter().all(|text| now.contains(text)),
        };
        if !complete {
            return Err(format!("{mailbox}: {now:?} of {then:?}"));
        }
        if now.len() > then.len() + 1 && kind == MAILDIR {
            return Err(format!("{mailbox}: {now:?} were {then:?}"));
        }
        if let [one] = damaged {
            // Anything else still holds UIDVALIDITY; another number in its place cannot be told from it. Of a
            // Maildir the index is not what counts.
            let is_number = |path: &Path| match name(path) {
                "dovecot-uidlist" => true,
                "dovecot.index" => kind != MAILDIR && how.contains("UIDVALIDITY"),
                name => name.ends_with(".log"),
            };
            if found.validity != good.validity && !(how.contains("flipped") && is_number(one)) {
                return Err(format!("{mailbox}: UIDVALIDITY {} became {}", good.validity, found.validity));
            }
            if name(one) == "dovecot.index.cache" && found != *good {
                return Err(format!("{mailbox}: {found:?} was {good:?}"));
            }
        }
        let mut open = storage.open(mailbox, OpenMode::ReadWrite).map_err(|error| error.to_string())?;
        open.sync(SyncMode::Quick).map_err(|error| error.to_string())?;
        let next = save(&mut *open, &kind.text("next"), Flags::NONE, &[])
            .map_err(|error| format!("save: {error}"))?;
        let cached = ask(&mut *open);
        if !found.messages.iter().all(|one| one.0 < next) {
            return Err(format!("{mailbox}: {next} was given after {found:?}"));
        }
        drop(open);
        // From scratch everything is as it was left.
        let again = look(&*crate::storage(kind, root), mailbox)?;
        let now = again.texts();
        if kind.driver == "sdbox" && !then.iter().all(|text| now.contains(text)) {
            return Err(format!("{mailbox}: in the end {now:?} of {then:?}"));
        }
        if again.messages.len() < found.messages.len() + 1 {
            return Err(format!("{mailbox}: {again:?} after {found:?}"));
        }
        let _ = cached;
    }
    drop(storage);
    if kind.driver == "mdbox" { verify_whole(kind, root, good, damaged) } else { Ok(()) }
}

/// Whatever is damaged, of each message one is still there in the end. A mailbox whose own index is not
/// damaged has all it had, where there is no list of copies but that.
fn verify_whole(kind: Kind, root: &Path, good: &[Found; 2], damaged: &[PathBuf]) -> Result<(), String> {
    let storage = storage(kind, root);
    let words = |error: storage::Error| base::chain(&error).to_string();
    storage.open(MAILBOXES[0], OpenMode::ReadWrite).map_err(words)?.rebuild(true).map_err(words)?;
    let mut all = Vec::new();
    for (good, mailbox) in good.iter().zip(MAILBOXES) {
        let found = look(&*storage, mailbox)?;
        let is_its = |path: &PathBuf| path.starts_with(format!("mailboxes/{mailbox}"));
        let lost = good.messages.iter().find(|one| !found.messages.contains(one));
        if let Some(lost) = lost.filter(|_| !damaged.iter().any(is_its)) {
            return Err(format!("{mailbox} was not damaged: {lost:?} is not in {:?}", found.messages));
        }
        // No message is copied within a mailbox here.
        let guids: BTreeSet<&str> = found.messages.iter().map(|one| one.3.as_str()).collect();
        if guids.len() < found.messages.len() {
            return Err(format!("{mailbox}: a message is there twice: {:?}", found.messages));
        }
        all.extend(found.messages);
    }
    for (_, text, _, guid) in good.iter().flat_map(|good| &good.messages) {
        if !all.iter().any(|one| one.1 == *text && one.3 == *guid) {
            return Err(format!("{text:?} {guid} is lost: {all:?}"));
        }
    }
    Ok(())
}

fn check(kind: Kind) {
    let dir = tempfile::tempdir_in(memory()).unwrap();
    let root = dir.path().join("mail");
    fill(kind, &*storage(kind, &root));
    let good = MAILBOXES.map(|name| look(&*storage(kind, &root), name).unwrap());
    let mut tree = read_tree(&root);
    tree.sort();
    let files: Vec<usize> =
        (0..tree.len()).filter(|&at| tree[at].1 != b"/" && is_about(&tree[at].0)).collect();
    assert!(files.iter().any(|&at| name(&tree[at].0) == "dovecot.index.log.2"), "{files:?}");
    let first = number("DAMAGE_SEED").unwrap_or(0);
    let mut failures = Vec::new();
    for seed in first..first + number("DAMAGE_SEEDS").unwrap_or(250) {
        let mut random = Random(seed);
        let mut tree = tree.clone();
        let mut what = Vec::new();
        let mut damaged = Vec::new();
        for _ in 0..1 + random.below(2) * random.below(4) {
            let at = files[random.below(files.len())];
            let how = damage(&mut random, &mut tree, at);
            what.push(format!("{}: {how}", tree[at].0.display()));
            damaged.push(tree[at].0.clone());
        }
        damaged.dedup();
        let place = tempfile::tempdir_in(memory()).unwrap();
        let root = place.path().join("mail");
        write_tree(&root, &tree);
        let error = match std::panic::catch_unwind(|| verify(kind, &root, &good, &damaged, &what.join(", ")))
        {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error,
            Err(_) => "panic".to_owned(),
        };
        if std::env::var_os("DAMAGE_KEEP").is_some() {
            eprintln!("{seed}: {}", place.keep().display());
        }
        failures.push(format!("seed {seed} ({}): {error}", what.join(", ")));
    }
    let count = failures.len();
    failures.truncate(15);
    assert!(count == 0, "{kind:?}: {count} failed\n{}", failures.join("\n"));
}

/// Where UIDNEXT cannot be right UIDVALIDITY is not believed either.
#[test]
fn a_damaged_header_does_not_change_uidvalidity() {
    for kind in [SDBOX, MDBOX] {
        let dir = tempfile::tempdir_in(memory()).unwrap();
        let root = dir.path().join("mail");
        fill(kind, &*storage(kind, &root));
        let good = look(&*storage(kind, &root), "INBOX").unwrap();
        let path = root.join("mailboxes/INBOX/dbox-Mails/dovecot.index");
        let mut bytes = std::fs::read(&path).unwrap();
        // The upper half of UIDVALIDITY, and UIDNEXT.
        bytes[26..32].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let storage = storage(kind, &root);
        // What is lost is found with the next look.
        let found: Vec<_> = (0..3).map(|_| look(&*storage, "INBOX").map(|found| found.validity)).collect();
        assert_eq!(found.last(), Some(&Ok(good.validity)), "{kind:?}: {found:?}");
    }
}

/// A mailbox that is little used has no index file. What its log does not tell any more the first look
/// finds, without a change that would have to lock it.
#[test]
fn a_damaged_log_is_all_there_was() {
    for (kind, how) in [SDBOX, MDBOX].into_iter().flat_map(|kind| (0..5).map(move |how| (kind, how))) {
        let dir = tempfile::tempdir_in(memory()).unwrap();
        let root = dir.path().join("mail");
        let open = || kind.storage(&root, kind.settings(&root), Fs::default());
        for name in MAILBOXES {
            let storage = open();
            let _ = storage.create(name, false);
            let mut mailbox = storage.open(name, OpenMode::ReadWrite).unwrap();
            for subject in ["one", "two", "three"] {
                save(&mut *mailbox, &kind.text(subject), Flags::SEEN, &[]).unwrap();
            }
        }
        let good = MAILBOXES.map(|name| look(&*open(), name).unwrap().texts());
        let dbox = root.join("mailboxes/INBOX/dbox-Mails");
        assert!(!dbox.join("dovecot.index").exists());
        let log = dbox.join("dovecot.index.log");
        let mut bytes = std::fs::read(&log).unwrap();
        let half = bytes.len() / 2;
        match how {
            0 => bytes.clear(),
            1 => bytes = b"this is no log\n".repeat(50),
            // The number of the file.
            2 => bytes[8..12].fill(0),
            3 => bytes.truncate(half + 3),
            _ => bytes[half..].fill(0),
        }
        std::fs::write(&log, bytes).unwrap();
        let found = MAILBOXES.map(|name| look(&*open(), name).map(|found| found.texts()));
        assert_eq!(found, good.map(Ok), "{kind:?} {how}");
    }
}

/// What stands behind the last record of the map's log is said, in Dovecot's words, and cut off: no message
/// gets another UID.
#[test]
fn garbage_behind_the_maps_log() {
    use std::sync::{Arc, Mutex, PoisonError};
    for garbage in [&b"abc"[..], &[0; 40], b"\x80\x80\x80\x90\0\0\0\x01abcdefghijkl", &[0x5a; 37]] {
        let dir = tempfile::tempdir_in(memory()).unwrap();
        let root = dir.path().join("mail");
        let storage = || MDBOX.storage(&root, MDBOX.settings(&root), Fs::default());
        fill(MDBOX, &*storage());
        let good = MAILBOXES.map(|name| look(&*storage(), name).unwrap());
        let path = root.join("storage/dovecot.map.index.log");
        let sound = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&sound, garbage].concat()).unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (lines, place) = (said.clone(), root.display().to_string());
        base::log::listen(Some(Box::new(move |_, _, line| {
            // Other tests of this process log as well.
            if line.contains(&place) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
            }
        })));
        let found = MAILBOXES.map(|name| look(&*storage(), name).unwrap());
        let mended = std::mem::take(&mut *said.lock().unwrap());
        let again = MAILBOXES.map(|name| look(&*storage(), name).unwrap());
        base::log::listen(None);
        let expected = format!("Unexpected garbage at EOF (sync_offset={})", sound.len());
        assert!(mended.iter().any(|line| line.ends_with(&expected)), "{mended:?}");
        assert!(said.lock().unwrap().is_empty(), "{said:?}");
        assert_eq!(found, good);
        assert_eq!(again, good);
        let after = std::fs::read(&path).unwrap();
        assert!(after.starts_with(&sound) && !after[sound.len()..].starts_with(garbage), "{after:?}");
    }
}

#[test]
fn maildir() {
    check(MAILDIR);
}

#[test]
fn sdbox() {
    check(SDBOX);
}

#[test]
fn mdbox() {
    check(MDBOX);
}

#[test]
fn sdbox_with_attachments() {
    check(SDBOX.with_attachments());
}

#[test]
fn mdbox_with_attachments() {
    check(MDBOX.with_attachments());
}
