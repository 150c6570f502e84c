//! A directory with a file for each key: `fs:posix:prefix=/path/`.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use index::fs::{Fs, Permissions};

use super::{Backend, Change, Committed, DictError, Iteration, PRIVATE, Row, SHARED, Transaction};
use crate::limits::DICT_VALUE_BYTES_MAX;

/// What files are called that are still being written; 2.3 and we list none of them.
const TEMPORARY: &str = "temp.dovecot.";

#[derive(Clone)]
pub(super) struct Options {
    prefix: String,
    mode: u32,
    /// Directories that become empty stay.
    keeps_directories: bool,
}

impl Options {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (driver, arguments) = text.split_once(':').unwrap_or((text, ""));
        match driver {
            "posix" => {}
            "compress" | "crypt" | "dict" | "mail-crypt" | "metawrap" | "randomfail" | "sis"
            | "sis-queue" | "test" => return Err(format!("{driver} is not supported by this version")),
            _ => return Err(format!("Unknown fs driver: {driver}")),
        }
        let mut options = Self { prefix: String::new(), mode: 0o600, keeps_directories: false };
        for argument in arguments.split(':').filter(|argument| !argument.is_empty()) {
            match argument.split_once('=').unwrap_or((argument, "")) {
                ("prefix", prefix) => options.prefix = prefix.to_owned(),
                ("dirs", "") => options.keeps_directories = true,
                // Nothing is locked here, 2.3 syncs nothing here either, and the mode follows from a
                // directory with setgid in any case.
                ("lock", "flock" | "dotlock") | ("no-fsync" | "accurate-mtime", "") | ("mode", "auto") => {}
                ("mode", mode) => options.mode = parse_mode(mode)?,
                _ => return Err(format!("Unknown arg '{argument}'")),
            }
        }
        Ok(options)
    }

    /// The name of a key's file after the prefix.
    fn name(user: &str, key: &str) -> String {
        let name = match (key.strip_prefix(SHARED), key.strip_prefix(PRIVATE)) {
            (Some(key), _) => key.to_owned(),
            (None, Some(key)) => format!("{user}/{key}"),
            (None, None) => key.to_owned(),
        };
        name.split('/').map(harmless).collect::<Vec<_>>().join("/")
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}{}", self.prefix, name.strip_suffix('/').unwrap_or(name)))
    }
}

fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).map_err(|_| format!("Invalid mode value: {text}"))?;
    match mode & 0o666 {
        0 => Err(format!("Invalid mode: {text}")),
        mode => Ok(mode),
    }
}

/// A part of a key as part of a path: what has nothing but dots in it, and so would lead elsewhere, gets two
/// more of them, as in 2.3.
fn harmless(part: &str) -> String {
    match !part.is_empty() && part.bytes().all(|byte| byte == b'.') {
        true => format!("..{part}"),
        false => part.to_owned(),
    }
}

pub(super) struct FsDict {
    options: Options,
    fs: Fs,
}

impl FsDict {
    pub(super) fn new(options: Options) -> Self {
        Self { options, fs: Fs::default() }
    }

