//! A connection to a doveadm server, from its greeting to the answers of its commands.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use base::log::Level;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use sasl::encoding::base64;

use crate::limits::{CONNECT_TIMEOUT, SERVER_LINE_MAX, VALUE_BYTES_MAX};
use crate::wire::channels::{OUTPUT, Packets, level_of_code};
use crate::wire::tls::Secure;
use crate::wire::{SERVER_VERSION, STARTTLS_MINOR, dot, minor_version, status_of_name, unescaped};

/// What is heard while a command runs.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A whole value.
    Value(Vec<u8>),
    /// A piece of a long one; an empty one ends it.
    Piece(Vec<u8>),
    Log(Level, String),
}

/// Takes what is heard.
pub(crate) type Ear<'a> = dyn FnMut(Heard) + 'a;

/// Why nothing came of a command.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The program cannot go on.
    Fatal(String),
    /// An error that has been told, and then the end of the connection, for this reason.
    Lost(Vec<String>, String),
}

fn lost(error: &io::Error) -> Trouble {
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => base::reason(error).to_string(),
    };
    Trouble::Lost(Vec::new(), why)
}

/// Who we say that we are.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    packets: Channel,
    output: File,
    /// What came behind the last reply.
    rest: Vec<u8>,
}

#[derive(Debug)]
enum Channel {
    /// A server that knows no packets.
    Plain(BufReader<File>),
    Packets(Packets<BufReader<File>>),
}

impl Connection {
    /// Connects to a socket's path or to `host:port`, and gets past the greeting.
    pub(super) fn open(
        target: &str,
        port: u16,
        credentials: &Credentials,
        secure: Option<&Secure>,
    ) -> Result<Self, Trouble> {
        let mut socket = connect(target, port).map_err(Trouble::Fatal)?;
        let host = host_and_port(target, port).map_or(target, |(host, _)| host);
        if let Some(secure) = secure.filter(|secure| !secure.start) {
            socket = secure.connect(socket, host).map_err(|why| {
                let text = format!("doveadm server disconnected before handshake: {why}");
                Trouble::Lost(vec![text], why)
            })?;
        }
        Self::greet(socket, credentials, secure.filter(|secure| secure.start).map(|secure| (secure, host)))
    }

    /// With `starts` TLS is to be begun before the password is told.
    fn greet(
        socket: OwnedFd,
        credentials: &Credentials,
        mut starts: Option<(&Secure, &str)>,
    ) -> Result<Self, Trouble> {
        let told = |text: String| Trouble::Lost(vec![text], "EOF".to_owned());
        let mut output = File::from(socket);
        let mut input = BufReader::new(output.try_clone().map_err(|error| lost(&error))?);
        output.write_all(SERVER_VERSION.as_bytes()).map_err(|error| lost(&error))?;
        let (mut minor, mut asked) = (0, false);
        loop {
            let line = match line(&mut input) {
                Ok(line) => line,
                Err(error) => {
                    let Trouble::Lost(_, why) = lost(&error) else { return Err(lost(&error)) };
                    return Err(Trouble::Lost(
                        vec![format!("doveadm server disconnected before handshake: {why}")],
                        why,
                    ));
                }
            };
            match line.as_str() {
                "+" if starts.is_some() => {
                    return Err(told("doveadm STARTTLS failed: Server doesn't want it".to_owned()));
                }
                "+" => break,
                "-" if asked => return Err(told("doveadm authentication failed ()".to_owned())),
                "-" if credentials.password.is_empty() => {
                    let text = "doveadm_password not set, can't authenticate to remote server";
                    return Err(told(text.to_owned()));
                }
                "-" => {
                    if let Some((secure, host)) = starts.take() {
                        let begun = start_tls(input, output, minor, secure, host);
                        (input, output) =
                            begun.map_err(|why| told(format!("doveadm STARTTLS failed: {why}")))?;
                    }
                    let plain = format!("\0{}\0{}", credentials.username, credentials.password);
                    let line = format!("PLAIN\t{}\n", base64(plain.as_bytes()));
                    output.write_all(line.as_bytes()).map_err(|error| lost(&error))?;
                    asked = true;
                }
                line if line.starts_with("VERSION\t") => match minor_version(line, "doveadm-client") {
                    Some(version) => minor = version,
                    None => {
                        let text =
                            "doveadm server not compatible with this client(mixed old and new binaries?)";
                        return Err(told(text.to_owned()));
                    }
                },
                line => return Err(told(format!("doveadm server sent invalid handshake: {line}"))),
            }
        }
        let packets = match minor {
            0 => Channel::Plain(input),
            _ => Channel::Packets(Packets::new(input)),
        };
        Ok(Self { packets, output, rest: Vec::new() })
    }

