//! An HTTP/1.1 client for one small request at a time: the servers of OAuth 2.0 and of policies. It
//! blocks, for no longer than it is told, and reads no more than [`HTTP_RESPONSE_BYTES_MAX`].

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::limits::HTTP_RESPONSE_BYTES_MAX;
use crate::stream::{self, Stream};
use crate::tls;

/// A parsed `http://` or `https://` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    is_tls: bool,
    /// `user:password`, decoded.
    credentials: Option<String>,
    host: String,
    port: u16,
    /// Path and query.
    target: String,
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Who asks: `User-Agent`.
    pub agent: &'static str,
    /// More header fields. Line ends in them are refused.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// What is sent, for `POST`.
    pub body: Option<Body>,
}

/// What a request brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its `Content-Type`.
    pub media_type: &'static str,
    /// Itself.
    pub text: String,
}

impl Body {
    /// A form, made of text that is escaped already.
    pub fn form(text: String) -> Self {
        Self { media_type: "application/x-www-form-urlencoded", text }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// `200` and so on.
    pub status: u16,
    /// What stands behind it.
    pub reason: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Url {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = |why: &str| format!("Invalid URL {text}: {why}");
        let (is_tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(invalid("not http:// or https://")),
        };
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(invalid("blanks and control characters are not allowed"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(unescape(credentials)), place),
            None => (None, authority),
        };
        let (host, port) = match place.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| invalid("bad port"))?),
            None => (place, if is_tls { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(invalid("no host"));
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { is_tls, credentials, host: host.to_owned(), port, target })
    }

    /// Whether there is a user name in it.
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }
}

/// Sends a request and reads the answer, all of it within `limit`.
///
/// # Errors
/// For the log: nobody is there, or what came is no HTTP.
pub fn fetch(
    url: &Url,
    request: &HttpRequest,
    tls: &Arc<ClientConfig>,
    limit: Duration,
) -> Result<HttpResponse, String> {
    let deadline = Instant::now() + limit;
    let text = head(url, request)?;
    let mut stream = connect(url, tls, limit, deadline)
        .map_err(|error| format!("connect({}:{}) failed: {}", url.host, url.port, reason(&error)))?;
    let failed = |error: io::Error| format!("{}:{}: {}", url.host, url.port, reason(&error));
    stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).map_err(failed)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(response) = parse(&bytes, false)? {
            return Ok(response);
        }
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            // TLS peers that do not say goodbye are common; what is missing is found out below.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(failed(error)),
        }
        if bytes.len() > HTTP_RESPONSE_BYTES_MAX {
            return Err(format!("{}:{}: The response is too large", url.host, url.port));
        }
    }
    parse(&bytes, true)?.ok_or_else(|| format!("{}:{}: Connection lost", url.host, url.port))
}

/// `application/x-www-form-urlencoded`, and safe in a query.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Puts bytes for `%XX`.
pub(crate) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if *byte == b'%' => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn head(url: &Url, request: &HttpRequest) -> Result<String, String> {
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let mut text = format!("{} {} HTTP/1.1\r\nHost: {host}:{}\r\n", request.method, url.target, url.port);
    text.push_str(&format!("User-Agent: {}\r\n", request.agent));
    text.push_str("Accept: application/json\r\nConnection: close\r\n");
    for (name, value) in &request.headers {
        let is_odd = |byte: u8| byte < b' ' || byte == 0x7f;
        if value.bytes().chain(name.bytes()).any(is_odd) || name.contains([' ', ':']) {
            return Err(format!("Not a header field: {}", name.escape_debug()));
        }
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(credentials) = &url.credentials {
        text.push_str(&format!("Authorization: Basic {}\r\n", base64(credentials.as_bytes())));
    }
    if let Some(body) = &request.body {
        text.push_str(&format!("Content-Type: {}\r\n", body.media_type));
        text.push_str(&format!("Content-Length: {}\r\n", body.text.len()));
    }
    text.push_str("\r\n");
    text.push_str(request.body.as_ref().map_or("", |body| &body.text));
    Ok(text)
}

fn connect(
    url: &Url,
    tls: &Arc<ClientConfig>,
    limit: Duration,
    deadline: Instant,
) -> io::Result<Box<dyn Stream>> {
    let stream = stream::connect(&url.host, url.port, limit, deadline)?;
    match url.is_tls {
        true => tls::connect(stream, &url.host, tls.clone()),
        false => Ok(Box::new(stream)),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "Request timed out".into(),
        _ => base::reason(error),
    }
}

/// `None` while something is missing. At the end a body without a length is complete.
pub(crate) fn parse(mut bytes: &[u8], at_end: bool) -> Result<Option<HttpResponse>, String> {
    loop {
        let Some((head, body)) = head_and_body(bytes)? else { return Ok(None) };
        let head = Head::parse(head).ok_or_else(no_http)?;
        if head.status >= 200 {
            let body = head.body(body, at_end)?;
            return Ok(body.map(|body| HttpResponse { status: head.status, reason: head.reason, body }));
        }
        // Something like "100 Continue" comes before the answer.
        bytes = body;
    }
}

fn no_http() -> String {
    "The server's answer is no HTTP".to_owned()
}

/// What is before and behind the first empty line.
fn head_and_body(bytes: &[u8]) -> Result<Option<(&str, &[u8])>, String> {
    let start = bytes.get(..5).unwrap_or(bytes);
    if !b"HTTP/".starts_with(start) {
        return Err(no_http());
    }
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = (bytes.get(..end).unwrap_or_default(), bytes.get(end + 4..).unwrap_or_default());
    Ok(Some((std::str::from_utf8(head).map_err(|_| no_http())?, body)))
}

/// What comes before the body.
struct Head {
    status: u16,
    reason: String,
    length: Option<usize>,
    chunked: bool,
}

impl Head {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.splitn(3, ' ').skip(1);
        let status = words.next()?.parse().ok()?;
        let reason = words.next().unwrap_or_default().to_owned();
        let mut head = Self { status, reason, length: None, chunked: false };
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = Some(value.parse().ok()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.eq_ignore_ascii_case("chunked");
            }
        }
        Some(head)
    }

    fn body(&self, bytes: &[u8], at_end: bool) -> Result<Option<Vec<u8>>, String> {
        Ok(match (self.chunked, self.length) {
            (true, _) => dechunk(bytes).ok_or_else(no_http)?,
            (false, Some(length)) => bytes.get(..length).map(<[u8]>::to_vec),
            (false, None) if self.status == 204 || at_end => Some(bytes.to_vec()),
            (false, None) => None,
        })
    }
}

