//! Packets of MySQL's protocol, and what is in them.

use std::io::{self, BufReader, Read, Write};
use std::sync::Arc;

use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::limits::MYSQL_LOGIN_PACKET_BYTES_MAX;
use crate::stream::{self, Stream};
use crate::tls;

/// Why something did not work.
#[derive(Debug, thiserror::Error)]
pub(in crate::sql) enum Failure {
    /// The server's own words.
    #[error("{0}")]
    Server(String),
    #[error("{0}")]
    Io(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(stream::reason(&error))
    }
}

pub(super) fn unexpected() -> Failure {
    Failure::Io("The server sent something that is no MySQL".into())
}

/// First bytes of what is sent to the server.
pub(super) mod command {
    pub(in crate::sql::mysql) const QUIT: u8 = 0x01;
    pub(in crate::sql::mysql) const QUERY: u8 = 0x03;
    pub(in crate::sql::mysql) const PREPARE: u8 = 0x16;
    pub(in crate::sql::mysql) const EXECUTE: u8 = 0x17;
    pub(in crate::sql::mysql) const CLOSE: u8 = 0x19;
}

/// First bytes of what it answers.
pub(super) const OK: u8 = 0x00;
pub(super) const ERROR: u8 = 0xff;
/// Also the wish for another authentication.
pub(super) const EOF: u8 = 0xfe;

/// A connection, in packets.
pub(super) struct Wire {
    reader: BufReader<Box<dyn Stream>>,
    /// The next packet's, whoever sends it.
    number: u8,
    /// The longest packet that is read.
    pub(super) packet_max: usize,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { reader: BufReader::new(stream), number: 0, packet_max: MYSQL_LOGIN_PACKET_BYTES_MAX }
    }

    pub(super) fn stream(&mut self) -> &mut dyn Stream {
        self.reader.get_mut()
    }

    /// Goes on through TLS.
    pub(super) fn secure(self, host: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        if !self.reader.buffer().is_empty() {
            // What came before TLS is not from whom it seems to be.
            return Err(io::Error::other("The server sent something before TLS"));
        }
        let reader = BufReader::new(tls::connect(self.reader.into_inner(), host, config)?);
        Ok(Self { reader, ..self })
    }

    /// The next packet, of which the server says that it is the next; never empty.
    pub(super) fn receive(&mut self) -> Result<Vec<u8>, Failure> {
        let mut header = [0; 4];
        self.reader.read_exact(&mut header)?;
        let [a, b, c, number] = header;
        let length = u32::from_le_bytes([a, b, c, 0]);
        if number != self.number || length == 0 {
            return Err(unexpected());
        }
        if usize::try_from(length).is_ok_and(|length| length > self.packet_max) {
            return Err(Failure::Io("The server sent a packet that is too long".into()));
        }
        self.number = number.wrapping_add(1);
        // Memory is taken for what is there, not for what is announced.
        let mut payload = Vec::new();
        let count = Read::by_ref(&mut self.reader).take(u64::from(length)).read_to_end(&mut payload)?;
        match u32::try_from(count) == Ok(length) {
            true => Ok(payload),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// A packet that is no error.
    pub(super) fn answer(&mut self) -> Result<Vec<u8>, Failure> {
        let packet = self.receive()?;
        match packet.first() {
            Some(&ERROR) => Err(refusal(&packet)),
            _ => Ok(packet),
        }
    }

    pub(super) fn send(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let length = u32::try_from(payload.len()).ok().filter(|length| *length < 0xff_ffff);
        let length = length.ok_or_else(|| Failure::Io("Parameters are too large".into()))?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 + payload.len()));
        bytes.extend_from_slice(length.to_le_bytes().get(..3).unwrap_or_default());
        bytes.push(self.number);
        bytes.extend_from_slice(payload);
        self.number = self.number.wrapping_add(1);
        let stream = self.reader.get_mut();
        stream.write_all(&bytes)?;
        Ok(stream.flush()?)
    }

    /// Says something new.
    pub(super) fn command(&mut self, command: u8, argument: &[u8]) -> Result<(), Failure> {
        self.number = 0;
        let mut payload = Zeroizing::new(Vec::with_capacity(1 + argument.len()));
        payload.push(command);
        payload.extend_from_slice(argument);
        self.send(&payload)
    }
}

