//! Brings the index up to date with the file: which message is which, what is new, what is gone.

use std::fs::File;

use base::{Guid, Uid, UidValidity};
use index::{Index, Locked, Origin, Transaction};

use crate::error::Result;
use crate::indexed::{FlagUpdates, Resync};
use crate::source::ReadAt;
use crate::view::{Flags, Record, View};

use super::driver::{Mbox, is_dirty, write_header};
use super::header::{Base, Header, Own};
use super::lock::LockedMbox;
use super::records::{HEADER_MD5, MBOX, MboxHeader};
use super::scan::Start;

/// A message of the file as it is compared with the index.
struct Message {
    from: u64,
    header: Header,
    md5: [u8; 16],
}

/// A comparison under way.
struct Pass<'a> {
    mbox: &'a Mbox,
    sync: &'a Resync<'a>,
    /// The index's messages; none if it is to be begun anew.
    view: View,
    /// All UIDs of the view, and the first that was not met yet.
    uids: Vec<Uid>,
    at: usize,
    next_uid: u32,
    index_next_uid: u32,
    last_uid: u32,
    /// The last message that the file says is not `\Recent`.
    last_old: u32,
    base: Option<Base>,
    is_reset: bool,
    tx: Transaction,
    updates: FlagUpdates,
}

impl Mbox {
    /// See the module.
    pub(super) fn read_all(
        &self,
        index: &mut Locked<'_>,
        guard: &LockedMbox,
        sync: &Resync<'_>,
    ) -> Result<()> {
        let file = guard.file();
        let (size, mtime) = self.stamp(file)?;
        let old = Self::header(index);
        let is_known = (old.size, old.mtime) == (size, mtime) && !index.is_new();
        let settings = &self.context.settings.mbox;
        let is_rebuild = sync.mode == crate::api::SyncMode::Rebuild;
        let is_full = is_rebuild || sync.mode.is_full() && !settings.very_dirty_syncs;
        if is_known && !is_rebuild && !(is_full && old.is_dirty) && old.guid != Guid::default() {
            return Ok(());
        }
        let lazily = (settings.dirty_syncs || settings.very_dirty_syncs) && !is_full && size > old.size;
        let last = if lazily { self.known_end(index, file)? } else { None };
        let (mut pass, first) = self.begin(index, file, sync)?;
        if let Some((at, next)) = last {
            pass.skip_to(at);
            pass.read(file, Some(next))?;
        } else {
            pass.read(file, first.map(|start| start.from))?;
        }
        let header = MboxHeader {
            size,
            mtime,
            is_dirty: last.is_some() && (old.is_dirty || !is_known),
            guid: if old.guid == Guid::default() { crate::dbox::names::new_guid() } else { old.guid },
        };
        pass.finish(index, header)
    }

    /// If the last message that the index has is where it should be: how many there are, and where the
    /// next would be.
    fn known_end(&self, index: &Index, file: &File) -> Result<Option<(usize, u64)>> {
        let view = index.view();
        let Some(uid) = view.last_uid() else { return Ok(None) };
        let Some(offset) = Self::offset(view, uid) else { return Ok(None) };
        let scan = self.scan(file);
        let Ok(Some(start)) = scan.start(offset) else { return Ok(None) };
        if !self.is_message(view, uid, &start) {
            return Ok(None);
        }
        let end = scan.end(&start).map_err(|error| self.failed(error))?;
        Ok(Some((view.len() as usize, end.next)))
    }

    /// Whether a message of the file is the one that the index has under this UID.
    pub(super) fn is_message(&self, view: &View, uid: Uid, start: &Start) -> bool {
        let header = Header::parse(&start.header_bytes);
        header.uid == Some(uid.get())
            || Self::md5(view, uid)
                .is_some_and(|md5| md5 == self.context.settings.mbox.md5.of_header(&start.header_bytes))
    }

