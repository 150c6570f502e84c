//! The keys and sections of `dovecot-dict-sql.conf.ext`.

use std::path::Path;

use settings::Files;
use settings::ext::Item;

use crate::dict::map::{self, Begun, Draft as _, Pattern, assign, at_line};
use crate::sql::{Driver, check_connect};

/// What the file says.
pub(in crate::dict) struct Config {
    pub(super) driver: Driver,
    pub(super) connect: String,
    pub(super) maps: Vec<Map>,
}

/// `map {}`: keys of one form, each of which is a row of a table.
#[derive(Debug)]
pub(super) struct Map {
    /// As it is written in messages, with a `$` for each variable.
    pub(super) shown: String,
    pattern: Pattern,
    pub(super) table: String,
    pub(super) username_field: String,
    /// `value_field`, one or several.
    pub(super) columns: Vec<Field>,
    /// One for each variable of the pattern.
    pub(super) fields: Vec<Field>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a column has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    Uint,
    /// Bytes, which are hexadecimal digits in the dictionary.
    HexBlob,
}

impl Config {
    pub(in crate::dict) fn read(files: &dyn Files, driver: Driver, path: &str) -> Result<Self, String> {
        let items =
            settings::ext::parse_sections(files, Path::new(path)).map_err(|error| error.to_string())?;
        let (mut connect, mut maps) = (None, Vec::new());
        for item in items {
            match item {
                Item::Value { key, value, .. } if key == "connect" => connect = Some(value),
                Item::Value { key, line, .. } => {
                    return Err(at_line(path, line, &format!("Unknown setting: {key}")));
                }
                Item::Section { kind, items, end, .. } if kind == "map" => {
                    maps.push(Draft::read(path, items)?.finish().map_err(|text| at_line(path, end, &text))?);
                }
                Item::Section { kind, line, .. } => {
                    return Err(at_line(path, line, &format!("Unknown section: {kind}")));
                }
            }
        }
        let connect =
            connect.ok_or_else(|| format!("Error in configuration file {path}: Missing connect setting"))?;
        check_connect(driver, &connect).map_err(|error| format!("{}: {error}", driver.name()))?;
        Ok(Self { driver, connect, maps })
    }

    /// The first map for a key, with the values of its variables.
    pub(super) fn find(&self, key: &str) -> Option<(&Map, Vec<String>)> {
        self.maps.iter().find_map(|map| Some((map, map.pattern.values(key)?)))
    }
}

impl Map {
    /// Whether keys of this form are below a path, and all but the last of their variables are known from it.
    pub(super) fn begins(&self, path: &str, recurse: bool) -> Option<Begun> {
        let begun = self.pattern.begins(path, recurse)?;
        (recurse || begun.values.len() + 1 >= self.fields.len()).then_some(begun)
    }

    /// Those fields that a row must say. The last one always is.
    pub(super) fn unknown_fields(&self, begun: &Begun) -> &[Field] {
        let known = begun.values.len().min(self.fields.len().saturating_sub(1));
        self.fields.get(known..).unwrap_or_default()
    }

    /// The values of a row's first columns.
    pub(super) fn values_of(&self, row: Vec<Option<String>>) -> Vec<String> {
        let values = row.into_iter().zip(&self.columns);
        values.map(|(value, column)| column.shown(value)).collect()
    }
}

impl Field {
    /// What the database gave, as the dictionary has it; nothing is an empty text, as in 2.3.
    pub(super) fn shown(&self, value: Option<String>) -> String {
        match self.kind {
            Kind::HexBlob => value.unwrap_or_default().to_ascii_lowercase(),
            Kind::Text | Kind::Int | Kind::Uint => value.unwrap_or_default(),
        }
    }
}

#[derive(Default)]
struct Draft {
    pattern: Option<String>,
    table: Option<String>,
    username_field: Option<String>,
    value_field: Option<String>,
    value_type: Option<String>,
    value_hexblob: bool,
    fields: Option<Vec<(Field, String)>>,
}

impl map::Draft for Draft {
    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        let place = match key {
            "pattern" => &mut self.pattern,
            "table" => &mut self.table,
            "username_field" => &mut self.username_field,
            "value_field" => &mut self.value_field,
            "value_type" => &mut self.value_type,
            "value_hexblob" => {
                self.value_hexblob = match value.as_str() {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(format!("Invalid boolean value: {value}")),
                };
                return Ok(());
            }
            _ => return Err(format!("Unknown setting: {key}")),
        };
        *place = Some(value);
        Ok(())
    }

    fn set_field(&mut self, name: String, value: String) -> Result<(), String> {
        self.fields.get_or_insert_default().push(field(&name, &value)?);
        Ok(())
    }
}

impl Draft {
    fn finish(self) -> Result<Map, String> {
        let pattern = self.pattern.ok_or("Missing setting: pattern")?;
        let table = self.table.ok_or("Missing setting: table")?;
        let value_field = self.value_field.ok_or("Missing setting: value_field")?;
        let columns = columns(&value_field, self.value_type.as_deref(), self.value_hexblob)?;
        let (parsed, names) = Pattern::parse(&pattern);
        let fields = match self.fields {
            None if !names.is_empty() => return Err("Missing fields for pattern variables".into()),
            fields => assign(&names, fields.unwrap_or_default(), "SQL field")?,
        };
        Ok(Map {
            shown: parsed.to_string(),
            pattern: parsed,
            table,
            // Not every query needs it.
            username_field: self.username_field.unwrap_or_else(|| "'username_field not set'".into()),
            columns,
            fields,
        })
    }
}

