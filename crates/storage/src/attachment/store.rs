//! The directory of attachments: `ab/cd/<hash>-<guid>`, one hard link for each message, and with `sis`
//! one more, `ab/cd/hashes/<hash>`, by which the next equal attachment finds it.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base::{Guid, Logger};

use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, is_missing};

use super::hash::HashFormat;
use super::limits::{RETRIES, STEP_BYTES};

/// The `mail_attachment_*` settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `mail_attachment_dir`, expanded.
    pub dir: PathBuf,
    /// `mail_attachment_fs`: `posix`, `sis posix` or `sis-queue <directory>:posix`.
    pub fs: String,
    /// `mail_attachment_hash`
    pub hash: HashFormat,
    /// `mail_attachment_min_size`, in bytes.
    pub min_size: u64,
    /// `mail_temp_dir`: for a part whose end has not come yet.
    pub temp_dir: PathBuf,
    /// Whether files are forced to disk: `mail_fsync` is not `never`.
    pub syncs: bool,
}

/// How equal attachments become one.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    /// Not at all.
    Posix,
    /// At once.
    Sis,
    /// Later, by `doveadm sis deduplicate`, which reads names from this directory.
    Queue(PathBuf),
}

/// The directory, for one mail location.
#[derive(Clone)]
pub struct Store {
    pub(super) fs: Fs,
    pub(super) log: Logger,
    pub(super) settings: Settings,
    kind: Kind,
    mode: u32,
}

impl Store {
    /// Reads `mail_attachment_fs`; touches nothing on disk.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a file system that is not known, in 2.3's words.
    pub fn new(fs: Fs, log: Logger, settings: Settings) -> Result<Self> {
        let broken = |why: String| Error::Unsupported(format!("mail_attachment_fs: {why}"));
        let text = settings.fs.as_str();
        let (name, args) = text.split_once([':', ' ']).unwrap_or((text, ""));
        let (kind, parent) = match name {
            "posix" => (Kind::Posix, text),
            "sis" if args.is_empty() => {
                return Err(broken("Parent filesystem not given as parameter".to_owned()));
            }
            "sis" => (Kind::Sis, args),
            "sis-queue" => match args.split_once(':').filter(|(_, parent)| !parent.is_empty()) {
                Some((dir, parent)) => (Kind::Queue(dir.into()), parent),
                None => return Err(broken("Parent filesystem not given as parameter".to_owned())),
            },
            other => return Err(broken(format!("Unknown fs driver: {other}"))),
        };
        let (parent, args) = parent.split_once([':', ' ']).unwrap_or((parent, ""));
        if parent != "posix" {
            return Err(broken(format!("{parent} backend can't be used with SIS")));
        }
        let mode = posix_mode(args).map_err(broken)?;
        Ok(Self { fs, log, settings, kind, mode })
    }

    /// Whether this is `sis-queue`, which 2.3's sdbox refuses because it renames attachments.
    pub fn is_queue(&self) -> bool {
        matches!(self.kind, Kind::Queue(_))
    }

    /// Logs what went wrong and cost space only.
    pub(crate) fn log(&self, error: &Error) {
        self.log.error(base::chain(error));
    }

    /// Opens an attachment for reading: what a reference calls it, and what the driver adds to that.
    /// Where that is not there, any other name of the same attachment will do: the mailbox may have got
    /// another GUID from a server that left the names as they were.
    ///
    /// # Errors
    /// The system's; a missing file among them.
    pub fn open(&self, name: &str, suffix: &str) -> Result<File> {
        let open = |name: &str| {
            let path = self.path(name);
            self.fs.open(&path).map_err(|error| Error::io("open", path, error))
        };
        let own = format!("{name}{suffix}");
        open(&own).or_else(|error| match self.found(name, suffix) {
            other if other != own => open(&other),
            _ => Err(error),
        })
    }

    /// Another name for an attachment, for a copy of its message. A link, or, where no more are
    /// possible, a file of its own.
    ///
    /// # Errors
    /// The system's.
    pub fn link(&self, name: &str, suffix: &str, to: &str) -> Result<()> {
        let (from, to) = (self.path(&self.found(name, suffix)), self.path(to));
        self.in_parent(&to, || self.fs.link(&from, &to)).or_else(|error| {
            if error.kind() != io::ErrorKind::TooManyLinks {
                return Err(Error::io("link", to.clone(), error));
            }
            let mut source = self.fs.open(&from).map_err(|error| Error::io("open", from.clone(), error))?;
            self.write(&to, &mut source)
        })
    }

