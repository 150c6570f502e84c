//! `state_dir/instances`: which instances have run on this host, and with which configuration.
//! A line each: `<last used>\t<name>\t<base dir>\t<config path>`, tab-escaped.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The directory that is asked for `-i`, when no configuration is read yet.
const STATE_DIR_DEFAULT: &str = "/var/lib/dovecot";
const FILE_NAME: &str = "instances";

/// A lock that is older than this was left by somebody who died (as in 2.3).
const LOCK_STALE: Duration = Duration::from_secs(60);
const LOCK_TRIES: u32 = 100;
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// In seconds since 1970.
    pub(crate) last_used_s: u64,
    pub(crate) name: String,
    pub(crate) base_dir: String,
    pub(crate) config_path: String,
}

/// The list of one `state_dir`.
#[derive(Debug)]
pub(crate) struct Instances {
    path: PathBuf,
}

impl Instances {
    pub(crate) fn of(state_dir: &str) -> Self {
        Self { path: Path::new(state_dir).join(FILE_NAME) }
    }

    /// All instances, and the lines that are none.
    pub(crate) fn read(&self) -> io::Result<(Vec<Instance>, Vec<String>)> {
        let text = match fs::read(&self.path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut broken = Vec::new();
        let mut instances = Vec::new();
        for line in text.lines() {
            match parse(line) {
                Some(instance) => instances.push(instance),
                None => broken.push(line.to_owned()),
            }
        }
        Ok((instances, broken))
    }

    /// Takes out the instance of that name or, if there is none, of that base directory; says
    /// whether there was one.
    pub(crate) fn remove(&self, name: &str) -> io::Result<bool> {
        let lock = Lock::take(&self.path)?;
        let (mut instances, _) = self.read()?;
        let named = instances.iter().position(|instance| instance.name == name);
        let at = named.or_else(|| instances.iter().position(|instance| instance.base_dir == name));
        let Some(at) = at else { return Ok(false) };
        instances.remove(at);
        let lines: String = instances.iter().map(format).collect();
        lock.replace(&self.path, lines.as_bytes())?;
        Ok(true)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The configuration file of the instance that `-i` names, or why there is none.
pub(crate) fn config_path_of(name: &str) -> Result<String, String> {
    let unknown = || format!("Unknown instance name: {name}");
    let (instances, _) = Instances::of(STATE_DIR_DEFAULT).read().map_err(|_| unknown())?;
    let instance = instances.into_iter().find(|instance| instance.name == name).ok_or_else(unknown)?;
    let link = Path::new(&instance.base_dir).join("dovecot.conf");
    let path = fs::read_link(&link)
        .map_err(|error| format!("t_readlink({}) failed: {}", link.display(), base::reason(&error)))?;
    Ok(path.to_string_lossy().into_owned())
}

fn parse(line: &str) -> Option<Instance> {
    let mut fields = line.split('\t');
    Some(Instance {
        last_used_s: fields.next()?.parse().ok()?,
        name: base::tab::unescape(fields.next()?),
        base_dir: base::tab::unescape(fields.next()?),
        config_path: fields.next().map(base::tab::unescape).unwrap_or_default(),
    })
}

fn format(instance: &Instance) -> String {
    let escaped =
        [&instance.name, &instance.base_dir, &instance.config_path].map(|text| base::tab::escape(text));
    format!("{}\t{}\n", instance.last_used_s, escaped.join("\t"))
}

/// `instances.lock`, which the master and other doveadms respect. Its content becomes the list.
struct Lock(PathBuf);

impl Lock {
    fn take(list: &Path) -> io::Result<Self> {
        let path = list.with_extension("lock");
        for _ in 0..LOCK_TRIES {
            match fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path) {
                Ok(_) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let modified = fs::metadata(&path).and_then(|found| found.modified());
            let age = modified.ok().and_then(|then| SystemTime::now().duration_since(then).ok());
            if age.is_some_and(|age| age > LOCK_STALE) {
                // Whoever removes it first goes on; the others find a new lock.
                let _ = fs::remove_file(&path);
            } else {
                std::thread::sleep(LOCK_INTERVAL);
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{} is locked", list.display())))
    }

    fn replace(self, list: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).truncate(true).open(&self.0)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&self.0, list)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Gone already when it has become the list.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_listed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let list = Instances::of(directory.path().to_str().unwrap());
        assert_eq!(list.read().unwrap(), (vec![], vec![]));
        let text = "1795443962\tlab\t/srv/run\t/srv/dovecot.conf\nbroken\n5\t\u{1}tx\t/b\n";
        fs::write(list.path(), text).unwrap();
        let (instances, broken) = list.read().unwrap();
        assert_eq!(broken, ["broken"]);
        assert_eq!((instances[0].name.as_str(), instances[0].base_dir.as_str()), ("lab", "/srv/run"));
        assert_eq!(instances[1].name, "\tx");
        assert!(!list.remove("nosuch").unwrap());
        assert!(list.remove("lab").unwrap());
        assert!(list.remove("/b").unwrap());
        assert_eq!(fs::read_to_string(list.path()).unwrap(), "");
        assert!(!directory.path().join("instances.lock").exists());
    }
}