/// What an error packet says: behind the mark and the number comes the state after a `#`, except before the
/// login.
pub(super) fn refusal(packet: &[u8]) -> Failure {
    let text = packet.get(3..).unwrap_or_default();
    let text = if text.first() == Some(&b'#') { text.get(6..).unwrap_or_default() } else { text };
    Failure::Server(String::from_utf8_lossy(text).into_owned())
}

/// What is left of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'p>(pub(super) &'p [u8]);

impl<'p> Parts<'p> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Up to a zero, which is passed over; up to the end if there is none.
    pub(super) fn until_zero(&mut self) -> &'p [u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        text
    }

    /// A number whose first byte says how long it is; `None` also for the NULL of a row.
    pub(super) fn number(&mut self) -> Option<u64> {
        Some(match self.byte()? {
            0xfb | 0xff => return None,
            0xfc => u64::from(self.short()?),
            0xfd => self.array::<3>().map(|[a, b, c]| u64::from(u32::from_le_bytes([a, b, c, 0])))?,
            0xfe => self.array().map(u64::from_le_bytes)?,
            small => u64::from(small),
        })
    }

    /// Bytes behind their number.
    pub(super) fn bytes(&mut self) -> Option<&'p [u8]> {
        let count = self.number()?;
        self.take(usize::try_from(count).ok()?)
    }
}

/// Puts bytes behind their number.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let count = bytes.len() as u64;
    let [a, b, c, ..] = count.to_le_bytes();
    match count {
        0..=0xfa => out.push(a),
        0xfb..=0xffff => out.extend([0xfc, a, b]),
        0x1_0000..=0xff_ffff => out.extend([0xfd, a, b, c]),
        _ => {
            out.push(0xfe);
            out.extend(count.to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Said;

    fn check(said: &[u8], expect: Result<&[u8], &str>) {
        let mut wire = Wire::new(Box::new(Said::new(said)));
        let packet = wire.receive().map_err(|failure| failure.to_string());
        assert_eq!(packet, expect.map(<[u8]>::to_vec).map_err(str::to_owned));
    }

    #[test]
    fn packets() {
        check(b"\x03\0\0\0abc", Ok(b"abc"));
        check(b"\x03\0\0\0ab", Err("The server closed the connection"));
        check(b"\x03\0\0", Err("The server closed the connection"));
        check(b"\x03\0\0\x01abc", Err("The server sent something that is no MySQL"));
        check(b"\0\0\0\0", Err("The server sent something that is no MySQL"));
        check(b"\xff\xff\xff\0abc", Err("The server sent a packet that is too long"));
    }

    #[test]
    fn numbers() {
        for count in [0, 1, 0xfa, 0xfb, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000] {
            let mut out = Vec::new();
            put_bytes(&mut out, &vec![b'x'; count]);
            let mut parts = Parts(&out);
            assert_eq!(parts.bytes().map(<[u8]>::len), Some(count));
            assert!(parts.0.is_empty());
        }
        assert_eq!(Parts(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xffabc").bytes(), None);
        assert_eq!(Parts(b"\xfb").bytes(), None);
        assert_eq!(Parts(b"").bytes(), None);
    }

    #[test]
    fn refusals() {
        assert_eq!(refusal(b"\xff\x69\x04Host is blocked").to_string(), "Host is blocked");
        assert_eq!(refusal(b"\xff\x15\x04#28000Access denied").to_string(), "Access denied");
        assert_eq!(refusal(b"\xff\x15\x04#28").to_string(), "");
        assert_eq!(refusal(b"\xff").to_string(), "");
    }
}
