//! Saving: messages are written to files without names, or in tmp/, then get names in new/ (without flags)
//! or cur/, then are entered into the uidlist, all of one batch under one lock.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Uid, UidSet, UidValidity};
use index::dotlock::Dotlock;
use index::{Locked, Origin, Transaction};

use crate::api::{CopyBytes, FileFormat, Mailbox, SaveBatch, SaveMeta, Saved, SyncMode};
use crate::attachment::detect::Detector;
use crate::compress::SaveFilter;
use crate::error::{Error, Result};
use crate::facts::Wanted;
use crate::fs::{Fs, join};
use crate::indexed::{Resync, Shared, check_keywords};

use super::driver::{Known, Maildir, Place};
use super::filename;
use super::names::{Entry, Names, Seen};
use super::uidlist;

/// A batch for one Maildir.
pub(crate) struct Batch {
    shared: Arc<Shared<Maildir>>,
    done: Vec<Pending>,
    current: Option<Writer>,
}

/// Where a message is until it gets its name.
enum Held {
    /// In a file without a name, which spares the disk an entry in tmp/.
    Unnamed(File),
    Tmp(TmpFile),
}

impl Held {
    /// It has its name by now.
    fn keep(self) {
        if let Self::Tmp(mut tmp) = self {
            tmp.path = PathBuf::new();
        }
    }
}

/// A file in tmp/. Dropped there, it is removed.
struct TmpFile {
    fs: Fs,
    path: PathBuf,
}

impl Drop for TmpFile {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = self.fs.unlink(&self.path);
        }
    }
}

/// A message that is written and has to get its name.
struct Pending {
    held: Held,
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
    seen: Seen,
}

impl Batch {
    pub(super) fn new(shared: Arc<Shared<Maildir>>) -> Self {
        Self { shared, done: Vec::new(), current: None }
    }

    fn temp(&self) -> (PathBuf, String) {
        let name = filename::generate(&self.maildir().settings.hostname);
        (self.maildir().dir.join("tmp").join(&name), name)
    }

    fn check(&self, meta: &SaveMeta) -> Result<()> {
        check_keywords(&meta.keywords, self.maildir().settings.mail_max_keyword_length)
    }

    /// A new file: its name in tmp/, if it has one, what that is or would be as a path, and without the
    /// directory.
    fn create(&self) -> Result<(File, Option<TmpFile>, PathBuf, String)> {
        let maildir = self.maildir();
        if self.done.len() < UNNAMED_MAX
            && let Ok(file) = maildir.fs.create_unnamed(&maildir.dir.join("tmp"), &maildir.permissions)
        {
            let (path, name) = self.temp();
            return Ok((file, None, path, name));
        }
        let (file, tmp, name) = self.create_named()?;
        let path = tmp.path.clone();
        Ok((file, Some(tmp), path, name))
    }

    /// A new file in tmp/, and its name there.
    fn create_named(&self) -> Result<(File, TmpFile, String)> {
        let maildir = self.maildir();
        let (mut path, mut name) = self.temp();
        let mut made = maildir.fs.create_new(&path, &maildir.permissions);
        for _ in 0..CREATE_RETRIES {
            match &made {
                Err(error) if error.kind() == io::ErrorKind::NotFound => maildir.make_directories()?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                _ => break,
            }
            (path, name) = self.temp();
            made = maildir.fs.create_new(&path, &maildir.permissions);
        }
        let file = made.map_err(|error| Error::io("open", path.clone(), error))?;
        Ok((file, TmpFile { fs: maildir.fs.clone(), path }, name))
    }

