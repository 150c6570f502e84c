//! Saving to an mbox: messages are kept aside until all are there, then appended together under the
//! locks. If that fails the file is cut back to what it was.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::SystemTime;

use base::{Uid, UidSet, UidValidity};
use index::{Locked, Origin, Transaction};
use sys::lock::LockKind;

use crate::api::{CopyBytes, Mailbox, SaveBatch, SaveMeta, Saved, SyncMode};
use crate::attachment::detect::Detector;
use crate::error::{Error, Result};
use crate::facts::Wanted;
use crate::indexed::{Driver, Resync, Shared, check_keywords};
use crate::limits::READ_BYTES;
use crate::source::ReadAt;
use crate::view::View;

use super::driver::{Known, Mbox, write_header};
use super::from_line;
use super::lock::LockedMbox;
use super::moves::write_at;
use super::records::{HEADER_MD5, MBOX, MboxHeader};
use super::rewrite::WantedBase;
use super::save::{NewMessage, SaveFilter, SavedMessage, content_length_field};
use super::spool::Spool;

/// A batch for one mailbox.
pub(super) struct Batch {
    shared: Arc<Shared<Mbox>>,
    done: Vec<Pending>,
    current: Option<Current>,
}

/// A message being received.
struct Current {
    meta: SaveMeta,
    filter: SaveFilter,
    detector: Option<Detector>,
    spool: Spool,
}

/// A message that waits to be appended, without our header fields and the empty line.
struct Pending {
    meta: SaveMeta,
    saved: SavedMessage,
    spool: Spool,
}

/// The end of the file while messages are appended.
struct Appending<'a> {
    mbox: &'a Mbox,
    file: &'a File,
    at: u64,
    /// Of the line end before `at`.
    line_end: u64,
}

impl Batch {
    pub(super) fn new(shared: Arc<Shared<Mbox>>) -> Self {
        Self { shared, done: Vec::new(), current: None }
    }

    fn mbox(&self) -> &Mbox {
        &self.shared.driver
    }

    fn assign(&self, index: &Locked<'_>) -> Result<Vec<Uid>> {
        let mut next = index.header().next_uid.max(1);
        let mut uids = Vec::with_capacity(self.done.len());
        for pending in &self.done {
            next = pending.meta.uid.map_or(next, |wanted| wanted.get().max(next));
            let uid = Uid::new(next).filter(|uid| uid.get() < u32::MAX);
            uids.push(uid.ok_or_else(|| Error::Unsupported("UIDs exhausted".to_owned()))?);
            next += 1;
        }
        Ok(uids)
    }