    /// Runs a command, given as a whole line, and returns its exit status.
    pub(super) fn run(
        &mut self,
        line: &[u8],
        input: Option<impl Read>,
        ear: &mut Ear<'_>,
    ) -> Result<i32, Trouble> {
        self.output.write_all(line).map_err(|error| lost(&error))?;
        if let Some(input) = input {
            dot::write(input, &mut self.output).map_err(|error| lost(&error))?;
        }
        let (mut reply, mut log) = (Reply::default(), LogLines::default());
        let mut buffer = vec![0; crate::limits::COPY_BYTES];
        loop {
            let (channel, count) = match self.packets.next(&mut buffer) {
                Ok(Some(heard)) => heard,
                Ok(None) => {
                    log.end(ear);
                    return Err(lost(&io::ErrorKind::UnexpectedEof.into()));
                }
                Err(error) => return Err(lost(&error)),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            if channel != OUTPUT {
                log.take(bytes, ear);
                continue;
            }
            let broken = |text| Trouble::Lost(vec![text], "EOF".to_owned());
            let (status, used) = reply.take(bytes, ear).map_err(broken)?;
            if let Some(status) = status {
                self.rest = bytes.get(used..).unwrap_or_default().to_vec();
                return Ok(status);
            }
        }
    }

    /// What is left of it after a command that answers with a conversation of its own.
    /// It may be silent for so long.
    pub(super) fn into_stream(self, timeout: Duration) -> io::Result<(Stream, File)> {
        set_socket_timeout(&self.output, Timeout::Recv, Some(timeout))?;
        Ok((
            Stream { rest: Cursor::new(self.rest), packets: self.packets, log: LogLines::default() },
            self.output,
        ))
    }
}

impl Channel {
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<Option<(u8, usize)>> {
        match self {
            Self::Packets(packets) => packets.next(buffer),
            Self::Plain(input) => Ok(Some((OUTPUT, input.read(buffer)?)).filter(|(_, count)| *count != 0)),
        }
    }
}

/// What the server prints, as bytes. Log lines between are logged.
#[derive(Debug)]
pub(crate) struct Stream {
    rest: Cursor<Vec<u8>>,
    packets: Channel,
    log: LogLines,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let log = base::Logger::new("");
        let count = self.rest.read(buffer)?;
        if count != 0 {
            return Ok(count);
        }
        loop {
            match self.packets.next(buffer)? {
                None => return Ok(0),
                Some((OUTPUT, count)) => return Ok(count),
                Some((_, count)) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    self.log.take(bytes, &mut |heard| {
                        if let Heard::Log(level, text) = heard {
                            log.log(level, format_args!("remote: {text}"));
                        }
                    });
                }
            }
        }
    }
}

/// Both ways of the connection, from now on in TLS.
fn start_tls(
    input: BufReader<File>,
    mut output: File,
    minor: u32,
    secure: &Secure,
    host: &str,
) -> Result<(BufReader<File>, File), String> {
    let system = |error: io::Error| base::reason(&error).to_string();
    if minor < STARTTLS_MINOR {
        return Err("Server does not support it".to_owned());
    }
    if !input.buffer().is_empty() {
        // What came in plain text must not be taken for what came in TLS.
        return Err("Server sent more than it was asked".to_owned());
    }
    output.write_all(b"STARTTLS\n").map_err(system)?;
    drop(input);
    let output = File::from(secure.connect(output.into(), host)?);
    Ok((BufReader::new(output.try_clone().map_err(system)?), output))
}

fn line(input: &mut BufReader<File>) -> io::Result<String> {
    let mut line = Vec::new();
    input.take(SERVER_LINE_MAX).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(String::from_utf8_lossy(&line).into_owned()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// As in 2.3 it is a path if there is a slash in it.
fn connect(target: &str, port: u16) -> Result<OwnedFd, String> {
    if target.contains('/') {
        let connected = UnixStream::connect(target);
        return connected
            .map(OwnedFd::from)
            .map_err(|error| format!("net_connect_unix({target}) failed: {}", base::reason(&error)));
    }
    let (host, port) = host_and_port(target, port)
        .ok_or_else(|| format!("Port not known for {target}. Either set proxy_port or use {target}:port"))?;
    let looked_up = (host, port).to_socket_addrs().map(|mut addresses| addresses.next());
    let address = match looked_up {
        Ok(Some(address)) => address,
        Ok(None) => return Err(format!("Lookup of host {host} failed: Name or service not known")),
        Err(error) => {
            let text = error.to_string();
            let why = text.rsplit(": ").next().unwrap_or_default();
            return Err(format!("Lookup of host {host} failed: {why}"));
        }
    };
    let connected = match port {
        // The library has words of its own where the kernel has others.
        0 => Err(io::Error::from_raw_os_error(nix::libc::ECONNREFUSED)),
        _ => TcpStream::connect_timeout(&address, CONNECT_TIMEOUT),
    };
    connected
        .map(OwnedFd::from)
        .map_err(|error| format!("connect({}:{port}) failed: {}", address.ip(), base::reason(&error)))
}

/// `host`, `host:port`, `[address]:port` or an address of many colons.
fn host_and_port(target: &str, default: u16) -> Option<(&str, u16)> {
    let port = |text: &str| text.parse().ok().filter(|port| *port != 0);
    if let Some((host, rest)) = target.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(text) => Some((host, port(text)?)),
            None => rest.is_empty().then_some((host, default)),
        };
    }
    match target.split_once(':') {
        Some((host, text)) if !text.contains(':') => Some((host, port(text)?)),
        _ => Some((target, default)),
    }
}

