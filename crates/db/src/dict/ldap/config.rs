//! The keys and sections of the file behind an `ldap:` dictionary.

use std::path::Path;
use std::time::Duration;

use settings::Files;
use settings::ext::Item;
use settings::vars::Expander;

use super::quoted;
use crate::dict::map::{self, Draft as _, Pattern, assign, at_line};
use crate::ldap::{LdapConfig, SCOPE_BASE, SCOPE_ONELEVEL, SCOPE_SUBTREE};
use crate::limits::LDAP_DICT_TIMEOUT;

/// What the file says.
pub(in crate::dict) struct Config {
    pub(super) server: LdapConfig,
    /// `max_idle_time`; zero is for ever.
    pub(super) idle_max: Duration,
    maps: Vec<Map>,
}

/// `map {}`: keys of one form, each of which is an attribute of an entry.
#[derive(Debug)]
pub(super) struct Map {
    pattern: Pattern,
    filter: String,
    username_attribute: String,
    pub(super) value_attribute: String,
    pub(super) base_dn: String,
    /// As in [`crate::ldap`].
    pub(super) scope: i32,
    /// The names by which the filter refers to the pattern's variables.
    fields: Vec<String>,
}

impl Config {
    pub(in crate::dict) fn read(files: &dyn Files, path: &str) -> Result<Self, String> {
        let items =
            settings::ext::parse_sections(files, Path::new(path)).map_err(|error| error.to_string())?;
        let (mut server, mut maps) = (Server::default(), Vec::new());
        for item in items {
            match item {
                Item::Value { key, value, line } => {
                    server.set(&key, value).map_err(|text| at_line(path, line, &text))?;
                }
                Item::Section { kind, items, end, .. } if kind == "map" => {
                    maps.push(Draft::read(path, items)?.finish().map_err(|text| at_line(path, end, &text))?);
                }
                Item::Section { kind, line, .. } => {
                    return Err(at_line(path, line, &format!("Unknown section: {kind}")));
                }
            }
        }
        let idle_max = server.idle_max;
        Ok(Self { server: server.finish(path)?, idle_max, maps })
    }

    /// The first map for a key, with the values of its variables.
    pub(super) fn find(&self, key: &str) -> Option<(&Map, Vec<String>)> {
        self.maps.iter().find_map(|map| Some((map, map.pattern.values(key)?)))
    }
}

impl Map {
    /// The filter for some values, and for a user's own.
    pub(super) fn filter(&self, values: &[String], user: Option<&str>) -> Result<String, String> {
        let template = match user {
            Some(_) => format!("(&({}=%{{username}}){})", self.username_attribute, self.filter),
            None => self.filter.clone(),
        };
        let name = |name, value: &str| (name, quoted(value));
        let named = self.fields.iter().zip(values).map(|(field, value)| name(field.as_str(), value));
        let known: Vec<_> = [name("username", user.unwrap_or_default())].into_iter().chain(named).collect();
        let table: Vec<_> = known.iter().map(|(name, value)| ('\0', *name, Some(value.as_str()))).collect();
        Expander::of(&table)
            .expand(&template)
            .map_err(|error| format!("Failed to expand {template}: {error}"))
    }
}

/// How the server is reached.
#[derive(Default)]
struct Server {
    uri: Option<String>,
    bind_dn: String,
    password: String,
    timeout: Option<Duration>,
    idle_max: Duration,
    tls: Tls,
}

/// `tls`
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Tls {
    No,
    #[default]
    Try,
    Yes,
}

impl Server {
    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        let number = |what: &str| value.parse::<u32>().map_err(|_| format!("{what} value"));
        match key {
            "uri" => self.uri = Some(value),
            "bind_dn" => self.bind_dn = value,
            "password" => self.password = value,
            "timeout" => self.timeout = Some(Duration::from_secs(number("Invalid timeout")?.into())),
            "max_idle_time" => {
                self.idle_max = Duration::from_secs(number("Invalid max_idle_time")?.into());
            }
            // Of OpenLDAP's library.
            "debug" => drop(number("invalid debug")?),
            "tls" => {
                self.tls = match value.to_ascii_lowercase().as_str() {
                    "yes" => Tls::Yes,
                    "no" => Tls::No,
                    "try" => Tls::Try,
                    _ => return Err("tls must be yes, try or no".into()),
                }
            }
            _ => return Err(format!("Unknown setting: {key}")),
        }
        Ok(())
    }

    fn finish(self, path: &str) -> Result<LdapConfig, String> {
        let missing = || format!("Error in configuration file {path}: Missing ldap uri");
        let uri = self.uri.ok_or_else(missing)?;
        let mut server = LdapConfig::of_server(path, &uri, &self.bind_dn, &self.password)?;
        server.start_tls = self.tls != Tls::No && !uri.starts_with("ldaps:") && !uri.starts_with("ldapi:");
        server.tls_optional = self.tls == Tls::Try;
        server.request_timeout =
            self.timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(LDAP_DICT_TIMEOUT);
        Ok(server)
    }
}

