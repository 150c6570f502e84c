//! Post-login scripts: a service runs the administrator's program with the client and the user's fields,
//! and says who goes on (`service imap { executable = imap imap-postlogin }`). The protocol is 2.3's.

use base::tab;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipc::handover::Request;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

use crate::authmaster::User;
use crate::limits::{AUTH_LINE_MAX, POSTLOGIN_TIMEOUT};

/// Where the scripts are.
#[derive(Debug, Clone)]
pub(crate) struct PostLogin {
    /// The socket, if there is one for all users.
    pub(crate) path: Option<PathBuf>,
    /// How long a script may take.
    pub(crate) timeout: Duration,
}

/// Why nobody goes on. `Display` is the line for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostLoginError {
    /// The script ended without going on.
    #[error(
        "Post-login script denied access to user {user} (post-login script {path} started {msecs} msecs ago)"
    )]
    Denied { user: String, path: String, msecs: u128 },
    /// It takes too long.
    #[error("Timeout waiting for post-login script to finish, aborting (post-login script {path})")]
    Timeout { path: String },
    /// Nobody listens.
    #[error("net_connect_unix({path}) failed: {reason}")]
    Connect { path: String, reason: String },
    /// Something else.
    #[error("{what}({path}) failed: {reason}")]
    Io { what: &'static str, path: String, reason: String },
}

impl PostLogin {
    /// Without a script.
    pub(crate) fn none() -> Self {
        Self { path: None, timeout: POSTLOGIN_TIMEOUT }
    }

    /// The script's socket for `user`; a userdb may name one of its own (`postlogin`).
    pub(crate) fn socket(&self, user: &User, base_dir: &Path) -> Option<PathBuf> {
        let named = user.field("postlogin").filter(|path| !path.is_empty()).map(|path| base_dir.join(path));
        named.or_else(|| self.path.clone())
    }

    /// Lets the script at `path` have the client. Who goes on may be another one with other fields, and
    /// the client may have become another descriptor.
    pub(crate) async fn run(
        &self,
        path: &Path,
        request: &Request,
        client: BorrowedFd<'_>,
        user: &User,
    ) -> Result<(User, Option<OwnedFd>), PostLoginError> {
        match timeout(self.timeout, run(path, request, client, user)).await {
            Ok(done) => done,
            Err(_) => Err(PostLoginError::Timeout { path: path.display().to_string() }),
        }
    }
}

async fn run(
    path: &Path,
    request: &Request,
    client: BorrowedFd<'_>,
    user: &User,
) -> Result<(User, Option<OwnedFd>), PostLoginError> {
    let shown = || path.display().to_string();
    let failed = |what| {
        move |error: io::Error| PostLoginError::Io {
            what,
            path: path.display().to_string(),
            reason: base::reason(&error),
        }
    };
    let began = Instant::now();
    let stream = UnixStream::connect(path)
        .await
        .map_err(|error| PostLoginError::Connect { path: shown(), reason: base::reason(&error) })?;
    send(&stream, line(request, user).as_bytes(), client).await.map_err(failed("fd_send"))?;
    let (mut text, mut replaced) = (Vec::new(), Vec::new());
    loop {
        let mut buffer = [0; 1024];
        let read = stream
            .async_io(Interest::READABLE, || sys::pass::receive(stream.as_fd(), &mut buffer, &mut replaced))
            .await
            .map_err(failed("fd_read"))?;
        text.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if text.ends_with(b"\n") {
            break;
        }
        if read == 0 && text.is_empty() {
            let msecs = began.elapsed().as_millis();
            return Err(PostLoginError::Denied { user: user.name.clone(), path: shown(), msecs });
        }
        if read == 0 || text.len() > AUTH_LINE_MAX {
            return Err(failed("fd_read")(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    let text = String::from_utf8_lossy(&text);
    Ok((reply(text.trim_end_matches('\n'), user), replaced.pop()))
}

async fn send(stream: &UnixStream, bytes: &[u8], client: BorrowedFd<'_>) -> io::Result<()> {
    let (mut rest, mut beside) = (bytes, &[client][..]);
    while !rest.is_empty() {
        let sent =
            stream.async_io(Interest::WRITABLE, || sys::pass::send(stream.as_fd(), rest, beside)).await?;
        rest = rest.get(sent..).unwrap_or_default();
        beside = &[];
    }
    Ok(())
}

/// What the script's service is told.
fn line(request: &Request, user: &User) -> String {
    let ip = |ip: Option<std::net::IpAddr>| ip.map_or_else(String::new, |ip| ip.to_string());
    let mut line =
        format!("VERSION\tscript-login\t1\t0\n{}\t{}\t", ip(request.local_ip), ip(request.remote_ip));
    line.push_str(&tab::escape(&user.name));
    for (name, value) in &user.fields {
        line.push('\t');
        line.push_str(&tab::escape(&word(name, value)));
    }
    line.push('\n');
    line
}

fn word(name: &str, value: &str) -> String {
    if value.is_empty() { name.to_owned() } else { format!("{name}={value}") }
}

/// Who goes on: the fields that the script has sent back, and those that it was not given as variables.
fn reply(text: &str, before: &User) -> User {
    let mut words = text.split('\t').map(tab::unescape);
    let name = words.next().unwrap_or_default();
    let mut fields: Vec<(String, String)> = words
        .map(|word| match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (word, String::new()),
        })
        .collect();
    let bare = before.fields.iter().filter(|(_, value)| value.is_empty());
    let missing: Vec<_> =
        bare.filter(|(name, _)| !fields.iter().any(|(known, _)| known == name)).cloned().collect();
    fields.extend(missing);
    User { name, fields }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scripts_send_back() {
        let fields = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let before =
            User { name: "joe".into(), fields: fields(&[("uid", "5"), ("anonymous", ""), ("x", "a\tb")]) };
        let after = reply("jim\tuid=6\tx=a\u{1}tb", &before);
        assert_eq!(after.name, "jim");
        assert_eq!(after.fields, fields(&[("uid", "6"), ("x", "a\tb"), ("anonymous", "")]));
    }
}
