//! The power goes off after any change on disk, and the disk keeps of what was not forced to it
//! whatever it likes: the mailbox opens afterwards, with every acknowledged message once, with its UID,
//! and nothing half.
//!
//! `POWER_SEEDS` says how many variants of each moment are tried, in place of one for every third, and
//! `POWER_SEED` where to begin.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/faults.rs"]
mod faults;
mod support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::{Loss, Random, Recorder, rebuild};
use faults::{Kind, MAILDIR, MDBOX, SDBOX, age_locks, ask, count_files, memory, number};
use storage::api::copy;
use storage::fs::Fs;
use storage::{CopyMode, FlagMode, Flags, Mailbox, OpenMode, SaveMeta, Storage, SyncMode};
use support::{change, save, uids};

const INBOX: &str = "INBOX";
const ARCHIVE: &str = "Archive";

/// What a client knows of a message.
#[derive(Clone, Debug)]
struct Message {
    mailbox: &'static str,
    uid: u32,
    text: String,
    /// All it may have, and last what it was last told.
    flags: Vec<String>,
    /// It is being removed, or has been.
    leaving: bool,
    gone: bool,
}

#[derive(Clone, Debug, Default)]
struct Known {
    messages: Vec<Message>,
    /// What is being saved: it may be there or not.
    coming: Vec<(&'static str, String)>,
    /// UIDVALIDITY of both mailboxes.
    validity: [Option<u32>; 2],
    flags_settled: bool,
    what: String,
}

impl Known {
    fn of(&mut self, mailbox: &str, uid: u32) -> &mut Message {
        self.messages.iter_mut().find(|one| one.mailbox == mailbox && one.uid == uid).unwrap()
    }
}

/// A client at work, whose knowledge is written down each time that it changes.
struct Client<'a> {
    kind: Kind,
    disk: &'a Recorder,
    history: Vec<(usize, Known)>,
    known: Known,
}

impl Client<'_> {
    fn note(&mut self, what: &str) {
        self.known.what = what.to_owned();
        self.history.push((self.disk.len(), self.known.clone()));
    }

    fn save(
        &mut self,
        name: &'static str,
        mailbox: &mut dyn Mailbox,
        subjects: &[&str],
        flags: Flags,
        keywords: &[&str],
    ) {
        let texts: Vec<String> = subjects.iter().map(|subject| self.kind.text(subject)).collect();
        self.known.coming.extend(texts.iter().map(|text| (name, text.clone())));
        self.note("saving");
        let mut batch = mailbox.begin_save().unwrap();
        for text in &texts {
            let keywords = keywords.iter().map(|&word| word.to_owned()).collect();
            batch.begin(SaveMeta { flags, keywords, ..SaveMeta::default() }).unwrap();
            batch.write(text.as_bytes()).unwrap();
            batch.end().unwrap();
        }
        let saved = batch.commit().unwrap();
        self.known.coming.clear();
        self.known.validity[usize::from(name == ARCHIVE)] = Some(saved.uid_validity.get());
        for (uid, text) in saved.uids.iter().zip(texts) {
            let flags = vec![words(flags, keywords)];
            let message = Message { mailbox: name, uid: uid.get(), text, flags, leaving: false, gone: false };
            self.known.messages.push(message);
        }
        self.note("saved");
    }

    fn store(
        &mut self,
        mailbox: &mut dyn Mailbox,
        list: &[u32],
        mode: FlagMode,
        flags: Flags,
        keywords: &[&str],
    ) {
        self.known.flags_settled = false;
        for &uid in list {
            let of = self.known.of(INBOX, uid);
            let mut all: Vec<String> = of.flags.last().unwrap().split(' ').map(str::to_owned).collect();
            let added = words(flags, keywords);
            match mode {
                FlagMode::Replace => all.clear(),
                FlagMode::Add => {}
                FlagMode::Remove => all.retain(|one| !added.split(' ').any(|word| word == one)),
            }
            if mode != FlagMode::Remove {
                all.extend(added.split(' ').map(str::to_owned));
            }
            all.retain(|word| !word.is_empty());
            all.sort();
            all.dedup();
            of.flags.push(all.join(" "));
        }
        self.note("storing");
        mailbox.store_flags(&uids(list), &change(mode, flags, keywords)).unwrap();
        self.known.flags_settled = true;
        self.note("stored");
    }

    fn expunge(&mut self, mailbox: &mut dyn Mailbox, list: &[u32]) {
        list.iter().for_each(|&uid| self.known.of(INBOX, uid).leaving = true);
        self.note("expunging");
        mailbox.expunge(&uids(list)).unwrap();
        list.iter().for_each(|&uid| self.known.of(INBOX, uid).gone = true);
        self.note("expunged");
    }

    fn copy(&mut self, from: &mut dyn Mailbox, list: &[u32], to: &mut dyn Mailbox, mode: CopyMode) {
        for &uid in list {
            let of = self.known.of(INBOX, uid);
            of.leaving = mode == CopyMode::Move;
            let text = of.text.clone();
            self.known.coming.push((ARCHIVE, text));
        }
        self.note("copying");
        let copied = copy(from, &uids(list), to, mode).unwrap();
        self.known.coming.clear();
        self.known.validity[1] = copied.uid_validity.map(|validity| validity.get());
        for (from, to) in copied.source.iter().zip(&copied.destination) {
            let of = self.known.of(INBOX, from.get());
            of.gone = mode == CopyMode::Move;
            let message =
                Message { mailbox: ARCHIVE, uid: to.get(), leaving: false, gone: false, ..of.clone() };
            self.known.messages.push(message);
        }
        self.note("copied");
    }
}