    fn read(&self, name: &str) -> Result<Option<String>, DictError> {
        let path = self.options.path(name);
        let failed = |reason: String| DictError::Failed(format!("read({name}) failed: {reason}"));
        let file = match self.fs.open(&path) {
            // A directory on the way that is a file holds no such key.
            Err(error) if index::fs::is_missing(&error) => return Ok(None),
            Err(error) => return Err(failed(step("open", &path, &error))),
            Ok(file) => file,
        };
        let (mut bytes, most) = (Vec::new(), u64::try_from(DICT_VALUE_BYTES_MAX).unwrap_or(u64::MAX));
        file.take(most + 1).read_to_end(&mut bytes).map_err(|error| failed(step("read", &path, &error)))?;
        match bytes.len() > DICT_VALUE_BYTES_MAX {
            true => Err(failed("the value is too long".into())),
            false => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }

    fn write(&self, name: &str, value: &str) -> Result<(), DictError> {
        let path = self.options.path(name);
        let temporary = temporary(&path);
        let permissions = self.permissions(&path);
        let failed = |reason: String| DictError::Failed(format!("fs_write({name}) failed: {reason}"));
        let file = self
            .created(&temporary, &permissions)
            .map_err(|error| failed(step("safe_mkstemp", &temporary, &error)))?;
        let written = self
            .fs
            .write(&file, &temporary, value.as_bytes())
            .and_then(|()| self.fs.sync(&file, &temporary))
            .and_then(|()| self.fs.rename(&temporary, &path));
        written.map_err(|error| {
            // What matters is why it could not be written.
            let _ = self.fs.unlink(&temporary);
            failed(step("write", &path, &error))
        })
    }

    fn created(&self, path: &Path, permissions: &Permissions) -> io::Result<std::fs::File> {
        match self.fs.create_new(path, permissions) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let dir = path.parent().unwrap_or(Path::new("."));
                self.fs.mkdir_all(dir, permissions)?;
                self.fs.create_new(path, permissions)
            }
            done => done,
        }
    }

    fn permissions(&self, path: &Path) -> Permissions {
        use std::os::unix::fs::MetadataExt;
        let above = path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
        let above = above.into_iter().find_map(|dir| std::fs::metadata(dir).ok());
        let mode = match above {
            Some(meta) if meta.mode() & 0o2000 != 0 => meta.mode() & 0o666,
            _ => self.options.mode,
        };
        let may_enter = [(0o600, 0o100), (0o060, 0o010), (0o006, 0o001)];
        let enter = may_enter.iter().filter(|(mask, _)| mode & mask != 0).map(|(_, bit)| bit);
        Permissions { file_mode: mode, dir_mode: mode | enter.sum::<u32>(), gid: None }
    }

    fn delete(&self, name: &str) -> Result<(), DictError> {
        let path = self.options.path(name);
        self.fs.unlink(&path).map_err(|error| {
            DictError::Failed(format!("fs_delete({name}) failed: {}", step("unlink", &path, &error)))
        })?;
        if !self.options.keeps_directories && !self.options.prefix.is_empty() {
            let above = path.ancestors().skip(1);
            let below_prefix = above.take_while(|dir| !is_start(&self.options.prefix, dir));
            for dir in below_prefix {
                // One that is not empty stays, and so do all above it.
                if self.fs.rmdir(dir).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn is_start(prefix: &str, dir: &Path) -> bool {
    prefix.as_bytes().starts_with(dir.as_os_str().as_bytes())
}

impl Backend for FsDict {
    fn lookup(&mut self, user: &str, key: &str) -> Result<Option<Vec<String>>, DictError> {
        Ok(self.read(&Options::name(user, key))?.map(|value| vec![value]))
    }

    /// As 2.3's, which also cannot list what is further below; unlike it in order, and to an end.
    fn iterate(&mut self, iteration: &Iteration<'_>, each: &mut dyn FnMut(Row)) -> Result<(), DictError> {
        if iteration.flags.recurse || iteration.flags.exact_key {
            return Err(DictError::Unsupported);
        }
        let dir = Options::name(iteration.user, iteration.path);
        let path = match self.options.path(&dir) {
            path if path.as_os_str().is_empty() => PathBuf::from("."),
            path => path,
        };
        let mut names = Vec::new();
        let listed =
            self.fs.read_dir(&path, |name, _| names.push(String::from_utf8_lossy(name).into_owned()));
        match listed {
            Err(error) if index::fs::is_missing(&error) => {}
            listed => listed.map_err(|error| DictError::Failed(step("opendir", &path, &error)))?,
        }
        let mut rows = Vec::new();
        for name in names.into_iter().filter(|name| !name.starts_with(TEMPORARY)) {
            if path.join(&name).is_dir() {
                continue;
            }
            let key = format!("{}{name}", iteration.path);
            let value = match iteration.flags.no_value {
                true => Some(String::new()),
                false => self.read(&Options::name(iteration.user, &key))?,
            };
            // One that has gone meanwhile is not there.
            rows.extend(value.map(|value| Row { key, values: vec![value] }));
        }
        iteration.give(rows, each);
        Ok(())
    }

    fn commit(&mut self, transaction: &Transaction) -> Result<Committed, DictError> {
        if transaction.changes.iter().any(|change| matches!(change, Change::Increase { .. })) {
            return Err(DictError::Unsupported);
        }
        for change in &transaction.changes {
            let name = Options::name(&transaction.user, change.key());
            match change {
                Change::Set { value, .. } => self.write(&name, value)?,
                Change::Unset { .. } => self.delete(&name)?,
                Change::Increase { .. } => {}
            }
        }
        Ok(Committed::Done)
    }
}

fn step(name: &str, path: &Path, error: &io::Error) -> String {
    format!("{name}({}) failed: {}", path.display(), base::reason(error))
}

fn temporary(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    path.with_file_name(format!("{TEMPORARY}{}.{pid}.{count}", sys::accounts::host_name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dict::Flags;

    fn set(dict: &mut FsDict, user: &str, key: &str, value: Option<&str>) -> Result<Committed, String> {
        let key = key.to_owned();
        let change = match value {
            Some(value) => Change::Set { key, value: value.into() },
            None => Change::Unset { key },
        };
        let transaction = Transaction { user: user.into(), changes: vec![change], ..Transaction::default() };
        dict.commit(&transaction).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_files() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("d");
        let mut dict = FsDict::new(Options::parse(&format!("posix:prefix={}/", place.display())).unwrap());
        for (user, key, file) in [
            ("joe", "shared/a/b", "a/b"),
            ("joe", "priv/a/b", "joe/a/b"),
            ("joe", "shared/a/../../x", "a/..../..../x"),
            ("..", "priv/x", "..../x"),
            ("joe", "shared/a/.c", "a/.c"),
        ] {
            assert_eq!(dict.lookup(user, key), Ok(None), "{key}");
            assert_eq!(set(&mut dict, user, key, Some("1\n")), Ok(Committed::Done));
            assert_eq!(std::fs::read_to_string(place.join(file)).unwrap(), "1\n", "{key}");
            assert_eq!(dict.lookup(user, key), Ok(Some(vec!["1\n".into()])));
        }
        let mut keys = Vec::new();
        let flags = Flags { order: Some(crate::dict::Order::Key), ..Flags::default() };
        let iteration = Iteration { user: "joe", path: "shared/a/", flags, rows_max: 0 };
        dict.iterate(&iteration, &mut |row| keys.push(row.key)).unwrap();
        assert_eq!(keys, ["shared/a/.c", "shared/a/b"]);
        assert_eq!(set(&mut dict, "joe", "priv/a/b", None), Ok(Committed::Done));
        assert!(!place.join("joe").exists() && place.exists(), "empty directories go");
        let missing = set(&mut dict, "joe", "priv/a/b", None).unwrap_err();
        assert!(missing.starts_with("fs_delete(joe/a/b) failed: unlink("), "{missing}");
        let increase = Change::Increase { key: "shared/a/b".into(), diff: 1 };
        let transaction = Transaction { changes: vec![increase], ..Transaction::default() };
        assert_eq!(dict.commit(&transaction), Err(DictError::Unsupported));
    }

    #[test]
    fn arguments() {
        for (text, expect) in [
            ("posix:prefix=/x/:mode=0640:dirs:no-fsync:lock=dotlock", None),
            ("posix:mode=8", Some("Invalid mode value: 8")),
            ("posix:mode=0100", Some("Invalid mode: 0100")),
            ("posix:colour=red", Some("Unknown arg 'colour=red'")),
            ("metawrap:posix", Some("metawrap is not supported by this version")),
            ("x", Some("Unknown fs driver: x")),
        ] {
            assert_eq!(Options::parse(text).err().as_deref(), expect, "{text}");
        }
    }
}
