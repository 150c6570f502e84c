//! Writes to the file what the index has: flags, UIDs, keywords, and that messages are gone.

use std::fs::File;

use base::{Uid, UidSet, UidValidity};
use index::{Index, Locked, Origin, Transaction};

use crate::error::{Error, Result};
use crate::indexed::Done;
use crate::source::ReadAt;
use crate::view::{Record, View};

use super::driver::{Known, Mbox, write_header};
use super::from_line;
use super::header::Header;
use super::lock::LockedMbox;
use super::moves::{Piece, write_at};
use super::records::{MBOX, MboxHeader};
use super::rewrite::{NewHeader, Rewrite, Wanted, WantedBase};
use super::scan::Start;

/// What is to be written.
struct Change<'a> {
    view: &'a View,
    uid_validity: u32,
    last_uid: u32,
    first_recent: u32,
    /// These go.
    expunged: &'a UidSet,
    /// Only these headers need to be looked at, and the first.
    touched: UidSet,
}

/// What came of it.
enum Outcome {
    /// Where messages are now, if they were moved.
    Done(Vec<(Uid, u64)>),
    /// The file is not what the index says.
    Mismatch,
}

impl Mbox {
    /// Writes what waits for it.
    pub(super) fn write_back(
        &self,
        index: &mut Locked<'_>,
        work: &mut Known,
        guard: &LockedMbox,
    ) -> Result<()> {
        let view = index.view().clone();
        let first_recent = index.header().first_recent_uid;
        let mut touched: Vec<Uid> =
            view.records().filter(|record| super::driver::is_dirty(record)).map(|r| r.uid).collect();
        let dirty: UidSet = touched.iter().copied().collect();
        let from = work.recent_from.unwrap_or(first_recent);
        touched.extend(
            view.records().map(|record| record.uid).filter(|uid| (from..first_recent).contains(&uid.get())),
        );
        touched.sort_unstable();
        touched.dedup();
        let none = UidSet::new();
        let change = Change {
            view: &view,
            uid_validity: index.header().uid_validity,
            last_uid: index.header().next_uid.saturating_sub(1),
            first_recent,
            expunged: &none,
            touched: touched.into_iter().collect(),
        };
        let Outcome::Done(moved) = self.rewrite(guard.file(), &change)? else {
            // Found out by the next look, which reads everything.
            return Ok(());
        };
        let mut tx = Transaction::new();
        tx.update_bits(&dirty, 0, Record::DIRTY);
        let (size, mtime) = self.stamp(guard.file())?;
        write_header(&mut tx, &MboxHeader { size, mtime, ..Self::header(index) });
        for (uid, offset) in moved {
            tx.ext_record(MBOX, uid, &offset.to_le_bytes());
        }
        work.recent_from = None;
        Ok(index.commit(&tx, Origin::External)?)
    }

    /// Takes messages out of the file.
    pub(super) fn expunge_all(
        &self,
        index: &Index,
        work: &mut Known,
        guard: &LockedMbox,
        uids: &UidSet,
    ) -> Result<Done> {
        let change = Change {
            view: index.view(),
            uid_validity: index.header().uid_validity,
            last_uid: index.header().next_uid.saturating_sub(1),
            first_recent: index.header().first_recent_uid,
            expunged: uids,
            touched: uids.clone(),
        };
        match self.rewrite(guard.file(), &change)? {
            Outcome::Mismatch => Ok(Done { lost: uids.clone(), refused: UidSet::new() }),
            Outcome::Done(moved) => {
                let (size, mtime) = self.stamp(guard.file())?;
                work.header = Some(MboxHeader { size, mtime, ..Self::header(index) });
                work.moved = moved;
                Ok(Done::default())
            }
        }
    }

    /// Gives the file another UIDVALIDITY.
    pub(super) fn set_uid_validity(
        &self,
        index: &mut Locked<'_>,
        guard: &LockedMbox,
        tx: &mut Transaction,
        value: UidValidity,
    ) -> Result<()> {
        let view = index.view().clone();
        let none = UidSet::new();
        let change = Change {
            view: &view,
            uid_validity: value.get(),
            last_uid: index.header().next_uid.saturating_sub(1),
            first_recent: index.header().first_recent_uid,
            expunged: &none,
            touched: UidSet::new(),
        };
        if let Outcome::Done(moved) = self.rewrite(guard.file(), &change)? {
            let (size, mtime) = self.stamp(guard.file())?;
            write_header(tx, &MboxHeader { size, mtime, ..Self::header(index) });
            for (uid, offset) in moved {
                tx.ext_record(MBOX, uid, &offset.to_le_bytes());
            }
        }
        tx.set_uid_validity(value);
        Ok(())
    }