    /// Settles UIDVALIDITY between index and file. Gives the first message.
    fn begin<'a>(
        &'a self,
        index: &Index,
        file: &File,
        sync: &'a Resync<'a>,
    ) -> Result<(Pass<'a>, Option<Start>)> {
        let first = self.scan(file).start(0).map_err(|error| self.failed(error))?;
        let base = first.as_ref().and_then(|start| Header::parse(&start.header_bytes).base);
        let known = index.header().uid_validity;
        let value = match (&base, known) {
            (Some(base), _) => base.uid_validity,
            (None, 0) if first.is_none() => {
                let permissions = crate::fs::Permissions::of_dir(&self.control_root);
                let (fs, logger) = (&self.context.fs, &self.context.logger);
                crate::maildir::next_uid_validity(fs, &self.control_root, &permissions, logger)
            }
            (None, 0) => crate::dbox::unix_now(),
            (None, known) => known,
        };
        let is_reset = known != 0 && known != value;
        let mut tx = Transaction::new();
        if is_reset {
            let path = self.path.display();
            let logger = &self.context.logger;
            logger.warning(format_args!("UIDVALIDITY changed ({known} -> {value}) in mbox file {path}"));
            tx.reset();
        }
        let validity = UidValidity::new(value).unwrap_or(UidValidity::ONE);
        if known != value {
            tx.set_uid_validity(validity);
        }
        super::driver::declare(&mut tx);
        let view = if is_reset { View::empty(validity, Uid::ONE) } else { View::clone(index.view()) };
        let index_next_uid = if is_reset { 1 } else { index.header().next_uid.max(1) };
        let last = base.as_ref().map_or(0, |base| base.last_uid);
        let pass = Pass {
            mbox: self,
            sync,
            uids: view.records().map(|record| record.uid).collect(),
            view,
            at: 0,
            next_uid: index_next_uid.max(last.saturating_add(1)),
            index_next_uid,
            last_uid: 0,
            last_old: 0,
            base,
            is_reset,
            tx,
            updates: FlagUpdates::default(),
        };
        Ok((pass, first))
    }
}

