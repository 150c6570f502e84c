//! A user's mailbox attributes (RFC 5464): those in the dictionary, and those that follow from the
//! configuration. Attributes of the server stand with INBOX's, below [`SERVER`].

use base::Guid;
use storage::attributes::{AttributeDict, Scope};
use storage::{Error, OpenMode, Result};

use crate::{MailUser, NamespaceType};

/// Where the server's attributes stand among those of INBOX.
pub const SERVER: &str = "vendor/vendor.dovecot/pvt/server/";

const SPECIAL_USE: &str = "specialuse";
const COMMENT: &str = "comment";
const SERVER_COMMENT: &str = "vendor/vendor.dovecot/pvt/server/comment";
const SERVER_ADMIN: &str = "vendor/vendor.dovecot/pvt/server/admin";

impl MailUser {
    /// The value of a mailbox's attribute; `name` is what follows `/private/` or `/shared/`, in small
    /// letters.
    ///
    /// # Errors
    /// There is no such mailbox, or no dictionary.
    pub fn attribute(&self, mailbox: &str, scope: Scope, name: &str) -> Result<Option<String>> {
        let from_configuration = self.configured_attribute(mailbox, scope, name);
        if is_fixed(scope, name) {
            return Ok(from_configuration);
        }
        let own = self.dict(mailbox)?.value(self.attribute_guid(mailbox)?, scope, name)?;
        Ok(own.or(from_configuration))
    }

    /// The names of a mailbox's attributes in the dictionary, with their values.
    ///
    /// # Errors
    /// As [`MailUser::attribute`].
    pub fn attributes(&self, mailbox: &str, scope: Scope) -> Result<Vec<(String, String)>> {
        self.dict(mailbox)?.all(self.attribute_guid(mailbox)?, scope)
    }

    /// The names of a mailbox's attributes that begin with `prefix`, without it, as 2.3 lists them: also
    /// those that the configuration could give a value. A missing dictionary has none.
    ///
    /// # Errors
    /// There is no such mailbox, or the dictionary cannot be read.
    pub fn attribute_names(&self, mailbox: &str, scope: Scope, prefix: &str) -> Result<Vec<String>> {
        let guid = self.attribute_guid(mailbox)?;
        let has_dict = !self.settings().mail.attribute_dict.is_empty();
        let own = match has_dict {
            true => self.dict(mailbox)?.all(guid, scope)?,
            false => Vec::new(),
        };
        let own = own.into_iter().filter_map(|(name, _)| Some(name.strip_prefix(prefix)?.to_owned()));
        let mut names: Vec<String> = own.collect();
        let known: &[&str] = match scope {
            Scope::Private => &[COMMENT, SPECIAL_USE],
            Scope::Shared => &[COMMENT, SERVER_ADMIN, SERVER_COMMENT],
        };
        let known = known.iter().filter(|name| has_dict || is_fixed(scope, name));
        let known = known.filter(|name| !name.starts_with(SERVER) || self.is_inbox(mailbox));
        let known = known.filter_map(|name| match name.strip_prefix(prefix.trim_end_matches('/'))? {
            rest if prefix.is_empty() || rest.is_empty() => Some(rest.to_owned()),
            rest => Some(rest.strip_prefix('/')?.to_owned()),
        });
        for name in known {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Gives a mailbox's attribute a value, or takes it away.
    ///
    /// # Errors
    /// As [`MailUser::attribute`], and for those that only the configuration sets.
    pub fn set_attribute(&self, mailbox: &str, scope: Scope, name: &str, value: Option<&str>) -> Result<()> {
        if is_fixed(scope, name) {
            let scope = if scope == Scope::Private { "private" } else { "shared" };
            return Err(Error::Unsupported(format!("The /{scope}/{name} attribute cannot be changed")));
        }
        let guid = self.attribute_guid(mailbox)?;
        self.dict(mailbox)?.set(guid, scope, name, value, &self.settings().mail, self.logger())
    }

    fn attribute_guid(&self, mailbox: &str) -> Result<Guid> {
        self.open_mailbox(mailbox, OpenMode::ReadOnly)?.guid()
    }

    fn dict(&self, mailbox: &str) -> Result<AttributeDict> {
        if self.namespace_of(mailbox).is_some_and(|namespace| namespace.kind() == NamespaceType::Shared) {
            // They are in the dictionary of another user.
            let text = "Mailbox attributes not available for this mailbox";
            return Err(Error::Unsupported(text.to_owned()));
        }
        AttributeDict::of(&self.settings().mail.attribute_dict, self.home())
    }

    fn is_inbox(&self, mailbox: &str) -> bool {
        mailbox.eq_ignore_ascii_case("INBOX")
    }

    fn configured_attribute(&self, mailbox: &str, scope: Scope, name: &str) -> Option<String> {
        let settings = self.mailbox_settings(mailbox);
        let value = match (scope, name) {
            (Scope::Private, SPECIAL_USE) => settings?.special_use.join(" "),
            (_, COMMENT) => settings?.comment.clone(),
            (Scope::Shared, SERVER_COMMENT) if self.is_inbox(mailbox) => {
                self.settings().mail.server_comment.clone()
            }
            (Scope::Shared, SERVER_ADMIN) if self.is_inbox(mailbox) => {
                self.settings().mail.server_admin.clone()
            }
            _ => return None,
        };
        (!value.is_empty()).then_some(value)
    }
}

/// Whether only the configuration gives the attribute its value.
fn is_fixed(scope: Scope, name: &str) -> bool {
    match scope {
        Scope::Private => name == SPECIAL_USE,
        Scope::Shared => name == SERVER_COMMENT || name == SERVER_ADMIN,
    }
}