/// The columns of values, with their types.
fn columns(names: &str, types: Option<&str>, hexblob: bool) -> Result<Vec<Field>, String> {
    let words = |text: &str| -> Vec<String> {
        text.split(',').map(|word| word.trim_matches(' ').to_owned()).collect()
    };
    let names = words(names);
    let kinds = match types.map(words) {
        None => vec![if hexblob { Kind::HexBlob } else { Kind::Text }; names.len()],
        Some(types) if types.len() != names.len() => {
            return Err("Number of fields in value_fields doesn't match value_type".into());
        }
        Some(types) => types.iter().map(|name| kind(name)).collect::<Result<_, _>>()?,
    };
    Ok(names.into_iter().zip(kinds).map(|(name, kind)| Field { name, kind }).collect())
}

fn kind(name: &str) -> Result<Kind, String> {
    Ok(match name {
        "string" => Kind::Text,
        "int" => Kind::Int,
        "uint" => Kind::Uint,
        "hexblob" => Kind::HexBlob,
        _ => return Err("Invalid value in value_type".into()),
    })
}

/// `name = $variable`, `name = ${int:variable}`.
fn field(name: &str, value: &str) -> Result<(Field, String), String> {
    let variable =
        value.strip_prefix('$').ok_or_else(|| format!("Value is missing '$' for field: {name}"))?;
    let typed = variable.strip_prefix('{').and_then(|text| text.strip_suffix('}')?.split_once(':'));
    let (kind, variable) = match typed {
        Some(("int", variable)) => (Kind::Int, variable),
        Some(("uint", variable)) => (Kind::Uint, variable),
        Some(("hexblob", variable)) => (Kind::HexBlob, variable),
        _ => (Kind::Text, variable),
    };
    Ok((Field { name: name.to_owned(), kind }, variable.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "connect = /db\n\
        map {\n  pattern = priv/quota/storage\n  table = quota\n  username_field = username\n  value_field = bytes\n}\n\
        map {\n  pattern = shared/expire/$user/$mailbox\n  table = expires\n  value_field = stamp, note\n\
        \x20 value_type = uint,string\n  fields {\n    mailbox = $mailbox\n    username = ${hexblob:user}\n  }\n}\n";

    fn read(text: &str) -> Result<Config, String> {
        Config::read(&settings::MemoryFiles::one("/d", text), Driver::Sqlite, "/d")
    }

    #[test]
    fn the_example_of_2_3() {
        let config = read(EXAMPLE).map_err(|error| panic!("{error}")).unwrap();
        let (map, values) = config.find("priv/quota/storage").unwrap();
        assert_eq!((map.table.as_str(), values.len(), map.columns[0].kind), ("quota", 0, Kind::Text));
        let (map, values) = config.find("shared/expire/joe/a/b").unwrap();
        assert_eq!(values, ["joe", "a/b"]);
        let names: Vec<_> = map.fields.iter().map(|field| (field.name.as_str(), field.kind)).collect();
        assert_eq!(names, [("username", Kind::HexBlob), ("mailbox", Kind::Text)]);
        let columns: Vec<_> = map.columns.iter().map(|field| (field.name.as_str(), field.kind)).collect();
        assert_eq!(columns, [("stamp", Kind::Uint), ("note", Kind::Text)]);
        assert_eq!(map.shown, "shared/expire/$/$");
        assert!(config.find("shared/other").is_none());
    }

    #[test]
    fn mistakes() {
        let in_map = |text: &str| format!("connect = /db\nmap {{\n{text}\n}}\n");
        let whole = "pattern = shared/$a\ntable = t\nvalue_field = v\n";
        for (text, expect) in [
            ("map {\n}", "Error in configuration file /d line 2: Missing setting: pattern"),
            ("", "Error in configuration file /d: Missing connect setting"),
            ("connect =", "sqlite: No file given in connect string"),
            ("colour = red", "Error in configuration file /d line 1: Unknown setting: colour"),
            ("key {\n}", "Error in configuration file /d line 1: Unknown section: key"),
            (&in_map("pattern = a"), "Error in configuration file /d line 4: Missing setting: table"),
            (&in_map("colour = a"), "Error in configuration file /d line 3: Unknown setting: colour"),
            (&in_map(whole), "Error in configuration file /d line 7: Missing fields for pattern variables"),
            (
                &in_map(&format!("{whole}fields {{\n b = $b\n}}")),
                "Error in configuration file /d line 9: Missing SQL field for variable: a",
            ),
            (
                &in_map(&format!("{whole}fields {{\n b = b\n}}")),
                "Error in configuration file /d line 7: Value is missing '$' for field: b",
            ),
            (
                &in_map("pattern = a\ntable = t\nvalue_field = v\nvalue_type = x"),
                "Error in configuration file /d line 7: Invalid value in value_type",
            ),
            (
                &in_map("pattern = a\ntable = t\nvalue_field = v,w\nvalue_type = int"),
                "Error in configuration file /d line 7: Number of fields in value_fields doesn't match value_type",
            ),
        ] {
            assert_eq!(read(text).err().as_deref(), Some(expect), "{text}");
        }
    }
}
