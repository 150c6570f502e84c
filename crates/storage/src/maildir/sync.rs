//! Brings the shared state up to date with the disk. The first look takes no lock; only if a file
//! needs a UID, or has gone, or is to be moved out of new/, the uidlist is locked and everything is
//! looked at again, so that neither we nor Dovecot mistakes a file that is being renamed for an
//! expunged one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use base::{Guid, Uid, UidSet, UidValidity};

use crate::api::SyncMode;
use crate::error::{Error, Result};
use crate::fs::Stamp;
use crate::view::{Edit, KeywordSet, Record, View};
use index::dotlock::Dotlock;

use super::filename::{self, KEYWORDS_MAX};
use super::scan::{Listing, now_ns};
use super::shared::{DirSeen, Entry, Shared, State, Work};
use super::uidlist::{self, Header};
use super::uidvalidity;

/// What there is to look at.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    any: bool,
    cur: bool,
}

/// The uidlist as just read, not yet taken over.
pub(super) struct Read {
    pub header: Header,
    pub stamp: Option<Stamp>,
    pub offset: usize,
    pub lines: usize,
    pub recreate: bool,
    /// It replaces what was known, rather than adding to it.
    whole: bool,
    pub records: Vec<(u32, Vec<u8>, Vec<u8>)>,
}

/// What the uidlist is to hold.
struct Lines<'a> {
    /// Nothing of what was known is valid any more.
    renewed: bool,
    /// Appending is not enough.
    recreate: bool,
    removed: &'a UidSet,
    added: &'a [Entry],
    /// From here on `added` is not in the file yet.
    first_new: usize,
}

/// What a comparison of disk and memory has found.
#[derive(Default)]
struct Found {
    /// Entries whose file has another name now: index, name, in new/.
    renamed: Vec<(usize, Vec<u8>, bool)>,
    missing: Vec<usize>,
    /// In the uidlist and on disk but not in memory.
    known: Vec<Entry>,
    /// On disk only.
    unknown: Vec<(Vec<u8>, bool)>,
    /// Two files with one base name.
    duplicates: Vec<(Vec<u8>, bool)>,
}

impl Shared {
    /// Looks at the disk. With `claim` new messages are moved to cur/ and their UIDs returned: they
    /// are `\Recent` for the session that asks.
    pub(super) fn sync(&self, mode: SyncMode, claim: bool) -> Result<UidSet> {
        if mode == SyncMode::Memory {
            return Ok(UidSet::new());
        }
        let mut work = self.work();
        let claimed = self.sync_locked_work(&mut work, mode, claim)?;
        drop(work);
        Ok(claimed)
    }

    /// The same for a caller that holds the work lock already.
    pub(super) fn sync_locked_work(&self, work: &mut Work, mode: SyncMode, claim: bool) -> Result<UidSet> {
        let before = self.view();
        let mut look = self.look(work, mode)?;
        let waiting = claim && self.has_waiting();
        if !look.any && !waiting {
            return Ok(UidSet::new());
        }
        let claim_new = claim || self.settings.maildir_empty_new;
        let mut claimed = UidSet::new();
        if waiting || !self.pass(work, &mut look, None, claim_new, &mut claimed)? {
            match self.lock_uidlist() {
                Ok(lock) => {
                    self.pass(work, &mut look, Some(&lock), claim_new, &mut claimed)?;
                }
                // Without the lock nothing new gets a UID, but what is known can be read and expunged.
                Err(error @ (Error::NoPermission(_) | Error::NoSpace { .. })) => {
                    self.logger.error(format_args!(
                        "Maildir {}: {}",
                        self.dir.display(),
                        base::chain(&error)
                    ));
                    self.pass_readonly(work, &mut look)?;
                }
                Err(error) => return Err(error),
            }
        }
        if claim {
            let mut state = self.state();
            let unclaimed = std::mem::take(&mut state.unclaimed);
            for uid in unclaimed.iter().filter(|&uid| state.view.record(uid).is_some()) {
                claimed.insert(uid);
            }
        } else {
            claimed = UidSet::new();
        }
        if !Arc::ptr_eq(&before, &self.view()) {
            self.channel.wake();
        }
        Ok(claimed)
    }

