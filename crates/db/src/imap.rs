//! Logging in to another IMAP server, to find out whether it takes a password. It blocks, for no
//! longer than it is told.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::http::base64;
use crate::limits::IMAP_LINE_BYTES_MAX;
use crate::stream::{self, Said, Stream};
use crate::tls::{self, TlsOptions};

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImapTls {
    /// Never.
    No,
    /// After `STARTTLS`.
    StartTls,
    /// At once.
    AtOnce,
}

/// A server.
#[derive(Debug)]
pub struct ImapServer {
    mode: ImapTls,
    tls: Option<Arc<ClientConfig>>,
}

/// What it says about a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImapVerdict {
    /// `OK`
    Accepted,
    /// `NO`: the response code, if there is one, and the text.
    Refused(Option<String>, String),
}

impl ImapServer {
    /// # Errors
    /// The files of `options` cannot be used.
    pub fn new(mode: ImapTls, options: &TlsOptions) -> Result<Self, String> {
        let tls = (mode != ImapTls::No).then(|| options.client_config()).transpose()?;
        Ok(Self { mode, tls })
    }

    /// Logs in, and out again.
    ///
    /// # Errors
    /// The server cannot be reached, or does not speak IMAP.
    pub fn login(
        &self,
        host: &str,
        port: u16,
        (user, password): (&str, &[u8]),
        limit: Duration,
    ) -> Result<ImapVerdict, String> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "Timed out".to_owned(),
            _ => base::reason(&error),
        };
        let talk = stream::connect(host, port, limit, Instant::now() + limit)
            .and_then(|stream| self.begin(host, Box::new(stream)));
        let mut talk = talk.map_err(failed)?;
        let verdict = talk.log_in(user, password).map_err(failed)?;
        // Whoever does not wait for an answer needs none.
        let _ = talk.say(b"9 LOGOUT\r\n");
        Ok(verdict)
    }

    /// Logs in to a server that says `said` whatever it hears; gives what it heard, too.
    pub(crate) fn converse(
        &self,
        said: &[u8],
        (user, password): (&str, &[u8]),
    ) -> (Result<ImapVerdict, String>, Vec<u8>) {
        let said = Said::new(said);
        let heard = said.heard.clone();
        let verdict =
            self.begin("localhost", Box::new(said)).and_then(|mut talk| talk.log_in(user, password));
        let heard = heard.lock().map(|heard| heard.clone()).unwrap_or_default();
        (verdict.map_err(|error| base::reason(&error)), heard)
    }

    fn begin(&self, host: &str, stream: Box<dyn Stream>) -> io::Result<Talk> {
        let secure = |stream: Box<dyn Stream>| {
            let config = self.tls.clone().ok_or_else(|| io::Error::other("TLS is not set up"))?;
            tls::connect(stream, host, config).map(Talk::new)
        };
        match self.mode {
            ImapTls::No => Talk::new(stream).greeted(),
            ImapTls::AtOnce => secure(stream)?.greeted(),
            ImapTls::StartTls => {
                let mut talk = Talk::new(stream).greeted()?;
                talk.say(b"1 STARTTLS\r\n")?;
                let answer = talk.tagged("1")?;
                if !is(&answer, "OK") {
                    return Err(io::Error::other(format!("STARTTLS failed: {answer}")));
                }
                // What came before TLS is not from whom it seems to be.
                match talk.input.is_empty() {
                    true => secure(talk.stream),
                    false => Err(io::Error::other("The server sent something behind its answer to STARTTLS")),
                }
            }
        }
    }
}

struct Talk {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
}

