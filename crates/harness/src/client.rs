//! A line-based protocol client that shows what the server really sent.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::needs::HUNG;

/// A connection to a server under test. Lines come without their CRLF.
pub struct Client {
    stream: Stream,
    buffer: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Gone,
}

impl Client {
    /// Connects without TLS, from any loopback address.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("connect {address}: {error}"));
        Self::over(stream)
    }

    /// Uses a connection made by the caller.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(HUNG)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        Self { stream: Stream::Plain(stream), buffer: Vec::new() }
    }

    /// Connects with TLS from the first byte.
    pub fn connect_tls(address: SocketAddr, name: &str) -> Self {
        let mut client = Self::connect(address);
        client.start_tls(name);
        client
    }

    /// Begins TLS on the connection, asking for `name` by SNI.
    pub fn start_tls(&mut self, name: &str) {
        self.start_tls_with(name, crate::cert::believing_client());
    }

    /// Begins TLS with a configuration of the caller's.
    pub fn start_tls_with(&mut self, name: &str, config: Arc<ClientConfig>) {
        assert!(self.buffer.is_empty(), "bytes before TLS: {:?}", String::from_utf8_lossy(&self.buffer));
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            panic!("TLS is on already")
        };
        let name = ServerName::try_from(name.to_owned()).expect("a valid server name");
        let tls = ClientConnection::new(config, name).expect("a TLS client");
        self.stream = Stream::Tls(Box::new(StreamOwned::new(tls, stream)));
    }

    /// The server's certificate, once something has been read over TLS.
    pub fn certificate(&self) -> Vec<u8> {
        let Stream::Tls(stream) = &self.stream else { panic!("TLS is not on") };
        stream.conn.peer_certificates().and_then(|chain| chain.first()).expect("a certificate").to_vec()
    }

    /// `tls-exporter` (RFC 9266), once something has been read over TLS.
    pub fn exporter(&self) -> Vec<u8> {
        let Stream::Tls(stream) = &self.stream else { panic!("TLS is not on") };
        let label = b"EXPORTER-Channel-Binding";
        stream.conn.export_keying_material(vec![0; 32], label, Some(&[])).expect("the handshake is through")
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).expect("the server takes what is sent");
    }

    /// Sends bytes, or tells that the connection is gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Sends a line with CRLF.
    pub fn line(&mut self, line: &str) {
        self.send(format!("{line}\r\n"));
    }

    /// The next line, or `None` when the server has closed the connection.
    pub fn read_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                return Some(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.fill() == 0 {
                return None;
            }
        }
    }

    /// The next line, which must come.
    pub fn expect_line(&mut self) -> String {
        self.read_line().expect("a line, but the server closed the connection")
    }

    /// Exactly `count` bytes.
    pub fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.try_read(count);
        bytes.unwrap_or_else(|| panic!("closed after {} of {count} bytes", self.buffer.len()))
    }

    /// Exactly `count` bytes, or `None` when the server has closed the connection.
    pub fn try_read(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if self.fill() == 0 {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// Sends an IMAP command and gives back all lines up to and with the tagged one. Literals stay
    /// where they are: a line that ends in `{n}` is followed by those bytes and the rest.
    pub fn imap(&mut self, tag: &str, command: &str) -> Vec<String> {
        self.line(&format!("{tag} {command}"));
        self.until_tagged(tag)
    }

    /// All lines up to and with the one tagged `tag`.
    pub fn until_tagged(&mut self, tag: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.response();
            let done = line.strip_prefix(tag).is_some_and(|rest| rest.starts_with(' '));
            lines.push(line);
            if done {
                return lines;
            }
        }
    }

    /// One IMAP response with its literals in it.
    pub fn response(&mut self) -> String {
        let mut line = self.expect_line();
        while let Some(size) = literal_size(&line) {
            let literal = self.read_bytes(size);
            line.push_str("\r\n");
            line.push_str(&String::from_utf8_lossy(&literal));
            line.push_str(&self.expect_line());
        }
        line
    }

    /// Closes without a word.
    pub fn hang_up(self) {
        drop(self);
    }

    fn fill(&mut self) -> usize {
        let mut chunk = [0; 16 * 1024];
        let read = loop {
            let read = match &mut self.stream {
                Stream::Plain(stream) => stream.read(&mut chunk),
                Stream::Tls(stream) => stream.read(&mut chunk),
                Stream::Gone => Ok(0),
            };
            // A test that was stopped and goes on again is not hung.
            if !read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
                break read;
            }
        };
        let count = match read {
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) =>
            {
                0
            }
            Err(error) => {
                panic!("hung while reading: {error}; had {:?}", String::from_utf8_lossy(&self.buffer))
            }
        };
        self.buffer.extend_from_slice(&chunk[..count]);
        count
    }
}

fn literal_size(line: &str) -> Option<usize> {
    let digits = line.strip_suffix('}')?.rsplit_once('{')?.1;
    digits.parse().ok()
}
