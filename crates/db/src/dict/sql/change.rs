//! Statements that change. Neighbours in a transaction that change the same row become one statement, as
//! in 2.3: a row may need all of its columns at once.

use super::config::{Config, Map};
use super::private;
use super::query::Writer;
use crate::dict::{Change, Transaction};
use crate::sql::{Driver, Statement, Value};

/// A statement of a transaction.
pub(super) struct Made {
    pub(super) statement: Statement,
    /// A key is not there if it changes nothing.
    pub(super) must_find: bool,
}

/// Changes of one kind to one row.
struct Group<'c> {
    /// The first key.
    key: &'c str,
    user: Option<&'c str>,
    values: Vec<String>,
    parts: Vec<(&'c Map, &'c Change)>,
}

/// The statements of a transaction; what is wrong with it, in 2.3's words.
pub(super) fn statements(config: &Config, transaction: &Transaction) -> Result<Vec<Made>, String> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for change in &transaction.changes {
        let (map, values) = config.find(change.key()).ok_or_else(|| unmapped(change))?;
        let user = private(&transaction.user, change.key());
        match groups.last_mut().filter(|group| group.takes(map, change, &values, user)) {
            Some(group) => group.parts.push((map, change)),
            None => groups.push(Group { key: change.key(), user, values, parts: vec![(map, change)] }),
        }
    }
    groups.iter().map(|group| group.statement(config.driver)).collect()
}

fn unmapped(change: &Change) -> String {
    let operation = match change {
        Change::Set { .. } => "sql dict set",
        Change::Unset { .. } => "dict-sql",
        Change::Increase { .. } => "sql dict atomic inc",
    };
    format!("{operation}: Invalid/unmapped key: {}", change.key())
}

impl Group<'_> {
    fn takes(&self, map: &Map, change: &Change, values: &[String], user: Option<&str>) -> bool {
        let is_same_kind = self.parts.first().is_some_and(|(first, other)| {
            let is_same = std::mem::discriminant(*other) == std::mem::discriminant(change);
            let same_user = user.is_none() || first.username_field == map.username_field;
            is_same && same_user && first.table == map.table && names(first) == names(map)
        });
        let is_new_column = !self.parts.iter().any(|(part, _)| column(part) == column(map));
        let removes = matches!(change, Change::Unset { .. });
        is_same_kind && is_new_column && !removes && self.user == user && self.values == values
    }

    fn statement(&self, driver: Driver) -> Result<Made, String> {
        let Some((map, first)) = self.parts.first() else { return Err("nothing to change".into()) };
        let what = |operation: &str, error: String| {
            format!(
                "dict-sql: Failed to {operation} {} fields (first {}): {error}",
                self.parts.len(),
                self.key
            )
        };
        let (written, must_find) = match first {
            Change::Set { .. } => (self.set(driver, map).map_err(|error| what("set", error)), false),
            Change::Increase { .. } => {
                (self.increase(driver, map).map_err(|error| what("increase", error)), true)
            }
            Change::Unset { .. } => {
                let mut writer = Writer::new(driver, format!("DELETE FROM {}", map.table));
                let written = writer.conditions(map, &self.values, self.user);
                let failed = |error| format!("dict-sql: Failed to delete {}: {error}", self.key);
                (written.map(|_| writer).map_err(failed), false)
            }
        };
        Ok(Made { statement: written?.finish(), must_find })
    }

    /// `INSERT`, and what to do if the row is there: in MySQL if any key is, elsewhere if that of the
    /// pattern's fields is.
    fn set(&self, driver: Driver, map: &Map) -> Result<Writer, String> {
        let mut columns: Vec<&str> = self.parts.iter().map(|(map, _)| column(map)).collect();
        let mut values = self.new_values()?;
        if let Some(user) = self.user {
            columns.push(&map.username_field);
            values.push(Value::Text(user.to_owned()));
        }
        for (field, value) in map.fields.iter().zip(&self.values) {
            columns.push(&field.name);
            values.push(field.value(&field.name, value, &map.shown)?);
        }
        let start = format!("INSERT INTO {} ({}) VALUES (", map.table, columns.join(","));
        let mut writer = Writer::new(driver, start);
        for (number, value) in values.into_iter().enumerate() {
            writer.push(if number == 0 { "" } else { "," });
            writer.bind(value);
        }
        writer.push(&match driver {
            Driver::Mysql => ") ON DUPLICATE KEY UPDATE ".into(),
            Driver::Pgsql | Driver::Sqlite => {
                let user = self.user.map(|_| map.username_field.as_str());
                let keys: Vec<_> = map.fields.iter().map(|field| field.name.as_str()).chain(user).collect();
                format!(") ON CONFLICT ({}) DO UPDATE SET ", keys.join(","))
            }
        });
        for (number, ((map, _), value)) in self.parts.iter().zip(self.new_values()?).enumerate() {
            writer.push(&format!("{}{}=", if number == 0 { "" } else { "," }, column(map)));
            writer.bind(value);
        }
        Ok(writer)
    }

    fn new_values(&self) -> Result<Vec<Value>, String> {
        let value = |(map, change): &(&Map, &Change)| match (map.columns.first(), change) {
            (Some(column), Change::Set { value, .. }) => column.value("value", value, &map.shown),
            _ => Err("no value".into()),
        };
        self.parts.iter().map(value).collect()
    }

    fn increase(&self, driver: Driver, map: &Map) -> Result<Writer, String> {
        let mut writer = Writer::new(driver, format!("UPDATE {} SET ", map.table));
        for (number, (map, change)) in self.parts.iter().enumerate() {
            let (comma, name) = (if number == 0 { "" } else { "," }, column(map));
            writer.push(&format!("{comma}{name}={name}+"));
            writer.bind(Value::Int(if let Change::Increase { diff, .. } = change { *diff } else { 0 }));
        }
        writer.conditions(map, &self.values, self.user)?;
        Ok(writer)
    }
}

