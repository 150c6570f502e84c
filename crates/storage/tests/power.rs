//! The power goes off after any change on disk, and the disk keeps of what was not forced to it
//! whatever it likes: the mailbox opens afterwards, with every acknowledged message once, with its UID,
//! and nothing half.
//!
//! `POWER_SEEDS` says how many variants of each moment are tried, in place of one for every third, and
//! `POWER_SEED` where to begin.

#[path = "support/disk.rs"]
mod disk;
mod support;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Logger;
use disk::{Loss, Random, Recorder, rebuild};
use storage::api::copy;
use storage::fs::Fs;
use storage::{
    CopyMode, DboxStorage, FlagMode, Flags, Location, MailSettings, Mailbox, MaildirStorage, OpenMode,
    SaveMeta, Storage, SyncMode, Wanted,
};
use support::{change, save, uids};

const INBOX: &str = "INBOX";
const ARCHIVE: &str = "Archive";

fn storage(driver: &str, root: &Path, fs: Fs) -> Box<dyn Storage> {
    let location = Location::parse(&format!("{driver}:{}", root.display()), None).unwrap();
    let mut settings =
        MailSettings { hostname: "host".to_owned(), mdbox_rotate_size: 1500, ..MailSettings::default() };
    // Everything that happens seldom happens all the time.
    settings.mail_index.log_rotate_min_size = 300;
    settings.mail_index.log_rotate_max_size = 700;
    settings.mail_index.rewrite_min_log_bytes = 100;
    settings.mail_index.rewrite_max_log_bytes = 200;
    settings.mail_cache.always_fields = "imap.envelope imap.bodystructure hdr.subject".to_owned();
    settings.mail_cache.never_fields = String::new();
    settings.mail_cache.purge_min_size = 1;
    let (settings, logger) = (Arc::new(settings), Logger::new("test: "));
    match driver {
        "maildir" => Box::new(MaildirStorage::with_fs(location, settings, true, logger, fs)),
        _ => Box::new(DboxStorage::with_fs(location, settings, true, logger, fs).unwrap()),
    }
}

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
        let texts: Vec<String> = subjects.iter().map(|subject| text(subject)).collect();
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

fn text(subject: &str) -> String {
    format!("From: a@example.com\nSubject: {subject}\n\n{}end of {subject}\n", "body\n".repeat(40))
}

fn ask(mailbox: &mut dyn Mailbox) {
    for uid in mailbox.view().uids().iter() {
        mailbox.fetch_facts(uid, Wanted::ENVELOPE | Wanted::BODYSTRUCTURE | Wanted::SIZE_VIRTUAL).unwrap();
    }
    mailbox.sync(SyncMode::Quick).unwrap();
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

fn verify(driver: &str, root: &Path, known: &Known, loss: Loss) -> Result<(), String> {
    age_locks(root);
    let storage = storage(driver, root, Fs::default());
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
        let next = save(&mut *mailbox, &text("next"), Flags::NONE, &[])
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
        let torn_copies = driver != "maildir" && loss != Loss::Nothing;
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

/// A lock file that does not say whose it is holds for two minutes, which we let pass at once.
fn age_locks(dir: &Path) {
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(600);
    for path in std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            age_locks(&path);
        } else {
            std::fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn check(driver: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("mail");
    let disk = Arc::new(Recorder::new(&root));
    let mut client = Client { disk: &disk, history: Vec::new(), known: Known::default() };
    work(&*storage(driver, &root, Fs::with_hook(disk.clone())), &mut client);
    let (ops, history) = (disk.ops(), client.history);
    assert!(ops.len() > 150, "{} changes", ops.len());
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
            let outcome = std::panic::catch_unwind(|| verify(driver, &root, known, loss));
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
    assert!(count == 0, "{driver}: {count} of {tries} failed\n{}", failures.join("\n"));
}

/// Where files are quick to make.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

#[test]
fn maildir() {
    check("maildir");
}

#[test]
fn sdbox() {
    check("sdbox");
}

#[test]
fn mdbox() {
    check("mdbox");
}

/// The storage is rebuilt while a message lies whole in a file but is not entered yet: whoever adds it
/// enters it, once.
#[test]
fn a_rebuild_while_a_message_is_added() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("mail");
    let storage = storage("mdbox", &root, Fs::default());
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
