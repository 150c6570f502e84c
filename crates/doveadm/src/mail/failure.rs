//! What an error of the storage says to the administrator, and which exit status it makes.

use storage::Error;

use crate::context::status;

/// An error in the words of 2.3's tools: they see what the log sees.
pub(crate) struct Told<'a>(pub(crate) &'a Error);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            error @ (Error::Temporary { .. } | Error::NoSpace { .. } | Error::Corrupt { .. }) => {
                write!(f, "{}", base::chain(error))
            }
            Error::NoPermission(text) | Error::Denied(text) => f.write_str(text),
            error => f.write_str(&error.client_text()),
        }
    }
}

/// The exit status that 2.3 has for an error of this kind.
pub(super) fn status_of(error: &Error) -> i32 {
    match error {
        Error::NotFound(_) => status::NOT_FOUND,
        Error::InvalidName { .. } | Error::BadRequest(_) => status::USAGE,
        Error::NoPermission(_) => status::NO_PERMISSION,
        Error::QuotaExceeded(_) | Error::NoSpace { .. } => status::CANNOT_CREATE,
        Error::NotSelectable(_) | Error::Exists(_) | Error::Unsupported(_) | Error::InUse(_) => status::DATA,
        Error::TooSlow(_)
        | Error::Expunged(_)
        | Error::MailboxGone(_)
        | Error::Denied(_)
        | Error::Temporary { .. }
        | Error::Corrupt { .. } => status::TEMPFAIL,
    }
}
