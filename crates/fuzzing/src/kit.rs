//! What the fuzz targets share: a directory to work in, files cut out of one input, and a session's
//! worth of work on whatever storage is found there.

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use base::{Logger, Uid, UidSet};
use index::FsyncMode;
use storage::fs::Fs;
use storage::sort::{Criterion, Sort, SortKey};
use storage::thread::{Algorithm, Thread};
use storage::{
    DboxStorage, FlagChange, FlagMode, Flags, Location, MailSettings, Mailbox, MaildirStorage, MboxStorage,
    MessageReader, OpenMode, SaveMeta, StatusItems, Storage, SyncMode, Wanted,
};

/// Stands between the files of one input.
pub(crate) const MARK: &[u8] = b"\n=====\n";

/// The files of an input; as many as `N`, those that are missing empty.
pub(crate) fn files<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut rest = data;
    std::array::from_fn(|at| {
        let end = rest.windows(MARK.len()).position(|window| window == MARK).filter(|_| at + 1 < N);
        let (file, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind.get(MARK.len()..).unwrap_or_default();
        file
    })
}

/// A logger that nobody reads.
pub(crate) fn logger() -> Logger {
    static SILENT: Once = Once::new();
    SILENT.call_once(|| base::log::install(|_, _, _| {}));
    Logger::new("fuzz: ")
}

/// A directory in memory, if the system has such, emptied when it is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// An empty one.
    pub(crate) fn new() -> Self {
        // Tests run several targets in one process.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let below = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = below.join(format!(
            "culver-fuzz-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory to work in");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that is not empty, and the directories above it.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        if !bytes.is_empty() {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("mkdir");
            std::fs::write(path, bytes).expect("write");
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A stored message in memory.
pub(crate) struct Bytes(Cursor<Vec<u8>>);

impl Bytes {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(Cursor::new(bytes.to_vec()))
    }
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Bytes {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

impl MessageReader for Bytes {
    fn size(&self) -> u64 {
        self.0.get_ref().len() as u64
    }
}

/// Settings under which nothing waits for a disk, and everything is cached.
pub(crate) fn mail_settings() -> MailSettings {
    let mut settings = MailSettings {
        mail_fsync: FsyncMode::Never,
        hostname: "host".to_owned(),
        mail_max_lock_timeout: Duration::from_secs(1),
        ..MailSettings::default()
    };
    settings.mail_cache.always_fields = "imap.envelope imap.bodystructure hdr.subject".to_owned();
    settings.mail_cache.never_fields = String::new();
    settings
}

/// A storage at `location`, as in `mail_location`.
pub(crate) fn storage(location: &str) -> Option<Box<dyn Storage>> {
    let (driver, _) = location.split_once(':')?;
    let driver = driver.to_owned();
    let location = Location::parse(location, None).ok()?;
    let (settings, log, fs) = (Arc::new(mail_settings()), logger(), Fs::default());
    match driver.as_str() {
        "maildir" => Some(Box::new(MaildirStorage::with_fs(location, settings, true, log, fs))),
        "mbox" => Some(Box::new(MboxStorage::with_fs(location, settings, true, "user", log, fs).ok()?)),
        _ => Some(Box::new(DboxStorage::with_fs(location, settings, true, log, fs).ok()?)),
    }
}

/// Does with every mailbox of a storage what clients do. Whatever the files hold, this ends, and nothing
/// panics; errors are fine.
pub(crate) fn use_storage(storage: &dyn Storage) {
    let names = storage.list().unwrap_or_default();
    let _ = storage.subscriptions();
    for listed in names.iter().take(5) {
        let _ = storage.status(&listed.name, StatusItems(0xffff));
        if let Ok(mut mailbox) = storage.open(&listed.name, OpenMode::ReadWrite) {
            use_mailbox(&mut *mailbox);
        }
    }
    let _ = storage.create("made", false);
    let _ = storage.rename("made", "renamed");
    let _ = storage.delete("renamed");
    let _ = storage.purge();
}

/// Reads all, changes flags, saves, expunges, and looks again.
pub(crate) fn use_mailbox(mailbox: &mut dyn Mailbox) {
    let _ = mailbox.sync(SyncMode::Quick);
    let uids: Vec<Uid> = mailbox.view().uids().iter().take(20).collect();
    for &uid in &uids {
        let wanted = Wanted::ENVELOPE | Wanted::BODYSTRUCTURE | Wanted::SIZE_VIRTUAL | Wanted::GUID;
        let _ = mailbox.fetch_facts(uid, wanted | Wanted::INTERNAL_DATE | Wanted::SAVE_DATE);
        let _ = mailbox.fetch_fields(uid, Wanted::SIZE_PHYSICAL, &["Subject", "X-Other"]);
        read(mailbox, uid);
    }
    let all: UidSet = uids.iter().copied().collect();
    let change = FlagChange { mode: FlagMode::Add, flags: Flags::SEEN, keywords: vec!["keyword".to_owned()] };
    let _ = mailbox.store_flags(&all, &change);
    save(mailbox);
    let _ = mailbox.sync(SyncMode::Full);
    let _ = mailbox.expunge(&uids.iter().copied().take(1).collect());
    let _ = mailbox.status(StatusItems(0xffff));
    let _ = mailbox.cache_purge();
    let _ = mailbox.rebuild(true);
    let _ = mailbox.guid();
}

fn read(mailbox: &mut dyn Mailbox, uid: Uid) {
    let Ok(mut reader) = mailbox.open_message(uid) else { return };
    let (mut buffer, mut total) = ([0; 4096], 0u64);
    while let Ok(count) = reader.read(&mut buffer) {
        total += count as u64;
        if count == 0 || total > 1 << 20 {
            break;
        }
    }
}

fn save(mailbox: &mut dyn Mailbox) {
    let Ok(mut batch) = mailbox.begin_save() else { return };
    let saved = batch.begin(SaveMeta::default()).and_then(|()| batch.write(b"Subject: new\n\ntext\n"));
    if saved.and_then(|()| batch.end()).is_ok() {
        let _ = batch.commit();
    }
}

/// Sorts and threads the messages of a mailbox in every way.
pub(crate) fn arrange(mailbox: &mut dyn Mailbox) {
    let Ok(view) = mailbox.sync(SyncMode::Quick) else { return };
    let uids: Vec<Uid> = view.uids().iter().collect();
    for algorithm in [Algorithm::OrderedSubject, Algorithm::References, Algorithm::Refs] {
        let mut thread = Thread::new(uids.clone(), algorithm);
        if matches!(thread.advance(mailbox, Duration::from_secs(60)), Ok(true)) {
            let forest = thread.finish();
            assert!(uids.iter().all(|&uid| !forest.threads_with(&UidSet::from_range(uid, uid)).is_empty()));
        }
    }
    use SortKey::{Arrival, Cc, Date, DisplayFrom, DisplayTo, From, Size, Subject, To};
    for key in [Arrival, Cc, Date, From, Size, Subject, To, DisplayFrom, DisplayTo] {
        let mut sort = Sort::new(uids.clone(), &[Criterion { key, reverse: false }]);
        if matches!(sort.advance(mailbox, Duration::from_secs(60)), Ok(true)) {
            assert_eq!(sort.finish().len(), uids.len());
        }
    }
}
