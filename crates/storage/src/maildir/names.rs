//! Which file is which message: the uidlist as this process knows it, with the names under which the
//! files were seen last. Loaded when a file name is first needed, which a look at flags is not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use base::{Uid, UidSet};

use crate::error::{Error, Result};
use crate::fs::{Stamp, join};
use crate::view::View;

use super::driver::Place;
use super::filename;
use super::keywords::Letters;
use super::scan::Listing;
use super::uidlist::{self, Header};

/// Where a message's file was seen last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// It stands in the uidlist; nobody has looked.
    Nowhere,
    New,
    Cur,
}

/// A message's line in the uidlist, and its file.
#[derive(Clone)]
pub(crate) struct Entry {
    pub uid: Uid,
    /// With its flags if it was seen, else the base name.
    pub name: Box<[u8]>,
    /// The uidlist's fields: `W12 Gx`.
    pub fields: Box<[u8]>,
    pub seen: Seen,
}

impl Entry {
    /// Where the file was last seen.
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        join(&dir.join(if self.seen == Seen::New { "new" } else { "cur" }), &self.name)
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Names {
    pub loaded: bool,
    pub header: Header,
    /// The uidlist as it was read last, and how far.
    pub stamp: Option<Stamp>,
    offset: usize,
    lines: usize,
    /// The uidlist should be written anew at the next occasion.
    pub recreate: bool,
    // Invariant: UIDs ascend.
    pub entries: Vec<Entry>,
    /// Names that stand in the uidlist but have no file any more.
    pub gone: HashSet<Vec<u8>>,
    /// Sizes that were counted and are to be written into the uidlist.
    pub sizes: BTreeMap<Uid, u64>,
    /// The uidlist could not be written.
    pub refuses_sizes: bool,
}

/// What a directory listing has shown beyond what was known.
#[derive(Default)]
pub(crate) struct Compared {
    /// Files without a UID, and whether they are in new/.
    pub unknown: Vec<(Vec<u8>, bool)>,
    /// Second files of one base name.
    pub duplicates: Vec<(Vec<u8>, bool)>,
    /// Messages whose files are not where they could be.
    pub missing: UidSet,
}

impl Names {
    /// The entry of a message.
    pub(super) fn entry(&self, uid: Uid) -> Option<&Entry> {
        self.index_of(uid).and_then(|index| self.entries.get(index))
    }

    pub(super) fn entry_mut(&mut self, uid: Uid) -> Option<&mut Entry> {
        self.index_of(uid).and_then(|index| self.entries.get_mut(index))
    }

    fn index_of(&self, uid: Uid) -> Option<usize> {
        self.entries.binary_search_by_key(&uid, |entry| entry.uid).ok()
    }

    /// The likeliest of [`candidates`](Self::candidates).
    pub(super) fn likeliest(&self, view: &View, letters: &Letters, uid: Uid) -> Option<(Seen, Vec<u8>)> {
        let entry = self.entry(uid)?;
        if entry.seen != Seen::Nowhere {
            return Some((entry.seen, entry.name.to_vec()));
        }
        let record = view.record(uid)?;
        let bits = letters.bits(view, &record.keywords);
        Some((Seen::Cur, filename::with_flags(&entry.name, record.flags, bits)))
    }

    /// The names that a message's file may have, the likeliest first: as it was seen, as the index has its
    /// flags, and as it was delivered.
    pub(super) fn candidates(&self, view: &View, letters: &Letters, uid: Uid) -> Vec<(Seen, Vec<u8>)> {
        let Some(entry) = self.entry(uid) else { return Vec::new() };
        let mut all = Vec::with_capacity(4);
        if entry.seen != Seen::Nowhere {
            all.push((entry.seen, entry.name.to_vec()));
        }
        let mut add = |candidate| {
            if !all.contains(&candidate) {
                all.push(candidate);
            }
        };
        if let Some(record) = view.record(uid) {
            let bits = letters.bits(view, &record.keywords);
            add((Seen::Cur, filename::with_flags(&entry.name, record.flags, bits)));
        }
        let base = filename::base(&entry.name);
        add((Seen::New, base.to_vec()));
        add((Seen::Cur, [base, b":2,"].concat()));
        all
    }