    /// A hard link in tmp/ to the message's file, if that is possible.
    fn link(&mut self, source: &mut dyn Mailbox, uid: Uid) -> Result<Option<TmpFile>> {
        if !self.maildir().settings.maildir_copy_with_hardlinks {
            return Ok(None);
        }
        for _ in 0..LINK_RETRIES {
            let file = source.message_file(uid).filter(|file| file.format == FileFormat::Plain);
            let Some(file) = file else { return Ok(None) };
            let (path, _) = self.temp();
            match self.maildir().fs.link(&file.path, &path) {
                Ok(()) => return Ok(Some(TmpFile { fs: self.maildir().fs.clone(), path })),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Renamed meanwhile, or tmp/ is missing.
                    self.maildir().make_directories()?;
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
                .map_err(|error| Error::io("read", self.maildir().dir.clone(), error))?;
            if count == 0 {
                return self.end();
            }
            self.write(buffer.get(..count).unwrap_or_default())?;
        }
    }

    /// Gives every message its final name and place. On failure those already moved are removed.
    fn place_all(&self, work: &mut Known, names: &Names) -> Result<Vec<Placed>> {
        let mut placed: Vec<Placed> = Vec::with_capacity(self.done.len());
        let maildir = self.maildir();
        let known = work.dirs.before_own_change(maildir);
        for pending in &self.done {
            match self.place(work, names, pending) {
                Ok(one) => placed.push(one),
                Err(error) => {
                    self.take_back(&placed);
                    return Err(error);
                }
            }
        }
        work.dirs.own_change(maildir, known);
        Ok(placed)
    }

    fn take_back(&self, placed: &[Placed]) {
        placed.iter().for_each(|one| drop(self.maildir().fs.unlink(&one.path)));
    }

    fn place(&self, work: &mut Known, names: &Names, pending: &Pending) -> Result<Placed> {
        let maildir = self.maildir();
        // Without a free letter the index alone keeps a keyword.
        let found = pending.meta.keywords.iter().filter_map(|name| work.letters.find_or_add(name));
        let bits = found.fold(0u32, |bits, letter| bits | 1 << letter);
        work.letters.commit(maildir)?;
        let flags = pending.meta.flags;
        let seen = if flags.is_empty() && bits == 0 { Seen::New } else { Seen::Cur };
        let dir = maildir.dir.join(if seen == Seen::New { "new" } else { "cur" });
        let full = |base: &[u8]| match seen {
            Seen::New => base.to_vec(),
            _ => filename::with_flags(base, flags, bits),
        };
        let mut fields = Vec::new();
        let mut name = full(&pending.base);
        if pending.preserved {
            let taken =
                names.is_taken(&pending.base) || self.is_refused(&pending.held, &join(&dir, &name))?;
            if taken {
                fields = uidlist::with_field(&fields, b'G', &pending.base);
                name = full(&sized_name(maildir, pending.size, pending.virtual_size));
                self.put(&pending.held, &join(&dir, &name))?;
            }
        } else {
            self.put(&pending.held, &join(&dir, &name))?;
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
        Ok(Placed { path: join(&dir, &name), name, fields, seen })
    }

    /// Like `put`, but what has the name keeps it; `true` if there is such.
    fn is_refused(&self, held: &Held, to: &Path) -> Result<bool> {
        let fs = &self.maildir().fs;
        let named = match held {
            Held::Unnamed(file) => fs.name(file, to),
            Held::Tmp(tmp) => fs.link(&tmp.path, to).inspect(|()| drop(fs.unlink(&tmp.path))),
        };
        match named {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(_) => self.put(held, to).map(|()| false),
        }
    }

    fn put(&self, held: &Held, to: &Path) -> Result<()> {
        let fs = &self.maildir().fs;
        match held {
            Held::Unnamed(file) => match fs.name(file, to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Err(Error::io("link", to, error))
                }
                named => named.or_else(|error| {
                    let (logger, name) = (&self.maildir().logger, to.display());
                    logger.debug(format_args!("{name}: cannot get its name ({error}), goes through tmp/"));
                    self.put_copy(file, to)
                }),
            },
            Held::Tmp(tmp) => fs.rename(&tmp.path, to).map_err(|error| Error::io("rename", &tmp.path, error)),
        }
    }

    /// For a file that cannot get a name, against expectation. What is wrong with the directory shows here, too.
    fn put_copy(&self, file: &File, to: &Path) -> Result<()> {
        let fs = &self.maildir().fs;
        let (copy, tmp, _) = self.create_named()?;
        let path = &tmp.path;
        let failed = |op| move |error| Error::io(op, path, error);
        let mut buffer = vec![0; BUFFER];
        let mut done = 0;
        loop {
            let count = fs.read_at(file, &mut buffer, done).map_err(failed("read"))?;
            if count == 0 {
                break;
            }
            fs.write(&copy, path, buffer.get(..count).unwrap_or_default()).map_err(failed("write"))?;
            done += count as u64;
        }
        let mtime = file.metadata().and_then(|meta| meta.modified()).map_err(failed("fstat"))?;
        fs.set_mtime_of(&copy, path, mtime).map_err(failed("utime"))?;
        if self.maildir().syncs() {
            fs.sync(&copy, path).map_err(failed("fsync"))?;
        }
        let held = Held::Tmp(tmp);
        self.put(&held, to)?;
        held.keep();
        Ok(())
    }

    /// The directories that messages were put into.
    fn dirs_of(&self, placed: &[Placed]) -> Vec<PathBuf> {
        let used = |seen| placed.iter().any(|one| one.seen == seen);
        let dirs = [("new", Seen::New), ("cur", Seen::Cur)];
        let dirs = dirs.into_iter().filter(|(_, seen)| used(*seen));
        dirs.map(|(sub, _)| self.maildir().dir.join(sub)).collect()
    }

    /// Makes sure that the next UID is known and that the uidlist may be appended to.
    fn prepare(&self, index: &mut Locked<'_>, work: &mut Known, guard: &Dotlock) -> Result<()> {
        let maildir = self.maildir();
        let mut names = maildir.names();
        // A name that is to be kept must be compared with all others.
        let is_simple = !index.is_new() && !self.done.iter().any(|pending| pending.preserved);
        if is_simple
            && names.peek(maildir)?
            && names.header.uid_validity == index.header().uid_validity
            && names.header.next_uid <= index.header().next_uid
        {
            drop(names);
            return work.letters.refresh(maildir);
        }
        names.refresh(maildir, true)?;
        let agrees = names.header.uid_validity == index.header().uid_validity;
        let usable = names.stamp.is_some() && names.header.guid.is_some() && names.header.version == 3;
        // Files that the uidlist has and the index has not come first.
        let behind = names.entries.last().is_some_and(|last| last.uid.get() >= index.header().next_uid);
        drop(names);
        if index.is_new() || !agrees || !usable || behind {
            let none = UidSet::new();
            let sync = Resync { mode: SyncMode::Full, claim: false, unsettled: &none };
            self.shared.driver.sync_files(index, work, Some(guard), &sync)?;
        }
        work.letters.refresh(maildir)
    }

    /// Enters the placed messages into uidlist and index.
    fn enter(&self, index: &mut Locked<'_>, work: &mut Known, placed: Vec<Placed>) -> Result<Saved> {
        let maildir = self.maildir();
        let mut names = maildir.names();
        let (mut added, mut uids) = (Vec::with_capacity(placed.len()), Vec::with_capacity(placed.len()));
        let mut tx = Transaction::new();
        let mut next = names.next_uid().max(index.header().next_uid);
        for (one, pending) in placed.iter().zip(&self.done) {
            next = pending.meta.uid.map_or(next, |wanted| wanted.get().max(next));
            let Some(uid) = Uid::new(next).filter(|uid| uid.get() < u32::MAX) else {
                self.take_back(&placed);
                return Err(Error::Unsupported("UIDs exhausted".to_owned()));
            };
            let (name, fields) = (one.name.clone().into(), one.fields.clone().into());
            added.push(Entry { uid, name, fields, seen: one.seen });
            tx.append(uid, pending.meta.flags, pending.meta.keywords.iter().map(String::as_str));
            if let Some(modseq) = pending.meta.modseq {
                tx.update_modseq(uid, modseq);
            }
            uids.push(uid);
            next += 1;
        }
        // A line without a file does no harm, should only that reach the disk.
        let dirs = self.dirs_of(&placed);
        let written = match names.loaded {
            true => names.add(maildir, added, &dirs),
            false => names.add_unseen(maildir, &added, &dirs),
        };
        if let Err(error) = written {
            self.take_back(&placed);
            names.remove(&uids.iter().copied().collect());
            return Err(error);
        }
        let uid_validity = UidValidity::new(names.header.uid_validity).unwrap_or(UidValidity::ONE);
        drop(names);
        work.dirs.write(index, &mut tx);
        // The uidlist has them: what the index cannot take now the next look finds.
        index.commit(&tx, Origin::External)?;
        Ok(Saved { uid_validity, uids })
    }

    fn maildir(&self) -> &Maildir {
        &self.shared.driver
    }
}

impl SaveBatch for Batch {
    fn begin(&mut self, meta: SaveMeta) -> Result<()> {
        self.check(&meta)?;
        self.current = None;
        let filter = SaveFilter::new(&self.maildir().settings.compression, &self.maildir().dir)?;
        let (file, tmp, path, name) = self.create()?;
        let detector = Detector::new(&self.maildir().settings.attachment_detection, &meta.keywords);
        self.current = Some(Writer {
            shared: self.shared.clone(),
            file,
            tmp,
            path,
            name,
            meta,
            filter,
            detector,
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

    fn copy(&mut self, source: &mut dyn Mailbox, uid: Uid, mut meta: SaveMeta) -> Result<CopyBytes> {
        self.check(&meta)?;
        let wanted = Wanted::GUID | Wanted::SIZE_PHYSICAL | Wanted::SIZE_VIRTUAL | Wanted::POP3_UIDL;
        let facts = source.fetch_facts(uid, wanted | Wanted::POP3_ORDER | Wanted::INTERNAL_DATE)?;
        meta.guid = meta.guid.or_else(|| facts.guid.as_deref().map(str::to_owned));
        meta.pop3_uidl = meta.pop3_uidl.or_else(|| facts.pop3_uidl.as_deref().map(str::to_owned));
        meta.pop3_order = meta.pop3_order.or(facts.pop3_order);
        let new_date = meta.internal_date.is_some() && meta.internal_date != facts.internal_date;
        meta.internal_date = meta.internal_date.or(facts.internal_date);
        let linked = if new_date { None } else { self.link(source, uid)? };
        let (Some(tmp), Some(size), Some(virtual_size)) = (linked, facts.size_physical, facts.size_virtual)
        else {
            return self.copy_bytes(source, uid, meta).map(|()| CopyBytes::Written);
        };
        self.done.push(Pending::new(self.maildir(), Held::Tmp(tmp), meta, size, virtual_size));
        Ok(CopyBytes::Shared)
    }

    fn commit(mut self: Box<Self>) -> Result<Saved> {
        self.current = None;
        let shared = self.shared.clone();
        let mut work = shared.work();
        let work = &mut *work;
        let guard = shared.driver.lock_uidlist_often()?;
        let mut index = work.index.lock()?;
        self.prepare(&mut index, &mut work.driver, &guard)?;
        let placed = {
            let names = shared.driver.names();
            self.place_all(&mut work.driver, &names)?
        };
        let saved = self.enter(&mut index, &mut work.driver, placed);
        if saved.is_ok() {
            // What has its name is not to be cleaned up.
            self.done.drain(..).for_each(|pending| pending.held.keep());
        }
        shared.end_save(index)?;
        drop(guard);
        shared.publish(&work.index);
        saved
    }
}

impl Pending {
    fn new(place: &Place, held: Held, meta: SaveMeta, size: u64, virtual_size: u64) -> Self {
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
                Self { held, base, meta, preserved: true, size, virtual_size }
            }
            None => {
                let base = sized_name(place, size, virtual_size);
                Self { held, base, meta, preserved: false, size, virtual_size }
            }
        }
    }
}

fn sized_name(place: &Place, size: u64, virtual_size: u64) -> Vec<u8> {
    format!("{},S={size},W={virtual_size}", filename::generate(&place.settings.hostname)).into_bytes()
}

/// A message being written.
struct Writer {
    shared: Arc<Shared<Maildir>>,
    file: File,
    /// `None` for a file without a name.
    tmp: Option<TmpFile>,
    /// What errors tell.
    path: PathBuf,
    name: String,
    meta: SaveMeta,
    filter: SaveFilter,
    detector: Option<Detector>,
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
        if let Some(detector) = &mut self.detector {
            detector.push(bytes);
        }
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
                            let crlf = self.shared.driver.settings.mail_save_crlf;
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
        let bytes = self.filter.push(&self.buffer)?;
        let result = self.shared.driver.fs.write(&self.file, &self.path, bytes);
        self.buffer.clear();
        result.map_err(|error| Error::io("write", &self.path, error))
    }

