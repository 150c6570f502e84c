//! User names: what may be in them, and who is whom.

use super::Request;
use crate::vars;

impl Request {
    /// Takes the name that the client gave. `masters` is the name of the first master
    /// passdb, if there is one.
    ///
    /// # Errors
    /// Why such a name cannot log in, in 2.3's words.
    pub(crate) fn set_username(&mut self, name: &str, masters: Option<&str>) -> Result<(), String> {
        let separator = self.config.master_user_separator;
        // `login*master`
        let (login, name) = match separator.and_then(|separator| name.split_once(separator)) {
            Some((login, master)) => (Some(login.to_owned()), master.to_owned()),
            None => (None, name.to_owned()),
        };
        if self.facts.original_user.is_none() {
            self.facts.original_user = Some(name.clone());
        }
        // The name in a certificate goes before what the mechanism says.
        let name = match (&self.facts.user, self.facts.cert_username) {
            (Some(user), true) => user.clone(),
            _ => name,
        };
        match self.fixed_username(&name) {
            Ok(name) => self.facts.user = Some(name),
            Err(error) => {
                self.facts.user = None;
                return Err(error);
            }
        }
        if self.facts.translated_user.is_none() {
            self.facts.translated_user.clone_from(&self.facts.user);
        }
        self.progress.user_changed = true;
        match login {
            Some(login) => self.set_login_username(&login, masters),
            None => Ok(()),
        }
    }

    /// Takes the name of whom a master user wants to be.
    ///
    /// # Errors
    /// Why that is not possible.
    pub(crate) fn set_login_username(&mut self, name: &str, masters: Option<&str>) -> Result<(), String> {
        if name.is_empty() {
            return Err("Master user login attempted to use empty login username".into());
        }
        if self.facts.user.as_deref() == Some(name) {
            return Ok(());
        }
        let Some(database) = masters else {
            return Err("Master user login attempted without master passdbs".into());
        };
        self.facts.login_user = None;
        let name = self.fixed_username(name)?;
        let text = format!("Master user lookup for login: {name}");
        self.facts.login_user = Some(name);
        self.debug_as(database, text);
        Ok(())
    }

    /// The master user has proved who it is: from now on it is somebody else.
    pub(crate) fn finish_master_login(&mut self) {
        if self.progress.failed {
            return;
        }
        let Some(login) = self.facts.login_user.take() else { return };
        self.info(format_args!("Master user logging in as {login}"));
        self.facts.master_user = self.facts.user.replace(login.clone());
        self.facts.translated_user = Some(login);
    }

    /// `auth_default_realm`, `auth_username_translation`, `auth_username_chars` and
    /// `auth_username_format`.
    fn fixed_username(&self, given: &str) -> Result<String, String> {
        let config = &self.config;
        let mut name = given.to_owned();
        if !config.default_realm.is_empty() && !name.contains('@') {
            name = format!("{name}@{}", config.default_realm);
        }
        if !config.username_translation.is_empty() {
            let translated = name.into_bytes().into_iter().map(|byte| {
                let rule = config.username_translation.iter().rev().find(|(from, _)| *from == byte);
                rule.map_or(byte, |(_, to)| *to)
            });
            name = String::from_utf8_lossy(&translated.collect::<Vec<_>>()).into_owned();
        }
        let allowed = config.username_chars.as_bytes();
        let bad = name.bytes().find(|byte| !allowed.is_empty() && !allowed.contains(byte));
        if let Some(byte) = bad {
            let shown: String = given.chars().take(128).collect();
            return Err(format!(
                "Username character disallowed by auth_username_chars: 0x{byte:02x} (username: {shown})"
            ));
        }
        if !config.username_format.is_empty() {
            name = vars::expand_as(&config.username_format, self, &name, vars::plain).map_err(|error| {
                format!("Failed to expand username_format={}: {error}", config.username_format)
            })?;
        }
        if name.is_empty() {
            return Err("Empty username".into());
        }
        Ok(name)
    }

    /// Applies a field that changes the name; `false` if it is another field.
    pub(super) fn update_username(&mut self, field: &str, value: &str) -> bool {
        let Some(name) = updated_username(self.user(), field, value) else { return false };
        if name.is_empty() {
            self.error("username attempted to be changed to empty");
            self.progress.failed = true;
        } else if self.user() != name {
            self.debug(format_args!("username changed {} -> {name}", self.user()));
            self.facts.user = Some(name);
            self.progress.user_changed = true;
        }
        true
    }
}

fn updated_username(old: &str, field: &str, value: &str) -> Option<String> {
    let (local, domain) = match old.split_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (old, None),
    };
    match (field, domain) {
        ("user", _) => Some(value.to_owned()),
        ("username", _) if value.contains('@') => Some(value.to_owned()),
        ("username", Some(domain)) => Some(format!("{value}@{domain}")),
        ("username", None) => Some(value.to_owned()),
        ("domain", _) => Some(format!("{local}@{value}")),
        _ => None,
    }
}