    fn save_all(&mut self, index: &mut Locked<'_>, work: &mut Known, guard: &LockedMbox) -> Result<Saved> {
        let shared = self.shared.clone();
        let mbox = &shared.driver;
        if mbox.is_stale(index, work, SyncMode::Quick, false)? {
            let none = UidSet::new();
            let sync = Resync { mode: SyncMode::Quick, claim: false, unsettled: &none };
            mbox.sync(index, work, Some(guard), &sync)?;
        }
        let uids = self.assign(index)?;
        let view = index.view().clone();
        let mut keywords: Vec<String> = view.keywords().iter().map(|name| name.to_string()).collect();
        let known = keywords.len();
        for word in self.done.iter().flat_map(|pending| &pending.meta.keywords) {
            if !keywords.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                keywords.push(word.clone());
            }
        }
        let size = ReadAt::size(&**guard.file()).map_err(|error| Error::io("fstat", &mbox.path, error))?;
        let appended = self.append_all(index, guard, &uids, &keywords, size);
        let mut says_all = false;
        let entered = appended.and_then(|offsets| {
            let last = uids.last().map_or(0, |uid| uid.get());
            says_all = mbox.write_last_uid(guard.file(), last)?;
            if mbox.syncs() {
                let synced = mbox.context.fs.sync(guard.file(), &mbox.path);
                synced.map_err(|error| Error::io("fdatasync", &mbox.path, error))?;
            }
            let tx = self.transaction(index, guard, &view, &uids, &offsets)?;
            Ok(index.commit(&tx, Origin::External)?)
        });
        if let Err(error) = entered {
            let _ = mbox.context.fs.truncate(guard.file(), &mbox.path, size);
            return Err(error);
        }
        *mbox.seen() = Mbox::header(index);
        self.done.clear();
        // The first message is to say which keywords there are, and the last UID.
        if (!says_all || size > 0 && keywords.len() > known)
            && let Err(error) = mbox.write_back(index, work, guard)
        {
            mbox.context.logger.error(format_args!(
                "Mailbox {}: {}",
                mbox.path.display(),
                base::chain(&error)
            ));
        }
        *mbox.seen() = Mbox::header(index);
        let uid_validity = UidValidity::new(index.header().uid_validity).unwrap_or(UidValidity::ONE);
        Ok(Saved { uid_validity, uids })
    }

    /// Gives where each message is.
    fn append_all(
        &mut self,
        index: &Locked<'_>,
        guard: &LockedMbox,
        uids: &[Uid],
        keywords: &[String],
        size: u64,
    ) -> Result<Vec<u64>> {
        let shared = self.shared.clone();
        let mut appending = Appending::begin(&shared.driver, guard.file(), size)?;
        let mut offsets = Vec::with_capacity(uids.len());
        for (pending, uid) in self.done.iter_mut().zip(uids) {
            let base = (appending.at == 0).then(|| WantedBase {
                uid_validity: index.header().uid_validity,
                last_uid: uids.last().map_or(0, |uid| uid.get()),
                keywords: keywords.iter().map(String::as_str).collect(),
            });
            let own = NewMessage {
                base,
                uid: uid.get(),
                flags: pending.meta.flags,
                is_old: false,
                keywords: pending.meta.keywords.iter().map(String::as_str).collect(),
            };
            offsets.push(appending.message(pending, own.to_header())?);
        }
        Ok(offsets)
    }

    fn transaction(
        &self,
        index: &Locked<'_>,
        guard: &LockedMbox,
        view: &View,
        uids: &[Uid],
        offsets: &[u64],
    ) -> Result<Transaction> {
        let (size, mtime) = self.mbox().stamp(guard.file())?;
        let mut tx = Transaction::new();
        tx.fsync();
        write_header(&mut tx, &MboxHeader { size, mtime, ..Mbox::header(index) });
        let has_md5 = view.columns().named(HEADER_MD5).is_some();
        for ((pending, &uid), offset) in self.done.iter().zip(uids).zip(offsets) {
            let meta = &pending.meta;
            tx.append_with_bits(uid, meta.flags, 0, meta.keywords.iter().map(String::as_str));
            tx.ext_record(MBOX, uid, &offset.to_le_bytes());
            if let Some(md5) = pending.saved.md5.filter(|_| has_md5) {
                tx.ext_record(HEADER_MD5, uid, &md5);
            }
            if let Some(modseq) = meta.modseq {
                tx.update_modseq(uid, modseq);
            }
        }
        Ok(tx)
    }
}

impl<'a> Appending<'a> {
    fn begin(mbox: &'a Mbox, file: &'a File, size: u64) -> Result<Self> {
        let mut last = [0; 2];
        let from = size.saturating_sub(2);
        let wanted = usize::try_from(size - from).unwrap_or(0);
        let room = last.get_mut(2 - wanted..).unwrap_or_default();
        ReadAt::read_at(file, room, from).map_err(|error| Error::io("read", &mbox.path, error))?;
        let mut appending = Self { mbox, file, at: size, line_end: 0 };
        match last {
            _ if size == 0 => {}
            [b'\r', b'\n'] => appending.line_end = 2,
            [_, b'\n'] => appending.line_end = 1,
            _ => appending.write(b"\n")?,
        }
        Ok(appending)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = write_at(&self.mbox.context.fs, self.file, &self.mbox.path, self.at, bytes);
        written.map_err(|error| Error::io("write", &self.mbox.path, error))?;
        self.at += bytes.len() as u64;
        self.line_end = 1;
        Ok(())
    }

