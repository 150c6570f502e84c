//! What servers answer, without the servers: fuzz targets feed it.

use crate::http::{self, HttpResponse};
use crate::oauth2::{self, Reply};

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
