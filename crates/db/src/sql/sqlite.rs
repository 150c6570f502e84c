//! SQLite, built in.

use rusqlite::types::ValueRef;
use rusqlite::{OpenFlags, params_from_iter};

use super::{Connection, Rows, SqlError, Statement};
use crate::limits::SQLITE_BUSY_TIMEOUT;

pub(super) struct Sqlite(rusqlite::Connection);

impl Sqlite {
    /// Opens the file, which must exist.
    pub(super) fn open(path: &str) -> Result<Self, SqlError> {
        let failed = |error: rusqlite::Error| SqlError::Connection(format!("open({path}) failed: {error}"));
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(SQLITE_BUSY_TIMEOUT).map_err(failed)?;
        Ok(Self(connection))
    }
}

impl Connection for Sqlite {
    fn query(&mut self, statement: &Statement, rows_max: usize) -> Result<Rows, SqlError> {
        run(&self.0, statement, rows_max).map_err(|error| SqlError::Query(error.to_string()))
    }
}

fn run(
    connection: &rusqlite::Connection,
    statement: &Statement,
    rows_max: usize,
) -> Result<Rows, rusqlite::Error> {
    let mut prepared = connection.prepare(&statement.sql)?;
    let columns: Vec<String> = prepared.column_names().map(str::to_owned).collect();
    let mut found = prepared.query(params_from_iter(&statement.parameters))?;
    let mut rows = Vec::new();
    while rows.len() < rows_max
        && let Some(row) = found.next()?
    {
        rows.push((0..columns.len()).map(|at| row.get_ref(at).map(text)).collect::<Result<_, _>>()?);
    }
    Ok(Rows { columns, rows })
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        // As SQLite itself prints it: `1.0`, not `1`.
        ValueRef::Real(number) => Some(format!("{number:?}")),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