/// The outer `None` is nonsense, the inner one means that there is more to come.
fn dechunk(mut bytes: &[u8]) -> Option<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") else { return Some(None) };
        let line = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        bytes = bytes.get(end + 2..)?;
        if size == 0 {
            return Some(Some(body));
        }
        let Some(chunk) = bytes.get(..size) else { return Some(None) };
        body.extend_from_slice(chunk);
        let Some(rest) = bytes.get(size.checked_add(2)?..) else { return Some(None) };
        bytes = rest;
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let value = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let index = (value >> (18 - 6 * at) & 63) as usize;
            text.push(if at > chunk.len() { '=' } else { char::from(ALPHABET[index]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = Url::parse("https://a:p%40w@h.example/x?y=").unwrap();
        assert_eq!((url.port, url.host.as_str(), url.target.as_str()), (443, "h.example", "/x?y="));
        assert_eq!(url.credentials.as_deref(), Some("a:p@w"));
        assert_eq!(Url::parse("http://[::1]:81").unwrap().port, 81);
        assert!(Url::parse("ftp://x").is_err() && Url::parse("http://").is_err());
        assert!(Url::parse("http://x/\r\nHost: y").is_err());
        assert_eq!(base64(b"a:p@w"), "YTpwQHc=");
        assert_eq!(escape("a b&%ü"), "a%20b%26%25%C3%BC");
    }

    fn body(text: &str, at_end: bool) -> Result<Option<String>, String> {
        parse(text.as_bytes(), at_end)
            .map(|found| found.map(|response| String::from_utf8(response.body).unwrap()))
    }

    #[test]
    fn answers() {
        let head = "HTTP/1.1 200 OK\r\n";
        assert_eq!(body(&format!("{head}Content-Length: 2\r\n\r\nhixx"), false), Ok(Some("hi".into())));
        assert_eq!(body(&format!("{head}Content-Length: 3\r\n\r\nhi"), true), Ok(None));
        assert_eq!(body(&format!("{head}\r\nhi"), false), Ok(None));
        assert_eq!(body(&format!("{head}\r\nhi"), true), Ok(Some("hi".into())));
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n1\r\n!\r\n0\r\n\r\n");
        assert_eq!(body(&chunked, false), Ok(Some("hi!".into())));
        assert_eq!(body(&chunked[..chunked.len() - 8], true), Ok(None));
        assert_eq!(
            body("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n", false),
            Ok(Some(String::new()))
        );
        assert!(body("220 smtp\r\n", false).is_err() && body("HTTP/1.1 x\r\n\r\n", false).is_err());
        let huge = format!("{head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx");
        assert!(body(&huge, true).is_ok_and(|found| found.is_none()));
        // As many of them as there is room for.
        let interim = "HTTP/1.1 100\r\n\r\n".repeat(HTTP_RESPONSE_BYTES_MAX / 16);
        assert_eq!(
            body(&format!("{interim}{head}Content-Length: 2\r\n\r\nhi"), false),
            Ok(Some("hi".into()))
        );
    }
}
