//! Brings the index up to date with the files. All of it happens under the index's lock, and what gives
//! UIDs or moves files out of new/ under the uidlist's as well, so that neither we nor Dovecot mistakes
//! a file that is being renamed for an expunged one.

use std::collections::HashSet;

use base::{Uid, UidSet, UidValidity};
use index::dotlock::Dotlock;
use index::{Index, Locked, Origin, Transaction};

use crate::api::SyncMode;
use crate::error::Result;
use crate::indexed::{FlagUpdates, Resync};
use crate::view::{Flags, Record, View};

use super::driver::{Known, Maildir};
use super::filename;
use super::keywords::Letters;
use super::names::{Compared, Entry, Names, Seen};
use super::scan::Listing;

/// What there is to look at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub any: bool,
    cur: bool,
}

/// A comparison under way.
struct Pass<'a> {
    sync: &'a Resync<'a>,
    /// The index's messages; none if it is to be begun anew.
    view: View,
    /// UIDVALIDITY differs: what the index has is of another mailbox.
    reset: bool,
    next_uid: u32,
    first_recent: u32,
    /// Flags that names of files do not tell.
    ignored: Flags,
    tx: Transaction,
}

impl Maildir {
    /// What may have changed since the directories were read.
    pub(super) fn look(&self, index: &Index, work: &mut Known, mode: SyncMode, claim: bool) -> Result<Look> {
        if index.is_new() || mode.is_full() {
            return Ok(Look { any: true, cur: true });
        }
        work.dirs.refresh(index);
        let new = work.dirs.changed(self, "new", &work.dirs.new)?;
        let cur = match self.settings.maildir_very_dirty_syncs {
            false => work.dirs.changed(self, "cur", &work.dirs.cur)?,
            // Only what its time tells.
            true => work.dirs.has_other_time(self, "cur", &work.dirs.cur)?,
        };
        // Messages that a session is to claim may lie in new/.
        let has_recent = index.header().first_recent_uid < index.header().next_uid;
        Ok(Look { any: new || cur || claim && has_recent, cur })
    }

    pub(super) fn sync_files(
        &self,
        index: &mut Locked<'_>,
        work: &mut Known,
        guard: Option<&Dotlock>,
        sync: &Resync<'_>,
    ) -> Result<()> {
        let look = self.look(index, work, sync.mode, sync.claim)?;
        work.letters.refresh(self)?;
        let mut pass = self.begin(index, sync, guard.is_some())?;
        let moves = guard.is_some() && (sync.claim || self.settings.maildir_empty_new);
        let mut listing = self.scan(look.cur, moves)?;
        let mut whole = look.cur;
        let mut names = self.names();
        let mut found = names.compare(&listing, whole);
        if !whole && pass.needs_cur(&names, &found) {
            drop(names);
            whole = true;
            let moved = std::mem::take(&mut listing.moved);
            listing = self.scan(true, moves)?;
            listing.moved.extend(moved);
            names = self.names();
            found = names.compare(&listing, true);
        }
        if guard.is_some() {
            self.fix_duplicates(&names, &mut found);
            pass.reappeared(self, &mut names, &mut found, whole);
            pass.give_uids(self, &mut names, found.unknown)?;
        }
        pass.merge(&names, &mut work.letters, &listing, whole);
        drop(names);
        self.finish(index, work, guard, pass, &listing)
    }

    /// Settles UIDVALIDITY between index and uidlist.
    fn begin<'a>(&self, index: &Index, sync: &'a Resync<'a>, locked: bool) -> Result<Pass<'a>> {
        let mut names = self.names();
        names.refresh(self, locked)?;
        let (header, known) = (index.header(), names.header.uid_validity);
        if known == 0 {
            names.header.uid_validity =
                if header.uid_validity != 0 { header.uid_validity } else { self.next_uid_validity() };
            names.recreate = true;
        }
        let uid_validity = names.header.uid_validity;
        let reset = header.uid_validity != 0 && header.uid_validity != uid_validity;
        if reset {
            let (dir, old) = (self.dir.display(), header.uid_validity);
            self.logger.warning(format_args!("Maildir {dir}: UIDVALIDITY changed ({old} -> {uid_validity})"));
        } else {
            // The uidlist may have been removed or restored: UIDs are never given twice.
            names.header.next_uid = names.header.next_uid.max(header.next_uid).max(1);
        }
        let mut tx = Transaction::new();
        if reset {
            tx.reset();
        }
        let validity = UidValidity::new(uid_validity).unwrap_or(UidValidity::ONE);
        if header.uid_validity != uid_validity {
            tx.set_uid_validity(validity);
        }
        let empty = || View::empty(validity, Uid::ONE);
        Ok(Pass {
            sync,
            view: if reset { empty() } else { View::clone(index.view()) },
            reset,
            next_uid: if reset { 1 } else { header.next_uid.max(1) },
            first_recent: if reset { 1 } else { header.first_recent_uid.max(1) },
            ignored: if self.has_private_flags { Flags::SEEN } else { Flags::NONE },
            tx,
        })
    }

