//! A Maildir in a temporary directory and short words for what the tests do with it.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Logger, Uid, UidSet};
use storage::fs::Fs;
use storage::{
    FlagChange, FlagMode, Flags, Location, MailSettings, Mailbox, MaildirStorage, OpenMode, SaveMeta,
    Storage, SyncMode, View,
};

pub struct Home {
    pub dir: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("Maildir")
    }

    pub fn storage(&self) -> MaildirStorage {
        self.storage_at("", Fs::default())
    }

    pub fn storage_at(&self, extra: &str, fs: Fs) -> MaildirStorage {
        let location = Location::parse(&format!("maildir:{}{extra}", self.root().display()), None).unwrap();
        let settings = MailSettings { hostname: "host".to_owned(), ..MailSettings::default() };
        MaildirStorage::with_fs(location, Arc::new(settings), true, Logger::new("test: "), fs)
    }

    pub fn inbox(&self) -> Box<dyn Mailbox> {
        let mut inbox = self.storage().open("INBOX", OpenMode::ReadWrite).unwrap();
        inbox.sync(SyncMode::Quick).unwrap();
        inbox
    }

    pub fn uidlist(&self) -> String {
        std::fs::read_to_string(self.root().join("dovecot-uidlist")).unwrap()
    }

    /// All message files as `new/name` and `cur/name`, and what was left in `tmp`. The file that is kept to
    /// be the uidlist's lock again is neither.
    pub fn files(&self) -> Vec<String> {
        let mut all = Vec::new();
        for sub in ["new", "cur", "tmp"] {
            for entry in std::fs::read_dir(self.root().join(sub)).unwrap() {
                all.push(format!("{sub}/{}", entry.unwrap().file_name().into_string().unwrap()));
            }
        }
        all.retain(|name| !name.starts_with("tmp/.temp.host."));
        all.sort();
        all
    }
}

pub fn deliver(root: &Path, name: &str, text: &str) {
    std::fs::write(root.join("tmp").join(name), text).unwrap();
    std::fs::rename(root.join("tmp").join(name), root.join("new").join(name)).unwrap();
}

pub fn save(mailbox: &mut dyn Mailbox, text: &str, flags: Flags, keywords: &[&str]) -> storage::Result<u32> {
    let mut batch = mailbox.begin_save()?;
    batch.begin(SaveMeta {
        flags,
        keywords: keywords.iter().map(|&name| name.to_owned()).collect(),
        ..SaveMeta::default()
    })?;
    batch.write(text.as_bytes())?;
    batch.end()?;
    Ok(batch.commit()?.uids[0].get())
}

pub fn uids(list: &[u32]) -> UidSet {
    list.iter().filter_map(|&uid| Uid::new(uid)).collect()
}

pub fn change(mode: FlagMode, flags: Flags, keywords: &[&str]) -> FlagChange {
    FlagChange { mode, flags, keywords: keywords.iter().map(|&name| name.to_owned()).collect() }
}

/// `1() 2(\Seen work)`
pub fn show(view: &View) -> String {
    let one = |record: &storage::Record| {
        let mut words: Vec<&str> = record.flags.names().collect();
        words.extend(view.keyword_names(&record.keywords));
        format!("{}({})", record.uid, words.join(" "))
    };
    view.records().map(one).collect::<Vec<_>>().join(" ")
}
