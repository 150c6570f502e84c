//! Mailbox attributes (RFC 5464) in a dictionary, `mail_attribute_dict`. This is Dovecot's `file` dict: for
//! each key a line with it and a line with its value, both escaped, in no order; whoever changes it writes
//! it anew under its dotlock. Keys are `priv/<GUID>/<name>` and `shared/<GUID>/<name>`, see
//! `docs/formats/attributes.md`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{Guid, Logger};
use index::dotlock::{Dotlock, DotlockSettings};

use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions};
use crate::limits::ATTRIBUTE_FILE_BYTES_MAX;
use crate::settings::{FsyncMode, MailSettings};

/// Who sees an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// `/private`: the user.
    Private,
    /// `/shared`: everybody who may see the mailbox.
    Shared,
}

impl Scope {
    /// What a mailbox's keys in the dictionary begin with.
    fn prefix(self, guid: Guid) -> String {
        match self {
            Self::Private => format!("priv/{guid}/"),
            Self::Shared => format!("shared/{guid}/"),
        }
    }
}

/// The dictionary of one user.
#[derive(Clone, Debug)]
pub struct AttributeDict {
    path: PathBuf,
}

impl AttributeDict {
    /// The dictionary that `mail_attribute_dict` names; `home` is what `~` stands for.
    ///
    /// # Errors
    /// The setting is empty, or names a dictionary that is not supported.
    pub fn of(setting: &str, home: Option<&Path>) -> Result<Self> {
        if setting.is_empty() {
            return Err(Error::Unsupported("Mailbox attributes not enabled".to_owned()));
        }
        let failed = |why: String| {
            Error::Unsupported(format!("mail_attribute_dict: dict_init({setting}) failed: {why}"))
        };
        let (driver, rest) =
            setting.split_once(':').ok_or_else(|| failed("Dictionary URI is missing ':'".to_owned()))?;
        if driver != "file" {
            return Err(failed(format!("Unknown dict module: {driver}")));
        }
        let path = match rest.split_once(':') {
            None => rest,
            Some((_, parameter)) => return Err(failed(format!("{parameter} isn't supported yet"))),
        };
        let path = match (path.strip_prefix("~/"), home) {
            (Some(below), Some(home)) => home.join(below),
            _ => PathBuf::from(path),
        };
        Ok(Self { path })
    }