/// The column that is written: the first of several.
fn column(map: &Map) -> &str {
    map.columns.first().map_or("", |column| column.name.as_str())
}

fn names(map: &Map) -> Vec<&str> {
    map.fields.iter().map(|field| field.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(driver: Driver) -> Config {
        let connect = if driver == Driver::Sqlite { "/db" } else { "host=x" };
        let quota = |name: &str, column: &str| {
            format!(
                "map {{\n pattern = priv/{name}\n table = quota\n username_field = user\n value_field = {column}\n value_type = int\n}}\n"
            )
        };
        let text = format!(
            "connect = {connect}\n{}{}map {{\n pattern = shared/e/$box\n table = e\n value_field = stamp,note\n\
             \x20fields {{\n box = $box\n }}\n}}\n",
            quota("storage", "bytes"),
            quota("messages", "count")
        );
        Config::read(&settings::MemoryFiles::one("/d", text), driver, "/d")
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn show(driver: Driver, changes: Vec<Change>) -> String {
        let transaction = Transaction { user: "joe".into(), timestamp: None, changes };
        let made = statements(&config(driver), &transaction);
        let lines = made.map(|made| {
            let show = |made: Made| {
                let parameters = made.statement.parameters.iter().map(|value| match value {
                    Value::Text(text) => format!("'{text}'"),
                    Value::Int(number) => number.to_string(),
                    Value::Bytes(bytes) => format!("{bytes:?}"),
                });
                format!("{} [{}]", made.statement.sql, parameters.collect::<Vec<_>>().join(" "))
            };
            made.into_iter().map(show).collect::<Vec<_>>().join("\n")
        });
        lines.unwrap_or_else(|error| error)
    }

    fn set(key: &str, value: &str) -> Change {
        Change::Set { key: key.into(), value: value.into() }
    }

    fn increase(key: &str, diff: i64) -> Change {
        Change::Increase { key: key.into(), diff }
    }

    #[test]
    fn rows_are_set() {
        let (storage, messages) = ("priv/storage", "priv/messages");
        assert_eq!(
            show(Driver::Mysql, vec![set(storage, "5"), set(messages, "6"), set("shared/e/a'b", "x")]),
            "INSERT INTO quota (bytes,count,user) VALUES (?,?,?) ON DUPLICATE KEY UPDATE bytes=?,count=? [5 6 'joe' 5 6]\n\
             INSERT INTO e (stamp,box) VALUES (?,?) ON DUPLICATE KEY UPDATE stamp=? ['x' 'a'b' 'x']"
        );
        assert_eq!(
            show(Driver::Pgsql, vec![set(storage, "5"), set("shared/e/a", "x")]),
            "INSERT INTO quota (bytes,user) VALUES ($1,$2) ON CONFLICT (user) DO UPDATE SET bytes=$3 [5 'joe' 5]\n\
             INSERT INTO e (stamp,box) VALUES ($1,$2) ON CONFLICT (box) DO UPDATE SET stamp=$3 ['x' 'a' 'x']"
        );
        // A column can be set once in a statement.
        assert_eq!(show(Driver::Sqlite, vec![set(storage, "5"), set(storage, "6")]).lines().count(), 2);
        assert_eq!(
            show(Driver::Sqlite, vec![set(storage, "x")]),
            "dict-sql: Failed to set 1 fields (first priv/storage): value field's value isn't 64bit signed integer: x (in pattern: priv/storage)"
        );
        assert_eq!(
            show(Driver::Sqlite, vec![set("shared/x", "1")]),
            "sql dict set: Invalid/unmapped key: shared/x"
        );
    }

    #[test]
    fn rows_change_and_go() {
        let (storage, messages) = ("priv/storage", "priv/messages");
        let unset = |key: &str| Change::Unset { key: key.into() };
        assert_eq!(
            show(Driver::Sqlite, vec![increase(storage, -5), increase(messages, 1), unset("shared/e/a/b")]),
            "UPDATE quota SET bytes=bytes+?,count=count+? WHERE user = ? [-5 1 'joe']\n\
             DELETE FROM e WHERE box = ? ['a/b']"
        );
        assert_eq!(show(Driver::Sqlite, vec![unset("shared/x")]), "dict-sql: Invalid/unmapped key: shared/x");
    }
}