fn words(flags: Flags, keywords: &[&str]) -> String {
    let mut all: Vec<String> = flags.names().map(str::to_owned).collect();
    all.extend(keywords.iter().map(|&word| word.to_owned()));
    all.sort_unstable();
    all.join(" ")
}

fn work(storage: &dyn Storage, client: &mut Client<'_>) {
    let open = |name: &str| storage.open(name, OpenMode::ReadWrite).unwrap();
    client.note("beginning");
    let mut inbox = open(INBOX);
    inbox.sync(SyncMode::Quick).unwrap();
    client.save(INBOX, &mut *inbox, &["one"], Flags::NONE, &[]);
    client.save(INBOX, &mut *inbox, &["two"], Flags::SEEN, &["kw"]);
    client.save(INBOX, &mut *inbox, &["three", "four"], Flags::DRAFT, &["kw", "other"]);
    inbox.sync(SyncMode::Quick).unwrap();
    ask(&mut *inbox);
    client.store(&mut *inbox, &[1, 2], FlagMode::Add, Flags::FLAGGED, &["third"]);
    client.store(&mut *inbox, &[3], FlagMode::Replace, Flags::ANSWERED, &[]);
    client.expunge(&mut *inbox, &[1]);
    storage.create(ARCHIVE, false).unwrap();
    let mut archive = open(ARCHIVE);
    archive.sync(SyncMode::Quick).unwrap();
    client.copy(&mut *inbox, &[2, 3], &mut *archive, CopyMode::Copy);
    client.save(INBOX, &mut *inbox, &["five", "six"], Flags::NONE, &[]);
    client.copy(&mut *inbox, &[4, 5], &mut *archive, CopyMode::Move);
    client.store(&mut *inbox, &[2, 6], FlagMode::Remove, Flags::SEEN | Flags::FLAGGED, &["kw"]);
    drop((inbox, archive));
    storage.purge().unwrap();
    let mut inbox = open(INBOX);
    inbox.sync(SyncMode::Quick).unwrap();
    ask(&mut *inbox);
    inbox.cache_purge().unwrap();
    client.save(INBOX, &mut *inbox, &["seven"], Flags::SEEN, &[]);
    client.expunge(&mut *inbox, &[6]);
    ask(&mut *inbox);
    // In a Maildir it has not left new/ yet.
    client.save(INBOX, &mut *inbox, &["eight"], Flags::NONE, &[]);
    client.expunge(&mut *inbox, &[8]);
    drop(inbox);
    client.note("the end");
}

struct Found {
    validity: u32,
    messages: Vec<(u32, String, String)>,
}

fn look(mailbox: &mut dyn Mailbox) -> Result<Found, String> {
    let view = mailbox.sync(SyncMode::Full).map_err(|error| format!("sync: {}", base::chain(&error)))?;
    let mut messages = Vec::new();
    for record in view.records() {
        let mut text = String::new();
        let mut reader =
            mailbox.open_message(record.uid).map_err(|error| format!("open: {}", base::chain(&error)))?;
        reader.read_to_string(&mut text).map_err(|error| format!("read: {error}"))?;
        let keywords: Vec<&str> = view.keyword_names(&record.keywords).collect();
        messages.push((record.uid.get(), text, words(record.flags, &keywords)));
    }
    Ok(Found { validity: view.uid_validity().get(), messages })
}