    fn finish(mut self) -> Result<Pending> {
        // As in 2.3: half a line end at the end of a message is none.
        if self.after_cr && self.shared.driver.settings.mail_save_crlf {
            self.put(b"\r")?;
            self.virtual_size += 1;
        }
        self.flush()?;
        let last = self.filter.finish()?;
        let failed = |op| {
            let path = self.path.clone();
            move |error| Error::io(op, path, error)
        };
        let fs = &self.shared.driver.fs;
        if !last.is_empty() {
            fs.write(&self.file, &self.path, last).map_err(failed("write"))?;
        }
        if let Some(date) = self.meta.internal_date {
            fs.set_mtime_of(&self.file, &self.path, date).map_err(failed("utime"))?;
        }
        if self.shared.driver.syncs() {
            fs.sync(&self.file, &self.path).map_err(failed("fsync"))?;
        }
        if let Some(detector) = self.detector.take() {
            detector.finish(&mut self.meta.keywords);
        }
        let Self { shared, file, tmp, name, meta, size, virtual_size, .. } = self;
        let held = tmp.map_or_else(|| Held::Unnamed(file), Held::Tmp);
        if meta.guid.is_none() {
            let base = format!("{name},S={size},W={virtual_size}").into_bytes();
            return Ok(Pending { held, base, meta, preserved: false, size, virtual_size });
        }
        Ok(Pending::new(&shared.driver, held, meta, size, virtual_size))
    }
}

/// Bytes gathered before they are written.
const BUFFER: usize = 32 * 1024;
const LINK_RETRIES: usize = 3;
const CREATE_RETRIES: usize = 3;
/// How many messages of a batch may be in files without names, each of which is kept open.
const UNNAMED_MAX: usize = 16;
/// Leaves room for `:2,` with all flags and keywords within the 255 bytes of a file name.
const NAME_MAX: usize = 200;
