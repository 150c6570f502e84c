//! What servers answer, without the servers: fuzz targets feed it.

use crate::http::{self, HttpResponse};
use crate::imap::{ImapServer, ImapVerdict};
use crate::ldap::{self, Bound, Entry, LdapConfig, LdapFailure};
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

/// What becomes of a bind as `dn`, of a search, and of a bind as somebody else, at an LDAP server that says
/// `said` whatever it hears: what was found up to the first failure, and what the server heard.
pub fn ldap_answers(
    config: &LdapConfig,
    said: &[u8],
    filter: &str,
    who: (&str, &str),
) -> (Vec<Entry>, Result<Bound, LdapFailure>, Vec<u8>) {
    ldap::converse(config, said, filter, who)
}

/// What becomes of a login to an IMAP server that says `said` whatever it hears, and what it heard.
pub fn imap_answers(
    server: &ImapServer,
    said: &[u8],
    who: (&str, &[u8]),
) -> (Result<ImapVerdict, String>, Vec<u8>) {
    server.converse(said, who)
}