impl Pass<'_> {
    /// The first `at` messages of the index are where they are known to be.
    fn skip_to(&mut self, at: usize) {
        self.at = at;
        self.last_uid = self.uids.last().map_or(0, |uid| uid.get());
    }

    fn read(&mut self, file: &File, from: Option<u64>) -> Result<()> {
        let scan = self.mbox.scan(file);
        let failed = |error| self.mbox.failed(error);
        let mut next = from;
        let size = ReadAt::size(file).map_err(|error| crate::Error::io("fstat", &self.mbox.path, error))?;
        while let Some(at) = next.take().filter(|&at| at < size) {
            let Some(start) = scan.start(at).map_err(failed)? else { break };
            let end = scan.end(&start).map_err(failed)?;
            let header = Header::parse(&start.header_bytes);
            let is_pseudo = at == 0 && header.base.as_ref().is_some_and(|base| base.is_pseudo);
            if !is_pseudo {
                let md5 = self.mbox.context.settings.mbox.md5.of_header(&start.header_bytes);
                self.message(&Message { from: at, header, md5 });
            }
            next = Some(end.next);
        }
        // The rest of the index is not in the file any more.
        while let Some(&uid) = self.uids.get(self.at) {
            self.gone(uid);
        }
        Ok(())
    }

    fn gone(&mut self, uid: Uid) {
        self.tx.expunge(uid, Guid::default());
        self.at += 1;
    }

    fn message(&mut self, message: &Message) {
        let uid = self.by_uid(message).or_else(|| self.by_md5(message));
        let Some(uid) = uid.or_else(|| self.new_uid()) else { return };
        self.last_uid = uid.get();
        if message.header.is_old {
            self.last_old = uid.get();
        }
        if self.uids.get(self.at) == Some(&uid) {
            self.at += 1;
            self.compare(uid, message);
        } else {
            self.append(uid, message);
        }
    }

    /// The UID that stands in the message, if it is to be believed.
    fn by_uid(&mut self, message: &Message) -> Option<Uid> {
        self.base.as_ref()?;
        let header = &message.header;
        let at = |kind| header.own(kind).map(|field| field.whole.start);
        let base_at = at(Own::Base).or_else(|| at(Own::Pseudo));
        // In the first message it counts only behind what makes it count.
        if base_at.zip(at(Own::Uid)).is_some_and(|(base, uid)| uid < base) && message.from == 0 {
            return None;
        }
        let uid = header.uid.and_then(Uid::new)?;
        if uid.get() <= self.last_uid || uid.get() > self.next_uid {
            return None;
        }
        while let Some(&known) = self.uids.get(self.at).filter(|known| **known < uid) {
            self.gone(known);
        }
        match self.uids.get(self.at) {
            Some(&known) if known == uid => {}
            None if uid.get() >= self.index_next_uid => {}
            known => {
                let (path, logger) = (self.mbox.path.display(), &self.mbox.context.logger);
                match known {
                    None => logger.error(format_args!(
                        "Sync failed for mbox: {path}: Expunged message reappeared to mailbox (UID {uid} < {})",
                        self.index_next_uid
                    )),
                    Some(known) => logger.error(format_args!(
                        "Sync failed for mbox: {path}: UID inserted in the middle of mailbox ({known} > {uid})"
                    )),
                }
                return None;
            }
        }
        if uid.get() == self.next_uid {
            self.next_uid += 1;
        }
        Some(uid)
    }

    /// The index's message with the same header. Those before it are gone.
    fn by_md5(&mut self, message: &Message) -> Option<Uid> {
        let rest = self.uids.get(self.at..)?;
        let is_it = |uid: &Uid| Mbox::md5(&self.view, *uid) == Some(message.md5);
        let found = rest.iter().position(is_it)?;
        for _ in 0..found {
            if let Some(&uid) = self.uids.get(self.at) {
                self.gone(uid);
            }
        }
        self.uids.get(self.at).copied()
    }

    /// A new message. What the index has further on would be behind it with a lower UID.
    fn new_uid(&mut self) -> Option<Uid> {
        while let Some(&uid) = self.uids.get(self.at) {
            self.gone(uid);
        }
        // With the last UID given nothing more can be shown.
        let uid = Uid::new(self.next_uid).filter(|uid| uid.get() < u32::MAX)?;
        self.next_uid += 1;
        Some(uid)
    }

    /// The keywords of a message. A word that the mailbox does not know came with the message.
    fn keywords<'m>(&self, message: &'m Message) -> Vec<&'m str> {
        let words = message.header.keywords.as_deref().unwrap_or_default();
        let in_base = |word: &String| {
            self.base
                .as_ref()
                .is_some_and(|base| base.keywords.iter().any(|known| known.eq_ignore_ascii_case(word)))
        };
        match words.iter().all(|word| in_base(word) || self.view.keyword_index(word).is_some()) {
            true => words.iter().map(String::as_str).collect(),
            false => Vec::new(),
        }
    }

    fn append(&mut self, uid: Uid, message: &Message) {
        let has_uid = message.header.uid == Some(uid.get());
        let bits = if has_uid { 0 } else { Record::DIRTY };
        let keywords = self.keywords(message);
        self.tx.append_with_bits(uid, message.header.flags, bits, keywords.iter().copied());
        self.tx.ext_record(MBOX, uid, &message.from.to_le_bytes());
        // Until the UID stands in the file, this tells which message it is.
        if !has_uid || self.view.columns().named(HEADER_MD5).is_some() {
            self.tx.ext_record(HEADER_MD5, uid, &message.md5);
        }
    }

    fn compare(&mut self, uid: Uid, message: &Message) {
        if Mbox::offset(&self.view, uid) != Some(message.from) {
            self.tx.ext_record(MBOX, uid, &message.from.to_le_bytes());
        }
        let Some(record) = self.view.record(uid) else { return };
        if is_dirty(record) || self.sync.unsettled.contains(uid) {
            return;
        }
        self.updates.flags(record, message.header.flags & Flags::ALL);
        let wanted = self.keywords(message);
        for name in self.view.keyword_names(&record.keywords) {
            if !wanted.iter().any(|word| word.eq_ignore_ascii_case(name)) {
                self.updates.keyword(uid, name, false);
            }
        }
        for word in wanted {
            let index = self.view.keyword_index(word);
            if !index.is_some_and(|index| record.keywords.contains(index)) {
                self.updates.keyword(uid, word, true);
            }
        }
    }

    fn finish(mut self, index: &mut Locked<'_>, header: MboxHeader) -> Result<()> {
        self.updates.write(&mut self.tx);
        if let Some(next) = Uid::new(self.next_uid).filter(|next| next.get() > self.index_next_uid) {
            self.tx.set_next_uid(next);
        }
        let first_recent = index.header().first_recent_uid.max(1);
        if let Some(recent) = Uid::new(self.last_old + 1).filter(|recent| recent.get() > first_recent) {
            self.tx.set_first_recent_uid(recent);
        }
        if header != Mbox::header(index) || self.is_reset {
            write_header(&mut self.tx, &header);
        }
        if self.tx.is_empty() { Ok(()) } else { Ok(index.commit(&self.tx, Origin::External)?) }
    }
}
