//! What the tests of this crate share.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Guid, Logger, Uid, UidSet, UidValidity};
use index::fs::Fs;
use index::{Flags, Index, Origin, Place, Settings, Transaction, View};
use tempfile::TempDir;

/// A directory with an index.
pub struct Home {
    pub dir: TempDir,
    pub settings: Settings,
}

impl Home {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), settings: Settings::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn place(&self) -> Place {
        Place::new(Some(self.dir.path().to_owned()), "dovecot.index")
    }

    pub fn open(&self) -> Index {
        self.open_with(Fs::default())
    }

    pub fn open_with(&self, fs: Fs) -> Index {
        open_place(self.place(), &self.settings, fs)
    }

    /// An index with UIDVALIDITY and `messages` messages.
    pub fn filled(&self, messages: u32) -> Index {
        let mut index = self.open();
        index.commit(&first(messages), Origin::External).unwrap();
        index
    }
}

pub fn open_place(place: Place, settings: &Settings, fs: Fs) -> Index {
    Index::open(place, Arc::new(settings.clone()), fs, Logger::new("test: ")).unwrap()
}

/// UIDVALIDITY and messages with the UIDs from 1 on.
pub fn first(messages: u32) -> Transaction {
    let mut transaction = Transaction::new();
    transaction.set_uid_validity(UidValidity::new(1_234_567).unwrap());
    for uid in 1..=messages {
        transaction.append(self::uid(uid), Flags::NONE, []);
    }
    transaction.set_next_uid(uid(messages + 1));
    transaction
}

pub fn uid(uid: u32) -> Uid {
    Uid::new(uid).unwrap()
}

pub fn uids(list: &[u32]) -> UidSet {
    list.iter().map(|&number| uid(number)).collect()
}

pub fn guid(number: u32) -> Guid {
    let mut guid = [0; 16];
    guid[..4].copy_from_slice(&number.to_be_bytes());
    Guid(guid)
}

/// Everything that a snapshot says, one message a line.
pub fn show(view: &View) -> String {
    let mut text = format!("{} {} {}\n", view.uid_validity(), view.uid_next(), view.highest_modseq().0);
    for record in view.records() {
        let names: Vec<_> = view.keyword_names(&record.keywords).collect();
        let (modseq, bits) = (view.modseq(record).0, record.bits);
        text += &format!("{} {:?} {names:?} {modseq} {bits:x}", record.uid, record.flags);
        for column in view.columns().iter() {
            text += &format!(" {}={:?}", column.name, view.ext(record.uid, column.id).unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

/// Removes what is at a path, whatever it is.
pub fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}
