//! What a database's own configuration file says: keys and values, of which the last of a key counts.

/// The keys that a file may have, by what their values are.
pub(crate) struct Keys {
    pub(crate) texts: &'static [&'static str],
    pub(crate) switches: &'static [&'static str],
    pub(crate) numbers: &'static [&'static str],
}

impl Keys {
    /// Whether a line is one of these.
    ///
    /// # Errors
    /// It is not, in 2.3's words.
    pub(crate) fn check(&self, key: &str, value: &str) -> Result<(), String> {
        if self.texts.contains(&key) {
            return Ok(());
        }
        if self.switches.contains(&key) {
            let is_one = ["yes", "no"].iter().any(|word| value.eq_ignore_ascii_case(word));
            return is_one.then_some(()).ok_or_else(|| format!("Invalid boolean: {value}"));
        }
        if self.numbers.contains(&key) {
            return value.parse().map(|_: u32| ()).map_err(|_| format!("Invalid number: {value}"));
        }
        Err(format!("Unknown setting: {key}"))
    }
}

/// The lines of a file.
#[derive(Clone, Copy)]
pub(crate) struct Items<'a>(&'a [(String, String)]);

impl<'a> Items<'a> {
    pub(crate) fn new(lines: &'a [(String, String)]) -> Self {
        Self(lines)
    }

    /// What stands behind a key; `None` if it is not there.
    pub(crate) fn value(self, wanted: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str())
    }

    /// The same, or a default.
    pub(crate) fn text(self, key: &str, default: &str) -> String {
        self.value(key).unwrap_or(default).to_owned()
    }

    /// The same; nothing is as good as no key.
    pub(crate) fn filled(self, key: &str) -> Option<&'a str> {
        self.value(key).filter(|value| !value.is_empty())
    }

    /// Whether it says `yes`.
    pub(crate) fn is(self, key: &str) -> bool {
        self.value(key).is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }
}

#[cfg(test)]
mod tests {
    use settings::MemoryFiles;

    use crate::ldap::LdapConfig;
    use crate::oauth2::Oauth2Config;
    use crate::sql::SqlConfig;

    /// What `database` says to a file whose third line is `line`.
    fn check(database: &str, line: &str, expected: &str) {
        let files = MemoryFiles::one("/x", format!("# A comment.\n\n{line}\n"));
        let said = match database {
            "sql" => base::chain(&SqlConfig::read(&files, "/x").unwrap_err()).to_string(),
            "ldap" => base::chain(&LdapConfig::read(&files, "/x").unwrap_err()).to_string(),
            _ => base::chain(&Oauth2Config::read(&files, "/x", "").unwrap_err()).to_string(),
        };
        assert_eq!(said, format!("{database} /x: Error in configuration file /x line 3: {expected}"));
    }

    #[test]
    fn typos_are_told_with_their_line() {
        for database in ["sql", "ldap", "oauth2"] {
            check(database, "colour = red", "Unknown setting: colour");
            check(database, "what", "Expecting '='");
        }
        check("sql", "userdb_warning_disable = on", "Invalid boolean: on");
        check("ldap", "auth_bind = true", "Invalid boolean: true");
        check("ldap", "ldap_version = three", "Invalid number: three");
        check("oauth2", "debug =", "Invalid boolean: ");
        check("oauth2", "timeout_msecs = -1", "Invalid number: -1");
    }
}
