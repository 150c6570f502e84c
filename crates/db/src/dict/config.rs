//! The keys and sections of `dovecot-dict-auth.conf.ext`.

use std::path::Path;

use settings::Files;
use settings::ext::Item;

use super::DictUri;

/// Why a file describes no dictionary, in 2.3's words.
#[derive(Debug, thiserror::Error)]
pub enum DictConfigError {
    /// The file cannot be read, or a line is no setting.
    #[error("dict {0}")]
    File(String, #[source] Box<settings::Diagnostic>),
    /// Something in it makes no sense.
    #[error("dict {path}: {reason}")]
    Invalid {
        /// The file.
        path: String,
        /// What and why.
        reason: String,
    },
}

/// What a key's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One text.
    Value,
    /// An object with fields.
    Json,
}

/// `key name {}`: something to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictKey {
    /// How fields refer to it.
    pub name: String,
    /// What to look up, with variables.
    pub key: String,
    /// What is found there.
    pub format: Format,
    /// What it is where nothing is found. Without it, there is no such user then.
    pub default: Option<String>,
}

/// What a passdb or userdb takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Keys whose objects are taken as a whole, by their place in [`DictConfig::keys`].
    pub objects: Vec<usize>,
    /// Fields with templates.
    pub fields: Vec<(String, String)>,
}

impl Selection {
    /// Whether nothing is taken.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.fields.is_empty()
    }
}

/// What the file says.
#[derive(Clone)]
pub struct DictConfig {
    /// `uri`
    pub uri: DictUri,
    /// `default_pass_scheme`
    pub default_pass_scheme: String,
    /// `iterate_prefix`
    pub iterate_prefix: String,
    /// `iterate_disable`
    pub iterate_disable: bool,
    /// `key {}`
    pub keys: Vec<DictKey>,
    /// `passdb_objects` and `passdb_fields {}`
    pub passdb: Selection,
    /// `userdb_objects` and `userdb_fields {}`
    pub userdb: Selection,
}

impl DictConfig {
    /// Reads the file. `base_dir` is where the sockets of `dict` processes are.
    ///
    /// # Errors
    /// The file is unreadable, or does not say what to look up where.
    pub fn read(files: &dyn Files, path: &str, base_dir: &str) -> Result<Self, DictConfigError> {
        let items = settings::ext::parse_sections(files, Path::new(path))
            .map_err(|source| DictConfigError::File(path.to_owned(), Box::new(source)))?;
        let invalid = |reason| DictConfigError::Invalid { path: path.to_owned(), reason };
        let mut draft = Draft::default();
        for item in items {
            draft.take(item, path).map_err(invalid)?;
        }
        draft.finish(files, base_dir).map_err(invalid)
    }

    /// The variables that make the difference between users, in no particular form.
    pub fn cache_template(&self, selection: &Selection) -> String {
        let mut template = String::new();
        for (_, value) in &selection.fields {
            template.push('\t');
            template.push_str(value);
        }
        for key in
            self.keys.iter().enumerate().filter(|(at, key)| selection.uses(*at, key)).map(|(_, key)| key)
        {
            template.push('\t');
            template.push_str(&key.key);
        }
        template
    }
}

impl Selection {
    /// Whether a key has to be looked up.
    pub fn uses(&self, at: usize, key: &DictKey) -> bool {
        let refers = |value: &str| {
            let mut places = value.match_indices("{dict:");
            places.any(|(place, head)| {
                let rest = value.get(place + head.len()..).unwrap_or_default();
                rest.split(['}', '.', ':']).next() == Some(key.name.as_str())
            })
        };
        self.objects.contains(&at) || self.fields.iter().any(|(_, value)| refers(value))
    }
}

#[derive(Default)]
struct Draft {
    uri: Option<String>,
    default_pass_scheme: Option<String>,
    iterate_prefix: String,
    iterate_disable: bool,
    passdb_objects: String,
    userdb_objects: String,
    keys: Vec<DictKey>,
    passdb: Selection,
    userdb: Selection,
}

impl Draft {
    fn take(&mut self, item: Item, path: &str) -> Result<(), String> {
        let at_line =
            |line: u32, text: &str| format!("Error in configuration file {path} line {line}: {text}");
        match item {
            Item::Value { key, value, line } => {
                self.set(&key, value).map_err(|reason| at_line(line, &reason))
            }
            Item::Section { kind, name, items, .. } => match kind.as_str() {
                "key" if name.is_empty() => Err("Key section is missing name".into()),
                "key" if name.contains('.') => Err("Key section names must not contain '.'".into()),
                "key" => self.key(name, items, at_line),
                "passdb_fields" => collect(items, &mut self.passdb.fields),
                "userdb_fields" => collect(items, &mut self.userdb.fields),
                _ => Err(format!("Unknown section: {kind}")),
            },
        }
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        // The old way to say it: one object for each.
        let whole =
            |name: &str, key: String| DictKey { name: name.into(), key, format: Format::Json, default: None };
        match key {
            "uri" => self.uri = Some(value),
            "default_pass_scheme" => self.default_pass_scheme = Some(value),
            "iterate_prefix" => self.iterate_prefix = value,
            "iterate_disable" => self.iterate_disable = value.eq_ignore_ascii_case("yes"),
            "passdb_objects" => self.passdb_objects = value,
            "userdb_objects" => self.userdb_objects = value,
            "password_key" => {
                self.passdb.objects.push(self.keys.len());
                self.keys.push(whole("passdb", value));
            }
            "user_key" => {
                self.userdb.objects.push(self.keys.len());
                self.keys.push(whole("userdb", value));
            }
            "value_format" if value == "json" => {}
            "value_format" => return Err("Deprecated value_format must be 'json'".into()),
            _ => return Err(format!("Unknown setting: {key}")),
        }
        Ok(())
    }

