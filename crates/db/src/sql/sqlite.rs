//! SQLite, built in.

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OpenFlags, params_from_iter};

use super::{Connection, Rows, SqlError, Statement, Value};
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
        run(&self.0, statement, rows_max).map_err(|error| SqlError::Query(describe(error)))
    }
}

fn run(
    connection: &rusqlite::Connection,
    statement: &Statement,
    rows_max: usize,
) -> Result<Rows, rusqlite::Error> {
    let mut prepared = connection.prepare(&statement.sql)?;
    if prepared.column_count() == 0 {
        let changed = prepared.execute(params_from_iter(&statement.parameters))?;
        return Ok(Rows { affected: u64::try_from(changed).unwrap_or(0), ..Rows::default() });
    }
    let columns: Vec<String> = prepared.column_names().map(str::to_owned).collect();
    let mut found = prepared.query(params_from_iter(&statement.parameters))?;
    let mut rows = Vec::new();
    while rows.len() < rows_max
        && let Some(row) = found.next()?
    {
        rows.push((0..columns.len()).map(|at| row.get_ref(at).map(text)).collect::<Result<_, _>>()?);
    }
    Ok(Rows { columns, rows, affected: 0 })
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// SQLite's own words, without the statement.
fn describe(error: rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        rusqlite::Error::SqliteFailure(_, Some(words)) => words,
        other => other.to_string(),
    }
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
