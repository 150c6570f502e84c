//! Saving: messages are written to tmp/, then renamed to new/ (without flags) or cur/, then entered
//! into the uidlist, all of one batch under one lock.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Uid, UidValidity};

use crate::api::{Mailbox, SaveBatch, SaveMeta, Saved, SyncMode};
use crate::compress::SaveFilter;
use crate::error::{Error, Result};
use crate::facts::Wanted;
use crate::fs::join;
use index::dotlock::Dotlock;

use super::filename;
use super::shared::{Entry, Shared, Work};
use super::sync::finish_view;
use super::uidlist;

/// A batch for one Maildir.
pub(crate) struct Batch {
    shared: Arc<Shared>,
    done: Vec<Pending>,
    current: Option<Writer>,
}

/// A message in tmp/.
struct Pending {
    path: PathBuf,
    /// The base name it is to get.
    base: Vec<u8>,
    meta: SaveMeta,
    /// The base name is not of our making and may be taken.
    preserved: bool,
    size: u64,
    virtual_size: u64,
}

/// Where a message of the batch has gone.
struct Placed {
    path: PathBuf,
    name: Vec<u8>,
    fields: Vec<u8>,
    in_new: bool,
}

impl Batch {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, done: Vec::new(), current: None }
    }

    fn temp(&self) -> (PathBuf, String) {
        let name = filename::generate(&self.shared.settings.hostname);
        (self.shared.dir.join("tmp").join(&name), name)
    }

    fn check(&self, meta: &SaveMeta) -> Result<()> {
        let limit = self.shared.settings.mail_max_keyword_length;
        match meta.keywords.iter().any(|name| name.is_empty() || name.len() > limit) {
            true => Err(Error::BadRequest(format!("Keyword length too long (max {limit})"))),
            false => Ok(()),
        }
    }

    /// A hard link in tmp/ to the message's file, if that is possible.
    fn link(&mut self, source: &mut dyn Mailbox, uid: Uid) -> Result<Option<(PathBuf, String)>> {
        if !self.shared.settings.maildir_copy_with_hardlinks {
            return Ok(None);
        }
        for _ in 0..LINK_RETRIES {
            let Some(file) = source.message_file(uid) else { return Ok(None) };
            let (path, name) = self.temp();
            match self.shared.fs.link(&file.path, &path) {
                Ok(()) => return Ok(Some((path, name))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Renamed meanwhile, or tmp/ is missing.
                    self.shared.make_directories()?;
                    source.sync(SyncMode::Full)?;
                }
                // Another file system, too many links, or not allowed: copy the bytes.
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    fn copy_bytes(&mut self, source: &mut dyn Mailbox, uid: Uid, meta: SaveMeta) -> Result<()> {
        let mut reader = source.open_message(uid)?;
        self.begin(meta)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = reader
                .read(&mut buffer)
                .map_err(|error| Error::io("read", self.shared.dir.clone(), error))?;
            if count == 0 {
                return self.end();
            }
            self.write(buffer.get(..count).unwrap_or_default())?;
        }
    }

    /// Gives every message its final name and place. On failure those already moved are removed.
    fn place_all(&self, work: &mut Work) -> Result<Vec<Placed>> {
        let mut placed: Vec<Placed> = Vec::with_capacity(self.done.len());
        let known = self.shared.before_own_change(work);
        for pending in &self.done {
            match self.place(work, pending) {
                Ok(one) => placed.push(one),
                Err(error) => {
                    placed.iter().for_each(|one| drop(self.shared.fs.unlink(&one.path)));
                    return Err(error);
                }
            }
        }
        self.shared.own_change(work, known);
        let synced = self.sync_dirs(&placed);
        if synced.is_err() {
            placed.iter().for_each(|one| drop(self.shared.fs.unlink(&one.path)));
        }
        synced.map(|()| placed)
    }

    fn place(&self, work: &mut Work, pending: &Pending) -> Result<Placed> {
        let mut letters = 0;
        for name in &pending.meta.keywords {
            letters |= 1 << work.letters.find_or_add(name).ok_or_else(super::change::too_many)?;
        }
        work.letters.commit(&self.shared)?;
        let flags = pending.meta.flags;
        let in_new = flags.is_empty() && letters == 0;
        let dir = self.shared.dir.join(if in_new { "new" } else { "cur" });
        let full =
            |base: &[u8]| if in_new { base.to_vec() } else { filename::with_flags(base, flags, letters) };
        let mut fields = Vec::new();
        let mut name = full(&pending.base);
        if pending.preserved {
            let taken = self.is_taken(work, &pending.base) || self.link_into(&pending.path, &dir, &name)?;
            if taken {
                fields = uidlist::with_field(&fields, b'G', &pending.base);
                name = full(&sized_name(&self.shared, pending.size, pending.virtual_size));
                self.rename_into(&pending.path, &dir, &name)?;
            }
        } else {
            self.rename_into(&pending.path, &dir, &name)?;
            if let Some(guid) = &pending.meta.guid {
                fields = uidlist::with_field(&fields, b'G', guid.as_bytes());
            }
        }
        if let Some(uidl) = &pending.meta.pop3_uidl {
            fields = uidlist::with_field(&fields, b'P', uidl.as_bytes());
        }
        if let Some(order) = pending.meta.pop3_order {
            fields = uidlist::with_field(&fields, b'O', order.to_string().as_bytes());
        }
        Ok(Placed { path: join(&dir, &name), name, fields, in_new })
    }

    fn is_taken(&self, work: &Work, base: &[u8]) -> bool {
        let state = self.shared.state();
        work.gone.contains(base) || state.entries.iter().any(|entry| filename::base(&entry.name) == base)
    }

    /// Like a rename that refuses to replace; `true` if the name is taken.
    fn link_into(&self, from: &Path, dir: &Path, name: &[u8]) -> Result<bool> {
        let to = join(dir, name);
        match self.shared.fs.link(from, &to) {
            Ok(()) => {
                let _ = self.shared.fs.unlink(from);
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(_) => self.rename_into(from, dir, name).map(|()| false),
        }
    }

    fn rename_into(&self, from: &Path, dir: &Path, name: &[u8]) -> Result<()> {
        self.shared.fs.rename(from, &join(dir, name)).map_err(|error| Error::io("rename", from, error))
    }

    fn sync_dirs(&self, placed: &[Placed]) -> Result<()> {
        if !self.shared.syncs() {
            return Ok(());
        }
        for (sub, used) in
            [("new", placed.iter().any(|one| one.in_new)), ("cur", placed.iter().any(|one| !one.in_new))]
        {
            let path = self.shared.dir.join(sub);
            if used {
                self.shared.fs.sync_dir(&path).map_err(|error| Error::io("fsync", path, error))?;
            }
        }
        Ok(())
    }

    /// Makes sure that the next UID is known and that the uidlist may be appended to.
    fn prepare(&self, work: &mut Work, lock: &Dotlock) -> Result<()> {
        let shared = &self.shared;
        if !work.loaded {
            // A delivery need not read a large mailbox: the uidlist alone tells the next UID.
            let preserved = self.done.iter().any(|one| one.preserved);
            let read = shared.read_uidlist(work, true)?;
            let usable = read.stamp.is_some() && !read.recreate && read.header.version == 3;
            if usable && read.header.guid.is_some() && !preserved {
                let highest = read.records.last().map_or(1, |(uid, ..)| uid.saturating_add(1));
                work.header = read.header;
                work.header.next_uid = work.header.next_uid.max(highest);
                return work.letters.refresh(shared);
            }
            return shared.sync_under(work, lock, SyncMode::Full);
        }
        let stamp = shared.fs.stamp(&shared.control_file("dovecot-uidlist")).ok().flatten();
        if stamp.is_none() || stamp != work.uidlist || work.recreate {
            shared.sync_under(work, lock, SyncMode::Quick)?;
        }
        work.letters.refresh(shared)
    }

    /// Enters the placed messages into uidlist and state.
    fn enter(&self, work: &mut Work, placed: Vec<Placed>) -> Result<Saved> {
        let shared = &self.shared;
        let (mut lines, mut uids) = (Vec::new(), Vec::new());
        let mut next = work.header.next_uid;
        for (one, pending) in placed.iter().zip(&self.done) {
            next = pending.meta.uid.map_or(next, |wanted| wanted.get().max(next));
            let uid = Uid::new(next).filter(|uid| uid.get() < u32::MAX);
            let uid = uid.ok_or_else(|| Error::Unsupported("UIDs exhausted".to_owned()))?;
            uidlist::write_line(uid.get(), &one.fields, &one.name, &mut lines);
            uids.push(uid);
            next += 1;
        }
        if let Err(error) = shared.append_uidlist(&lines) {
            placed.iter().for_each(|one| drop(shared.fs.unlink(&one.path)));
            return Err(error);
        }
        work.header.next_uid = next;
        let uid_validity = UidValidity::new(work.header.uid_validity).unwrap_or(UidValidity::ONE);
        if !work.loaded {
            let mut state = shared.state();
            let in_cur = placed.iter().zip(&uids).filter(|(one, _)| !one.in_new);
            in_cur.for_each(|(_, &uid)| state.unclaimed.insert(uid));
            drop(state);
            return Ok(Saved { uid_validity, uids });
        }
        work.offset += lines.len();
        work.lines += uids.len();
        work.uidlist = shared.fs.stamp(&shared.control_file("dovecot-uidlist")).ok().flatten();
        let mut state = shared.state();
        let mut edit = state.view.edit();
        for (one, &uid) in placed.into_iter().zip(&uids) {
            let record = shared.record(work, &mut edit, uid, &one.name);
            if edit.append(record) {
                if !one.in_new {
                    state.unclaimed.insert(uid);
                }
                let (name, fields) = (one.name.into_boxed_slice(), one.fields.into_boxed_slice());
                state.entries.push(Entry { uid, name, fields, in_new: one.in_new });
            }
        }
        finish_view(&mut state, edit, &work.header);
        Ok(Saved { uid_validity, uids })
    }
}

impl SaveBatch for Batch {
    fn begin(&mut self, meta: SaveMeta) -> Result<()> {
        self.check(&meta)?;
        self.current = None;
        let filter = SaveFilter::new(&self.shared.settings.compression, &self.shared.dir)?;
        let permissions = self.shared.permissions();
        let (mut path, mut name) = self.temp();
        let mut made = self.shared.fs.create_new(&path, &permissions);
        for _ in 0..CREATE_RETRIES {
            match &made {
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.shared.make_directories()?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                _ => break,
            }
            (path, name) = self.temp();
            made = self.shared.fs.create_new(&path, &permissions);
        }
        let file = made.map_err(|error| Error::io("open", path.clone(), error))?;
        self.current = Some(Writer {
            shared: self.shared.clone(),
            file,
            path: Some(path),
            name,
            meta,
            filter,
            buffer: Vec::new(),
            size: 0,
            virtual_size: 0,
            after_cr: false,
            ends_in_cr: false,
        });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.current {
            Some(writer) => writer.write(bytes),
            None => Err(Error::BadRequest("No message is being saved".to_owned())),
        }
    }

    fn end(&mut self) -> Result<()> {
        let writer = self.current.take();
        let writer = writer.ok_or_else(|| Error::BadRequest("No message is being saved".to_owned()))?;
        self.done.push(writer.finish()?);
        Ok(())
    }

    fn copy(&mut self, source: &mut dyn Mailbox, uid: Uid, mut meta: SaveMeta) -> Result<()> {
        self.check(&meta)?;
        let wanted = Wanted::GUID | Wanted::SIZE_PHYSICAL | Wanted::SIZE_VIRTUAL | Wanted::POP3_UIDL;
        let facts = source.fetch_facts(uid, wanted | Wanted::POP3_ORDER | Wanted::INTERNAL_DATE)?;
        meta.guid = meta.guid.or_else(|| facts.guid.as_deref().map(str::to_owned));
        meta.pop3_uidl = meta.pop3_uidl.or_else(|| facts.pop3_uidl.as_deref().map(str::to_owned));
        meta.pop3_order = meta.pop3_order.or(facts.pop3_order);
        let new_date = meta.internal_date.is_some() && meta.internal_date != facts.internal_date;
        meta.internal_date = meta.internal_date.or(facts.internal_date);
        let linked = if new_date { None } else { self.link(source, uid)? };
        let (Some((path, _)), Some(size), Some(virtual_size)) =
            (linked, facts.size_physical, facts.size_virtual)
        else {
            return self.copy_bytes(source, uid, meta);
        };
        self.done.push(Pending::new(&self.shared, path, meta, size, virtual_size));
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<Saved> {
        self.current = None;
        let shared = self.shared.clone();
        let mut work = shared.work();
        let lock = shared.lock_uidlist()?;
        self.prepare(&mut work, &lock)?;
        let placed = self.place_all(&mut work)?;
        let saved = self.enter(&mut work, placed);
        drop(lock);
        drop(work);
        // What was moved out of tmp/ is not there any more to be cleaned up.
        if saved.is_ok() {
            self.done.clear();
        }
        shared.channel.wake();
        saved
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for pending in &self.done {
            let _ = self.shared.fs.unlink(&pending.path);
        }
    }
}

impl Pending {
    fn new(shared: &Shared, path: PathBuf, meta: SaveMeta, size: u64, virtual_size: u64) -> Self {
        // A GUID that is a file name with the right sizes becomes the name again, as in 2.3.
        let usable = |guid: &&String| {
            let name = guid.as_bytes();
            !matches!(name.first(), None | Some(b'.'))
                && name.len() <= NAME_MAX
                && !name.iter().any(|&byte| matches!(byte, b'/' | b':' | 0..=b' ' | 0x7f))
                && filename::size(name, b'S') == Some(size)
                && filename::size(name, b'W') == Some(virtual_size)
        };
        match meta.guid.as_ref().filter(usable) {
            Some(guid) => {
                let base = guid.clone().into_bytes();
                Self { path, base, meta, preserved: true, size, virtual_size }
            }
            None => {
                let base = sized_name(shared, size, virtual_size);
                Self { path, base, meta, preserved: false, size, virtual_size }
            }
        }
    }
}

fn sized_name(shared: &Shared, size: u64, virtual_size: u64) -> Vec<u8> {
    format!("{},S={size},W={virtual_size}", filename::generate(&shared.settings.hostname)).into_bytes()
}

/// A message being written to tmp/. Dropped unfinished, it removes its file.
struct Writer {
    shared: Arc<Shared>,
    file: File,
    path: Option<PathBuf>,
    name: String,
    meta: SaveMeta,
    filter: SaveFilter,
    buffer: Vec<u8>,
    size: u64,
    virtual_size: u64,
    /// A CR has come that is not written yet: it is dropped before an LF.
    after_cr: bool,
    /// The last byte written is a CR.
    ends_in_cr: bool,
}

impl Writer {
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some(&first) = bytes.first() {
            if self.after_cr {
                self.after_cr = false;
                if first != b'\n' {
                    self.put(b"\r")?;
                    self.virtual_size += 1;
                }
            }
            match memchr::memchr2(b'\r', b'\n', bytes) {
                None => {
                    self.put(bytes)?;
                    self.virtual_size += bytes.len() as u64;
                    return Ok(());
                }
                Some(at) => {
                    let (plain, rest) = bytes.split_at(at);
                    self.put(plain)?;
                    self.virtual_size += plain.len() as u64;
                    match rest.first() {
                        Some(b'\r') => self.after_cr = true,
                        _ => {
                            let crlf = self.shared.settings.mail_save_crlf;
                            // A CR that stays before a bare LF is read back as part of the line's end.
                            self.virtual_size += if !crlf && self.ends_in_cr { 1 } else { 2 };
                            self.put(if crlf { b"\r\n" } else { b"\n" })?;
                        }
                    }
                    bytes = rest.get(1..).unwrap_or_default();
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.size += bytes.len() as u64;
        self.ends_in_cr = bytes.last().map_or(self.ends_in_cr, |&byte| byte == b'\r');
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let path = self.path.clone().unwrap_or_default();
        let result = self.shared.fs.write(&self.file, &path, self.filter.push(&self.buffer)?);
        self.buffer.clear();
        result.map_err(|error| Error::io("write", path, error))
    }

    fn finish(mut self) -> Result<Pending> {
        // As in 2.3: half a line end at the end of a message is none.
        if self.after_cr && self.shared.settings.mail_save_crlf {
            self.put(b"\r")?;
            self.virtual_size += 1;
        }
        self.flush()?;
        let path = self.path.clone().unwrap_or_default();
        let last = self.filter.finish()?;
        if !last.is_empty() {
            self.shared.fs.write(&self.file, &path, last).map_err(|e| Error::io("write", path.clone(), e))?;
        }
        if let Some(date) = self.meta.internal_date {
            self.shared.fs.set_mtime(&path, date).map_err(|e| Error::io("utime", path.clone(), e))?;
        }
        if self.shared.syncs() {
            self.shared
                .fs
                .sync(&self.file, &path)
                .map_err(|error| Error::io("fsync", path.clone(), error))?;
        }
        let meta = std::mem::take(&mut self.meta);
        self.path = None;
        if meta.guid.is_none() {
            let base = format!("{},S={},W={}", self.name, self.size, self.virtual_size).into_bytes();
            let (size, virtual_size) = (self.size, self.virtual_size);
            return Ok(Pending { path, base, meta, preserved: false, size, virtual_size });
        }
        Ok(Pending::new(&self.shared, path, meta, self.size, self.virtual_size))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = self.shared.fs.unlink(path);
        }
    }
}

/// Bytes gathered before they are written.
const BUFFER: usize = 32 * 1024;
const LINK_RETRIES: usize = 3;
const CREATE_RETRIES: usize = 3;
/// Leaves room for `:2,` with all flags and keywords within the 255 bytes of a file name.
const NAME_MAX: usize = 200;
