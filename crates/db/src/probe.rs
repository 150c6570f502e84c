//! What servers answer, without the servers: fuzz targets feed it.

use crate::http::{self, HttpResponse};
use crate::oauth2::{self, Reply};
use crate::sql::{self, Rows, SqlConfig, SqlError, Statement};

/// What an HTTP server sent so far, or all that it will send; `None` while something is missing.
///
/// # Errors
/// It is no HTTP.
pub fn http_answer(bytes: &[u8], at_end: bool) -> Result<Option<HttpResponse>, String> {
    http::parse(bytes, at_end)
}

/// What an OAuth 2.0 server says of a token.
///
/// # Errors
/// It says something else.
pub fn oauth2_reply(answer: HttpResponse) -> Result<Reply, String> {
    oauth2::reply(answer)
}

/// What becomes of a login and some queries, each with the rows that are wanted of it, at a MySQL or
/// PostgreSQL server that says `said` whatever it hears: the answers, up to the first that breaks the
/// connection, and what the server heard. `is_private` is a connection to which nobody can listen.
pub fn sql_answers(
    config: &SqlConfig,
    said: &[u8],
    is_private: bool,
    statements: &[(Statement, usize)],
) -> (Vec<Result<Rows, SqlError>>, Vec<u8>) {
    sql::converse(config, said, is_private, statements)
}