    /// The next UID as uidlist and memory have it; never 0.
    pub(super) fn next_uid(&self) -> u32 {
        let last = self.entries.last().map_or(1, |entry| entry.uid.get().saturating_add(1));
        self.header.next_uid.max(last)
    }

    /// Whether a name stands in the uidlist, with a file or without.
    pub(super) fn is_taken(&self, base: &[u8]) -> bool {
        self.gone.contains(base) || self.entries.iter().any(|entry| filename::base(&entry.name) == base)
    }

    /// For a save: reads only the header and the end of a large uidlist that is not in memory, from which
    /// the next UID follows. Gives whether that is enough to append to it.
    pub(super) fn peek(&mut self, place: &Place) -> Result<bool> {
        if self.loaded {
            return Ok(false);
        }
        let path = place.control_file("dovecot-uidlist");
        let Some((data, stamp)) = place.read_ends(&path, PEEK_BYTES)? else { return Ok(false) };
        let (Some(head), Some(tail)) = (data.first(), data.get(1)) else { return Ok(false) };
        let Ok(parsed) = uidlist::parse(head) else { return Ok(false) };
        let Some(header) = parsed.header.filter(|header| header.version == 3 && header.guid.is_some()) else {
            return Ok(false);
        };
        // The tail begins in the middle of a line.
        let start = memchr::memchr(b'\n', tail).map_or(0, |at| at + 1);
        let Ok(lines) = uidlist::parse_lines(tail.get(start..).unwrap_or_default(), &header, 0) else {
            return Ok(false);
        };
        let Some(last) = lines.lines.last().filter(|_| start + lines.consumed == tail.len()) else {
            return Ok(false);
        };
        self.header = header;
        self.header.next_uid = self.header.next_uid.max(last.uid.saturating_add(1));
        self.stamp = Some(stamp);
        Ok(true)
    }

    /// Adds lines to a uidlist of which only the [ends](Self::peek) are known.
    pub(super) fn add_unseen(&mut self, place: &Place, added: &[Entry], dirs: &[PathBuf]) -> Result<()> {
        let mut text = Vec::new();
        for entry in added {
            uidlist::write_line(entry.uid.get(), &entry.fields, &entry.name, &mut text);
            self.header.next_uid = self.header.next_uid.max(entry.uid.get().saturating_add(1));
        }
        place.append_uidlist(&text, dirs).map(drop)
    }

    /// Reads what the uidlist has that memory does not. `loud` says that damage is to be logged.
    pub(super) fn refresh(&mut self, place: &Place, loud: bool) -> Result<()> {
        let path = place.control_file("dovecot-uidlist");
        place.fs.renew_mail_name(&path);
        let stamp = place.fs.stamp(&path).map_err(|error| Error::io("stat", path.clone(), error))?;
        if self.loaded && stamp == self.stamp {
            return Ok(());
        }
        if stamp.is_none() {
            // Somebody removed it. What is known stays known, and is written again.
            (self.loaded, self.recreate, self.stamp) = (true, true, None);
            return Ok(());
        }
        if self.loaded && self.grew(stamp) && self.read_tail(place, &path)? {
            return Ok(());
        }
        self.read_whole(place, &path, loud)
    }

    fn grew(&self, now: Option<Stamp>) -> bool {
        self.stamp.zip(now).is_some_and(|(old, new)| {
            (old.dev, old.ino) == (new.dev, new.ino) && new.size > self.offset as u64 && self.lines > 0
        })
    }

    /// Reads lines that were added; `false` if they make no sense there.
    fn read_tail(&mut self, place: &Place, path: &Path) -> Result<bool> {
        let Some((data, stamp)) = place.read_from(path, self.offset as u64)? else { return Ok(false) };
        let Ok(parsed) = uidlist::parse_lines(&data, &self.header, self.lines) else { return Ok(false) };
        let last = self.entries.last().map_or(0, |entry| entry.uid.get());
        if parsed.lines.first().is_some_and(|line| line.uid <= last) {
            return Ok(false);
        }
        self.recreate |= parsed.recreate || parsed.consumed < data.len();
        self.offset += parsed.consumed;
        self.lines += parsed.lines.len();
        self.stamp = Some(stamp);
        self.entries.extend(parsed.lines.iter().filter_map(entry_of));
        // Also of messages that turn out to be gone no UID is given again.
        self.header.next_uid = self.next_uid();
        Ok(true)
    }

