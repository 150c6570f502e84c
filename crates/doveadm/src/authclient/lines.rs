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
        Ok(String::from_utf8_lossy(&line).split('\t').map(base::tab::unescape).collect())
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