    fn finish(
        &self,
        index: &mut Locked<'_>,
        work: &mut Known,
        guard: Option<&Dotlock>,
        mut pass: Pass<'_>,
        listing: &Listing,
    ) -> Result<()> {
        if guard.is_some() {
            work.letters.commit(self)?;
        }
        work.dirs.new = listing.new.unwrap_or(work.dirs.new);
        work.dirs.cur = listing.cur.unwrap_or(work.dirs.cur);
        if !listing.moved.is_empty() {
            (work.dirs.new.own_change, work.dirs.cur.own_change) = (true, true);
        }
        if guard.is_none() {
            work.dirs.forget();
        }
        let old = index.header();
        let (next, recent) = if pass.reset { (1, 1) } else { (old.next_uid, old.first_recent_uid) };
        if let Some(uid) = Uid::new(pass.next_uid).filter(|uid| uid.get() > next) {
            pass.tx.set_next_uid(uid);
        }
        if let Some(uid) = Uid::new(pass.first_recent).filter(|uid| uid.get() > recent.max(1)) {
            pass.tx.set_first_recent_uid(uid);
        }
        work.dirs.write(index, &mut pass.tx);
        if pass.tx.is_empty() { Ok(()) } else { Ok(index.commit(&pass.tx, Origin::External)?) }
    }

    /// Two files of one base name, seen under the lock: a race with another program's rename, a left
    /// hard link, or really two messages.
    fn fix_duplicates(&self, names: &Names, found: &mut Compared) {
        for (name, new) in std::mem::take(&mut found.duplicates) {
            let second = crate::fs::join(&self.dir.join(if new { "new" } else { "cur" }), &name);
            let first = self.path_of_base(names, found, filename::base(&name));
            let stamps = (first.and_then(|path| self.fs.stamp(&path).ok().flatten()), self.fs.stamp(&second));
            let (Some(first), Ok(Some(stamp))) = stamps else { continue };
            if (first.dev, first.ino) == (stamp.dev, stamp.ino) {
                continue;
            }
            let mut fresh = filename::generate(&self.settings.hostname);
            for key in [b'S', b'W'] {
                if let Some(size) = filename::size(&name, key) {
                    fresh.push_str(&format!(",{}={size}", key as char));
                }
            }
            if self.fs.rename(&second, &self.dir.join("new").join(&fresh)).is_ok() {
                self.logger.warning(format_args!("Fixed a duplicate: {} -> {fresh}", second.display()));
                found.unknown.push((fresh.into_bytes(), true));
            }
        }
    }

    fn path_of_base(&self, names: &Names, found: &Compared, base: &[u8]) -> Option<std::path::PathBuf> {
        let place =
            |name: &[u8], new: bool| crate::fs::join(&self.dir.join(if new { "new" } else { "cur" }), name);
        if let Some((name, new)) = found.unknown.iter().find(|(name, _)| filename::base(name) == base) {
            return Some(place(name, *new));
        }
        let entry = names.entries.iter().find(|entry| filename::base(&entry.name) == base);
        entry.map(|entry| entry.path(&self.dir))
    }
}