    /// Looks again under the caller's lock, so that a change or a save starts from the newest state.
    pub(super) fn sync_under(&self, work: &mut Work, lock: &Dotlock, mode: SyncMode) -> Result<()> {
        let mut look = self.look(work, mode)?;
        if look.any {
            self.pass(work, &mut look, Some(lock), false, &mut UidSet::new())?;
        }
        Ok(())
    }

    /// Messages that a read-write session would claim.
    fn has_waiting(&self) -> bool {
        let state = self.state();
        !state.unclaimed.is_empty() || state.entries.iter().any(|entry| entry.in_new)
    }

    fn look(&self, work: &Work, mode: SyncMode) -> Result<Look> {
        if !work.loaded || mode == SyncMode::Full {
            return Ok(Look { any: true, cur: true });
        }
        let new = self.changed("new", &work.new)?;
        let cur = !self.settings.maildir_very_dirty_syncs && self.changed("cur", &work.cur)?;
        let path = self.control_file("dovecot-uidlist");
        let stamp = self.fs.stamp(&path).map_err(|error| Error::io("stat", path, error))?;
        // Another UID list may name files that are in cur/ already.
        let uidlist = stamp != work.uidlist;
        Ok(Look { any: new || cur || uidlist || work.recreate, cur: cur || uidlist })
    }

    fn changed(&self, sub: &str, seen: &DirSeen) -> Result<bool> {
        let path = self.dir.join(sub);
        let stamp = self.fs.stamp(&path).map_err(|error| Error::io("stat", path.clone(), error))?;
        let Some(stamp) = stamp else {
            self.make_directories()?;
            return Ok(true);
        };
        if stamp.mtime_ns != seen.mtime_ns {
            return Ok(true);
        }
        // Changes within the clock's grain leave the same time stamp. After a look of ours that was so
        // close we look again; after a change of our own, which may hide another, only when the last
        // look is a second ago, as 2.3 does.
        let grain = if stamp.mtime_ns % SECOND == 0 { 2 * SECOND } else { GRAIN };
        let close = seen.at_ns - seen.mtime_ns < grain;
        Ok(if seen.own_change { now_ns() - seen.at_ns > SECOND } else { close })
    }

    /// One comparison of disk and memory. Gives `false`, having changed nothing, if the lock is needed
    /// and not there.
    fn pass(
        &self,
        work: &mut Work,
        look: &mut Look,
        lock: Option<&Dotlock>,
        claim: bool,
        claimed: &mut UidSet,
    ) -> Result<bool> {
        let read = self.read_uidlist(work, lock.is_some())?;
        let mut listing = self.scan(look.cur, lock.is_some() && claim)?;
        let mut found = self.compare(&read, &listing, look.cur, work);
        if !look.cur && !found.missing.is_empty() {
            // It was in new/ and is not there any more: cur/ tells whether it has gone.
            look.cur = true;
            let moved = std::mem::take(&mut listing.moved);
            listing = self.scan(true, lock.is_some() && claim)?;
            listing.moved.extend(moved);
            found = self.compare(&read, &listing, true, work);
        }
        let fresh = read.stamp.is_none() || read.recreate || work.recreate || read.header.guid.is_none();
        let waiting = claim && listing.iter().any(|(_, new)| new);
        let needed = fresh || waiting || !found.missing.is_empty() || !found.unknown.is_empty();
        if lock.is_none() && (needed || !found.duplicates.is_empty()) {
            return Ok(false);
        }
        if lock.is_some() {
            self.fix_duplicates(&mut found);
        }
        self.take_over(work, read, &listing, found, lock.is_some())?;
        let state = self.state();
        for entry in &state.entries {
            if listing.moved.iter().any(|base| base == filename::base(&entry.name)) {
                claimed.insert(entry.uid);
            }
        }
        Ok(true)
    }