#[derive(Default)]
struct Draft {
    pattern: Option<String>,
    filter: String,
    username_attribute: Option<String>,
    value_attribute: Option<String>,
    base_dn: String,
    scope: Option<String>,
    fields: Option<Vec<(String, String)>>,
}

impl map::Draft for Draft {
    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "pattern" => self.pattern = Some(value),
            "filter" => self.filter = value,
            // 2.3 reads it and lists nothing.
            "filter_iter" => {}
            "username_attribute" => self.username_attribute = Some(value),
            "value_attribute" => self.value_attribute = Some(value),
            "base_dn" => self.base_dn = value,
            "scope" => self.scope = Some(value),
            _ => return Err(format!("Unknown setting: {key}")),
        }
        Ok(())
    }

    fn set_field(&mut self, name: String, value: String) -> Result<(), String> {
        let variable =
            value.strip_prefix('$').ok_or_else(|| format!("Value is missing '$' for attribute: {name}"))?;
        self.fields.get_or_insert_default().push((name, variable.to_owned()));
        Ok(())
    }
}

impl Draft {
    fn finish(self) -> Result<Map, String> {
        let pattern = self.pattern.ok_or("Missing setting: pattern")?;
        if !self.filter.is_empty() && !self.filter.starts_with('(') {
            return Err("Filter must start with (".into());
        }
        if !self.filter.is_empty() && !self.filter.ends_with(')') {
            return Err("Filter must end with )".into());
        }
        let value_attribute = self.value_attribute.ok_or("Missing setting: value_attribute")?;
        let scope = match self.scope.map(|scope| scope.to_ascii_lowercase()).as_deref() {
            None | Some("subtree") => SCOPE_SUBTREE,
            Some("one") => SCOPE_ONELEVEL,
            Some("base") => SCOPE_BASE,
            Some(_) => return Err("Scope must be one, base or subtree".into()),
        };
        let (parsed, names) = Pattern::parse(&pattern);
        let fields = match self.fields {
            None if !names.is_empty() => return Err("Missing attributes for pattern variables".into()),
            fields => assign(&names, fields.unwrap_or_default(), "LDAP attribute")?,
        };
        Ok(Map {
            pattern: parsed,
            filter: self.filter,
            username_attribute: self.username_attribute.unwrap_or_else(|| "cn".into()),
            value_attribute,
            base_dn: self.base_dn,
            scope,
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        Config::read(&settings::MemoryFiles::one("/d", text), "/d")
    }

    #[test]
    fn filters() {
        let text = "uri = ldap://x\ntimeout = 5\n\
            map {\n pattern = priv/quota\n filter = (objectClass=*)\n username_attribute = uid\n value_attribute = q\n}\n\
            map {\n pattern = shared/$class/$id\n filter = (&(ou=%{class})(cn=%{id}))\n value_attribute = v\n scope = ONE\n\
            \x20fields {\n id = $id\n class = $class\n }\n}\n";
        let config = read(text).map_err(|error| panic!("{error}")).unwrap();
        assert_eq!(config.server.request_timeout, Duration::from_secs(5));
        assert!(config.server.start_tls && config.server.tls_optional);
        for (key, expect) in [
            ("priv/quota", "(&(uid=j\\2Ae)(objectClass=*))"),
            ("shared/a/)(x=*", "(&(ou=a)(cn=\\29\\28x\\3D\\2A))"),
        ] {
            let (map, values) = config.find(key).unwrap();
            let user = key.starts_with("priv/").then_some("j*e");
            assert_eq!(map.filter(&values, user).as_deref(), Ok(expect));
        }
    }

    #[test]
    fn mistakes() {
        let in_map = |text: &str| format!("uri = ldap://x\nmap {{\n{text}\n}}\n");
        for (text, expect) in [
            ("", "Error in configuration file /d: Missing ldap uri"),
            ("tls = maybe", "Error in configuration file /d line 1: tls must be yes, try or no"),
            ("timeout = x", "Error in configuration file /d line 1: Invalid timeout value"),
            (
                &in_map("pattern = a\nfilter = x"),
                "Error in configuration file /d line 5: Filter must start with (",
            ),
            (
                &in_map("pattern = a"),
                "Error in configuration file /d line 4: Missing setting: value_attribute",
            ),
            (
                &in_map("pattern = $a\nvalue_attribute = b\nfields {\n x = $b\n}"),
                "Error in configuration file /d line 8: Missing LDAP attribute for variable: a",
            ),
            (
                &in_map("pattern = a\nvalue_attribute = b\nscope = all"),
                "Error in configuration file /d line 6: Scope must be one, base or subtree",
            ),
        ] {
            assert_eq!(read(text).err().as_deref(), Some(expect), "{text}");
        }
    }
}
