//! What can go wrong with a mailbox, sorted by whose fault it is, and the one function that says it
//! to a client in Dovecot's words. The log gets the whole chain through [`base::chain`].

use std::io;
use std::path::PathBuf;

use base::Uid;

use crate::denied;

/// The result of everything that touches mail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on mail failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such mailbox. Holds the name as the user knows it.
    #[error("Mailbox doesn't exist: {0}")]
    NotFound(String),
    /// The name exists, but only as a node of the hierarchy (`\Noselect`).
    #[error("Mailbox isn't selectable: {0}")]
    NotSelectable(String),
    /// A mailbox of this name is there already.
    #[error("Mailbox already exists: {0}")]
    Exists(String),
    /// A read-only mailbox forbids it. Holds what was attempted.
    #[error("Permission denied: {0}")]
    NoPermission(String),
    /// Rights on disk forbid it, which only the administrator can change. Holds the failed call and its reason.
    #[error("{0}")]
    Denied(String),
    /// The user's quota is full. Holds what the client sees.
    #[error("{0}")]
    QuotaExceeded(String),
    /// The disk is full, or the file system's quota for the user.
    #[error("{op}({path}) failed", path = path.display())]
    NoSpace {
        /// The system call or step.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The name can never be a mailbox here.
    #[error("Invalid mailbox name '{name}': {why}")]
    InvalidName {
        /// As the user gave it.
        name: String,
        /// In Dovecot's words.
        why: String,
    },
    /// The request makes no sense for this mailbox, through the client's fault; what it sees.
    #[error("{0}")]
    BadRequest(String),
    /// The driver, the namespace or this version cannot do it; what the client sees.
    #[error("{0}")]
    Unsupported(String),
    /// Somebody else holds what is needed, for instance a lock.
    #[error("{0}")]
    InUse(String),
    /// Only what is at hand was wanted ([`Wanted::AT_HAND`](crate::Wanted::AT_HAND)).
    #[error("Message UID {0} would have to be looked at")]
    TooSlow(Uid),
    /// The message was in the view but has gone meanwhile.
    #[error("Message UID {0} was expunged")]
    Expunged(Uid),
    /// The mailbox itself was deleted or replaced under the session, which should end.
    #[error("Mailbox was deleted under us: {0}")]
    MailboxGone(String),
    /// The system refused a call; trying later may help.
    #[error("{op}({path}) failed", path = path.display())]
    Temporary {
        /// The system call or step.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds what it must not hold and could not be mended.
    #[error("Corrupted file {path} at offset {offset}: {what}", path = path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// What was found.
        what: String,
    },
}

impl From<index::Error> for Error {
    fn from(error: index::Error) -> Self {
        match error {
            index::Error::Io { op, path, source } => Self::io(op, path, source),
            index::Error::Corrupt { path, offset, what } => Self::Corrupt { path, offset, what },
            index::Error::Busy(what) => Self::InUse(what),
        }
    }
}

/// Dovecot's error classes, from which each protocol makes its response code (`[NONEXISTENT]`,
/// `[ALREADYEXISTS]`, sysexits …).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// `[NONEXISTENT]`
    NotFound,
    /// `[ALREADYEXISTS]`
    Exists,
    /// `[NOPERM]`
    Permission,
    /// `[OVERQUOTA]`
    Quota,
    /// `[CANNOT]`: it can never work.
    NotPossible,
    /// `BAD`/`NO [CLIENTBUG]`: the client asked for nonsense.
    Params,
    /// `[INUSE]`
    InUse,
    /// `[EXPUNGEISSUED]`
    Expunged,
    /// `[SERVERBUG]`: the administrator has to look.
    Temporary,
}

impl Error {
    /// A failed system call on `path`.
    pub fn io(op: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            _ if source.raw_os_error() == Some(rustix::io::Errno::ACCESS.raw_os_error()) => {
                Self::Denied(denied::explained(op, &path))
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied(format!("{op}({}) failed: {}", path.display(), base::reason(&source)))
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { op, path, source },
            _ => Self::Temporary { op, path, source },
        }
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Exists(_) => ErrorKind::Exists,
            Self::NoPermission(_) => ErrorKind::Permission,
            Self::QuotaExceeded(_) | Self::NoSpace { .. } => ErrorKind::Quota,
            Self::InvalidName { .. } | Self::Unsupported(_) | Self::NotSelectable(_) | Self::TooSlow(_) => {
                ErrorKind::NotPossible
            }
            Self::BadRequest(_) => ErrorKind::Params,
            Self::InUse(_) => ErrorKind::InUse,
            Self::Expunged(_) => ErrorKind::Expunged,
            Self::MailboxGone(_) | Self::Denied(_) | Self::Temporary { .. } | Self::Corrupt { .. } => {
                ErrorKind::Temporary
            }
        }
    }

    /// Whether the administrator should find it in the log.
    pub fn is_internal(&self) -> bool {
        self.kind() == ErrorKind::Temporary || matches!(self, Self::NoSpace { .. })
    }

    /// What the client is told: short, safe, in Dovecot's words, without a path. Internal errors get
    /// the local time, by which the log line can be found.
    pub fn client_text(&self) -> String {
        match self {
            Self::NotFound(_) | Self::NotSelectable(_) => self.to_string(),
            Self::Exists(_) => "Mailbox already exists".to_owned(),
            Self::NoPermission(_) => "Permission denied".to_owned(),
            Self::InvalidName { why, .. } => format!("Invalid mailbox name: {why}"),
            Self::NoSpace { .. } => "Not enough disk quota".to_owned(),
            Self::QuotaExceeded(text)
            | Self::BadRequest(text)
            | Self::Unsupported(text)
            | Self::InUse(text) => text.clone(),
            Self::TooSlow(_) | Self::Expunged(_) => {
                "Some of the requested messages no longer exist.".to_owned()
            }
            Self::MailboxGone(_) | Self::Denied(_) | Self::Temporary { .. } | Self::Corrupt { .. } => {
                let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
                format!("Internal error occurred. Refer to server log for more information. [{now}]")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told() {
        use std::fs::{Permissions, create_dir, set_permissions, write};
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (top, file) = (dir.path().join("top"), dir.path().join("top/file"));
        create_dir(&top).unwrap();
        write(&file, "").unwrap();
        let denied =
            |op, path: &std::path::Path| Error::io(op, path, rustix::io::Errno::ACCESS.into()).to_string();
        let euid = rustix::process::geteuid().as_raw();
        let text = denied("open", &file);
        assert!(
            text.starts_with(&format!("open({}) failed: Permission denied (euid={euid}(", file.display()))
        );
        // Rights are there, so that nobody knows what it was.
        assert!(text.ends_with(" UNIX perms appear ok (ACL/MAC wrong?))"), "{text}");
        if euid == 0 {
            return;
        }
        for (mode, op, path, missing) in [
            (0o500, "mkdir", top.join("new"), format!(" missing +w perm: {})", top.display())),
            (0o600, "open", file.clone(), format!(" missing +x perm: {})", top.display())),
        ] {
            set_permissions(&top, Permissions::from_mode(mode)).unwrap();
            assert!(denied(op, &path).ends_with(&missing), "{}", denied(op, &path));
        }
        set_permissions(&top, Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn rights_on_disk_are_the_administrators_to_mend() {
        let error = Error::io("open", "/x", io::ErrorKind::PermissionDenied.into());
        assert_eq!((error.kind(), error.is_internal()), (ErrorKind::Temporary, true));
        assert!(error.to_string().starts_with("open(/x) failed: "), "{error}");
        assert!(error.client_text().starts_with("Internal error occurred."), "{}", error.client_text());
    }
}