    /// For a mailbox that cannot be locked: known messages only.
    fn pass_readonly(&self, work: &mut Work, look: &mut Look) -> Result<()> {
        look.cur = true;
        let read = self.read_uidlist(work, false)?;
        let listing = self.scan(true, false)?;
        let mut found = self.compare(&read, &listing, true, work);
        found.unknown.clear();
        self.take_over(work, read, &listing, found, false)
    }

    /// Reads what the uidlist has that memory does not.
    pub(super) fn read_uidlist(&self, work: &Work, locked: bool) -> Result<Read> {
        let path = self.control_file("dovecot-uidlist");
        let kept = |stamp| Read {
            header: work.header.clone(),
            stamp,
            offset: work.offset,
            lines: work.lines,
            recreate: false,
            whole: false,
            records: Vec::new(),
        };
        let stamp = self.fs.stamp(&path).map_err(|error| Error::io("stat", path.clone(), error))?;
        if stamp.is_none() || (work.loaded && stamp == work.uidlist) {
            return Ok(kept(stamp));
        }
        let grew = work.uidlist.zip(stamp).is_some_and(|(old, new)| {
            (old.dev, old.ino) == (new.dev, new.ino) && new.size > work.offset as u64 && work.lines > 0
        });
        if grew
            && work.loaded
            && let Some((data, stamp)) = self.read_from(&path, work.offset as u64)?
            && let Ok(parsed) = uidlist::parse_lines(&data, &work.header, work.lines)
        {
            let torn = parsed.consumed < data.len();
            return Ok(Read {
                offset: work.offset + parsed.consumed,
                lines: work.lines + parsed.lines.len(),
                recreate: parsed.recreate || torn,
                records: owned(&parsed),
                ..kept(Some(stamp))
            });
        }
        let Some((data, stamp)) = self.read_from(&path, 0)? else { return Ok(kept(None)) };
        match uidlist::parse(&data) {
            Ok(parsed) if parsed.header.is_some() => Ok(Read {
                header: parsed.header.clone().unwrap_or_default(),
                stamp: Some(stamp),
                offset: parsed.consumed,
                lines: parsed.lines.len() + 1,
                recreate: parsed.recreate || parsed.consumed < data.len(),
                whole: true,
                records: owned(&parsed),
            }),
            Ok(_) => Ok(kept(None)),
            Err(broken) => {
                // Seen without the lock it is seen again with it: one line is enough.
                if locked {
                    let (path, line) = (path.display(), broken.line);
                    self.logger.error(format_args!("Broken file {path} line {line}: {}", broken.what));
                }
                Ok(kept(None))
            }
        }
    }

    fn compare(&self, read: &Read, listing: &Listing, cur: bool, work: &Work) -> Found {
        let state = self.state();
        let mut found = Found::default();
        let renewed = read.whole && work.loaded && read.header.uid_validity != work.header.uid_validity;
        let records: HashMap<&[u8], (u32, &[u8])> = read
            .records
            .iter()
            .map(|(uid, fields, name)| (filename::base(name), (*uid, &**fields)))
            .collect();
        let mut seen = vec![false; state.entries.len()];
        let mut by_base: HashMap<&[u8], usize> = HashMap::with_capacity(state.entries.len());
        for (index, entry) in state.entries.iter().enumerate() {
            let base = filename::base(&entry.name);
            // The uidlist was made anew, or has the file under another UID: the old message is gone.
            let moved = records.get(base).is_some_and(|&(uid, _)| uid != entry.uid.get());
            if !renewed && !moved {
                by_base.insert(base, index);
                seen[index] = !cur && !entry.in_new;
            }
        }
        let mut fresh: HashMap<&[u8], ()> = HashMap::new();
        for (name, new) in listing.iter() {
            let base = filename::base(name);
            if let Some(&index) = by_base.get(base) {
                if seen[index] && (cur || state.entries[index].in_new) {
                    found.duplicates.push((name.to_vec(), new));
                    continue;
                }
                seen[index] = true;
                let entry = &state.entries[index];
                if *entry.name != *name || entry.in_new != new {
                    found.renamed.push((index, name.to_vec(), new));
                }
                continue;
            }
            if fresh.insert(base, ()).is_some() {
                found.duplicates.push((name.to_vec(), new));
                continue;
            }
            match records.get(base).and_then(|&(uid, fields)| Some((Uid::new(uid)?, fields))) {
                Some((uid, fields)) => {
                    found.known.push(Entry { uid, name: name.into(), fields: fields.into(), in_new: new });
                }
                None => found.unknown.push((name.to_vec(), new)),
            }
        }
        found.missing = (0..seen.len()).filter(|&index| !seen[index]).collect();
        found.known.sort_by_key(|entry| entry.uid);
        found
    }

