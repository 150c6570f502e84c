//! Sends mail of our own: through `submission_host` by SMTP (RFC 5321), or with `sendmail_path`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Address, DeliverySettings};
use crate::limits::{REPLY_BYTES_MAX, REPLY_LINES_MAX};

/// Why mail could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The program could not be run or did not take the message.
    #[error("Failed to execute sendmail: {0}")]
    Execute(String, #[source] io::Error),
    /// The program said no.
    #[error("Sendmail program returned error ({0})")]
    Refused(std::process::ExitStatus),
    /// The setting names no program.
    #[error("sendmail_path is empty")]
    NoProgram,
    /// The server cannot be reached or the connection broke.
    #[error("smtp({host}): {step} failed")]
    Network {
        /// The server.
        host: String,
        /// What was being done.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server said no.
    #[error("smtp({host}): {step} failed: {reply}")]
    Reply {
        /// The server.
        host: String,
        /// The command.
        step: &'static str,
        /// The server's last line.
        reply: String,
    },
}

/// Sends mail with the null path as its sender, so that nobody answers.
#[derive(Debug, Clone, Copy)]
pub struct Submitter<'a> {
    settings: &'a DeliverySettings,
}

impl<'a> Submitter<'a> {
    /// As the settings say.
    pub fn new(settings: &'a DeliverySettings) -> Self {
        Self { settings }
    }

    /// Sends `text`, whose lines end in LF.
    ///
    /// # Errors
    /// Nobody took it.
    pub fn send(&self, recipient: &Address, text: &[u8]) -> Result<(), SubmitError> {
        match self.settings.submission_host.as_str() {
            "" => self.sendmail(recipient, text),
            host => self.smtp(host, recipient, text),
        }
    }

    /// The program gets what `import_environment` leaves of the environment; a sendmail needs no more.
    fn sendmail(&self, recipient: &Address, text: &[u8]) -> Result<(), SubmitError> {
        let mut words = self.settings.sendmail_path.split_whitespace();
        let program = words.next().ok_or(SubmitError::NoProgram)?;
        let failed = |error| SubmitError::Execute(program.to_owned(), error);
        let recipient = recipient.to_string();
        let mut command = Command::new(program);
        command.args(words).args(["-i", "-f", "<>", "--", &recipient]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.settings.environment.apply(&mut command);
        let mut child = command.spawn().map_err(failed)?;
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text));
        let status = child.wait().map_err(failed)?;
        match status.success() {
            true => written.map_err(failed),
            false => Err(SubmitError::Refused(status)),
        }
    }

    fn smtp(&self, host: &str, recipient: &Address, text: &[u8]) -> Result<(), SubmitError> {
        self.speak(Server::connect(host, self.settings.submission_timeout)?, recipient, text)
    }

    /// Sends `text` over a connection that is there already.
    ///
    /// # Errors
    /// The server did not take it.
    pub fn send_over(
        &self,
        stream: impl Read + Write,
        recipient: &Address,
        text: &[u8],
    ) -> Result<(), SubmitError> {
        let host = self.settings.submission_host.clone();
        self.speak(Server { host, stream: BufReader::new(stream) }, recipient, text)
    }

    fn speak<S: Read + Write>(
        &self,
        mut server: Server<S>,
        recipient: &Address,
        text: &[u8],
    ) -> Result<(), SubmitError> {
        server.expect("connect", 220)?;
        server.command("EHLO", &format!("EHLO {}", self.settings.hostname), 250)?;
        server.command("MAIL FROM", "MAIL FROM:<>", 250)?;
        server.command("RCPT TO", &format!("RCPT TO:<{recipient}>"), 250)?;
        server.command("DATA", "DATA", 354)?;
        server.write("DATA", &dotted(text))?;
        server.command("DATA", ".", 250)?;
        // The message is theirs now, whatever they say to this.
        let _ = server.command("QUIT", "QUIT", 221);
        Ok(())
    }
}

struct Server<S> {
    host: String,
    stream: BufReader<S>,
}

impl Server<TcpStream> {
    fn connect(setting: &str, timeout: Duration) -> Result<Self, SubmitError> {
        let host = if has_port(setting) { setting.to_owned() } else { format!("{setting}:25") };
        let network = |source| SubmitError::Network { host: host.clone(), step: "connect", source };
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for peer in host.to_socket_addrs().map_err(network)? {
            match TcpStream::connect_timeout(&peer, timeout) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(timeout)).map_err(network)?;
                    stream.set_write_timeout(Some(timeout)).map_err(network)?;
                    return Ok(Self { host, stream: BufReader::new(stream) });
                }
                Err(error) => last = error,
            }
        }
        Err(network(last))
    }
}

impl<S: Read + Write> Server<S> {
    fn command(&mut self, step: &'static str, line: &str, code: u16) -> Result<(), SubmitError> {
        self.write(step, format!("{line}\r\n").as_bytes())?;
        self.expect(step, code)
    }