    fn key(
        &mut self,
        name: String,
        items: Vec<Item>,
        at_line: impl Fn(u32, &str) -> String,
    ) -> Result<(), String> {
        let mut made = DictKey { name, key: String::new(), format: Format::Value, default: None };
        for item in items {
            let Item::Value { key, value, line } = item else {
                return Err("Nested sections not supported".into());
            };
            match (key.as_str(), value.as_str()) {
                ("key", _) => made.key = value,
                ("name", _) => made.name = value,
                ("default_value", _) => made.default = Some(value),
                ("format", "value") => made.format = Format::Value,
                ("format", "json") => made.format = Format::Json,
                ("format", other) => return Err(at_line(line, &format!("Unknown key format: {other}"))),
                (other, _) => return Err(at_line(line, &format!("Unknown setting: {other}"))),
            }
        }
        self.keys.push(made);
        Ok(())
    }

    fn finish(mut self, files: &dyn Files, base_dir: &str) -> Result<DictConfig, String> {
        for (setting, names, selection) in [
            ("passdb_objects", &self.passdb_objects, &mut self.passdb),
            ("userdb_objects", &self.userdb_objects, &mut self.userdb),
        ] {
            for name in names.split(' ').filter(|name| !name.is_empty()) {
                let at = self.keys.iter().position(|key| key.name == name);
                match at.and_then(|at| Some((at, self.keys.get(at)?.format))) {
                    Some((at, Format::Json)) => selection.objects.push(at),
                    Some((_, Format::Value)) => {
                        return Err(format!("{setting} refers to key {name}, but it's in value-only format"));
                    }
                    None => return Err(format!("{setting} refers to key {name}, which doesn't exist")),
                }
            }
        }
        let uri = self.uri.ok_or("Empty uri setting")?;
        Ok(DictConfig {
            uri: DictUri::parse(files, &uri, base_dir)
                .map_err(|error| format!("Failed to init dict: {error}"))?,
            default_pass_scheme: self.default_pass_scheme.unwrap_or_else(|| "MD5".into()),
            iterate_prefix: self.iterate_prefix,
            iterate_disable: self.iterate_disable,
            keys: self.keys,
            passdb: self.passdb,
            userdb: self.userdb,
        })
    }
}

fn collect(items: Vec<Item>, fields: &mut Vec<(String, String)>) -> Result<(), String> {
    for item in items {
        let Item::Value { key, value, .. } = item else {
            return Err("Nested sections not supported".into());
        };
        fields.push((key, value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "uri = file:/x\ndefault_pass_scheme = PLAIN\niterate_prefix = userdb/\n\
        key passdb {\n  key = passdb/%u\n  format = json\n}\n\
        key userdb {\n  key = userdb/%u\n  format = json\n}\n\
        key quota {\n  key = userdb/%d/quota\n  default_value = 100M\n}\n\
        key unused {\n  key = %s\n}\n\
        passdb_objects = passdb\nuserdb_objects = userdb\n\
        userdb_fields {\n  quota_rule = *:storage=%{dict:quota}\n  mail = maildir:%{dict:userdb.home}/Maildir\n}\n";

    fn read(text: &str) -> Result<DictConfig, String> {
        let files = settings::MemoryFiles::one("/d", text);
        DictConfig::read(&files, "/d", "/run/dovecot").map_err(|error| base::chain(&error).to_string())
    }

    #[test]
    fn the_example_of_2_3() {
        let config = read(EXAMPLE).map_err(|error| panic!("{error}")).unwrap();
        let names = |selection: &Selection| -> Vec<&str> {
            let used = config.keys.iter().enumerate().filter(|(at, key)| selection.uses(*at, key));
            used.map(|(_, key)| key.name.as_str()).collect()
        };
        assert_eq!(names(&config.passdb), ["passdb"]);
        assert_eq!(names(&config.userdb), ["userdb", "quota"]);
        assert_eq!(config.keys[2].default.as_deref(), Some("100M"));
        assert!(config.cache_template(&config.userdb).contains("%d"));
        assert!(!config.cache_template(&config.userdb).contains("%s"));
        let old = read("uri = file:/x\npassword_key = p/%u\nuser_key = u/%u\nvalue_format = json\n");
        assert_eq!(old.map(|config| config.passdb.objects).ok(), Some(vec![0]));
    }

    #[test]
    fn mistakes() {
        for (text, expect) in [
            ("", "dict /d: Empty uri setting"),
            ("uri = x", "dict /d: Failed to init dict: Dictionary URI is missing ':': x"),
            ("colour = red", "dict /d: Error in configuration file /d line 1: Unknown setting: colour"),
            ("key {\n}", "dict /d: Key section is missing name"),
            ("key a.b {\n}", "dict /d: Key section names must not contain '.'"),
            (
                "key a {\n format = xml\n}",
                "dict /d: Error in configuration file /d line 2: Unknown key format: xml",
            ),
            ("map {\n}", "dict /d: Unknown section: map"),
            ("passdb_objects = a", "dict /d: passdb_objects refers to key a, which doesn't exist"),
            (
                "key a {\n}\nuserdb_objects = a",
                "dict /d: userdb_objects refers to key a, but it's in value-only format",
            ),
            ("what", "dict /d: Error in configuration file /d line 1: Expecting '='"),
        ] {
            assert_eq!(read(text).err().as_deref(), Some(expect), "{text}");
        }
    }
}