impl Talk {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, input: Vec::new() }
    }

    fn greeted(mut self) -> io::Result<Self> {
        let line = self.line()?;
        match line.strip_prefix("* ").is_some_and(|rest| is(rest, "OK")) {
            true => Ok(self),
            false => Err(io::Error::other(format!("The server does not greet: {}", line.escape_debug()))),
        }
    }

    fn log_in(&mut self, user: &str, password: &[u8]) -> io::Result<ImapVerdict> {
        self.say(b"2 CAPABILITY\r\n")?;
        let mut has_plain = false;
        let done = self.until("2", |line| {
            has_plain |= line.split(' ').any(|word| word.eq_ignore_ascii_case("AUTH=PLAIN"));
        })?;
        has_plain &= is(&done, "OK");
        let answer = if has_plain {
            let response = [b"\0", user.as_bytes(), b"\0", password].concat();
            self.step(b"3 AUTHENTICATE PLAIN\r\n", "3")
                .and_then(|refused| refused.map_or_else(|| self.finish(base64(&response).as_bytes()), Ok))?
        } else {
            self.login_command(user, password)?
        };
        if is(&answer, "OK") {
            return Ok(ImapVerdict::Accepted);
        }
        if !is(&answer, "NO") {
            return Err(io::Error::other(answer));
        }
        let text = answer.get(3..).unwrap_or_default();
        let code = text.strip_prefix('[').and_then(|rest| rest.split([' ', ']']).next());
        Ok(ImapVerdict::Refused(code.map(str::to_ascii_uppercase), text.to_owned()))
    }

    /// `LOGIN` with literals, which can hold everything.
    fn login_command(&mut self, user: &str, password: &[u8]) -> io::Result<String> {
        let first = format!("3 LOGIN {{{}}}\r\n", user.len());
        if let Some(refused) = self.step(first.as_bytes(), "3")? {
            return Ok(refused);
        }
        let second = format!("{user} {{{}}}\r\n", password.len());
        if let Some(refused) = self.step(second.as_bytes(), "3")? {
            return Ok(refused);
        }
        self.finish(password)
    }

    /// Says something that the server wants more of; gives its answer if it does not.
    fn step(&mut self, bytes: &[u8], tag: &str) -> io::Result<Option<String>> {
        self.say(bytes)?;
        loop {
            let line = self.line()?;
            if line.starts_with('+') {
                return Ok(None);
            }
            if let Some(answer) = line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                return match is(answer, "OK") {
                    true => Err(io::Error::other("The server does not ask for the password")),
                    false => Ok(Some(answer.to_owned())),
                };
            }
        }
    }

    fn finish(&mut self, bytes: &[u8]) -> io::Result<String> {
        self.say(bytes)?;
        self.say(b"\r\n")?;
        self.tagged("3")
    }

    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    fn tagged(&mut self, tag: &str) -> io::Result<String> {
        self.until(tag, |_| {})
    }

    fn until(&mut self, tag: &str, mut each: impl FnMut(&str)) -> io::Result<String> {
        loop {
            let line = self.line()?;
            if let Some(answer) = line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                each(answer);
                return Ok(answer.to_owned());
            }
            each(&line);
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut buffer = [0; 1024];
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.input.len() > IMAP_LINE_BYTES_MAX {
                return Err(io::Error::other("The server sent a line that is too long"));
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::Error::other("The server closed the connection")),
                count => self.input.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
    }
}

/// Whether an answer begins with that word.
fn is(answer: &str, word: &str) -> bool {
    answer.split(' ').next().is_some_and(|first| first.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mode: ImapTls, said: &str, expect: Result<ImapVerdict, &str>) {
        let options = TlsOptions { verify: tls::Verify::Nothing, ..TlsOptions::default() };
        let server = ImapServer::new(mode, &options).unwrap();
        let (verdict, heard) = server.converse(said.as_bytes(), ("joe", b"s3cr3t"));
        assert_eq!(verdict, expect.map_err(str::to_owned), "{said}");
        if mode != ImapTls::No {
            let heard = String::from_utf8_lossy(&heard);
            assert!(!heard.contains("s3cr3t") && !heard.contains("AUTH"), "{heard}");
        }
    }

    #[test]
    fn servers_that_do_not_behave() {
        let no = ImapTls::No;
        check(no, "", Err("The server closed the connection"));
        check(no, "* PREAUTH hi\r\n", Err("The server does not greet: * PREAUTH hi"));
        check(no, "* OK hi\r\n2 OK\r\n+\r\n+\r\n3 OK in\r\n", Ok(ImapVerdict::Accepted));
        // Nobody is let in by a server that has not seen the password.
        let hasty = "The server does not ask for the password";
        check(no, "* OK hi\r\n2 OK\r\n3 OK in\r\n", Err(hasty));
        check(no, "* OK hi\r\n2 OK\r\n+\r\n3 ok in\r\n", Err(hasty));
        check(no, "* OK hi\r\n* CAPABILITY AUTH=PLAIN\r\n2 OK\r\n3 OK in\r\n", Err(hasty));
        check(no, &format!("* OK {}", "x".repeat(100_000)), Err("The server sent a line that is too long"));
    }

    #[test]
    fn tls_that_does_not_begin() {
        let start = ImapTls::StartTls;
        check(start, "* OK hi\r\n1 NO no\r\n2 OK\r\n3 OK\r\n", Err("STARTTLS failed: NO no"));
        let early = "The server sent something behind its answer to STARTTLS";
        check(start, "* OK hi\r\n1 OK go\r\n2 OK\r\n+\r\n+\r\n3 OK\r\n", Err(early));
    }
}
