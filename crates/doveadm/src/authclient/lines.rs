//! Lines of tab-separated fields over a socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use super::AuthError;
use crate::limits::{AUTH_LINE_MAX, AUTH_TIMEOUT};

/// A connection that carries lines.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<UnixStream>,
}

impl Lines {
    pub(super) fn connect(path: &str) -> Result<Self, AuthError> {
        let failed = |error: io::Error| AuthError::Connect(path.to_owned(), connect_reason(&error));
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(AUTH_TIMEOUT)).map_err(failed)?;
        stream.set_write_timeout(Some(AUTH_TIMEOUT)).map_err(failed)?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    pub(super) fn send(&mut self, text: &str) -> Result<(), AuthError> {
        let sent = self.reader.get_mut().write_all(text.as_bytes());
        sent.map_err(|error| AuthError::Socket("write(auth socket)", base::reason(&error)))
    }

    /// The fields of the next line.
    pub(super) fn next(&mut self) -> Result<Vec<String>, AuthError> {
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(AUTH_LINE_MAX).read_until(b'\n', &mut line);
        match read {
            Ok(_) if line.ends_with(b"\n") => line.truncate(line.len() - 1),
            Ok(read) if read as u64 == AUTH_LINE_MAX => return Err(AuthError::TooLong(AUTH_LINE_MAX)),
            Ok(_) => return Err(AuthError::Disconnected),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(AuthError::TimedOut),
            Err(error) => return Err(AuthError::Socket("read(auth socket)", base::reason(&error))),
        }
        Ok(String::from_utf8_lossy(&line).split('\t').map(tab_unescape).collect())
    }

    /// Checks a `VERSION` line's major number, which must be 1.
    pub(super) fn check_version(fields: &[String]) -> Result<(), AuthError> {
        match fields.get(1).map(String::as_str) {
            Some("1") => Ok(()),
            _ => Err(AuthError::Handshake(format!("an unknown version: {}", fields.join(" ")))),
        }
    }
}

/// 2.3 says who was refused when permissions are the reason.
fn connect_reason(error: &io::Error) -> String {
    let reason = base::reason(error);
    if error.kind() != io::ErrorKind::PermissionDenied {
        return reason;
    }
    let (uid, gid) = (sys::privilege::effective_uid(), sys::privilege::effective_gid());
    let user = sys::accounts::user_by_id(uid).ok().flatten().map_or("<unknown>".into(), |user| user.name);
    let group = sys::accounts::group_name(gid).ok().flatten().unwrap_or("<unknown>".into());
    format!("{reason} (euid={uid}({user}) egid={gid}({group}))")
}

/// Writes bytes that have a meaning in the protocols as `\x01` and a letter.
pub(crate) fn tab_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => escaped.push_str("\u{1}0"),
            '\u{1}' => escaped.push_str("\u{1}1"),
            '\t' => escaped.push_str("\u{1}t"),
            '\r' => escaped.push_str("\u{1}r"),
            '\n' => escaped.push_str("\u{1}n"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// The reverse of [`tab_escape`]. An escape that is none loses its mark.
pub(crate) fn tab_unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1}' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('0') => plain.push('\0'),
            Some('1') => plain.push('\u{1}'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('n') => plain.push('\n'),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_go_both_ways() {
        for text in ["", "plain", "a\tb\nc\rd\0e\u{1}f", "\u{1}\u{1}"] {
            let escaped = tab_escape(text);
            assert!(!escaped.contains(['\t', '\n', '\r', '\0']));
            assert_eq!(tab_unescape(&escaped), text);
        }
        assert_eq!(tab_unescape("\u{1}x\u{1}"), "x");
    }
}
