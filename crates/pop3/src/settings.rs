//! The `pop3_*` settings as values.

use settings::vars::Expander;
use settings::{Settings, key};

/// `pop3_client_workarounds`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Workarounds {
    /// `outlook-no-nuls`: NUL bytes of messages are sent as 0x80.
    pub outlook_no_nuls: bool,
    /// `oe-ns-eoh`: the empty line that ends the header is sent even where a message has none.
    pub oe_ns_eoh: bool,
}

/// `pop3_delete_type`, after its `default` is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeleteType {
    /// QUIT expunges the deleted messages.
    #[default]
    Expunge,
    /// QUIT gives them the keyword of `pop3_deleted_flag`, which hides them from POP3.
    Flag,
}

/// The settings of a session, after expansion of variables.
#[derive(Debug, Clone)]
pub struct Pop3Settings {
    /// `pop3_no_flag_updates`
    pub no_flag_updates: bool,
    /// `pop3_enable_last`
    pub enable_last: bool,
    /// `pop3_reuse_xuidl`
    pub reuse_xuidl: bool,
    /// `pop3_save_uidl`
    pub save_uidl: bool,
    /// `pop3_lock_session`
    pub lock_session: bool,
    /// `pop3_fast_size_lookups`
    pub fast_size_lookups: bool,
    /// `pop3_client_workarounds`
    pub workarounds: Workarounds,
    /// `pop3_logout_format`, not expanded.
    pub logout_format: String,
    /// `pop3_uidl_format`, not expanded.
    pub uidl_format: String,
    /// `pop3_uidl_duplicates = rename`
    pub rename_duplicates: bool,
    /// `pop3_deleted_flag`: a keyword; messages that have it are not shown.
    pub deleted_flag: Option<String>,
    /// `pop3_delete_type`
    pub delete_type: DeleteType,
}

impl Pop3Settings {
    /// Takes them from the settings that apply to the user.
    ///
    /// # Errors
    /// A word that a setting does not know, as the log line says it.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let deleted_flag = Some(settings.get(key::POP3_DELETED_FLAG)).filter(|flag| !flag.is_empty());
        Ok(Self {
            no_flag_updates: settings.get(key::POP3_NO_FLAG_UPDATES),
            enable_last: settings.get(key::POP3_ENABLE_LAST),
            reuse_xuidl: settings.get(key::POP3_REUSE_XUIDL),
            save_uidl: settings.get(key::POP3_SAVE_UIDL),
            lock_session: settings.get(key::POP3_LOCK_SESSION),
            fast_size_lookups: settings.get(key::POP3_FAST_SIZE_LOOKUPS),
            workarounds: Workarounds::parse(settings.get(key::POP3_CLIENT_WORKAROUNDS))?,
            logout_format: settings.get(key::POP3_LOGOUT_FORMAT).to_owned(),
            uidl_format: settings.get(key::POP3_UIDL_FORMAT).to_owned(),
            rename_duplicates: settings.get(key::POP3_UIDL_DUPLICATES) == "rename",
            delete_type: DeleteType::parse(settings.get(key::POP3_DELETE_TYPE), deleted_flag)?,
            deleted_flag: deleted_flag.map(str::to_owned),
        })
    }

    /// Whether the UIDLs of all messages have to be known at once: to tell equal ones apart, or to
    /// sum them up in the log line.
    pub fn keeps_uidls(&self) -> bool {
        self.rename_duplicates || self.wants_uidl_change()
    }

    /// Whether the log line has `%{uidl_change}`.
    pub fn wants_uidl_change(&self) -> bool {
        // Everything else is known; so an unknown variable is this one, and does no harm if not.
        let known = ['p', 't', 'b', 'r', 'd', 'm', 's', 'i', 'o'].map(|short| (short, "", Some("")));
        let expander = Expander {
            dynamic: &|name, _| (name != "uidl_change").then(String::new),
            ..Expander::of(&known)
        };
        expander.expand_all(&self.logout_format).1.is_some()
    }
}

impl Default for Pop3Settings {
    /// Dovecot 2.3's defaults.
    fn default() -> Self {
        Self {
            no_flag_updates: false,
            enable_last: false,
            reuse_xuidl: false,
            save_uidl: false,
            lock_session: false,
            fast_size_lookups: false,
            workarounds: Workarounds::default(),
            logout_format: "top=%t/%p, retr=%r/%b, del=%d/%m, size=%s".to_owned(),
            uidl_format: "%08Xu%08Xv".to_owned(),
            rename_duplicates: false,
            deleted_flag: None,
            delete_type: DeleteType::default(),
        }
    }
}

impl Workarounds {
    /// Parses the setting: words in any case with spaces or commas between them.
    ///
    /// # Errors
    /// A word that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut workarounds = Self::default();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "outlook-no-nuls" => workarounds.outlook_no_nuls = true,
                "oe-ns-eoh" => workarounds.oe_ns_eoh = true,
                _ => return Err(format!("pop3_client_workarounds: Unknown workaround: {word}")),
            }
        }
        Ok(workarounds)
    }
}

impl DeleteType {
    /// Parses the setting; `default` means flagging where there is a flag.
    ///
    /// # Errors
    /// A word that is none, or flagging without a flag.
    pub fn parse(text: &str, deleted_flag: Option<&str>) -> Result<Self, String> {
        match (text, deleted_flag) {
            ("default", None) | ("expunge", _) => Ok(Self::Expunge),
            ("default" | "flag", Some(_)) => Ok(Self::Flag),
            ("flag", None) => Err("pop3_delete_type=flag, but pop3_deleted_flag not set".to_owned()),
            _ => Err(format!("pop3_delete_type: Unknown value '{text}'")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workarounds() {
        let check = |text: &str, expected: Result<(bool, bool), &str>| {
            let found = Workarounds::parse(text).map(|found| (found.outlook_no_nuls, found.oe_ns_eoh));
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        };
        check("", Ok((false, false)));
        check("Outlook-No-Nuls, oe-ns-eoh", Ok((true, true)));
        check("oe-ns-eoh x", Err("pop3_client_workarounds: Unknown workaround: x"));
    }

    #[test]
    fn delete_types() {
        let check = |text: &str, flag: Option<&str>, expected: Option<DeleteType>| {
            assert_eq!(DeleteType::parse(text, flag).ok(), expected, "{text} {flag:?}");
        };
        check("default", None, Some(DeleteType::Expunge));
        check("default", Some("$Gone"), Some(DeleteType::Flag));
        check("expunge", Some("$Gone"), Some(DeleteType::Expunge));
        check("flag", Some("$Gone"), Some(DeleteType::Flag));
        check("flag", None, None);
        check("x", None, None);
    }

    #[test]
    fn uidl_change() {
        let check = |format: &str, expected: bool| {
            let settings = Pop3Settings { logout_format: format.to_owned(), ..Pop3Settings::default() };
            assert_eq!(settings.wants_uidl_change(), expected, "{format}");
        };
        check("top=%t/%p, retr=%r/%b, del=%d/%m, size=%s", false);
        check("%{deleted_bytes} %{session} %i/%o", false);
        check("%u", true);
        check("x %{uidl_change}", true);
    }
}