    /// Sees to it that an attachment has the name that the driver knows it by, if it has one at all.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn adopt(&self, name: &str, suffix: &str) -> Result<()> {
        let own = format!("{name}{suffix}");
        if self.found(name, suffix) == own { Ok(()) } else { self.link(name, suffix, &own) }
    }

    /// The name that an attachment has: `suffix` added to it or, where that is not there, another one.
    fn found(&self, name: &str, suffix: &str) -> String {
        let own = format!("{name}{suffix}");
        let is_missing = !suffix.is_empty() && matches!(self.fs.stamp(&self.path(&own)), Ok(None));
        let other = if is_missing { self.other_names(name).into_iter().next() } else { None };
        other.unwrap_or(own)
    }

    /// All names of an attachment, each with what some driver has added: hard links of the same file, or
    /// copies. The part that is random belongs to one attachment only.
    fn other_names(&self, name: &str) -> Vec<String> {
        let Some((dir, file)) = name.rsplit_once('/') else { return Vec::new() };
        let mut found = Vec::new();
        // Without the right to look there is nothing to be found.
        let _ = self.fs.read_dir(&self.path(dir), |other, _| {
            if let Ok(other) = std::str::from_utf8(other)
                && other.strip_prefix(file).is_some_and(|rest| rest.starts_with('-'))
            {
                found.push(format!("{dir}/{other}"));
            }
        });
        found
    }

    /// Forces names to disk, unless `mail_fsync` is `never`.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn sync_names<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        if !self.settings.syncs {
            return Ok(());
        }
        let dirs = names.into_iter().filter_map(|name| self.path(name).parent().map(Path::to_path_buf));
        for dir in dirs.collect::<BTreeSet<_>>() {
            self.fs.sync_dir(&dir).map_err(|error| Error::io("fsync", dir, error))?;
        }
        Ok(())
    }

    /// Gives an attachment its final name: sdbox adds mailbox and UID.
    ///
    /// # Errors
    /// The system's.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        self.in_parent(&to, || self.fs.rename(&from, &to)).map_err(|error| Error::io("rename", to, error))
    }

    /// Removes an attachment. With the last message that has it goes its name by hash, and whatever
    /// directories are empty then. One that is missing is removed already.
    ///
    /// # Errors
    /// The system's.
    pub fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        if self.kind != Kind::Posix
            && let Some(hash_path) = hash_path(&path)
            && let (Ok(own), Ok(other)) = (std::fs::metadata(&path), std::fs::metadata(&hash_path))
            && own.nlink() == 2
            && is_same(&own, &other)
        {
            self.remove(&hash_path)?;
        }
        self.remove(&path)
    }

    /// Stores what `open` gives, which may be asked for it several times, and returns the name below
    /// the directory.
    pub(super) fn put<'a>(
        &self,
        hash: &str,
        open: &dyn Fn() -> io::Result<Box<dyn Read + 'a>>,
    ) -> Result<String> {
        let guid = new_guid();
        let fan: Vec<char> = hash.chars().chain("0000".chars()).take(4).collect();
        let [a, b, c, d] = fan.as_slice() else {
            return Err(Error::Unsupported("mail_attachment_hash gives no name".to_owned()));
        };
        let name = format!("{a}{b}/{c}{d}/{hash}-{guid}");
        let path = self.path(&name);
        let open = || open().map_err(|error| Error::io("read", path.clone(), error));
        match (&self.kind, hash_path(&path)) {
            (Kind::Sis, Some(hash_path)) => self.put_once(&path, &hash_path, &open)?,
            (kind, _) => {
                self.write(&path, &mut *open()?)?;
                if let Kind::Queue(dir) = kind {
                    self.enqueue(dir, &path);
                }
            }
        }
        Ok(name)
    }

    /// Links to the equal attachment, if there is one; else the new one is what others will link to.
    fn put_once<'a>(
        &self,
        path: &Path,
        hash_path: &Path,
        open: &dyn Fn() -> Result<Box<dyn Read + 'a>>,
    ) -> Result<()> {
        let old = self.fs.open(hash_path).ok();
        if let Some(old) = &old
            && is_equal(&mut &*old, &mut *open()?).unwrap_or(false)
            && self.try_link(old, hash_path, path)
        {
            return Ok(());
        }
        self.write(path, &mut *open()?)?;
        // The attachment is stored; that others can't find it costs only space.
        let named = match old {
            None => self.in_parent(hash_path, || self.fs.link(path, hash_path)),
            Some(_) => self.replace(path, hash_path),
        };
        match named {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !is_missing(&error) => {
                self.log.error(format_args!(
                    "link({}, {}) failed: {}",
                    path.display(),
                    hash_path.display(),
                    base::reason(&error)
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// A link to `hash_path`, if that is still the file that was compared.
    fn try_link(&self, old: &File, hash_path: &Path, path: &Path) -> bool {
        // Gone, too many links, or not allowed: a file of its own will do.
        if self.fs.link(hash_path, path).is_err() {
            return false;
        }
        match (old.metadata(), std::fs::metadata(path)) {
            (Ok(old), Ok(new)) if is_same(&old, &new) => true,
            _ => {
                let _ = self.fs.unlink(path);
                false
            }
        }
    }

    fn replace(&self, path: &Path, hash_path: &Path) -> io::Result<()> {
        let mut name = hash_path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let mut prefixed = std::ffi::OsString::from(TEMP_PREFIX);
        prefixed.push(name);
        let temp = hash_path.with_file_name(prefixed);
        if self.fs.link(path, &temp).is_err() {
            // Left over, or somebody does the same at this moment.
            let _ = self.fs.unlink(&temp);
            self.fs.link(path, &temp)?;
        }
        self.fs.rename(&temp, hash_path).inspect_err(|_| drop(self.fs.unlink(&temp)))
    }

    fn enqueue(&self, dir: &Path, path: &Path) {
        let file = dir.join(path.file_name().unwrap_or_default());
        let made = self.in_parent(&file, || self.fs.create_new(&file, &self.permissions(dir)));
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            self.log.error(format_args!("open({}) failed: {}", file.display(), base::reason(&error)));
        }
    }

    /// Writes a file beside `path` and moves it there.
    fn write(&self, path: &Path, source: &mut dyn Read) -> Result<()> {
        let permissions = self.permissions(path.parent().unwrap_or(path));
        let temp = path.with_file_name(format!("{TEMP_PREFIX}{}", new_guid()));
        let file = self.in_parent(&temp, || self.fs.create_new(&temp, &permissions));
        let file = file.map_err(|error| Error::io("open", temp.clone(), error))?;
        let written = self
            .fill(&file, &temp, source)
            .and_then(|()| self.fs.rename(&temp, path).map_err(|error| Error::io("rename", path, error)));
        if written.is_err() {
            let _ = self.fs.unlink(&temp);
        }
        written
    }

    fn fill(&self, file: &File, path: &Path, source: &mut dyn Read) -> Result<()> {
        let mut buffer = vec![0; STEP_BYTES];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", path, error)),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            self.fs.write(file, path, bytes).map_err(|error| Error::io("write", path, error))?;
        }
        match self.settings.syncs {
            true => self.fs.sync(file, path).map_err(|error| Error::io("fsync", path, error)),
            false => Ok(()),
        }
    }

    /// Runs `change` again if the directory above `path` had to be made.
    fn in_parent<T>(&self, path: &Path, change: impl Fn() -> io::Result<T>) -> io::Result<T> {
        let mut outcome = change();
        for _ in 0..RETRIES {
            match (&outcome, path.parent()) {
                (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound && !parent.is_dir() => {
                    self.fs.mkdir_all(parent, &self.permissions(parent))?;
                    outcome = change();
                }
                _ => break,
            }
        }
        outcome
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match self.fs.unlink(path) {
            Err(error) if !is_missing(&error) => return Err(Error::io("unlink", path, error)),
            _ => {}
        }
        let below = |dir: &&Path| dir.starts_with(&self.settings.dir) && *dir != self.settings.dir;
        for dir in path.ancestors().skip(1).take_while(below) {
            if self.fs.rmdir(dir).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// 2.3's: private, or, where the nearest directory that exists has the setgid bit, as that one is.
    fn permissions(&self, dir: &Path) -> Permissions {
        let existing = dir.ancestors().find_map(|dir| std::fs::metadata(dir).ok());
        let shared = existing.map(|meta| meta.mode()).filter(|mode| mode & 0o2000 != 0);
        let file_mode = shared.map_or(self.mode, |mode| mode & 0o666);
        let searchable = [0o600, 0o060, 0o006].into_iter().filter(|bits| file_mode & bits != 0);
        let dir_mode = searchable.fold(file_mode, |mode, bits| mode | (bits >> 1 & 0o111));
        let setgid = if shared.is_some() { 0o2000 } else { 0 };
        Permissions { file_mode, dir_mode: dir_mode | setgid, gid: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.settings.dir.join(name)
    }
}

/// The name by hash of an attachment's file.
fn hash_path(path: &Path) -> Option<PathBuf> {
    let (hash, _) = path.file_name()?.to_str()?.split_once('-')?;
    Some(path.parent()?.join("hashes").join(hash))
}

fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn is_equal(a: &mut dyn Read, b: &mut dyn Read) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; STEP_BYTES], vec![0; STEP_BYTES]);
    loop {
        let (count, other) = (fill(a, &mut left)?, fill(b, &mut right)?);
        if left.get(..count) != right.get(..other) {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(space) = buffer.get_mut(filled..).filter(|space| !space.is_empty()) {
        match from.read(space) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The arguments of `posix` that make a difference here; the others are about locks and times.
fn posix_mode(args: &str) -> Result<u32, String> {
    let mut mode = 0o600;
    for arg in args.split([':', ' ']).filter(|arg| !arg.is_empty()) {
        match arg.strip_prefix("mode=") {
            // 2.3 takes the mode from the directory then; only one with setgid counts.
            Some("auto") => {}
            Some(text) => {
                let number =
                    u32::from_str_radix(text, 8).map_err(|_| format!("Invalid mode value: {text}"))?;
                mode = number & 0o666;
                if mode == 0 {
                    return Err(format!("Invalid mode: {text}"));
                }
            }
            None => return Err(format!("Unknown arg '{arg}'")),
        }
    }
    Ok(mode)
}

fn new_guid() -> Guid {
    let mut guid = Guid([0; 16]);
    let _ = rustix::rand::getrandom(&mut guid.0[..], rustix::rand::GetRandomFlags::empty());
    guid
}

/// What names of files begin with that are not complete.
const TEMP_PREFIX: &str = ".temp.";
