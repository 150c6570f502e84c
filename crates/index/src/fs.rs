//! The one seam through which the drivers change files, so that tests can inject a full disk, a short
//! write or a crash between any two steps, or write down what happened to the disk. Reading goes
//! through here as well; only changes ask the hook.

mod near;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

pub use near::Near;

/// Asked before every change on disk, and told of it afterwards.
pub trait Hook: Send + Sync {
    /// `op` is the system call's name; `bytes` how many are to be written. An error is returned to
    /// the driver as if the system had given it; `Ok(n)` with `n < bytes` makes the write stop there
    /// with ENOSPC.
    fn before(&self, op: &'static str, path: &Path, bytes: usize) -> io::Result<usize>;

    /// The change has happened.
    fn after(&self, change: &Change<'_>) {
        let _ = change;
    }
}

/// What has happened on disk. A file that is written to may have another name by now.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A file that was not there is.
    Create(&'a Path),
    /// A file without a name is.
    CreateUnnamed(&'a File),
    /// A file without a name has got one.
    Name(&'a File, &'a Path),
    /// A directory that was not there is.
    Mkdir(&'a Path),
    /// Bytes were written at an offset.
    Write(&'a File, &'a [u8], u64),
    /// A file has got this size.
    Truncate(&'a File, u64),
    /// A file's bytes and size are on disk.
    Sync(&'a File),
    /// A directory's entries are on disk.
    SyncDir(&'a Path),
    /// A name has become another, and replaced what had that.
    Rename(&'a Path, &'a Path),
    /// A file has a second name.
    Link(&'a Path, &'a Path),
    /// A symbolic link that leads to the first is at the second.
    Symlink(&'a Path, &'a Path),
    /// A name of a file has gone.
    Unlink(&'a Path),
    /// An empty directory has gone.
    Rmdir(&'a Path),
}

/// Modes and group for what is created, taken from the mailbox's directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permissions {
    /// For files.
    pub file_mode: u32,
    /// For directories; may have setgid.
    pub dir_mode: u32,
    /// The group files and directories must get, where it does not come by itself.
    pub gid: Option<u32>,
}

impl Default for Permissions {
    /// For a mail directory that does not exist yet: private.
    fn default() -> Self {
        Self { file_mode: 0o600, dir_mode: 0o700, gid: None }
    }
}

impl Permissions {
    /// What 2.3 derives from the directory at `path`; the default if there is none.
    pub fn of_dir(path: &Path) -> Self {
        let Ok(meta) = fs::metadata(path) else { return Self::default() };
        let mode = meta.mode();
        let dir_mode = (mode & 0o777) | 0o700;
        let file_mode = (mode & 0o666) | 0o600;
        if mode & 0o2000 != 0 {
            return Self { file_mode, dir_mode: dir_mode | 0o2000, gid: None };
        }
        let own = meta.gid() == rustix::process::getegid().as_raw();
        // With equal rights for group and others the group makes no difference.
        let group_matters = (mode >> 3) & 7 != mode & 7;
        Self { file_mode, dir_mode, gid: (!own && group_matters).then_some(meta.gid()) }
    }
}

/// Something that could not be forced to disk.
#[derive(Debug)]
pub struct NotSynced {
    /// The system call.
    pub op: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// What identifies a version of a file or directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Modification time, in nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Size in bytes.
    pub size: u64,
}

impl Stamp {
    #[expect(clippy::useless_conversion, reason = "the types of the fields differ between platforms")]
    fn of_stat(stat: &rustix::fs::Stat) -> Self {
        let mtime_ns = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Self { dev: u64::from(stat.st_dev), ino: u64::from(stat.st_ino), mtime_ns, size }
    }

    fn of(meta: &fs::Metadata) -> Self {
        let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Self { dev: meta.dev(), ino: meta.ino(), mtime_ns, size: meta.size() }
    }
}

/// Which files lie on NFS and are changed by several hosts, so that what the kernel remembers of them may
/// be out of date.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Nfs {
    /// `mail_nfs_index`
    pub index: bool,
    /// `mail_nfs_storage`
    pub mail: bool,
}

/// The file system, possibly with a hook.
#[derive(Clone, Default)]
pub struct Fs {
    hook: Option<Arc<dyn Hook>>,
    nfs: Nfs,
}

impl Fs {
    /// With a hook that sees, and may refuse, every change.
    pub fn with_hook(hook: Arc<dyn Hook>) -> Self {
        Self { hook: Some(hook), nfs: Nfs::default() }
    }

    /// The same, for files on NFS.
    pub fn on_nfs(self, nfs: Nfs) -> Self {
        Self { nfs, ..self }
    }

    /// Called before a look at what the name of an index file leads to. On NFS the kernel is made to
    /// ask the server.
    pub fn renew_index_name(&self, path: &Path) {
        if self.nfs.index {
            self.renew_name(path);
        }
    }

    /// The same for files of mail.
    pub fn renew_mail_name(&self, path: &Path) {
        if self.nfs.mail {
            self.renew_name(path);
        }
    }

    /// The same for lock files of either.
    pub(crate) fn renew_lock_name(&self, path: &Path) {
        if self.nfs.index || self.nfs.mail {
            self.renew_name(path);
        }
    }

    /// Called before an index file that is not locked is read on. On NFS the kernel forgets the bytes it
    /// has when a lock is taken.
    pub fn renew_index_bytes(&self, file: &File) {
        if self.nfs.index
            && let Ok(true) = sys::lock::try_lock(file, sys::lock::LockKind::Shared)
        {
            let _ = sys::lock::unlock(file);
        }
    }

    /// A change of the directory's attributes to what they are makes the kernel forget both them and the
    /// entries, as 2.3 found for Linux. Without the right to do that it forgets them as well.
    fn renew_name(&self, path: &Path) {
        let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else { return };
        if let Ok(meta) = fs::metadata(dir)
            && self.ask("chmod", dir, 0).is_ok()
        {
            let _ = fs::set_permissions(dir, fs::Permissions::from_mode(meta.mode() & 0o7777));
        }
    }

    /// The stamp of what `path` leads to, or `None` if there is nothing.
    pub fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        // What STATUS of many mailboxes mostly does: cheaper than std's way, which asks for more.
        match rustix::fs::stat(path).map_err(io::Error::from) {
            Ok(stat) => Ok(Some(Stamp::of_stat(&stat))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The stamp of an open file.
    pub fn stamp_of(&self, file: &File) -> io::Result<Stamp> {
        file.metadata().map(|meta| Stamp::of(&meta))
    }

    /// The stamp of an open file, if there is one and it can be had.
    pub(crate) fn stamp_of_file(&self, file: Option<&File>) -> Option<Stamp> {
        file.and_then(|file| self.stamp_of(file).ok())
    }

    /// Opens for reading.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        // A pipe behind a symbolic link must not keep us waiting.
        OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
    }

    /// Calls `entry` with every name in a directory but `.` and `..`, in the system's order.
    pub fn read_dir(
        &self,
        path: &Path,
        mut entry: impl FnMut(&[u8], rustix::fs::FileType),
    ) -> io::Result<()> {
        let dir = File::open(path)?;
        let mut buffer = Vec::with_capacity(64 * 1024);
        let mut iter = rustix::fs::RawDir::new(dir.as_fd(), buffer.spare_capacity_mut());
        while let Some(found) = iter.next() {
            let found = found?;
            match found.file_name().to_bytes() {
                b"." | b".." => {}
                name => entry(name, found.file_type()),
            }
        }
        Ok(())
    }

    /// Creates a file that must not exist, with exactly these permissions.
    pub fn create_new(&self, path: &Path, permissions: &Permissions) -> io::Result<File> {
        self.ask("open", path, 0)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(permissions.file_mode)
            .open(path)?;
        self.tell(Change::Create(path));
        self.permit(&file, permissions)?;
        Ok(file)
    }

    /// Creates a file without a name, with exactly these permissions, where `dir` is. It has gone when it is
    /// closed, unless [`Fs::name`] gives it a name before.
    ///
    /// # Errors
    /// The system's, and `Unsupported` where no name could be given to it later. There may be many reasons for
    /// either, from the file system to AppArmor: who gets one makes a file with a name.
    pub fn create_unnamed(&self, dir: &Path, permissions: &Permissions) -> io::Result<File> {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        self.ask("open", dir, 0)?;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(openat(CWD, dir, flags, Mode::from_raw_mode(permissions.file_mode))?);
        // There may be no /proc, for instance after chroot.
        let can_be_named = rustix::fs::access(by_descriptor(&file), rustix::fs::Access::EXISTS).is_ok();
        can_be_named.then_some(()).ok_or(io::ErrorKind::Unsupported)?;
        self.tell(Change::CreateUnnamed(&file));
        self.permit(&file, permissions)?;
        Ok(file)
    }

    /// Gives a file without a name this one.
    ///
    /// # Errors
    /// `AlreadyExists` where something has the name. Others are the system's.
    pub fn name(&self, file: &File, to: &Path) -> io::Result<()> {
        use rustix::fs::{AtFlags, CWD, linkat};
        self.ask("link", to, 0)?;
        linkat(CWD, by_descriptor(file), CWD, to, AtFlags::SYMLINK_FOLLOW)?;
        self.tell(Change::Name(file, to));
        Ok(())
    }

    /// Creates a file or empties the one that is there.
    pub fn create(&self, path: &Path, permissions: &Permissions) -> io::Result<File> {
        self.ask("open", path, 0)?;
        let is_new = self.hook.is_some() && fs::symlink_metadata(path).is_err();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(permissions.file_mode)
            .open(path)?;
        self.tell(if is_new { Change::Create(path) } else { Change::Truncate(&file, 0) });
        self.permit(&file, permissions)?;
        Ok(file)
    }

    /// Opens an existing file for appending.
    pub fn open_append(&self, path: &Path) -> io::Result<File> {
        self.ask("open", path, 0)?;
        OpenOptions::new().read(true).append(true).open(path)
    }

    /// Opens an existing file for changing it in place.
    pub fn open_write(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(path)
    }

    /// Writes all bytes at the file's position.
    pub fn write(&self, mut file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let allowed = self.ask("write", path, bytes.len())?.min(bytes.len());
        let part = bytes.get(..allowed).unwrap_or(bytes);
        file.write_all(part)?;
        if self.hook.is_some() {
            // Where a file is only appended to, the position is known afterwards only.
            let end = file.stream_position()?;
            self.tell(Change::Write(file, part, end.saturating_sub(part.len() as u64)));
        }
        if allowed < bytes.len() { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
    }

    /// Writes all bytes at an offset.
    pub fn write_at(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
        let allowed = self.ask("pwrite", path, bytes.len())?.min(bytes.len());
        let part = bytes.get(..allowed).unwrap_or(bytes);
        file.write_all_at(part, offset)?;
        self.tell(Change::Write(file, part, offset));
        if allowed < bytes.len() { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
    }

    /// Reads at an offset until `bytes` is full or the file ends, and says how much that was.
    pub fn read_at(&self, file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Cuts a file.
    pub fn truncate(&self, file: &File, path: &Path, size: u64) -> io::Result<()> {
        self.ask("ftruncate", path, 0)?;
        file.set_len(size)?;
        self.tell(Change::Truncate(file, size));
        Ok(())
    }

    /// Forces a file's bytes to disk.
    pub fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.ask("fdatasync", path, 0)?;
        file.sync_data()?;
        self.tell(Change::Sync(file));
        Ok(())
    }

    /// Has the system begin to write bytes to disk that are going to be forced there after another file: both
    /// are written at the same time then. An end of 0 stands for the file's.
    pub fn begin_sync(&self, file: &File, from: u64, end: u64) {
        // Where it cannot, forcing takes longer.
        let _ = sys::disk::begin_writing(file, from, end);
    }

    /// Forces a directory's entries to disk.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.ask("fsync", path, 0)?;
        File::open(path)?.sync_all()?;
        self.tell(Change::SyncDir(path));
        Ok(())
    }

    /// Forces a file's bytes and directories' entries to disk; both are written at the same time.
    ///
    /// # Errors
    /// The first that failed, and which.
    pub fn sync_with_dirs(&self, file: &File, path: &Path, dirs: &[PathBuf]) -> Result<(), NotSynced> {
        let at = |op, path: &Path| {
            let path = path.to_owned();
            move |source| NotSynced { op, path, source }
        };
        self.begin_sync(file, 0, 0);
        dirs.iter().try_for_each(|dir| self.sync_dir(dir).map_err(at("fsync", dir)))?;
        self.sync(file, path).map_err(at("fdatasync", path))
    }

    /// rename(2)
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask("rename", from, 0)?;
        fs::rename(from, to)?;
        self.tell(Change::Rename(from, to));
        Ok(())
    }

    /// Renames, and fails with `AlreadyExists` where `to` is there.
    pub fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        self.ask("rename", to, 0)?;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system can (NFS).
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::hard_link(from, to)?;
                fs::remove_file(from)?;
            }
            renamed => renamed?,
        }
        self.tell(Change::Rename(from, to));
        Ok(())
    }

    /// link(2)
    pub fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask("link", to, 0)?;
        fs::hard_link(from, to)?;
        self.tell(Change::Link(from, to));
        Ok(())
    }

    /// symlink(2): `link` will lead to `to`.
    pub fn symlink(&self, to: &Path, link: &Path) -> io::Result<()> {
        self.ask("symlink", link, 0)?;
        std::os::unix::fs::symlink(to, link)?;
        self.tell(Change::Symlink(to, link));
        Ok(())
    }

    /// unlink(2)
    pub fn unlink(&self, path: &Path) -> io::Result<()> {
        self.ask("unlink", path, 0)?;
        fs::remove_file(path)?;
        self.tell(Change::Unlink(path));
        Ok(())
    }

    /// rmdir(2)
    pub fn rmdir(&self, path: &Path) -> io::Result<()> {
        self.ask("rmdir", path, 0)?;
        fs::remove_dir(path)?;
        self.tell(Change::Rmdir(path));
        Ok(())
    }

    /// mkdir(2) with exactly these permissions.
    pub fn mkdir(&self, path: &Path, permissions: &Permissions) -> io::Result<()> {
        self.ask("mkdir", path, 0)?;
        rustix::fs::mkdir(path, rustix::fs::Mode::from_raw_mode(permissions.dir_mode))?;
        self.tell(Change::Mkdir(path));
        if permissions.dir_mode & umask() != 0 || permissions.dir_mode & 0o2000 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(permissions.dir_mode))?;
        }
        if let Some(gid) = permissions.gid {
            // Without the right to give it away the directory stays usable for its owner.
            let _ = std::os::unix::fs::chown(path, None, Some(gid));
        }
        Ok(())
    }

    /// Makes a directory and whatever is missing above it; one that exists is fine.
    pub fn mkdir_all(&self, path: &Path, permissions: &Permissions) -> io::Result<()> {
        match self.mkdir(path, permissions) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).ok_or(error)?;
                self.mkdir_all(parent, permissions)?;
                match self.mkdir(path, permissions) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    result => result,
                }
            }
            result => result,
        }
    }

    /// Sets the modification time of a file that is open for writing.
    pub fn set_mtime_of(&self, file: &File, path: &Path, mtime: SystemTime) -> io::Result<()> {
        self.ask("utime", path, 0)?;
        file.set_modified(mtime)
    }

    /// Sets the modification time.
    pub fn set_mtime(&self, path: &Path, mtime: SystemTime) -> io::Result<()> {
        use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
        self.ask("utime", path, 0)?;
        let (seconds, nanos) = match mtime.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => (i64::try_from(after.as_secs()), after.subsec_nanos()),
            // Times before 1970 are whole seconds here.
            Err(before) => (i64::try_from(before.duration().as_secs()).map(|seconds| -seconds), 0),
        };
        let tv_sec = seconds.map_err(|_| io::ErrorKind::InvalidInput)?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec, tv_nsec: nanos.into() },
        };
        Ok(utimensat(CWD, path, &times, AtFlags::empty())?)
    }

    fn ask(&self, op: &'static str, path: &Path, bytes: usize) -> io::Result<usize> {
        self.hook.as_ref().map_or(Ok(bytes), |hook| hook.before(op, path, bytes))
    }

    fn tell(&self, change: Change<'_>) {
        if let Some(hook) = &self.hook {
            hook.after(&change);
        }
    }

    fn permit(&self, file: &File, permissions: &Permissions) -> io::Result<()> {
        if permissions.file_mode & umask() != 0 {
            file.set_permissions(fs::Permissions::from_mode(permissions.file_mode))?;
        }
        if let Some(gid) = permissions.gid {
            let _ = fchown(file, None, Some(gid));
        }
        Ok(())
    }
}

/// Whether an error says that a path, or a directory on the way to it, is not there.
pub fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// `dir` with a name of any bytes below it.
pub fn join(dir: &Path, name: &[u8]) -> std::path::PathBuf {
    dir.join(std::ffi::OsStr::from_bytes(name))
}

/// A name for a file that may have no other.
fn by_descriptor(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// The process's umask, read without changing it.
fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        // Unknown: assume that everything would be masked and set modes explicitly.
        line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o777)
    })
}