impl Pass<'_> {
    /// Whether cur/ must tell what has become of messages that could lie in new/.
    fn needs_cur(&self, names: &Names, found: &Compared) -> bool {
        let unindexed = names.entries.iter().rev().take_while(|entry| entry.uid.get() >= self.next_uid);
        let mut unseen = unindexed.filter(|entry| entry.seen == Seen::Nowhere);
        let recent = Uid::new(self.first_recent).zip(self.view.last_uid());
        let recent = recent.filter(|(first, last)| first <= last);
        let range = recent.map_or_else(UidSet::new, |(first, last)| UidSet::from_range(first, last));
        let seen = |uid| names.entry(uid).is_some_and(|entry| entry.seen != Seen::Nowhere);
        !found.missing.is_empty()
            || unseen.next().is_some()
            || self.view.records_in(&range).any(|(_, record)| !seen(record.uid))
    }

    /// Files with a UID below those that the index has given, which are not in it, were expunged once:
    /// they are new messages. Where cur/ was not read, what was seen there before proves nothing: somebody
    /// else may just have expunged it.
    fn reappeared(&self, maildir: &Maildir, names: &mut Names, found: &mut Compared, whole: bool) {
        let is_back = |entry: &Entry| {
            (entry.seen == Seen::New || whole && entry.seen == Seen::Cur)
                && entry.uid.get() < self.next_uid
                && self.view.record(entry.uid).is_none()
        };
        if self.reset || !names.entries.iter().any(is_back) {
            return;
        }
        let (back, rest): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut names.entries).into_iter().partition(is_back);
        names.entries = rest;
        names.recreate = true;
        for entry in back {
            let (dir, uid, file) = (maildir.dir.display(), entry.uid, String::from_utf8_lossy(&entry.name));
            maildir.logger.warning(format_args!(
                "Maildir {dir}: Expunged message reappeared, giving a new UID (old uid={uid}, file={file})"
            ));
            found.unknown.push((entry.name.into_vec(), entry.seen == Seen::New));
        }
    }

    /// Gives UIDs to new files in the order of their arrival, and writes the uidlist.
    fn give_uids(
        &self,
        maildir: &Maildir,
        names: &mut Names,
        mut unknown: Vec<(Vec<u8>, bool)>,
    ) -> Result<()> {
        unknown.sort_by(|(a, _), (b, _)| filename::sort_key(a).cmp(&filename::sort_key(b)));
        // With the last UID given nothing more can be shown; 2.3 gives up as well.
        let next = (names.next_uid()..u32::MAX).filter_map(Uid::new);
        let entry = |(uid, (name, new)): (Uid, (Vec<u8>, bool))| {
            let seen = if new { Seen::New } else { Seen::Cur };
            Entry { uid, name: name.into_boxed_slice(), fields: Box::default(), seen }
        };
        names.add(maildir, next.zip(unknown).map(entry).collect(), &[])
    }

    /// Makes the index's records those of the files.
    fn merge(&mut self, names: &Names, letters: &mut Letters, listing: &Listing, whole: bool) {
        let view = std::mem::replace(&mut self.view, View::empty(UidValidity::ONE, Uid::ONE));
        let mut updates = FlagUpdates::default();
        let by_index = letters.of_view(&view);
        if whole {
            let mut entries = names.entries.iter().peekable();
            for record in view.records() {
                while entries.next_if(|entry| entry.uid < record.uid).is_some() {}
                match entries.next_if(|entry| entry.uid == record.uid) {
                    Some(entry) => self.compare_flags(&view, record, entry, &by_index, letters, &mut updates),
                    None => self.tx.expunge(record.uid, base::Guid::default()),
                }
            }
        }
        updates.write(&mut self.tx);
        let from = names.entries.partition_point(|entry| entry.uid.get() < self.next_uid);
        let moved: HashSet<&[u8]> = listing.moved.iter().map(Vec::as_slice).collect();
        for entry in names.entries.get(from..).unwrap_or_default() {
            self.append(entry, letters, &moved);
        }
        self.next_uid = self.next_uid.max(names.next_uid());
        self.view = view;
    }

    fn append(&mut self, entry: &Entry, letters: &mut Letters, moved: &HashSet<&[u8]>) {
        let (flags, bits) = filename::flags(&entry.name);
        let flags = flags & !self.ignored;
        let keywords: Vec<String> = filename::letters(bits).map(|letter| letters.name(letter)).collect();
        self.tx.append(entry.uid, flags, keywords.iter().map(String::as_str));
        // What lay in cur/ before was some session's `\Recent` once.
        if entry.seen != Seen::New && !moved.contains(filename::base(&entry.name)) {
            self.first_recent = self.first_recent.max(entry.uid.get() + 1);
        }
    }

    fn compare_flags(
        &self,
        view: &View,
        record: &Record,
        entry: &Entry,
        by_index: &[Option<usize>],
        letters: &mut Letters,
        updates: &mut FlagUpdates,
    ) {
        if record.bits & Record::DIRTY != 0 || self.sync.unsettled.contains(record.uid) {
            return;
        }
        let (flags, bits) = filename::flags(&entry.name);
        updates.flags(record, flags & !self.ignored | record.flags & self.ignored);
        let known = record.keywords.iter().filter_map(|index| by_index.get(index).copied().flatten());
        let old = known.fold(0u32, |set, letter| set | 1 << letter);
        if old == bits {
            return;
        }
        for letter in filename::letters(old ^ bits) {
            let name = letters.name(letter);
            let add = bits >> letter & 1 == 1;
            let has = view.keyword_index(&name).is_some_and(|index| record.keywords.contains(index));
            if add != has {
                updates.keyword(record.uid, &name, add);
            }
        }
    }
}
