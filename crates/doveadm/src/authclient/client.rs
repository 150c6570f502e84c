//! The client protocol: authenticates as an IMAP server would on behalf of its client.

use sasl::Secret;
use sasl::encoding::base64;

use super::lines::Lines;
use super::{AuthError, Info};

/// A connection to `auth-client` or `auth-login`, the handshake done.
#[derive(Debug)]
pub(crate) struct AuthClient {
    lines: Lines,
    server_pid: String,
    cookie: String,
    requests: u32,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// The fields that came with it.
    pub(crate) fields: Vec<String>,
    /// The request's number.
    pub(crate) id: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    Failed,
    /// The server wants to go on talking, which PLAIN never needs.
    Continue,
}

impl AuthClient {
    /// Connects to the socket `path` and shakes hands.
    pub(crate) fn connect(path: &str) -> Result<Self, AuthError> {
        let mut lines = Lines::connect(path)?;
        lines.send(&format!("VERSION\t1\t2\nCPID\t{}\n", std::process::id()))?;
        let (mut server_pid, mut cookie) = (String::new(), String::new());
        loop {
            let fields = lines.next()?;
            let value = || fields.get(1).cloned().unwrap_or_default();
            match fields.first().map_or("", String::as_str) {
                "VERSION" => Lines::check_version(&fields)?,
                "SPID" => server_pid = value(),
                "COOKIE" => cookie = value(),
                "DONE" => break,
                // MECH, CUID and what later versions add.
                _ => {}
            }
        }
        Ok(Self { lines, server_pid, cookie, requests: 0 })
    }

    /// The auth process's id, as it says.
    pub(crate) fn server_pid(&self) -> &str {
        &self.server_pid
    }

    /// What proves to the master socket that a request was ours.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Authenticates `user` (through `master_user` if there is one) by PLAIN.
    pub(crate) fn plain(
        &mut self,
        user: &str,
        master_user: Option<&str>,
        password: &Secret,
        info: &Info,
    ) -> Result<Answer, AuthError> {
        self.requests += 1;
        let id = self.requests;
        let mut response = format!("{user}\0{}\0", master_user.unwrap_or(user)).into_bytes();
        response.extend_from_slice(password.expose());
        let request = format!(
            "AUTH\t{id}\tPLAIN\tservice={}{}\tresp={}\n",
            base::tab::escape(info.service()),
            info.for_client(),
            base64(Secret::new(response).expose())
        );
        self.lines.send(&request)?;
        loop {
            let fields = self.lines.next()?;
            let verdict = match fields.first().map(String::as_str) {
                Some("OK") => Verdict::Ok,
                Some("FAIL") => Verdict::Failed,
                Some("CONT") => Verdict::Continue,
                // What later versions add between.
                _ => continue,
            };
            if fields.get(1).map(String::as_str) != Some(id.to_string().as_str()) {
                return Err(AuthError::Unexpected(fields.join(" ")));
            }
            return Ok(Answer { verdict, fields: fields.into_iter().skip(2).collect(), id });
        }
    }
}
