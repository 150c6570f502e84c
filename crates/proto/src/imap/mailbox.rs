//! Mailbox names as clients send them.

use super::arg::Arg;
use super::error::ArgsError;
use super::limits::MAILBOX_NAME_BYTES_MAX;

/// A mailbox name, decoded from modified UTF-7. What its separators mean and whether it exists is
/// the storage's affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxName(String);

impl MailboxName {
    /// The name in UTF-8.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn parse(arg: Option<&Arg>, missing: ArgsError) -> Result<Self, ArgsError> {
        let bytes = arg.and_then(Arg::astring).ok_or(missing)?;
        let name = std::str::from_utf8(bytes).ok().and_then(|name| base::mutf7::decode(name).ok());
        let name = name.ok_or(ArgsError::no("Mailbox name is not valid mUTF-7"))?;
        if name.len() > MAILBOX_NAME_BYTES_MAX {
            let code = Some("CANNOT");
            return Err(ArgsError::No { code, text: "Invalid mailbox name: Mailbox name too long".into() });
        }
        Ok(Self(name))
    }
}

impl std::fmt::Display for MailboxName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
