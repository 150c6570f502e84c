//! The master protocol: looks up users and passwords, lists users, flushes caches.

use super::lines::Lines;
use super::{AuthError, Info};

/// A connection to `auth-userdb` or `auth-master`, made when first asked.
#[derive(Debug)]
pub(crate) struct AuthMaster {
    path: String,
    lines: Option<Lines>,
    server_pid: String,
    requests: u32,
}

/// What a lookup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The fields, for users without the name.
    Yes {
        /// The user's name as the server has it; empty for passwords.
        username: String,
        /// The other fields.
        fields: Vec<String>,
    },
    /// No such user.
    No,
    /// The server could not tell; with its reason, if it gave one.
    Failed(Option<String>),
}

impl AuthMaster {
    pub(crate) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), lines: None, server_pid: String::new(), requests: 0 }
    }

    /// Looks up a user in the userdbs.
    pub(crate) fn user(&mut self, user: &str, info: &Info) -> Result<Found, AuthError> {
        self.lookup("USER", user, info)
    }

    /// Looks up a user in the passdbs.
    pub(crate) fn pass(&mut self, user: &str, info: &Info) -> Result<Found, AuthError> {
        self.lookup("PASS", user, info)
    }

    /// Hands each user that matches `mask` to `each`; false when the server failed on the way.
    pub(crate) fn list(
        &mut self,
        mask: &str,
        info: &Info,
        mut each: impl FnMut(&str),
    ) -> Result<bool, AuthError> {
        self.request("LIST", &format!("\tuser={}{}", base::tab::escape(mask), info.for_master()))?;
        loop {
            let (word, fields) = self.reply()?;
            match (word.as_str(), fields.first().map(String::as_str)) {
                ("LIST", Some(user)) => each(user),
                ("DONE", first) => return Ok(first != Some("fail")),
                _ => return Ok(false),
            }
        }
    }

    /// Forgets cached answers, all or those of `users`; how many there were, if the server says.
    pub(crate) fn flush_cache(&mut self, users: &[String]) -> Result<Option<u64>, AuthError> {
        let users: String = users.iter().map(|user| format!("\t{}", base::tab::escape(user))).collect();
        self.request("CACHE-FLUSH", &users)?;
        let (word, fields) = self.reply()?;
        Ok(fields.first().filter(|_| word == "OK").and_then(|count| count.parse().ok()))
    }

    /// The cache's figures as `name=value`; empty without a cache.
    pub(crate) fn cache_status(&mut self) -> Result<Option<Vec<String>>, AuthError> {
        self.request("CACHE-STATUS", "")?;
        let (word, fields) = self.reply()?;
        Ok((word == "OK").then_some(fields))
    }

    /// Redeems a successful authentication at the server `server_pid`: the user's fields.
    pub(crate) fn login(&mut self, server_pid: &str, request: u32, cookie: &str) -> Result<Found, AuthError> {
        let pid = std::process::id();
        self.connect()?;
        if self.server_pid != server_pid {
            // The process that knew the request is gone.
            return Ok(Found::Failed(None));
        }
        self.request("REQUEST", &format!("\t{pid}\t{request}\t{cookie}\tsession_pid={pid}"))?;
        self.found("USER")
    }

    fn lookup(&mut self, word: &str, user: &str, info: &Info) -> Result<Found, AuthError> {
        if user.contains(['\t', '\n', '\r']) {
            // Such a user cannot exist.
            return Ok(Found::No);
        }
        self.request(word, &format!("\t{user}{}", info.for_master()))?;
        self.found(word)
    }

    fn found(&mut self, expected: &str) -> Result<Found, AuthError> {
        let (word, mut fields) = self.reply()?;
        match word.as_str() {
            "NOTFOUND" => Ok(Found::No),
            "FAIL" => {
                let reason = fields.iter().find_map(|field| field.strip_prefix("reason="));
                Ok(Found::Failed(reason.map(str::to_owned)))
            }
            _ if word != expected => Err(AuthError::Unexpected(word)),
            "USER" if fields.is_empty() => Ok(Found::Failed(None)),
            "USER" => Ok(Found::Yes { username: fields.remove(0), fields }),
            _ => Ok(Found::Yes { username: String::new(), fields }),
        }
    }

    fn connect(&mut self) -> Result<&mut Lines, AuthError> {
        if self.lines.is_none() {
            let mut lines = Lines::connect(&self.path)?;
            lines.send("VERSION\t1\t1\n")?;
            loop {
                let fields = lines.next()?;
                match fields.first().map_or("", String::as_str) {
                    "VERSION" => Lines::check_version(&fields)?,
                    "SPID" => {
                        self.server_pid = fields.get(1).cloned().unwrap_or_default();
                        break;
                    }
                    "CUID" | "MECH" => {
                        return Err(AuthError::Handshake(format!(
                            "a client's greeting: {} is an auth client socket. It should be a master socket.",
                            self.path
                        )));
                    }
                    _ => {}
                }
            }
            self.lines = Some(lines);
        }
        self.lines.as_mut().ok_or(AuthError::Disconnected)
    }

    fn request(&mut self, word: &str, rest: &str) -> Result<(), AuthError> {
        self.requests += 1;
        let line = format!("{word}\t{}{rest}\n", self.requests);
        self.connect()?.send(&line)
    }

    /// The word and the fields of the answer to the last request.
    fn reply(&mut self) -> Result<(String, Vec<String>), AuthError> {
        let id = self.requests.to_string();
        let fields = self.connect()?.next()?;
        match fields.split_first() {
            Some((word, rest)) if rest.first() == Some(&id) => {
                Ok((word.clone(), rest.get(1..).unwrap_or_default().to_vec()))
            }
            _ => Err(AuthError::Unexpected(fields.join(" "))),
        }
    }
}