    /// The value of a mailbox's attribute.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn value(&self, guid: Guid, scope: Scope, name: &str) -> Result<Option<String>> {
        Ok(self.load()?.remove(&format!("{}{name}", scope.prefix(guid))))
    }

    /// The names and values of a mailbox's attributes, by name.
    ///
    /// # Errors
    /// As [`AttributeDict::value`].
    pub fn all(&self, guid: Guid, scope: Scope) -> Result<Vec<(String, String)>> {
        let prefix = scope.prefix(guid);
        let own = self.load()?.into_iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(&prefix)?.to_owned();
            Some((name, value))
        });
        Ok(own.collect())
    }

    /// Gives a mailbox's attribute a value, or takes it away.
    ///
    /// # Errors
    /// The file cannot be locked, read or written; a value with a NUL in it.
    pub fn set(
        &self,
        guid: Guid,
        scope: Scope,
        name: &str,
        value: Option<&str>,
        settings: &MailSettings,
        logger: &Logger,
    ) -> Result<()> {
        if value.is_some_and(|value| value.contains('\0')) {
            return Err(Error::BadRequest("Attribute string value has NULs".to_owned()));
        }
        let lock = self.lock(settings, logger)?;
        let mut all = self.load()?;
        let key = format!("{}{name}", scope.prefix(guid));
        let before = all.get(&key).map(String::as_str);
        if before == value {
            return Ok(());
        }
        match value {
            Some(value) => all.insert(key, value.to_owned()),
            None => all.remove(&key),
        };
        let lines = all
            .iter()
            .map(|(key, value)| format!("{}\n{}\n", base::tab::escape(key), base::tab::escape(value)));
        let text: String = lines.collect();
        lock.write(text.as_bytes()).map_err(|error| Error::io("write", &self.path, error))?;
        lock.replace(&self.path, settings.mail_fsync != FsyncMode::Never)?;
        Ok(())
    }

    fn lock(&self, settings: &MailSettings, logger: &Logger) -> Result<Dotlock> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let permissions = Permissions::of_dir(dir);
        let lock_settings = DotlockSettings {
            timeout: TIMEOUT,
            stale: STALE,
            use_excl: settings.dotlock_use_excl,
            hostname: settings.hostname.clone(),
        };
        let fs = Fs::default();
        let take = || Dotlock::open(&fs, &self.path, &permissions, &lock_settings, logger);
        match take() {
            Err(index::Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                fs.mkdir_all(dir, &permissions).map_err(|error| Error::io("mkdir_parents", dir, error))?;
                Ok(take()?)
            }
            taken => Ok(taken?),
        }
    }

    fn load(&self) -> Result<BTreeMap<String, String>> {
        let failed = |error| Error::io("open", &self.path, error);
        match std::fs::metadata(&self.path) {
            Err(error) if crate::fs::is_missing(&error) => return Ok(BTreeMap::new()),
            Ok(meta) if meta.len() > ATTRIBUTE_FILE_BYTES_MAX => {
                return Err(failed(io::ErrorKind::FileTooLarge.into()));
            }
            Ok(_) => {}
            Err(error) => return Err(failed(error)),
        }
        let bytes = std::fs::read(&self.path).map_err(failed)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        let mut all = BTreeMap::new();
        // A key without a value was never written whole.
        while let (Some(key), Some(value)) = (lines.next(), lines.next()) {
            all.insert(base::tab::unescape(key), base::tab::unescape(value));
        }
        Ok(all)
    }
}

// 2.3's file_dict_dotlock_settings.
const TIMEOUT: Duration = Duration::from_secs(120);
const STALE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dovecot_wrote_is_read_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/dovecot-attributes");
        let dict = AttributeDict::of(&format!("file:{}", path.display()), None).unwrap();
        let (guid, other) = (Guid([1; 16]), Guid([2; 16]));
        let (settings, logger) = (MailSettings::default(), Logger::new(""));
        let set = |guid, scope, name, value| dict.set(guid, scope, name, value, &settings, &logger).unwrap();
        assert_eq!(dict.value(guid, Scope::Private, "comment").unwrap(), None);
        set(guid, Scope::Private, "comment", Some("a\tb\nc"));
        set(guid, Scope::Shared, "comment", Some("for all"));
        set(other, Scope::Private, "comment", Some("x"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("priv/{guid}/comment\na\u{1}tb\u{1}nc\n")), "{text}");
        assert!(text.contains(&format!("shared/{guid}/comment\nfor all\n")), "{text}");
        assert_eq!(dict.value(guid, Scope::Private, "comment").unwrap().as_deref(), Some("a\tb\nc"));
        set(guid, Scope::Private, "comment", None);
        assert_eq!(dict.all(guid, Scope::Private).unwrap(), []);
        assert_eq!(dict.all(other, Scope::Private).unwrap(), [("comment".to_owned(), "x".to_owned())]);
        assert!(dict.set(guid, Scope::Private, "nul", Some("\0"), &settings, &logger).is_err());
    }

    #[test]
    fn other_dictionaries_are_refused() {
        let refused = |setting| AttributeDict::of(setting, None).unwrap_err().to_string();
        assert_eq!(refused(""), "Mailbox attributes not enabled");
        assert!(refused("proxy::x").ends_with("Unknown dict module: proxy"));
        assert!(refused("file:/x:lock=fcntl").ends_with("lock=fcntl isn't supported yet"));
        let home = AttributeDict::of("file:~/x", Some(Path::new("/home/a"))).unwrap();
        assert_eq!(home.path, Path::new("/home/a/x"));
    }
}