    fn write(&mut self, step: &'static str, bytes: &[u8]) -> Result<(), SubmitError> {
        let written = self.stream.get_mut().write_all(bytes);
        written.map_err(|source| SubmitError::Network { host: self.host.clone(), step, source })
    }

    /// Reads a reply, which may have many lines, and checks its code.
    fn expect(&mut self, step: &'static str, code: u16) -> Result<(), SubmitError> {
        for _ in 0..REPLY_LINES_MAX {
            let mut line = Vec::new();
            let read = self.stream.by_ref().take(REPLY_BYTES_MAX).read_until(b'\n', &mut line);
            let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
            let read = read.and_then(|count| if count == 0 { Err(gone()) } else { Ok(()) });
            read.map_err(|source| SubmitError::Network { host: self.host.clone(), step, source })?;
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            let got = line.get(..3).and_then(|digits| digits.parse::<u16>().ok());
            // RFC 5321 §4.3.2: the first digit tells what matters.
            return match got.is_some_and(|got| got / 100 == code / 100) {
                true => Ok(()),
                false => Err(SubmitError::Reply { host: self.host.clone(), step, reply: line }),
            };
        }
        let reply = "a reply without end".to_owned();
        Err(SubmitError::Reply { host: self.host.clone(), step, reply })
    }
}

fn has_port(host: &str) -> bool {
    let port = host.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
    port.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// Lines with CRLF, those that begin with a dot with another one (RFC 5321 §4.5.2).
fn dotted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 32);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn recipient() -> Address {
        Address::new("s", Some("t".to_owned()))
    }

    /// A server that gives `replies` one after the other, and tells what it heard.
    fn play(replies: &'static [&'static str]) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let heard = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = BufReader::new(stream);
            let mut heard = String::new();
            for reply in replies {
                stream.get_mut().write_all(reply.as_bytes()).unwrap();
                let in_data = reply.starts_with("354");
                loop {
                    let start = heard.len();
                    if stream.read_line(&mut heard).unwrap() == 0
                        || !in_data
                        || heard.get(start..) == Some(".\r\n")
                    {
                        break;
                    }
                }
            }
            heard
        });
        (host, heard)
    }

    fn settings(host: String) -> DeliverySettings {
        DeliverySettings {
            hostname: "mx.example".into(),
            submission_host: host,
            submission_timeout: Duration::from_secs(20),
            ..DeliverySettings::default()
        }
    }

    #[test]
    fn smtp() {
        let (host, heard) = play(&[
            "220 hi\r\n",
            "250-mx\r\n250 SIZE\r\n",
            "250 ok\r\n",
            "250 ok\r\n",
            "354 go\r\n",
            "250 taken\r\n",
            "221 bye\r\n",
        ]);
        Submitter::new(&settings(host)).send(&recipient(), b"A: 1\n\n.dot\nend\n").unwrap();
        let expected = "EHLO mx.example\r\nMAIL FROM:<>\r\nRCPT TO:<s@t>\r\nDATA\r\n\
            A: 1\r\n\r\n..dot\r\nend\r\n.\r\nQUIT\r\n";
        assert_eq!(heard.join().unwrap(), expected);
    }

    #[test]
    fn smtp_refusals() {
        let (host, heard) = play(&["220 hi\r\n", "250 mx\r\n", "250 ok\r\n", "550 no\r\n"]);
        let error = Submitter::new(&settings(host.clone())).send(&recipient(), b"x\n").unwrap_err();
        assert_eq!(error.to_string(), format!("smtp({host}): RCPT TO failed: 550 no"));
        heard.join().unwrap();
        let error = Submitter::new(&settings(host.clone())).send(&recipient(), b"x\n").unwrap_err();
        assert_eq!(error.to_string(), format!("smtp({host}): connect failed"));
    }

    #[test]
    fn ports() {
        for (host, expected) in
            [("mx", false), ("mx:587", true), ("[::1]", false), ("[::1]:25", true), ("::1", false)]
        {
            assert_eq!(has_port(host), expected, "{host}");
        }
    }

    #[test]
    fn sendmail() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let script = directory.path().join("sendmail");
        let text =
            format!("#!/bin/sh\necho \"$@\" > {0}\nenv | grep -c HOME >> {0}\ncat >> {0}\n", out.display());
        std::fs::write(&script, text).unwrap();
        let mut settings = settings(String::new());
        settings.sendmail_path = format!("/bin/sh {} -x", script.display());
        Submitter::new(&settings).send(&recipient(), b"A: 1\n").unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "-x -i -f <> -- s@t\n0\nA: 1\n");
        settings.sendmail_path = "/bin/false".into();
        assert!(matches!(Submitter::new(&settings).send(&recipient(), b"A"), Err(SubmitError::Refused(_))));
        settings.sendmail_path = "/nonexistent".into();
        assert!(matches!(Submitter::new(&settings).send(&recipient(), b"A"), Err(SubmitError::Execute(..))));
    }
}
