//! Statements that read. Names are the administrator's and stand in them; values are bound.

use super::config::{Field, Kind, Map};
use crate::dict::map::Begun;
use crate::dict::{Flags, Order};
use crate::sql::{Driver, Statement, Value};

/// A statement that is being written.
pub(super) struct Writer {
    driver: Driver,
    text: String,
    parameters: Vec<Value>,
}

impl Writer {
    pub(super) fn new(driver: Driver, text: String) -> Self {
        Self { driver, text, parameters: Vec::new() }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn bind(&mut self, value: Value) {
        self.parameters.push(value);
        match self.driver {
            Driver::Pgsql => self.text.push_str(&format!("${}", self.parameters.len())),
            Driver::Mysql | Driver::Sqlite => self.text.push('?'),
        }
    }

    pub(super) fn finish(self) -> Statement {
        Statement::bound(self.text, self.parameters)
    }

    /// `WHERE` these fields have these values; gives whether there is one.
    pub(super) fn conditions(
        &mut self,
        map: &Map,
        values: &[String],
        user: Option<&str>,
    ) -> Result<bool, String> {
        let mut word = " WHERE ";
        for (field, value) in map.fields.iter().zip(values) {
            self.push(&format!("{word}{} = ", field.name));
            self.bind(field.value(&field.name, value, &map.shown)?);
            word = " AND ";
        }
        if let Some(user) = user {
            self.push(&format!("{word}{} = ", map.username_field));
            self.bind(Value::Text(user.to_owned()));
            word = " AND ";
        }
        Ok(word == " AND ")
    }
}

impl Field {
    /// What the dictionary has, as the database needs it. `name` is what messages call it.
    pub(super) fn value(&self, name: &str, value: &str, pattern: &str) -> Result<Value, String> {
        let wrong =
            |what: &str| format!("{name} field's value isn't {what}: {value} (in pattern: {pattern})");
        let number = || value.parse().ok().filter(|_| !value.starts_with('+')).map(Value::Int);
        match self.kind {
            Kind::Text => Ok(Value::Text(value.to_owned())),
            Kind::Int => number().ok_or_else(|| wrong("64bit signed integer")),
            Kind::Uint => {
                number().filter(|_| !value.starts_with('-')).ok_or_else(|| wrong("64bit unsigned integer"))
            }
            Kind::HexBlob => unhex(value).map(Value::Bytes).ok_or_else(|| wrong("hexblob")),
        }
    }