    fn rewrite(&self, file: &File, change: &Change<'_>) -> Result<Outcome> {
        let size = ReadAt::size(file).map_err(|error| Error::io("fstat", &self.path, error))?;
        let scan = self.scan(file);
        let failed = |error| self.failed(error);
        let mut rewrite = Rewrite::default();
        let mut places: Vec<(Uid, u64)> = Vec::new();
        let mut records = change.view.records().peekable();
        let mut next = (size > 0).then_some(0);
        while let Some(at) = next.filter(|&at| at < size) {
            let Some(start) = scan.start(at).map_err(failed)? else { break };
            let end = scan.end(&start).map_err(failed)?;
            next = Some(end.next);
            let header = Header::parse(&start.header_bytes);
            let base = (!rewrite.has_first()).then(|| change.base());
            if at == 0 && header.base.as_ref().is_some_and(|base| base.is_pseudo) {
                // It only holds what the first real message would otherwise.
                let flags = header.flags;
                let wanted = Wanted { base, flags, is_old: header.is_old, ..Wanted::default() };
                rewrite.message(&start, &end, NewHeader::new(&start, &end, &header, &wanted));
                continue;
            }
            let Some(record) = records.next() else { return Ok(Outcome::Mismatch) };
            if !self.fits(change.view, record, &header, &start) {
                return Ok(Outcome::Mismatch);
            }
            if change.expunged.contains(record.uid) {
                rewrite.expunge(&end);
                continue;
            }
            let wanted = change.wanted(record, base, &header);
            let placed = rewrite.message(&start, &end, NewHeader::new(&start, &end, &header, &wanted));
            places.push((record.uid, placed.from));
            // What lies between here and the next one that changes stays as it is.
            if let Some(jump) = change.jump(record.uid, next, rewrite.is_shifted()) {
                let Some(offset) = Self::offset(change.view, jump) else { continue };
                while let Some(record) = records.next_if(|record| record.uid < jump) {
                    let Some(offset) = Self::offset(change.view, record.uid) else {
                        return Ok(Outcome::Mismatch);
                    };
                    places.push((record.uid, offset));
                }
                rewrite.skip_to(offset);
                next = Some(offset);
            }
        }
        if records.next().is_some() {
            return Ok(Outcome::Mismatch);
        }
        let is_empty = !rewrite.has_first() && size > 0;
        let mut arrangement = rewrite.finish(size);
        if is_empty {
            arrangement.push(Piece::Bytes(self.pseudo(change)));
        }
        if !arrangement.is_unchanged(size) {
            let applied = arrangement.apply(&self.context.fs, file, &self.path, size);
            applied.map_err(|error| Error::io("write", &self.path, error))?;
            if self.syncs() {
                let synced = self.context.fs.sync(file, &self.path);
                synced.map_err(|error| Error::io("fdatasync", &self.path, error))?;
            }
        }
        places.retain(|(uid, offset)| Self::offset(change.view, *uid) != Some(*offset));
        Ok(Outcome::Done(places))
    }

    /// Whether a message of the file is this record's.
    fn fits(&self, view: &View, record: &Record, header: &Header, start: &Start) -> bool {
        header.uid == Some(record.uid.get()) || self.is_message(view, record.uid, start)
    }

    /// A message that is none, so that UIDVALIDITY and the last UID survive in an mbox without messages.
    fn pseudo(&self, change: &Change<'_>) -> Vec<u8> {
        let now = i64::from(crate::dbox::unix_now());
        let host = &self.context.settings.hostname;
        let from = from_line::create("MAILER-DAEMON", now, &Self::zone());
        let date = jiff::Zoned::now().strftime("%a, %d %b %Y %H:%M:%S %z");
        let base = change.base();
        format!(
            "{from}Date: {date}\nFrom: Mail System Internal Data <MAILER-DAEMON@{host}>\n\
             Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nMessage-ID: <{now}@{host}>\n\
             X-IMAP: {}\nStatus: RO\n\n\
             Mail programs keep here what they must remember of this mailbox. It is not a message, and is\n\
             made anew if it is removed, but then they take all messages for new ones.\n\n",
            base.to_value()
        )
        .into_bytes()
    }

    /// Notes in the first message which UID was given last, where that can be overwritten. What is given
    /// back is whether the file said so before or does now.
    pub(super) fn write_last_uid(&self, file: &File, last_uid: u32) -> Result<bool> {
        let start = self.scan(file).start(0).map_err(|error| self.failed(error))?;
        let base = start.as_ref().and_then(|start| Header::parse(&start.header_bytes).base);
        let (Some(start), Some(base)) = (start, base) else { return Ok(false) };
        if base.last_uid >= last_uid {
            return Ok(true);
        }
        let Some(at) = base.last_uid_at else { return Ok(false) };
        let digits = format!("{last_uid:010}");
        let written =
            write_at(&self.context.fs, file, &self.path, start.header + at as u64, digits.as_bytes());
        written.map_err(|error| Error::io("write", &self.path, error))?;
        Ok(true)
    }
}

impl<'a> Change<'a> {
    fn base(&self) -> WantedBase<'a> {
        WantedBase {
            uid_validity: self.uid_validity,
            last_uid: self.last_uid,
            keywords: self.view.keywords().iter().map(|name| &**name).collect(),
        }
    }

    fn wanted(&self, record: &'a Record, base: Option<WantedBase<'a>>, header: &Header) -> Wanted<'a> {
        Wanted {
            base,
            uid: Some(record.uid.get()),
            flags: record.flags,
            is_old: header.is_old || record.uid.get() < self.first_recent,
            keywords: self.view.keyword_names(&record.keywords).collect(),
        }
    }

    /// The next message that changes, if those between need not be looked at.
    fn jump(&self, uid: Uid, next: Option<u64>, is_shifted: bool) -> Option<Uid> {
        next?;
        if is_shifted {
            return None;
        }
        let after = Uid::new(uid.get().checked_add(1)?)?;
        let target = match self.touched.iter().find(|touched| *touched >= after) {
            Some(touched) => touched,
            // Nothing more: the last one shows that the file ends where it should.
            None => self.view.last_uid()?,
        };
        let following = self.view.records().find(|record| record.uid >= after)?.uid;
        (target > following).then_some(target)
    }
}
