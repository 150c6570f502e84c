//! Tables of SQL databases as `dovecot-dict-sql.conf.ext` makes a dictionary of them: `mysql:`, `pgsql:` and
//! `sqlite:` with the path of that file.

mod change;
mod config;
mod query;

use std::sync::Arc;

use base::Logger;

pub(super) use config::Config;

use config::Map;

use super::map::{Begun, Part};
use super::{Backend, Committed, DictError, Iteration, PRIVATE, Row, Transaction};
use crate::limits::{DICT_ROWS_BYTES_MAX, DICT_ROWS_MAX};
use crate::sql::{Database, Rows, SqlError};

pub(super) struct SqlDict {
    config: Arc<Config>,
    database: Database,
}

impl SqlDict {
    pub(super) fn new(config: Arc<Config>, log: Logger) -> Self {
        let database = Database::behind(config.driver, &config.connect, log);
        Self { config, database }
    }
}

impl Backend for SqlDict {
    fn lookup(&mut self, user: &str, key: &str) -> Result<Option<Vec<String>>, DictError> {
        let (map, values) = self
            .config
            .find(key)
            .ok_or_else(|| DictError::Failed(format!("sql dict lookup: Invalid/unmapped key: {key}")))?;
        let statement =
            query::lookup(self.config.driver, map, &values, private(user, key)).map_err(|error| {
                DictError::Failed(format!("sql dict lookup: Failed to lookup key {key}: {error}"))
            })?;
        let found = self.database.query(&statement, 1);
        let found = found.map_err(|error| DictError::Failed(error.to_string()))?;
        Ok(found.rows.into_iter().next().map(|row| map.values_of(row)))
    }

    fn iterate(&mut self, iteration: &Iteration<'_>, each: &mut dyn FnMut(Row)) -> Result<(), DictError> {
        let path = iteration.path;
        let unmapped = |text: &str| DictError::Failed(format!("sql dict iterate failed for {path}: {text}"));
        let (mut is_first, mut left) = (true, iteration.rows_max);
        for map in &self.config.maps {
            let Some(begun) = map.begins(path, iteration.flags.recurse) else { continue };
            is_first = false;
            let user = private(iteration.user, path);
            let statement = query::iterate(self.config.driver, map, &begun, user, iteration.flags, left)
                .map_err(|error| unmapped(&error))?;
            let found = self
                .database
                .query(&statement, DICT_ROWS_MAX + 1)
                .map_err(|error| DictError::Failed(format!("dict sql iterate failed: {error}")))?;
            let count = give(map, &begun, iteration, found, each)?;
            if iteration.flags.exact_key {
                break;
            }
            match left.checked_sub(count) {
                Some(0) if iteration.rows_max > 0 => break,
                rest => left = rest.unwrap_or(0),
            }
        }
        if is_first { Err(unmapped("Invalid/unmapped path")) } else { Ok(()) }
    }

    fn commit(&mut self, transaction: &Transaction) -> Result<Committed, DictError> {
        let statements = change::statements(&self.config, transaction).map_err(DictError::Failed)?;
        let (statements, counted): (Vec<_>, Vec<_>) =
            statements.into_iter().map(|made| (made.statement, made.must_find)).unzip();
        let changed = self.database.transaction(&statements).map_err(|error| {
            let text = format!("sql dict: commit failed: {error}");
            if let SqlError::Uncertain(_) = error {
                DictError::Uncertain(text)
            } else {
                DictError::Failed(text)
            }
        })?;
        let is_missing = changed.iter().zip(counted).any(|(rows, must_find)| must_find && *rows == 0);
        Ok(if is_missing { Committed::NotFound } else { Committed::Done })
    }
}

/// Whose keys are meant, if they are somebody's own.
fn private<'u>(user: &'u str, key: &str) -> Option<&'u str> {
    key.starts_with(PRIVATE).then_some(user)
}

/// Makes keys of rows; gives how many.
fn give(
    map: &Map,
    begun: &Begun,
    iteration: &Iteration<'_>,
    found: Rows,
    each: &mut dyn FnMut(Row),
) -> Result<usize, DictError> {
    let too_long = || DictError::Failed("dict sql iterate failed: there are too many rows".into());
    if found.rows.len() > DICT_ROWS_MAX {
        return Err(too_long());
    }
    let start = iteration.path.get(..begun.path_bytes).unwrap_or_default();
    let slash = if begun.rest.is_empty() || start.ends_with('/') { "" } else { "/" };
    let (count, mut bytes) = (found.rows.len(), 0);
    for mut row in found.rows {
        let columns = if iteration.flags.no_value { 0 } else { map.columns.len() };
        let fields = row.split_off(columns.min(row.len()));
        let mut fields = fields.into_iter().map(Option::unwrap_or_default).zip(map.unknown_fields(begun));
        let mut key = format!("{start}{slash}");
        for part in &begun.rest {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Variable => {
                    let (value, field) = fields.next().unzip();
                    key.push_str(&field.map_or(String::new(), |field| field.shown(value)));
                }
            }
        }
        let values = if iteration.flags.no_value { Vec::new() } else { map.values_of(row) };
        bytes += key.len() + values.iter().map(String::len).sum::<usize>();
        if bytes > DICT_ROWS_BYTES_MAX {
            return Err(too_long());
        }
        each(Row { key, values });
    }
    Ok(count)
}