    fn read_whole(&mut self, place: &Place, path: &Path, loud: bool) -> Result<()> {
        let Some((data, stamp)) = place.read_from(path, 0)? else { return Ok(()) };
        let (parsed, header) = match uidlist::parse(&data) {
            Ok(mut parsed) => match parsed.header.take() {
                Some(header) => (parsed, header),
                None => {
                    // Empty, or its first line is not complete.
                    (self.loaded, self.recreate, self.stamp) = (true, true, Some(stamp));
                    return Ok(());
                }
            },
            Err(broken) => {
                if loud {
                    let (path, line) = (path.display(), broken.line);
                    place.logger.error(format_args!("Broken file {path} line {line}: {}", broken.what));
                }
                (self.loaded, self.recreate, self.stamp) = (true, true, None);
                return Ok(());
            }
        };
        let renewed = self.loaded && header.uid_validity != self.header.uid_validity;
        let old = std::mem::take(&mut self.entries);
        self.entries = parsed.lines.iter().filter_map(entry_of).collect();
        if !renewed {
            keep_seen(old, &mut self.entries);
        }
        self.gone.clear();
        // UIDs are never given twice, also if somebody wrote a smaller number into the file.
        let floor = if self.loaded && !renewed { self.header.next_uid } else { 1 };
        self.header = header;
        self.header.next_uid = self.next_uid().max(floor);
        self.recreate = parsed.recreate || parsed.consumed < data.len() || self.header.version != 3;
        (self.offset, self.lines) = (parsed.consumed, parsed.lines.len() + 1);
        (self.loaded, self.stamp) = (true, Some(stamp));
        Ok(())
    }

    /// Takes over what a scan has found. With `whole` cur/ was read as well as new/, and what was not
    /// seen has gone.
    pub(super) fn compare(&mut self, listing: &Listing, whole: bool) -> Compared {
        let mut by_base: HashMap<&[u8], usize> = HashMap::with_capacity(self.entries.len());
        for (index, entry) in self.entries.iter().enumerate() {
            by_base.insert(filename::base(&entry.name), index);
        }
        let mut found = Compared::default();
        let mut places: Vec<Seen> = vec![Seen::Nowhere; self.entries.len()];
        let mut renamed: Vec<(usize, &[u8])> = Vec::new();
        let mut fresh: HashSet<&[u8]> = HashSet::new();
        for (name, new) in listing.iter() {
            let base = filename::base(name);
            let known = by_base.get(base).and_then(|&index| Some((index, places.get_mut(index)?)));
            match known {
                Some((_, place)) if *place != Seen::Nowhere => found.duplicates.push((name.to_vec(), new)),
                Some((index, place)) => {
                    *place = if new { Seen::New } else { Seen::Cur };
                    if self.entries.get(index).is_some_and(|entry| *entry.name != *name) {
                        renamed.push((index, name));
                    }
                }
                None if fresh.insert(base) => found.unknown.push((name.to_vec(), new)),
                None => found.duplicates.push((name.to_vec(), new)),
            }
        }
        drop(by_base);
        for (index, name) in renamed {
            if let Some(entry) = self.entries.get_mut(index) {
                entry.name = name.into();
            }
        }
        self.place_all(&places, whole, &mut found.missing);
        found
    }

    fn place_all(&mut self, places: &[Seen], whole: bool, missing: &mut UidSet) {
        for (entry, &place) in self.entries.iter_mut().zip(places) {
            if place != Seen::Nowhere {
                entry.seen = place;
            } else if whole || entry.seen == Seen::New {
                missing.insert(entry.uid);
            }
        }
        if whole && !missing.is_empty() {
            let (entries, gone) = (&mut self.entries, &mut self.gone);
            entries.retain(|entry| {
                let is_there = !missing.contains(entry.uid);
                if !is_there {
                    gone.insert(filename::base(&entry.name).to_vec());
                }
                is_there
            });
        }
    }