    /// Two files of one base name, seen under the lock: a race with another program's rename, a left
    /// hard link, or really two messages.
    fn fix_duplicates(&self, found: &mut Found) {
        for (name, new) in std::mem::take(&mut found.duplicates) {
            let second = crate::fs::join(&self.dir.join(if new { "new" } else { "cur" }), &name);
            let first = self.path_of_base(found, filename::base(&name));
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

    fn path_of_base(&self, found: &Found, base: &[u8]) -> Option<std::path::PathBuf> {
        let place =
            |name: &[u8], new: bool| crate::fs::join(&self.dir.join(if new { "new" } else { "cur" }), name);
        if let Some((_, name, new)) = found.renamed.iter().find(|(_, name, _)| filename::base(name) == base) {
            return Some(place(name, *new));
        }
        if let Some((name, new)) = found.unknown.iter().find(|(name, _)| filename::base(name) == base) {
            return Some(place(name, *new));
        }
        let state = self.state();
        let mut all = found.known.iter().chain(&state.entries);
        all.find(|entry| filename::base(&entry.name) == base).map(|entry| entry.path(&self.dir))
    }

    /// Makes what was found the state, giving UIDs and writing the uidlist where `locked`.
    fn take_over(
        &self,
        work: &mut Work,
        read: Read,
        listing: &Listing,
        mut found: Found,
        locked: bool,
    ) -> Result<()> {
        work.letters.refresh(self)?;
        let renewed = work.loaded && read.whole && read.header.uid_validity != work.header.uid_validity;
        let mut header = self.next_header(work, &read, renewed, locked);
        let mut recreate = work.recreate || read.recreate || read.stamp.is_none();
        recreate |= header.version != 3 || header.guid.is_none();
        if !renewed {
            recreate |= self.reappeared(&mut found);
        }
        recreate |= self.note_gone(work, &read, &found, renewed);
        let removed = self.removed(&found, renewed);
        let mut added = std::mem::take(&mut found.known);
        let first_new = added.len();
        give_uids(std::mem::take(&mut found.unknown), &mut header, &mut added);
        if locked && (recreate || added.len() > first_new) {
            self.write_uidlist(
                work,
                &mut header,
                &read,
                Lines { renewed, recreate, removed: &removed, added: &added, first_new },
            )?;
        } else {
            (work.uidlist, work.offset, work.lines) = (read.stamp, read.offset, read.lines);
        }
        self.publish(work, &header, renewed, &removed, found.renamed, added);
        if locked {
            work.letters.commit(self)?;
        }
        work.header = header;
        work.loaded = true;
        work.new = listing.new.unwrap_or(work.new);
        work.cur = listing.cur.unwrap_or(work.cur);
        if !listing.moved.is_empty() {
            (work.new.own_change, work.cur.own_change) = (true, true);
        }
        Ok(())
    }

    /// The uidlist's header with the UID that is to be given next.
    fn next_header(&self, work: &Work, read: &Read, renewed: bool, locked: bool) -> Header {
        let mut header = read.header.clone();
        if read.stamp.is_none() && !work.loaded && locked {
            header.uid_validity = self.next_uid_validity();
            header.next_uid = 1;
        } else if header.uid_validity == 0 && locked {
            // The file is there but empty or broken.
            header.uid_validity = self.next_uid_validity();
        }
        let highest = read.records.iter().map(|(uid, ..)| uid.saturating_add(1)).max().unwrap_or(1);
        // UIDs are never given twice, also if somebody wrote a smaller number into the file.
        let memory = if work.loaded && !renewed { work.header.next_uid } else { 1 };
        header.next_uid = header.next_uid.max(highest).max(memory);
        header
    }

    /// Files that come with an old UID, lower than one a session has seen, are new messages. Gives
    /// whether there were any.
    fn reappeared(&self, found: &mut Found) -> bool {
        let Some(last) = self.view().last_uid() else { return false };
        let (back, rest): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut found.known).into_iter().partition(|entry| entry.uid <= last);
        found.known = rest;
        let any = !back.is_empty();
        for entry in back {
            let (dir, uid, file) = (self.dir.display(), entry.uid, String::from_utf8_lossy(&entry.name));
            self.logger.warning(format_args!(
                "Maildir {dir}: Expunged message reappeared, giving a new UID (old uid={uid}, file={file})"
            ));
            found.unknown.push((entry.name.into_vec(), entry.in_new));
        }
        any
    }

    /// Keeps in mind which names stand in the uidlist without a file. Gives whether one of them is
    /// wanted again, so that its old line must go.
    fn note_gone(&self, work: &mut Work, read: &Read, found: &Found, renewed: bool) -> bool {
        let state = self.state();
        if read.whole {
            let live: HashSet<&[u8]> = found.known.iter().map(|entry| filename::base(&entry.name)).collect();
            let all = read.records.iter().map(|(_, _, name)| filename::base(name));
            work.gone = all.filter(|base| !live.contains(base)).map(<[u8]>::to_vec).collect();
            for entry in &state.entries {
                work.gone.remove(filename::base(&entry.name));
            }
        }
        let missing = found.missing.iter().filter_map(|&index| state.entries.get(index));
        for entry in missing.filter(|_| !renewed) {
            work.gone.insert(filename::base(&entry.name).to_vec());
        }
        found.unknown.iter().any(|(name, _)| work.gone.contains(filename::base(name)))
    }

    /// The UIDs that are to leave the view.
    fn removed(&self, found: &Found, renewed: bool) -> UidSet {
        let state = self.state();
        match renewed {
            true => UidSet::new(),
            false => {
                found.missing.iter().filter_map(|&index| state.entries.get(index)).map(|e| e.uid).collect()
            }
        }
    }

    /// Appends the new messages to the uidlist, or writes it anew.
    fn write_uidlist(
        &self,
        work: &mut Work,
        header: &mut Header,
        read: &Read,
        lines: Lines<'_>,
    ) -> Result<()> {
        let state = self.state();
        let kept = state.entries.iter().filter(|entry| !lines.renewed && !lines.removed.contains(entry.uid));
        let total = kept.clone().count() + lines.added.len();
        let guid = *header.guid.get_or_insert_with(new_guid);
        header.version = 3;
        let compress = (read.lines + lines.added.len()) * COMPRESS_PERCENT / 100 > total + COMPRESS_LINES_MIN;
        let mut text = Vec::new();
        let mut put =
            |entry: &Entry| uidlist::write_line(entry.uid.get(), &entry.fields, &entry.name, &mut text);
        if lines.recreate || compress {
            kept.chain(lines.added).for_each(&mut put);
            drop(state);
            let mut whole = Vec::with_capacity(text.len() + 80);
            uidlist::write_header(header, guid, &mut whole);
            whole.extend_from_slice(&text);
            self.replace_uidlist(&whole)?;
            work.gone.clear();
            (work.offset, work.lines) = (whole.len(), total + 1);
        } else {
            let fresh = lines.added.get(lines.first_new..).unwrap_or_default();
            fresh.iter().for_each(&mut put);
            drop(state);
            self.append_uidlist(&text)?;
            (work.offset, work.lines) = (read.offset + text.len(), read.lines + fresh.len());
        }
        let path = self.control_file("dovecot-uidlist");
        work.uidlist = self.fs.stamp(&path).map_err(|error| Error::io("stat", path, error))?;
        work.recreate = false;
        Ok(())
    }

    /// Changes what all sessions see, in one step.
    fn publish(
        &self,
        work: &mut Work,
        header: &Header,
        renewed: bool,
        removed: &UidSet,
        renamed: Vec<(usize, Vec<u8>, bool)>,
        added: Vec<Entry>,
    ) {
        let mut state = self.state();
        let mut edit =
            if renewed { View::empty(UidValidity::ONE, Uid::ONE).edit() } else { state.view.edit() };
        if renewed {
            // Indexes of keywords belong to a view and those that follow it.
            work.letter_index.clear();
            state.entries.clear();
            state.unclaimed = UidSet::new();
        }
        edit.remove(removed);
        let mut changed = UidSet::new();
        for (index, name, in_new) in renamed {
            if let Some(entry) = state.entries.get_mut(index) {
                entry.name = name.into_boxed_slice();
                entry.in_new = in_new;
                changed.insert(entry.uid);
            }
        }
        state.entries.retain(|entry| !removed.contains(entry.uid));
        self.refresh_flags(work, &mut edit, &state, &changed);
        for entry in added {
            let record = self.record(work, &mut edit, entry.uid, &entry.name);
            if edit.append(record) {
                state.entries.push(entry);
            }
        }
        finish_view(&mut state, edit, header);
    }

    /// Sets flags anew from the names of the files of `uids`.
    fn refresh_flags(&self, work: &mut Work, edit: &mut Edit, state: &State, uids: &UidSet) {
        if uids.is_empty() {
            return;
        }
        let mut fresh: HashMap<Uid, Record> = HashMap::new();
        for entry in state.entries.iter().filter(|entry| uids.contains(entry.uid)) {
            fresh.insert(entry.uid, self.record(work, edit, entry.uid, &entry.name));
        }
        let differs = |uid: &Uid| edit.peek().record(*uid) != fresh.get(uid);
        let changed: UidSet = uids.iter().filter(differs).collect();
        edit.update(&changed, |record| {
            if let Some(new) = fresh.remove(&record.uid) {
                *record = new;
            }
        });
    }

    /// A message as its file's name has it.
    pub(super) fn record(&self, work: &mut Work, edit: &mut Edit, uid: Uid, name: &[u8]) -> Record {
        let (flags, letters) = filename::flags(name);
        let set = (0..KEYWORDS_MAX).filter(|letter| letters >> letter & 1 == 1);
        let keywords: KeywordSet = set.map(|letter| keyword_index(work, edit, letter)).collect();
        Record { flags, keywords, ..Record::new(uid) }
    }

    /// Called before a change of ours in the directories: which of them, new/ and cur/, are as they
    /// were read last. In one that is not, a change of ours must not hide what others did.
    pub(super) fn before_own_change(&self, work: &Work) -> [bool; 2] {
        let known = |sub: &str, seen: &DirSeen| {
            let stamp = self.fs.stamp(&self.dir.join(sub));
            stamp.is_ok_and(|stamp| stamp.is_some_and(|stamp| stamp.mtime_ns == seen.mtime_ns))
        };
        [known("new", &work.new), known("cur", &work.cur)]
    }

    /// Called right after the change, under the uidlist's lock: what we did ourselves need not be read
    /// again at once.
    pub(super) fn own_change(&self, work: &mut Work, known: [bool; 2]) {
        for ((sub, seen), known) in [("new", &mut work.new), ("cur", &mut work.cur)].into_iter().zip(known) {
            if known
                && let Ok(Some(stamp)) = self.fs.stamp(&self.dir.join(sub))
                && stamp.mtime_ns != seen.mtime_ns
            {
                (seen.mtime_ns, seen.own_change) = (stamp.mtime_ns, true);
            }
        }
    }

    pub(super) fn next_uid_validity(&self) -> u32 {
        uidvalidity::next(&self.fs, &self.control_root, &self.permissions(), &self.logger)
    }

    /// Replaces the uidlist as a whole.
    pub(super) fn replace_uidlist(&self, content: &[u8]) -> Result<()> {
        let path = self.control_file("dovecot-uidlist");
        let temp = self.control_file("dovecot-uidlist.tmp");
        let write = || {
            let file = self.fs.create(&temp, &self.permissions())?;
            self.fs.write(&file, &temp, content)?;
            if self.syncs() {
                self.fs.sync(&file, &temp)?;
            }
            self.fs.rename(&temp, &path)
        };
        write().map_err(|error| {
            let _ = self.fs.unlink(&temp);
            Error::io("write", temp.clone(), error)
        })
    }

    /// Adds lines to the uidlist. A failure takes back what was written.
    pub(super) fn append_uidlist(&self, lines: &[u8]) -> Result<()> {
        let path = self.control_file("dovecot-uidlist");
        let append = || {
            let file = self.fs.open_append(&path)?;
            let size = self.fs.stamp_of(&file)?.size;
            let done = self.fs.write(&file, &path, lines).and_then(|()| match self.syncs() {
                true => self.fs.sync(&file, &path),
                false => Ok(()),
            });
            if done.is_err() {
                let _ = self.fs.truncate(&file, &path, size);
            }
            done
        };
        append().map_err(|error| Error::io("write", path.clone(), error))
    }
}

/// The view's index for a letter's keyword. A letter that got another name gets another index, since
/// indexes in older views keep their meaning.
pub(super) fn keyword_index(work: &mut Work, edit: &mut Edit, letter: usize) -> usize {
    let name = work.letters.name(letter);
    if let Some((index, known)) = work.letter_index.get(&letter)
        && *known == name
    {
        return *index;
    }
    let names = edit.peek().keywords().clone();
    let index = match edit.peek().keyword_index(&name) {
        Some(index) => index,
        None => {
            edit.set_keywords(names.iter().cloned().chain([Arc::from(name.as_str())]).collect());
            names.len()
        }
    };
    work.letter_index.insert(letter, (index, name));
    index
}

/// Gives UIDs to new files in the order of their arrival.
fn give_uids(mut unknown: Vec<(Vec<u8>, bool)>, header: &mut Header, added: &mut Vec<Entry>) {
    unknown.sort_by(|(a, _), (b, _)| filename::sort_key(a).cmp(&filename::sort_key(b)));
    for (name, in_new) in unknown {
        // With the last UID given nothing more can be shown; 2.3 gives up as well.
        let Some(uid) = Uid::new(header.next_uid).filter(|uid| uid.get() < u32::MAX) else { return };
        header.next_uid += 1;
        added.push(Entry { uid, name: name.into_boxed_slice(), fields: Box::default(), in_new });
    }
}

/// Publishes a new view, unless nothing differs.
pub(super) fn finish_view(state: &mut State, mut edit: Edit, header: &Header) {
    edit.set_uid_validity(UidValidity::new(header.uid_validity).unwrap_or(UidValidity::ONE));
    edit.set_uid_next(Uid::new(header.next_uid).unwrap_or(Uid::ONE));
    let view = edit.finish();
    let old = &state.view;
    let same = old.uid_next() == view.uid_next() && View::diff(old, &view).is_empty();
    if !same {
        state.view = Arc::new(view);
    }
    // Memory that an expunge has freed goes back; room for the next message stays.
    if state.entries.capacity() > 2 * state.entries.len() {
        state.entries.shrink_to_fit();
    }
}

fn owned(parsed: &uidlist::Parsed<'_>) -> Vec<(u32, Vec<u8>, Vec<u8>)> {
    parsed.lines.iter().map(|line| (line.uid, line.fields.to_vec(), line.name.to_vec())).collect()
}

/// A mailbox GUID in the shape that 2.3 makes: random enough to be unique.
pub(super) fn new_guid() -> Guid {
    let mut guid = Guid::default();
    // The call cannot fail for so few bytes once the system has started.
    let _ = rustix::rand::getrandom(&mut guid.0[..], rustix::rand::GetRandomFlags::empty());
    guid
}

const SECOND: i128 = 1_000_000_000;
/// The kernel's clock for files advances in steps of at most 10 ms.
const GRAIN: i128 = SECOND / 50;
/// 2.3's UIDLIST_COMPRESS_PERCENTAGE: write the list anew when a quarter of its lines is dead.
const COMPRESS_PERCENT: usize = 75;
/// A short list is not worth it.
const COMPRESS_LINES_MIN: usize = 8;