fn verify(kind: Kind, root: &Path, known: &Known, loss: Loss) -> Result<(), String> {
    age_locks(root);
    let storage = kind.storage(root, kind.busy_settings(root), Fs::default());
    for (at, name) in [INBOX, ARCHIVE].into_iter().enumerate() {
        let there = storage.state(name).map_err(|error| base::chain(&error).to_string())?;
        let expected = known.messages.iter().any(|one| one.mailbox == name);
        if there != storage::MailboxState::Selectable {
            match expected {
                true => return Err(format!("{name} has gone")),
                false => continue,
            }
        }
        let mut mailbox = storage
            .open(name, OpenMode::ReadWrite)
            .map_err(|error| format!("open: {}", base::chain(&error)))?;
        let found = look(&mut *mailbox)?;
        compare(name, known, known.validity[at], &found, loss)?;
        let next = save(&mut *mailbox, &kind.text("next"), Flags::NONE, &[])
            .map_err(|error| format!("save: {}", base::chain(&error)))?;
        let highest = known.messages.iter().filter(|one| one.mailbox == name).map(|one| one.uid).max();
        let highest = highest.max(found.messages.iter().map(|one| one.0).max());
        if highest.is_some_and(|highest| next <= highest) {
            return Err(format!("{name}: UID {next} was given twice, {highest:?} was"));
        }
        let again = look(&mut *mailbox)?;
        // What was being saved may be found only now that its name is needed.
        let coming = known.coming.iter().filter(|one| one.0 == name).count();
        let more = again.messages.len().wrapping_sub(found.messages.len() + 1);
        // A copy that mdbox's purge had not forced to disk yet may have lost what tells that it is one.
        // Nor has a file that sdbox had just unlinked.
        let torn_copies = kind != MAILDIR && loss != Loss::Nothing;
        if more > coming && !torn_copies {
            let brief = |found: &Found| -> Vec<(u32, String)> {
                found
                    .messages
                    .iter()
                    .map(|one| (one.0, one.1.lines().last().unwrap_or_default().to_owned()))
                    .collect()
            };
            return Err(format!("{name}: {:?} and one more are {:?}", brief(&found), brief(&again)));
        }
        ask(&mut *mailbox);
    }
    go_on(&*storage, known)
}

/// What goes takes nothing with it that another message needs, and does not come back when everything is
/// looked at anew.
fn go_on(storage: &dyn Storage, known: &Known) -> Result<(), String> {
    let words = |error: storage::Error| base::chain(&error).to_string();
    let open = |name| storage.open(name, OpenMode::ReadWrite).map_err(words);
    let exists = |name: &&str| matches!(storage.state(name), Ok(storage::MailboxState::Selectable));
    let mut left = Vec::new();
    for name in [INBOX, ARCHIVE].into_iter().filter(exists) {
        let mut mailbox = open(name)?;
        let mut messages = look(&mut *mailbox)?.messages;
        mailbox.expunge(&uids(&[messages.remove(0).0])).map_err(words)?;
        left.push((name, messages));
    }
    storage.purge().map_err(words)?;
    for (name, expected) in left {
        let mut mailbox = open(name)?;
        mailbox.rebuild(true).map_err(words)?;
        let now = look(&mut *mailbox)?.messages;
        // What was being saved may be found at any time, in any mailbox.
        let is_late = |one: &&(u32, String, String)| {
            let kept = known.messages.iter().any(|known| !known.gone && known.text == one.1);
            kept || known.coming.iter().any(|coming| coming.1 == one.1)
        };
        let more = now.iter().filter(|one| !expected.contains(one));
        let lost = expected.iter().filter(|one| !now.contains(one));
        let wrong: Vec<_> = lost.chain(more.filter(|one| !is_late(one))).collect();
        if !wrong.is_empty() {
            let names = wrong.iter().map(|one| (one.0, one.1.lines().last().unwrap_or_default()));
            return Err(format!("{name}: after a purge {:?}", names.collect::<Vec<_>>()));
        }
    }
    Ok(())
}

