//! TLS to MySQL and MariaDB. The client library speaks through a unix socket to a thread of ours, which
//! does the rest: in MySQL's protocol TLS begins after the server's greeting, so that the thread has to
//! put one packet in between and count the others of the login anew.

use std::fs::{DirBuilder, remove_dir_all};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::limits::MYSQL_LOGIN_PACKET_BYTES_MAX;
use crate::tls::{self, TlsOptions};

/// `CLIENT_SSL`, a bit of the capabilities.
const CLIENT_SSL: u32 = 0x0800;
/// What an `SSLRequest` has of the client's answer to the greeting: capabilities, the longest packet,
/// the character set, and nothing.
const REQUEST_BYTES: usize = 32;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Where to, and how long to wait.
pub(super) struct Server<'s> {
    pub(super) host: &'s str,
    pub(super) port: u16,
    pub(super) connect_timeout: Duration,
    pub(super) read_timeout: Duration,
    pub(super) write_timeout: Duration,
}

/// A way to a server. The socket goes when this does; who is connected stays so.
pub(super) struct Tunnel {
    dir: PathBuf,
    failure: Receiver<String>,
}

impl Tunnel {
    /// Connects to a server and waits for the client.
    pub(super) fn open(server: &Server<'_>, options: &TlsOptions) -> io::Result<Self> {
        let config = options.client_config().map_err(io::Error::other)?;
        let mut tcp = connect(server)?;
        let greeting = Packet::read(&mut tcp)?;
        match greeting.capabilities() {
            Some(capabilities) if capabilities & CLIENT_SSL != 0 => {}
            Some(_) => return Err(io::Error::other("the server does not support TLS")),
            None => return Err(io::Error::other(greeting.refusal())),
        }
        let dir = private_dir()?;
        let (sender, failure) = sync_channel(1);
        let tunnel = Self { dir, failure };
        let listener = UnixListener::bind(tunnel.socket())?;
        let (host, timeout) = (server.host.to_owned(), server.read_timeout);
        let work = move || {
            let done = listener.accept().and_then(|(unix, _)| {
                unix.set_read_timeout(Some(timeout))?;
                Relay { unix, tcp, host, config }.run(&greeting)
            });
            if let Err(error) = done {
                // Nobody may be there to hear it.
                let _ = sender.try_send(base::reason(&error));
            }
        };
        std::thread::Builder::new().name("mysql-tls".into()).spawn(work)?;
        Ok(tunnel)
    }

    /// What the client connects to.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// Why the connection ended, if it was for TLS.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.recv_timeout(Duration::from_millis(100)).ok()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // An empty directory that stays does no harm.
        let _ = remove_dir_all(&self.dir);
    }
}