/// Puts values together out of what the server prints, up to the line that ends it.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    value: Vec<u8>,
    escape: bool,
    streaming: bool,
    /// The line that ends it, once it has begun.
    ending: Option<Vec<u8>>,
}

impl Reply {
    /// The exit status, if the reply is whole, and how many of the bytes belong to it.
    pub(crate) fn take(&mut self, bytes: &[u8], ear: &mut Ear<'_>) -> Result<(Option<i32>, usize), String> {
        for (at, &byte) in bytes.iter().enumerate() {
            match (&mut self.ending, byte) {
                (Some(line), b'\n') => return Ok((Some(status(line)?), at + 1)),
                (Some(line), _) if line.len() as u64 >= SERVER_LINE_MAX => {
                    return Err("doveadm server sent a line that is too long".to_owned());
                }
                (Some(line), byte) => line.push(byte),
                (None, b'\n') if self.value.is_empty() && !self.streaming => self.ending = Some(Vec::new()),
                (None, b'\n') => return Err("doveadm server sent broken print input".to_owned()),
                (None, b'\t') => self.end_value(ear),
                (None, 1) if !self.escape => self.escape = true,
                (None, byte) => {
                    let plain = if std::mem::take(&mut self.escape) { unescaped(byte) } else { byte };
                    self.value.push(plain);
                    if self.value.len() >= VALUE_BYTES_MAX {
                        self.streaming = true;
                        ear(Heard::Piece(std::mem::take(&mut self.value)));
                    }
                }
            }
        }
        Ok((None, bytes.len()))
    }

    fn end_value(&mut self, ear: &mut Ear<'_>) {
        let value = std::mem::take(&mut self.value);
        if !std::mem::take(&mut self.streaming) {
            return ear(Heard::Value(value));
        }
        if !value.is_empty() {
            ear(Heard::Piece(value));
        }
        ear(Heard::Piece(Vec::new()));
    }
}

fn status(line: &[u8]) -> Result<i32, String> {
    let text = String::from_utf8_lossy(line);
    match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(_), _) => Ok(0),
        (None, Some(name)) => Ok(status_of_name(name)),
        (None, None) => Err(format!("doveadm server sent broken input (expected cmd reply): {text}")),
    }
}

#[derive(Debug, Default)]
struct LogLines(Vec<u8>);

impl LogLines {
    fn take(&mut self, bytes: &[u8], ear: &mut Ear<'_>) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end(ear);
            } else if (self.0.len() as u64) < SERVER_LINE_MAX {
                self.0.push(byte);
            }
        }
    }

    fn end(&mut self, ear: &mut Ear<'_>) {
        let line = std::mem::take(&mut self.0);
        if let Some((&code, text)) = line.split_first() {
            let level = level_of_code(code).unwrap_or(Level::Warning);
            ear(Heard::Log(level, String::from_utf8_lossy(text).into_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(reply: &[u8]) -> (Vec<String>, Result<Option<i32>, String>) {
        let mut all = Vec::new();
        let mut state = Reply::default();
        let mut outcome = Ok(None);
        // A byte at a time, as a network may bring them.
        for byte in reply {
            let taken = state.take(&[*byte], &mut |heard| all.push(format!("{heard:?}")));
            outcome = taken.map(|(status, _)| status);
        }
        (all, outcome)
    }

    #[test]
    fn values_end_in_tabs_and_replies_in_a_line() {
        let (all, outcome) = heard(b"one\t\x01t\x011\t\n+\n");
        assert_eq!(all, ["Value([111, 110, 101])", "Value([9, 1])"]);
        assert_eq!(outcome, Ok(Some(0)));
        assert_eq!(heard(b"\n-NOUSER\n").1, Ok(Some(67)));
        assert_eq!(heard(b"\n-\n").1, Ok(Some(75)));
        assert!(heard(b"half\n").1.is_err());
        assert!(heard(b"\nwhat\n").1.is_err());
        // Lines have an end.
        assert!(heard(&[&b"\n-"[..], &vec![b'x'; SERVER_LINE_MAX as usize]].concat()).1.is_err());
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(host_and_port("host", 5), Some(("host", 5)));
        assert_eq!(host_and_port("host:7", 5), Some(("host", 7)));
        assert_eq!(host_and_port("[::1]:7", 5), Some(("::1", 7)));
        assert_eq!(host_and_port("::1", 5), Some(("::1", 5)));
        assert_eq!(host_and_port("host:x", 5), None);
    }
}
