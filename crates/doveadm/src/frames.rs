//! Asks one of our own processes over its internal socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::{Failure, Outcome, status};
use crate::limits::ANSWER_TIMEOUT;

/// A connection to a process of the running instance.
#[derive(Debug)]
pub(crate) struct Asked {
    path: String,
    stream: UnixStream,
    decoder: ipc::Decoder,
}

impl Asked {
    /// Connects to the socket `path` and asks.
    pub(crate) fn ask(path: &str, query: &impl Serialize) -> Outcome<Self> {
        let failed = |what: &str, error: &std::io::Error| {
            Failure::fatal(format_args!("{what}({path}) failed: {}", base::reason(error)))
        };
        let mut stream = UnixStream::connect(path).map_err(|error| failed("net_connect_unix", &error))?;
        stream
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .and_then(|()| stream.set_write_timeout(Some(ANSWER_TIMEOUT)))
            .map_err(|error| failed("setsockopt", &error))?;
        let frame = ipc::encode(query).map_err(|error| Failure::fatal(base::chain(&error)))?;
        stream.write_all(&frame).map_err(|error| failed("write", &error))?;
        Ok(Self { path: path.to_owned(), stream, decoder: ipc::Decoder::new() })
    }

    /// The next message; `None` at the end.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Outcome<Option<T>> {
        loop {
            let message = self.decoder.message().map_err(|error| {
                let text = format!("{} sent something else: {}", self.path, base::chain(&error));
                Failure::Fatal(text, status::PROTOCOL)
            })?;
            if message.is_some() {
                return Ok(message);
            }
            let mut buffer = [0; 8192];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(read) => self.decoder.push(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Err(Failure::fatal(format_args!(
                        "read({}) failed: No answer in time",
                        self.path
                    )));
                }
                Err(error) => {
                    return Err(Failure::fatal(format_args!(
                        "read({}) failed: {}",
                        self.path,
                        base::reason(&error)
                    )));
                }
            }
        }
    }

    /// The next message where one is due.
    pub(crate) fn expect<T: DeserializeOwned>(&mut self) -> Outcome<T> {
        self.next()?.ok_or_else(|| Failure::fatal(format_args!("read({}) failed: EOF", self.path)))
    }
}