    /// Appends a message; `own` are our header fields and the empty line.
    fn message(&mut self, pending: &mut Pending, mut own: Vec<u8>) -> Result<u64> {
        let offset = self.at - self.line_end;
        let received = pending.meta.internal_date.unwrap_or_else(SystemTime::now);
        let received = crate::dbox::unix_secs(received);
        let from = from_line::create(&self.mbox.owner, received, &Mbox::zone());
        let SavedMessage { body, end, .. } = pending.saved;
        let length = content_length_field(end - body);
        let room_end = own.len().saturating_sub(2);
        let room = own.get_mut(room_end.saturating_sub(length.len())..room_end).unwrap_or_default();
        room.iter_mut().zip(length.bytes()).for_each(|(to, byte)| *to = byte);
        let failed = |error| Error::io("read", &self.mbox.path, error);
        let spool = std::mem::replace(&mut pending.spool, Spool::new());
        let mut reader = spool.into_reader().map_err(failed)?;
        // Small messages are written at once.
        let mut pieces = from.into_bytes();
        let (mut left, mut in_header) = (body, true);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            if left == 0 && in_header {
                pieces.append(&mut own);
                (left, in_header) = (end - body, false);
            }
            if left == 0 {
                break;
            }
            let wanted = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
            let room = buffer.get_mut(..wanted).unwrap_or_default();
            let count = reader.read(room).map_err(|error| Error::io("read", &self.mbox.path, error))?;
            if count == 0 {
                break;
            }
            pieces.extend_from_slice(room.get(..count).unwrap_or_default());
            left -= count as u64;
            if pieces.len() >= READ_BYTES {
                self.write(&std::mem::take(&mut pieces))?;
            }
        }
        pieces.push(b'\n');
        self.write(&pieces)?;
        Ok(offset)
    }
}

impl SaveBatch for Batch {
    fn begin(&mut self, meta: SaveMeta) -> Result<()> {
        let settings = &self.mbox().context.settings;
        check_keywords(&meta.keywords, settings.mail_max_keyword_length)?;
        let filter = SaveFilter::new(Vec::new(), settings.mail_save_crlf, Some(settings.mbox.md5));
        let detector = Detector::new(&settings.attachment_detection, &meta.keywords);
        self.current = Some(Current { meta, filter, detector, spool: Spool::new() });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(current) = &mut self.current else {
            return Err(Error::BadRequest("No message is being saved".to_owned()));
        };
        if let Some(detector) = &mut current.detector {
            detector.push(bytes);
        }
        current.filter.push(bytes);
        let written = current.spool.write(&current.filter.take());
        written.map_err(|error| Error::io("write", &self.shared.driver.path, error))
    }

    fn end(&mut self) -> Result<()> {
        let current = self.current.take();
        let current = current.ok_or_else(|| Error::BadRequest("No message is being saved".to_owned()))?;
        let Current { mut meta, mut filter, detector, mut spool } = current;
        if let Some(detector) = detector {
            detector.finish(&mut meta.keywords);
        }
        let saved = filter.finish();
        let written = spool.write(&filter.take());
        written.map_err(|error| Error::io("write", &self.mbox().path, error))?;
        self.done.push(Pending { meta, saved, spool });
        Ok(())
    }

    fn copy(&mut self, source: &mut dyn Mailbox, uid: Uid, mut meta: SaveMeta) -> Result<CopyBytes> {
        let facts = source.fetch_facts(uid, Wanted::INTERNAL_DATE)?;
        meta.internal_date = meta.internal_date.or(facts.internal_date);
        let mut reader = source.open_message(uid)?;
        self.begin(meta)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = reader.read(&mut buffer);
            let count = read.map_err(|error| Error::io("read", &self.mbox().path, error))?;
            if count == 0 {
                self.end()?;
                return Ok(CopyBytes::Written);
            }
            self.write(buffer.get(..count).unwrap_or_default())?;
        }
    }

    fn commit(mut self: Box<Self>) -> Result<Saved> {
        self.current = None;
        let shared = self.shared.clone();
        let mut work = shared.work();
        let work = &mut *work;
        let guard = shared.driver.lock(LockKind::Exclusive)?;
        if !guard.may_write() {
            return Err(Error::NoPermission("Read-only mbox".to_owned()));
        }
        let mut index = work.index.lock()?;
        let saved = self.save_all(&mut index, &mut work.driver, &guard);
        shared.end_save(index)?;
        shared.publish(&work.index);
        saved
    }
}