fn connect(server: &Server<'_>) -> io::Result<TcpStream> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for address in (server.host, server.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, server.connect_timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(server.read_timeout))?;
                stream.set_write_timeout(Some(server.write_timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A directory that only this user may look into.
fn private_dir() -> io::Result<PathBuf> {
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
    let name = format!("mysql-{}-{:016x}", std::process::id(), u64::from_ne_bytes(random));
    let dir = std::env::temp_dir().join(name);
    DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(dir)
}

/// A packet of the login: its number, and what is in it.
struct Packet {
    number: u8,
    payload: Vec<u8>,
}

impl Packet {
    fn read(stream: &mut impl Read) -> io::Result<Self> {
        let mut header = [0; 4];
        stream.read_exact(&mut header)?;
        let [a, b, c, number] = header;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, 0])).map_err(io::Error::other)?;
        if length > MYSQL_LOGIN_PACKET_BYTES_MAX {
            return Err(io::Error::other("the server speaks another protocol"));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        Ok(Self { number, payload })
    }

    fn write(&self, stream: &mut impl Write, payload: &[u8], number: u8) -> io::Result<()> {
        let [a, b, c, ..] = u32::try_from(payload.len()).map_err(io::Error::other)?.to_le_bytes();
        let mut bytes = zeroize::Zeroizing::new(vec![a, b, c, number]);
        bytes.extend_from_slice(payload);
        stream.write_all(&bytes)?;
        stream.flush()
    }

    /// The lower half of the capabilities in a greeting: behind the version, the connection's number,
    /// eight bytes of the scramble and a zero.
    fn capabilities(&self) -> Option<u32> {
        let rest = self.payload.strip_prefix(&[10])?;
        let version = rest.iter().position(|byte| *byte == 0)?;
        let low = rest.get(version + 1 + 4 + 8 + 1..)?.first_chunk::<2>()?;
        Some(u32::from(u16::from_le_bytes(*low)))
    }

    /// What a server says that does not greet: behind the mark and its number.
    fn refusal(&self) -> String {
        match self.payload.strip_prefix(&[0xff]).and_then(|rest| rest.get(2..)) {
            Some(text) => String::from_utf8_lossy(text).into_owned(),
            None => "the server speaks another protocol".into(),
        }
    }
}

struct Relay {
    unix: UnixStream,
    tcp: TcpStream,
    host: String,
    config: Arc<ClientConfig>,
}

impl Relay {
    fn run(mut self, greeting: &Packet) -> io::Result<()> {
        greeting.write(&mut self.unix, &greeting.payload, greeting.number)?;
        let mut response = Packet::read(&mut self.unix)?;
        let Some((capabilities, _)) = response.payload.split_first_chunk_mut::<4>() else {
            return Err(ErrorKind::InvalidData.into());
        };
        *capabilities = (u32::from_le_bytes(*capabilities) | CLIENT_SSL).to_le_bytes();
        let request = response.payload.get(..REQUEST_BYTES).ok_or(ErrorKind::InvalidData)?;
        response.write(&mut self.tcp, request, response.number)?;
        let mut tls = tls::handshake(self.tcp, &self.host, self.config)?;
        response.write(&mut tls, &response.payload, response.number.wrapping_add(1))?;
        log_in(&mut self.unix, &mut tls)?;
        relay(&mut self.unix, &mut tls)
    }
}

/// Hands on what is said until the server says yes or no. It has seen a packet more than the client has
/// sent.
fn log_in(unix: &mut UnixStream, tls: &mut Tls) -> io::Result<()> {
    loop {
        let said = Packet::read(tls)?;
        said.write(unix, &said.payload, said.number.wrapping_sub(1))?;
        match said.payload.as_slice() {
            // OK, or an error.
            [0x00 | 0xff, ..] => return Ok(()),
            // The password was in the server's cache; OK comes next.
            [0x01, 0x03] => {}
            _ => {
                let answer = Packet::read(unix)?;
                answer.write(tls, &answer.payload, answer.number.wrapping_add(1))?;
            }
        }
    }
}

/// Hands on bytes until one side leaves.
fn relay(unix: &mut UnixStream, tls: &mut Tls) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        // What came with the last packet is not seen by poll(2) any more.
        loop {
            match tls.conn.reader().read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => unix.write_all(buffer.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let (client, server) = ready(unix, &tls.sock)?;
        if client {
            match unix.read(&mut buffer)? {
                0 => {
                    tls.conn.send_close_notify();
                    return tls.flush();
                }
                count => tls.write_all(buffer.get(..count).unwrap_or_default())?,
            }
            tls.flush()?;
        }
        if server {
            if tls.conn.read_tls(&mut tls.sock)? == 0 {
                return Ok(());
            }
            tls.conn.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

/// Waits until there is something to read from either.
fn ready(unix: &UnixStream, tcp: &TcpStream) -> io::Result<(bool, bool)> {
    let mut both =
        [PollFd::new(unix.as_fd(), PollFlags::POLLIN), PollFd::new(tcp.as_fd(), PollFlags::POLLIN)];
    match poll(&mut both, PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let [client, server] = both.map(|one| one.any().unwrap_or(false));
    Ok((client, server))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> Packet {
        Packet { number: 0, payload: payload.to_vec() }
    }

    #[test]
    fn greetings() {
        let mut greeting = b"\x0a5.5.5-10.11\0\x01\0\0\x0012345678\0".to_vec();
        greeting.extend([0xfe, 0xff]);
        assert_eq!(packet(&greeting).capabilities(), Some(0xfffe));
        for at in 0..greeting.len() {
            assert_eq!(packet(&greeting[..at]).capabilities(), None);
        }
        let refusal = packet(b"\xff\x69\x04Host is blocked");
        assert_eq!((refusal.capabilities(), refusal.refusal().as_str()), (None, "Host is blocked"));
        assert_eq!(packet(b"").refusal(), "the server speaks another protocol");
    }

    #[test]
    fn packets_that_are_none() {
        assert!(Packet::read(&mut &b"\x05\0\0\x01abc"[..]).is_err());
        assert!(Packet::read(&mut &b"\xff\xff\xff\x01"[..]).is_err());
        let mut out = Vec::new();
        packet(b"abc").write(&mut out, b"abc", 7).unwrap();
        assert_eq!(out, b"\x03\0\0\x07abc");
    }
}