    /// Takes messages out whose files have gone.
    pub(super) fn remove(&mut self, uids: &UidSet) {
        let gone = &mut self.gone;
        self.entries.retain(|entry| {
            let stays = !uids.contains(entry.uid);
            if !stays {
                gone.insert(filename::base(&entry.name).to_vec());
            }
            stays
        });
        if self.entries.capacity() > 2 * self.entries.len() {
            self.entries.shrink_to_fit();
        }
    }

    /// Adds messages, which have UIDs above all others, to memory and the uidlist. The uidlist must be
    /// locked.
    pub(super) fn add(&mut self, place: &Place, added: Vec<Entry>, dirs: &[PathBuf]) -> Result<()> {
        let first_new = self.entries.len();
        let wanted = added.iter().any(|entry| self.gone.contains(filename::base(&entry.name)));
        self.recreate |= wanted || self.header.version != 3 || self.header.guid.is_none();
        self.entries.extend(added);
        let written = self.write(place, first_new, dirs);
        if written.is_err() {
            self.entries.truncate(first_new);
        }
        written
    }

    /// Writes entries from `first_new` on to the uidlist, or all of them where that is due.
    /// What was put into `dirs` is on disk as well then.
    pub(super) fn write(&mut self, place: &Place, first_new: usize, dirs: &[PathBuf]) -> Result<()> {
        let fresh = self.entries.len() - first_new;
        let dead = (self.lines + fresh).saturating_sub(self.entries.len());
        let many_dead = dead * 100 > (self.lines + fresh) * (100 - COMPRESS_PERCENT) && dead > LINES_MIN;
        if self.recreate || many_dead || self.stamp.is_none() {
            self.rewrite(place)?;
            return place.sync_dirs(dirs);
        }
        if fresh == 0 {
            return Ok(());
        }
        let mut text = Vec::new();
        for entry in self.entries.get(first_new..).unwrap_or_default() {
            uidlist::write_line(entry.uid.get(), &entry.fields, &entry.name, &mut text);
        }
        let stamp = match self.lines <= 1 {
            // Whoever made an empty list has not waited until it was sure to be found.
            true => place.append_uidlist(&text, &[dirs, std::slice::from_ref(&place.control)].concat())?,
            false => place.append_uidlist(&text, dirs)?,
        };
        self.offset += text.len();
        self.lines += fresh;
        self.header.next_uid = self.next_uid();
        self.stamp = Some(stamp);
        Ok(())
    }

    fn rewrite(&mut self, place: &Place) -> Result<()> {
        self.header.next_uid = self.next_uid();
        self.header.version = 3;
        let guid = *self.header.guid.get_or_insert_with(|| place.new_guid());
        let mut text = Vec::with_capacity(self.entries.len() * 64 + 80);
        uidlist::write_header(&self.header, guid, &mut text);
        for entry in &self.entries {
            uidlist::write_line(entry.uid.get(), &entry.fields, &entry.name, &mut text);
        }
        let replaces = self.stamp.is_some() || !self.entries.is_empty();
        self.stamp = Some(place.replace_uidlist(&text, replaces)?);
        (self.offset, self.lines) = (text.len(), self.entries.len() + 1);
        self.gone.clear();
        self.recreate = false;
        Ok(())
    }
}

fn entry_of(line: &uidlist::Line<'_>) -> Option<Entry> {
    let uid = Uid::new(line.uid)?;
    Some(Entry { uid, name: line.name.into(), fields: line.fields.into(), seen: Seen::Nowhere })
}

/// Carries over under which names files were seen to a list that was read anew.
fn keep_seen(old: Vec<Entry>, new: &mut [Entry]) {
    let mut rest = old.into_iter().peekable();
    for entry in new {
        while rest.peek().is_some_and(|known| known.uid < entry.uid) {
            rest.next();
        }
        let same = |known: &Entry| {
            known.uid == entry.uid && filename::base(&known.name) == filename::base(&entry.name)
        };
        if let Some(known) = rest.next_if(same) {
            (entry.name, entry.seen) = (known.name, known.seen);
        }
    }
}

/// 2.3's UIDLIST_COMPRESS_PERCENTAGE: write the list anew when a quarter of its lines is dead.
const COMPRESS_PERCENT: usize = 75;
/// Enough for the header and some lines.
const PEEK_BYTES: u64 = 4096;
/// A short list is not worth it.
const LINES_MIN: usize = 8;
