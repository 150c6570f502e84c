//! A search in bodies while another session expunges what is being read: messages whose attachments are stored
//! apart lose these under the reader's hands, and that is no error but a message that has gone.

use std::path::Path;
use std::sync::Arc;

use base::{Guid, Logger, Uid, UidSet};
use storage::attachment::{HashFormat, Settings};
use storage::notify::{Callback, Subscription};
use storage::search::{Query, Search};
use storage::{
    DboxStorage, Facts, FlagChange, Location, MailSettings, Mailbox, MessageReader, OpenMode, Result,
    SaveBatch, SaveMeta, Status, StatusItems, Storage, SyncMode, View, Wanted,
};

const COUNT: u32 = 4;

fn storage(dir: &Path, driver: &str) -> DboxStorage {
    let location = Location::parse(&format!("{driver}:{}/mail", dir.display()), None).unwrap();
    let attachments = Settings {
        dir: dir.join("attachments"),
        fs: "sis posix".to_owned(),
        hash: HashFormat::parse("%{sha1}").unwrap(),
        min_size: 100,
        temp_dir: dir.to_owned(),
        syncs: false,
    };
    let settings = MailSettings {
        hostname: "host".to_owned(),
        attachments: Some(attachments),
        ..MailSettings::default()
    };
    DboxStorage::new(location, Arc::new(settings), true, Logger::new("test: ")).unwrap()
}

/// What is looked for stands behind the attachment.
fn text(number: u32) -> String {
    format!(
        "Subject: {number}\nMime-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nfirst\n--b\n\
         Content-Type: application/x-y\nContent-Disposition: attachment\n\n{}\n--b\n\nlast\n--b--\n",
        format!("attached {number} ").repeat(100)
    )
}

fn filled(dir: &Path, driver: &str) -> (DboxStorage, Box<dyn Mailbox>) {
    let storage = storage(dir, driver);
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    let mut batch = inbox.begin_save().unwrap();
    for number in 1..=COUNT {
        batch.begin(SaveMeta::default()).unwrap();
        batch.write(text(number).as_bytes()).unwrap();
        batch.end().unwrap();
    }
    batch.commit().unwrap();
    inbox.sync(SyncMode::Quick).unwrap();
    (storage, inbox)
}

/// A session's mailbox in which something happens once the last message has been opened, and before its body
/// is read.
struct Meanwhile<'a> {
    inner: Box<dyn Mailbox>,
    happens: Option<Box<dyn FnOnce() + Send + 'a>>,
}

impl Mailbox for Meanwhile<'_> {
    fn open_message(&mut self, uid: Uid) -> Result<Box<dyn MessageReader>> {
        let opened = self.inner.open_message(uid);
        if uid.get() == COUNT
            && let Some(happens) = self.happens.take()
        {
            happens();
        }
        opened
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn is_readonly(&self) -> bool {
        self.inner.is_readonly()
    }

    fn guid(&mut self) -> Result<Guid> {
        self.inner.guid()
    }

    fn view(&self) -> Arc<View> {
        self.inner.view()
    }

    fn sync(&mut self, mode: SyncMode) -> Result<Arc<View>> {
        self.inner.sync(mode)
    }

    fn recent(&self) -> &UidSet {
        self.inner.recent()
    }

    fn allows_new_keywords(&self) -> bool {
        self.inner.allows_new_keywords()
    }

    fn store_flags(&mut self, uids: &UidSet, change: &FlagChange) -> Result<Arc<View>> {
        self.inner.store_flags(uids, change)
    }

    fn expunge(&mut self, uids: &UidSet) -> Result<Arc<View>> {
        self.inner.expunge(uids)
    }

    fn begin_save(&mut self) -> Result<Box<dyn SaveBatch>> {
        self.inner.begin_save()
    }

    fn fetch_facts(&mut self, uid: Uid, wanted: Wanted) -> Result<Facts> {
        self.inner.fetch_facts(uid, wanted)
    }

    fn status(&mut self, items: StatusItems) -> Result<Status> {
        self.inner.status(items)
    }

    fn subscribe(&mut self, callback: Callback) -> Result<Subscription> {
        self.inner.subscribe(callback)
    }
}

/// What is found of messages of which something `happens` to some meanwhile, and whether any were lost.
fn search<'a>(inbox: Box<dyn Mailbox>, happens: impl FnOnce() + Send + 'a) -> Result<(Vec<u32>, bool)> {
    let mut mailbox = Meanwhile { inner: inbox, happens: Some(Box::new(happens)) };
    let view = mailbox.view();
    let mut search = Search::new(&view, &Query::Body("last".to_owned()), UidSet::new());
    while !search.advance(&mut mailbox, &view, std::time::Duration::MAX)? {}
    assert!(mailbox.happens.is_none(), "it did not happen");
    Ok((search.found().iter().map(|uid| uid.get()).collect(), search.has_lost_messages()))
}

fn uids(list: &[u32]) -> UidSet {
    list.iter().filter_map(|&uid| Uid::new(uid)).collect()
}

fn attachments(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { attachments(&entry.path()) } else { 1 }).sum()
}

#[test]
fn what_another_session_expunges_is_not_found() {
    for driver in ["sdbox", "mdbox"] {
        let dir = tempfile::tempdir().unwrap();
        let (storage, inbox) = filled(dir.path(), driver);
        let place = dir.path().join("attachments");
        let before = attachments(&place);
        assert!(before >= COUNT as usize, "{driver}: {before} attachments");
        let expunge = || {
            let mut other = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
            other.sync(SyncMode::Quick).unwrap();
            other.expunge(&uids(&[2, 3])).unwrap();
            storage.purge().unwrap();
            assert_eq!(attachments(&place), before / 2, "{driver}");
        };
        let found =
            search(inbox, expunge).unwrap_or_else(|error| panic!("{driver}: {}", base::chain(&error)));
        assert_eq!(found, (vec![1, 4], true), "{driver}");
    }
}

#[test]
fn an_attachment_that_is_lost_is_an_error() {
    for driver in ["sdbox", "mdbox"] {
        let dir = tempfile::tempdir().unwrap();
        let (_storage, inbox) = filled(dir.path(), driver);
        let place = dir.path().join("attachments");
        let error = search(inbox, || std::fs::remove_dir_all(&place).unwrap()).unwrap_err();
        let text = base::chain(&error).to_string();
        assert!(text.contains("No such file or directory"), "{driver}: {text}");
    }
}
