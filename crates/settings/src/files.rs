//! How the parser reaches files, names and the environment: through its caller, since this crate
//! touches none of them. [`StdFiles`] is the one exception, kept here because every process that
//! may read the configuration needs the same (docs/decisions/0002-settings-files.md).

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::limits::FILE_BYTES_MAX;

/// What a configuration may refer to.
pub trait Files {
    /// The bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The files that match a shell pattern (`*`, `?`, `[a-z]`, `{a,b}`), sorted by name. A
    /// pattern without any such character matches the file of that name if it exists.
    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>>;

    /// An environment variable, for `$ENV:NAME`.
    fn env(&self, _name: &str) -> Option<String> {
        None
    }

    /// The addresses of a host, for `local` and `remote` with names.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Err(io::Error::new(io::ErrorKind::NotFound, format!("{host}: no name service here")))
    }

    /// Whether the system has a user of this name; `None` if that cannot be told.
    fn user_exists(&self, _name: &str) -> Option<bool> {
        None
    }
}

/// The system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdFiles;

impl Files for StdFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        use io::Read;
        let mut bytes = Vec::new();
        let limit = FILE_BYTES_MAX as u64 + 1;
        std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "File too large"));
        }
        Ok(bytes)
    }

    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let list = |dir: &Path| -> io::Result<Vec<String>> {
            let entries = std::fs::read_dir(dir)?;
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        crate::glob::expand(pattern, &list, &|path| path.symlink_metadata().is_ok())
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        use std::net::ToSocketAddrs;
        Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }

    fn user_exists(&self, name: &str) -> Option<bool> {
        let passwd = self.read(Path::new("/etc/passwd")).ok()?;
        let listed = passwd
            .split(|byte| *byte == b'\n')
            .any(|line| line.split(|byte| *byte == b':').next() == Some(name.as_bytes()));
        if listed {
            return Some(true);
        }
        // Users may also come from elsewhere: then only the system's own lookup can tell.
        let switch = self.read(Path::new("/etc/nsswitch.conf")).unwrap_or_default();
        let switch = String::from_utf8_lossy(&switch);
        let sources = switch.lines().find_map(|line| line.trim_start().strip_prefix("passwd:"));
        let plain = sources
            .unwrap_or("files")
            .split_whitespace()
            .all(|source| matches!(source, "files" | "compat" | "systemd"));
        plain.then_some(false)
    }
}

/// Files that exist in memory only, for tests and for checking a text before it is saved.
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    /// Each path with its bytes.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// The environment.
    pub env: BTreeMap<String, String>,
}

impl MemoryFiles {
    /// One file.
    pub fn one(path: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> Self {
        Self::default().with(path, text)
    }

    /// One more file.
    pub fn with(mut self, path: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // The number is what a system call would give, so that the words are the same.
        self.files.get(path).cloned().ok_or_else(|| io::Error::from_raw_os_error(2))
    }

    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let list = |dir: &Path| -> io::Result<Vec<String>> {
            let below = self.files.keys().filter_map(|path| path.strip_prefix(dir).ok());
            let first = below.filter_map(|rest| rest.components().next());
            let mut names: Vec<String> =
                first.map(|name| name.as_os_str().to_string_lossy().into_owned()).collect();
            names.dedup();
            Ok(names)
        };
        crate::glob::expand(pattern, &list, &|path| self.files.keys().any(|file| file.starts_with(path)))
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
}