fn compare(
    name: &str,
    known: &Known,
    validity: Option<u32>,
    found: &Found,
    loss: Loss,
) -> Result<(), String> {
    if validity.is_some_and(|validity| validity != found.validity) {
        return Err(format!("{name}: UIDVALIDITY {validity:?} became {}", found.validity));
    }
    let coming = known.coming.iter().filter(|one| one.0 == name);
    for (uid, text, flags) in &found.messages {
        let of =
            known.messages.iter().find(|one| one.mailbox == name && one.uid == *uid && one.text == *text);
        let Some(of) = of else {
            if coming.clone().any(|one| one.1 == *text) {
                continue;
            }
            return Err(format!("{name}: nobody knows {uid} {text:?}"));
        };
        if of.gone {
            return Err(format!("{name}: {uid} is back"));
        }
        let exact = loss == Loss::Nothing && known.flags_settled;
        let fits = if exact { of.flags.last() == Some(flags) } else { of.flags.contains(flags) };
        // A rename and the line for its keyword are two steps.
        let only_some = loss != Loss::Nothing || !known.flags_settled;
        let words = || flags.split(' ').filter(|word| !word.is_empty());
        let mixed =
            only_some && words().all(|word| of.flags.iter().any(|all| all.split(' ').any(|one| one == word)));
        if !fits && !mixed {
            return Err(format!("{name}: {uid} has ({flags}), not one of {:?}", of.flags));
        }
    }
    for of in known.messages.iter().filter(|one| one.mailbox == name) {
        let count = found.messages.iter().filter(|one| one.1 == of.text).count();
        let exists = found.messages.iter().any(|one| one.0 == of.uid && one.1 == of.text);
        if !of.leaving && !exists {
            return Err(format!("{name}: {} is lost ({count} with another UID)", of.uid));
        }
        if count > 1 {
            return Err(format!("{name}: {} is there {count} times", of.uid));
        }
    }
    Ok(())
}

fn check(kind: Kind) {
    check_on(kind, true);
}

fn check_on(kind: Kind, has_unnamed: bool) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("mail");
    let disk = Arc::new(Recorder::new(&root, has_unnamed));
    let mut client = Client { kind, disk: &disk, history: Vec::new(), known: Known::default() };
    work(&*kind.storage(&root, kind.busy_settings(&root), Fs::with_hook(disk.clone())), &mut client);
    let (ops, history) = (disk.ops(), client.history);
    assert!(ops.len() > 150, "{} changes", ops.len());
    assert_eq!(count_files(&root.join("attachments")) > 10, kind.apart);
    let (seeds, first) = (number("POWER_SEEDS"), number("POWER_SEED").unwrap_or(0));
    let mut failures = Vec::new();
    let mut tries = 0;
    let only = number("POWER_AT").and_then(|at| usize::try_from(at).ok());
    for end in (0..=ops.len()).filter(|end| only.is_none_or(|only| only == *end)) {
        let known = &history.iter().rev().find(|(from, _)| *from <= end).unwrap().1;
        for seed in 0..seeds.unwrap_or(1) {
            let seed = first + seed + if seeds.is_none() { end as u64 } else { 0 };
            let loss = [Loss::Nothing, Loss::Journal, Loss::Directories][(seed % 3) as usize];
            let place = tempfile::tempdir_in(memory()).unwrap();
            let root: PathBuf = place.path().join("mail");
            rebuild(&ops[..end], loss, &mut Random(seed * 1_000_003 + end as u64), &root);
            tries += 1;
            let outcome = std::panic::catch_unwind(|| verify(kind, &root, known, loss));
            let error = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(_) => "panic".to_owned(),
            };
            let last = ops.get(end.wrapping_sub(1));
            let kept = std::env::var_os("POWER_KEEP").map(|_| place.keep());
            failures.push(format!(
                "after {end} of {} changes ({}), {loss:?}, seed {seed}: {error}\n  last {}\n  {kept:?}",
                ops.len(),
                known.what,
                last.map(|op| format!("{op:?}").chars().take(200).collect::<String>()).unwrap_or_default()
            ));
        }
    }
    let count = failures.len();
    failures.truncate(20);
    assert!(count == 0, "{kind:?}: {count} of {tries} failed\n{}", failures.join("\n"));
}

#[test]
fn maildir() {
    check(MAILDIR);
}

#[test]
fn maildir_without_unnamed_files() {
    check_on(MAILDIR, false);
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

/// The storage is rebuilt while a message lies whole in a file but is not entered yet: whoever adds it
/// enters it, once.
#[test]
fn a_rebuild_while_a_message_is_added() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("mail");
    let storage = MDBOX.storage(&root, MDBOX.busy_settings(&root), Fs::default());
    let open = || storage.open(INBOX, OpenMode::ReadWrite).unwrap();
    let (mut inbox, mut other) = (open(), open());
    save(&mut *inbox, "Subject: one\n\nx\n", Flags::NONE, &[]).unwrap();
    let mut batch = inbox.begin_save().unwrap();
    batch.begin(SaveMeta::default()).unwrap();
    batch.write(b"Subject: two\n\nx\n").unwrap();
    batch.end().unwrap();
    other.rebuild(true).unwrap();
    assert_eq!(look(&mut *other).unwrap().messages.len(), 1);
    batch.commit().unwrap();
    let texts: Vec<_> = look(&mut *other).unwrap().messages.into_iter().map(|one| one.1).collect();
    assert_eq!(texts, ["Subject: one\n\nx\n", "Subject: two\n\nx\n"]);
}
