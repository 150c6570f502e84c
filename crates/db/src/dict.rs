//! Dictionaries: keys and values in files, SQL databases, LDAP directories, Redis or memcached, or behind a
//! `dict` process, named by URIs as in 2.3 (`redis:host=127.0.0.1:prefix=mail/`).
//!
//! Keys begin with `shared/`, or with `priv/` for one user's own.

mod change;
mod config;
mod file;
mod fs;
mod iterate;
mod json;
mod ldap;
mod map;
mod memcached;
mod memcached_text;
mod proxy;
mod redis;
mod server;
mod sql;
mod uri;
mod wire;

use base::Logger;

pub use change::{Change, Committed, Transaction};
pub use config::{DictConfig, DictConfigError, DictKey, Format, Selection};
pub use iterate::{Flags, Iteration, Order, Row};
pub use json::fields as json_fields;
pub use uri::DictUri;

/// What all users share.
pub const SHARED: &str = "shared/";
/// What a user has for itself.
pub const PRIVATE: &str = "priv/";

/// Why a dictionary did not answer. The texts are 2.3's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DictError {
    /// A file, a connection, or what came over it.
    #[error("{0}")]
    Failed(String),
    /// A change was sent and the connection broke: nobody knows whether it was made.
    #[error("{0}")]
    Uncertain(String),
    /// Not with this kind of dictionary.
    #[error("Unsupported operation (dict does not support this feature)")]
    Unsupported,
}

/// What each kind of dictionary does. Whoever calls it has checked the keys.
trait Backend: Send {
    /// The values of a key, at least one; `None` if there is no such key.
    fn lookup(&mut self, user: &str, key: &str) -> Result<Option<Vec<String>>, DictError>;

    /// Calls `each` with what is found, in the order that was asked for.
    fn iterate(&mut self, _: &Iteration<'_>, _: &mut dyn FnMut(Row)) -> Result<(), DictError> {
        Err(DictError::Unsupported)
    }

    /// Makes the changes of a transaction, of which there is at least one.
    fn commit(&mut self, _: &Transaction) -> Result<Committed, DictError> {
        Err(DictError::Unsupported)
    }
}

/// A dictionary as one process uses it. It is connected to when first needed.
pub struct Dict(Box<dyn Backend>);

impl Dict {
    /// Does not connect yet. Failed connections and slow answers go to `log`.
    pub fn new(uri: &DictUri, log: &Logger) -> Self {
        Self(uri.open(log))
    }

    /// The value of a key, the first if it has several; `None` if there is none. `user` is whose private
    /// keys are meant.
    ///
    /// # Errors
    /// Nobody knows whether there is one.
    pub fn lookup(&mut self, user: &str, key: &str) -> Result<Option<String>, DictError> {
        Ok(self.values(user, key)?.and_then(|values| values.into_iter().next()))
    }

    /// All values of a key, of which SQL may give several.
    ///
    /// # Errors
    /// As [`Dict::lookup`].
    pub fn values(&mut self, user: &str, key: &str) -> Result<Option<Vec<String>>, DictError> {
        check_key(user, key)?;
        self.0.lookup(user, key)
    }

    /// Calls `each` with the keys below a path, and their values.
    ///
    /// # Errors
    /// They could not be listed, or not to the end.
    pub fn iterate(&mut self, iteration: &Iteration<'_>, each: &mut dyn FnMut(Row)) -> Result<(), DictError> {
        check_key(iteration.user, iteration.path)?;
        self.0.iterate(iteration, each)
    }

    /// Makes changes.
    ///
    /// # Errors
    /// They were not made, or nobody knows.
    pub fn commit(&mut self, transaction: &Transaction) -> Result<Committed, DictError> {
        for change in &transaction.changes {
            check_key(&transaction.user, change.key())?;
            if change.has_nul() {
                return Err(DictError::Failed(format!("Key or value has NULs: {}", change.key())));
            }
        }
        match transaction.changes.is_empty() {
            true => Ok(Committed::Done),
            false => self.0.commit(transaction),
        }
    }
}

fn check_key(user: &str, key: &str) -> Result<(), DictError> {
    if key.starts_with(PRIVATE) && user.is_empty() {
        return Err(DictError::Failed(format!("{PRIVATE} keys need a username: {key}")));
    }
    match key.starts_with(PRIVATE) || key.starts_with(SHARED) {
        true => Ok(()),
        false => Err(DictError::Failed(format!("Key must begin with '{PRIVATE}' or '{SHARED}': {key}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let uri = format!("file:{}/d", dir.path().display());
        let uri = DictUri::parse(&settings::StdFiles, &uri, "").unwrap();
        let mut dict = Dict::new(&uri, &Logger::new(""));
        for (user, key, expect) in [
            ("joe", "shared/a", None),
            ("", "shared/a", None),
            ("joe", "priv/a", None),
            ("", "priv/a", Some("priv/ keys need a username: priv/a")),
            ("joe", "a", Some("Key must begin with 'priv/' or 'shared/': a")),
        ] {
            assert_eq!(
                dict.lookup(user, key).err().map(|error| error.to_string()).as_deref(),
                expect,
                "{key}"
            );
        }
        let set = |value: &str| Transaction {
            changes: vec![Change::Set { key: "shared/a".into(), value: value.into() }],
            ..Transaction::default()
        };
        assert_eq!(dict.commit(&set("b")), Ok(Committed::Done));
        assert!(dict.commit(&set("\0")).is_err());
        assert_eq!(dict.values("", "shared/a"), Ok(Some(vec!["b".into()])));
    }
}