    /// How it is read.
    fn selected(&self, driver: Driver) -> String {
        match (self.kind, driver) {
            (Kind::HexBlob, Driver::Pgsql) => format!("encode({}, 'hex')", self.name),
            (Kind::HexBlob, Driver::Mysql | Driver::Sqlite) => format!("HEX({})", self.name),
            _ => self.name.clone(),
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let pair = |pair: &[u8]| match std::str::from_utf8(pair) {
        Ok(pair) if pair.len() == 2 && !pair.starts_with('+') => u8::from_str_radix(pair, 16).ok(),
        _ => None,
    };
    digits.map(pair).collect()
}

/// The row of a key.
pub(super) fn lookup(
    driver: Driver,
    map: &Map,
    values: &[String],
    user: Option<&str>,
) -> Result<Statement, String> {
    let columns: Vec<_> = map.columns.iter().map(|column| column.selected(driver)).collect();
    let mut writer = Writer::new(driver, format!("SELECT {} FROM {}", columns.join(","), map.table));
    writer.conditions(map, values, user)?;
    Ok(writer.finish())
}

/// The rows below a path; the most that are wanted, or 0.
pub(super) fn iterate(
    driver: Driver,
    map: &Map,
    begun: &Begun,
    user: Option<&str>,
    flags: Flags,
    rows_max: usize,
) -> Result<Statement, String> {
    let columns = if flags.no_value { &[] } else { map.columns.as_slice() };
    let wanted: Vec<_> =
        columns.iter().chain(map.unknown_fields(begun)).map(|field| field.selected(driver)).collect();
    // A key without variables and without its value: only whether it is there is asked.
    let wanted = if wanted.is_empty() { "1".into() } else { wanted.join(",") };
    let mut writer = Writer::new(driver, format!("SELECT {wanted} FROM {}", map.table));
    let is_exact = flags.exact_key && !flags.recurse;
    if begun.values.len() == map.fields.len() && !map.fields.is_empty() && !is_exact {
        return Err(format!("Key continues past the matched pattern {}", map.shown));
    }
    let has_conditions = writer.conditions(map, &begun.values, user)?;
    // What has no slash in it, unless all is wanted, as in 2.3; numbers have none.
    if let Some(field) = map.fields.get(begun.values.len())
        && has_conditions
        && !flags.recurse
        && !flags.exact_key
        && field.kind == Kind::Text
    {
        writer.push(&format!(" AND {} NOT LIKE '%/%'", field.name));
    }
    match flags.order {
        Some(Order::Key) if !map.fields.is_empty() => {
            let names: Vec<_> = map.fields.iter().map(|field| field.name.as_str()).collect();
            writer.push(&format!(" ORDER BY {}", names.join(",")));
        }
        Some(Order::Value) => {
            let names: Vec<_> = map.columns.iter().map(|column| column.name.as_str()).collect();
            writer.push(&format!(" ORDER BY {}", names.join(",")));
        }
        _ => {}
    }
    if rows_max > 0 {
        writer.push(&format!(" LIMIT {rows_max}"));
    }
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn config(driver: Driver) -> Config {
        let connect = if driver == Driver::Sqlite { "/db" } else { "host=x" };
        let text = format!(
            "connect = {connect}\nmap {{\n pattern = priv/q\n table = quota\n username_field = user\n value_field = bytes\n}}\n\
             map {{\n pattern = shared/e/$user/$box\n table = e\n value_field = stamp,note\n value_type = uint,hexblob\n\
             \x20fields {{\n user = $user\n box = ${{int:box}}\n }}\n}}\n\
             map {{\n pattern = priv/m/$box\n table = m\n username_field = user\n value_field = v\n fields {{\n box = $box\n }}\n}}\n"
        );
        Config::read(&settings::MemoryFiles::one("/d", text), driver, "/d")
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn show(statement: Result<Statement, String>) -> String {
        statement
            .map_or_else(|error| error, |statement| format!("{} {:?}", statement.sql, statement.parameters))
    }

    #[test]
    fn lookups() {
        for (driver, key, expect) in [
            (Driver::Sqlite, "priv/q", "SELECT bytes FROM quota WHERE user = ? [Text(\"joe\")]"),
            (
                Driver::Pgsql,
                "shared/e/x' OR 1=1/7",
                "SELECT stamp,encode(note, 'hex') FROM e WHERE user = $1 AND box = $2 [Text(\"x' OR 1=1\"), Int(7)]",
            ),
            (
                Driver::Mysql,
                "shared/e/x/+7",
                "box field's value isn't 64bit signed integer: +7 (in pattern: shared/e/$/$)",
            ),
        ] {
            let config = config(driver);
            let (map, values) = config.find(key).unwrap();
            let user = key.starts_with("priv/").then_some("joe");
            assert_eq!(show(lookup(driver, map, &values, user)), expect);
        }
    }

    #[test]
    fn iterations() {
        for (path, bits, rows_max, expect) in [
            ("shared/e/x/", 0, 0, "SELECT stamp,HEX(note),box FROM e WHERE user = ? [Text(\"x\")]"),
            (
                "shared/e/x/",
                8 + 2,
                5,
                "SELECT box FROM e WHERE user = ? ORDER BY user,box LIMIT 5 [Text(\"x\")]",
            ),
            ("shared/e/", 1 + 4, 0, "SELECT stamp,HEX(note),user,box FROM e ORDER BY stamp,note []"),
            (
                "shared/e/x/7",
                16,
                0,
                "SELECT stamp,HEX(note),box FROM e WHERE user = ? AND box = ? [Text(\"x\"), Int(7)]",
            ),
            ("shared/e/x/7/", 0, 0, "Key continues past the matched pattern shared/e/$/$"),
            ("priv/m/", 0, 0, "SELECT v,box FROM m WHERE user = ? AND box NOT LIKE '%/%' [Text(\"joe\")]"),
            ("priv/q", 8, 0, "SELECT 1 FROM quota WHERE user = ? [Text(\"joe\")]"),
        ] {
            let config = config(Driver::Sqlite);
            let flags = Flags::from_bits(bits);
            let (map, begun) =
                config.maps.iter().find_map(|map| Some((map, map.begins(path, flags.recurse)?))).unwrap();
            let user = path.starts_with("priv/").then_some("joe");
            assert_eq!(show(iterate(Driver::Sqlite, map, &begun, user, flags, rows_max)), expect, "{path}");
        }
    }

    #[test]
    fn bytes_are_hexadecimal() {
        assert_eq!(unhex("00fFa1"), Some(vec![0, 255, 0xa1]));
        assert_eq!(unhex(""), Some(vec![]));
        for bad in ["0", "0g", "+1", "üü"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }
}
