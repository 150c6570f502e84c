//! The PROXY protocol, versions 1 and 2, that a load balancer speaks before the client's first
//! byte on a listener with `haproxy = yes`. Pure: bytes in, addresses out.
//!
//! Only peers in `haproxy_trusted_networks` may send it; who asks here has checked that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits::{PROXY_V1_BYTES_MAX, PROXY_V2_BYTES_MAX};

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_BYTES: usize = 16;

const TLV_AUTHORITY: u8 = 0x02;
const TLV_SSL: u8 = 0x20;
const TLV_SSL_CN: u8 = 0x22;
const TLV_SSL_FIXED_BYTES: usize = 5;
const CLIENT_SSL: u8 = 0x01;

/// What the load balancer said about the connection it forwards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The client's and the local address; absent for `LOCAL`, `UNKNOWN` and unsupported families,
    /// where the real addresses stay.
    pub addresses: Option<Addresses>,
    /// Whether the client spoke TLS to the load balancer.
    pub ssl: bool,
    /// The name the client asked for (SNI), if the load balancer passed it on.
    pub hostname: Option<String>,
    /// The common name of the client's certificate.
    pub cert_common_name: Option<String>,
    /// Something worth an error line although the connection goes on.
    pub warning: Option<String>,
}

/// Both ends of the forwarded connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub remote: SocketAddr,
    /// The address the client connected to.
    pub local: SocketAddr,
}

/// Why a header was refused, in 2.3's words; the log line is
/// `haproxy<Display>: Client disconnected: … (rip=…)`, built by [`Refusal::line`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    version: &'static str,
    reason: String,
    detail: String,
}

impl Refusal {
    fn new(version: &'static str, reason: impl Into<String>) -> Self {
        Self { version, reason: reason.into(), detail: String::new() }
    }

    fn with(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }

    /// The log line for a peer.
    pub fn line(&self, peer: IpAddr) -> String {
        let comma = if self.detail.is_empty() { "" } else { ", " };
        format!(
            "haproxy{}: Client disconnected: {} ({}{comma}rip={peer})",
            self.version, self.reason, self.detail
        )
    }
}

/// The result of looking at the bytes that came so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed.
    Incomplete,
    /// The header, and how many bytes it takes.
    Complete(Header, usize),
}

/// The most bytes a caller must be able to hold before the header is complete or refused.
pub const HEADER_BYTES_MAX: usize = PROXY_V2_BYTES_MAX;

/// Looks at the first bytes of a connection. Nothing after the header is touched.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Refusal> {
    let magic = bytes.len().min(V2_SIGNATURE.len());
    if bytes.iter().zip(V2_SIGNATURE).all(|(a, b)| a == b) {
        return if magic < V2_SIGNATURE.len() { Ok(Parsed::Incomplete) } else { parse_v2(bytes) };
    }
    if bytes.iter().zip(b"PROXY ").all(|(a, b)| a == b) {
        return parse_v1(bytes);
    }
    Err(Refusal::new("", "Failed to read valid HAproxy data"))
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, Refusal> {
    let window = bytes.get(..PROXY_V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() < PROXY_V1_BYTES_MAX {
            Ok(Parsed::Incomplete)
        } else {
            Err(Refusal::new("", "Failed to read full header"))
        };
    };
    let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    let line = line.ok_or_else(|| Refusal::new("", "Failed to read full header"))?;
    let header = v1_fields(line)?;
    Ok(Parsed::Complete(header, end + 1))
}

fn v1_fields(line: &str) -> Result<Header, Refusal> {
    let refuse = |reason: &str| Refusal::new("(v1)", reason);
    let mut fields = line.split(' ').skip(1);
    let protocol = fields.next().filter(|protocol| !protocol.is_empty());
    let ipv4 = match protocol {
        Some("TCP4") => true,
        Some("TCP6") => false,
        Some("UNKNOWN") => return Ok(Header::default()),
        Some(other) => return Err(refuse("Unknown proxied protocol").with(format!("protocol=`{other}'"))),
        None => return Err(refuse("Field for proxied protocol is missing")),
    };
    let mut address = |which: &str| {
        let field = fields.next();
        let field = field.ok_or_else(|| refuse(&format!("Field for proxied {which} address is missing")))?;
        let address = field.parse::<IpAddr>().ok().filter(|address| address.is_ipv4() == ipv4);
        address.ok_or_else(|| {
            refuse(&format!("Proxied {which} address is invalid")).with(format!("address=`{field}'"))
        })
    };
    let (remote, local) = (address("remote")?, address("local")?);
    let mut port = |which: &str| {
        let field = fields.next();
        let field = field.ok_or_else(|| refuse("Field for proxied local port is missing"))?;
        let port = field.parse::<u16>().ok().filter(|&port| port != 0);
        port.ok_or_else(|| {
            refuse(&format!("Proxied {which} port is invalid")).with(format!("port=`{field}'"))
        })
    };
    let (remote_port, local_port) = (port("remote")?, port("local")?);
    if let Some(extra) = fields.next() {
        return Err(refuse("Header line has spurius extra field").with(format!("field=`{extra}'")));
    }
    let remote = SocketAddr::new(remote, remote_port);
    let local = SocketAddr::new(local, local_port);
    Ok(Header { addresses: Some(Addresses { remote, local }), ..Header::default() })
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, Refusal> {
    let Some(&[command, family, high, low]) = bytes.get(12..V2_FIXED_BYTES) else {
        return Ok(Parsed::Incomplete);
    };
    let total = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if total > PROXY_V2_BYTES_MAX {
        return Err(Refusal::new("", "Too long header"));
    }
    if command & 0xf0 != 0x20 {
        let version = format!("version={:02x}", command >> 4);
        return Err(Refusal::new("", "Unsupported protocol version").with(version));
    }
    let Some(body) = bytes.get(V2_FIXED_BYTES..total) else { return Ok(Parsed::Incomplete) };
    let header = match command & 0x0f {
        // LOCAL: the load balancer's own health check; what follows does not count.
        0 => Header::default(),
        1 => v2_proxied(family, body)?,
        other => return Err(Refusal::new("(v2)", "Invalid command").with(format!("cmd={other:02x}"))),
    };
    Ok(Parsed::Complete(header, total))
}

fn v2_proxied(family: u8, body: &[u8]) -> Result<Header, Refusal> {
    let refuse = |reason: &str| Refusal::new("(v2)", reason);
    if family & 0x0f != 1 {
        return Err(refuse("Not using TCP").with(format!("type={:02x}", family & 0x0f)));
    }
    let mut header = Header::default();
    let tlvs = match family >> 4 {
        1 => {
            let (addresses, tlvs) = v2_ipv4(body).ok_or_else(|| refuse("IPv4 data is incomplete"))?;
            header.addresses = Some(addresses);
            tlvs
        }
        2 => {
            let (addresses, tlvs) = v2_ipv6(body).ok_or_else(|| refuse("IPv6 data is incomplete"))?;
            header.addresses = Some(addresses);
            tlvs
        }
        unsupported @ (0 | 3) => {
            header.warning = Some(format!("Unsupported address family (family={unsupported:02x}"));
            return Ok(header);
        }
        other => return Err(refuse("Unknown address family").with(format!("family={other:02x}"))),
    };
    v2_tlvs(tlvs, &mut header).ok_or_else(|| refuse("Invalid TLV: Truncated data"))?;
    Ok(header)
}

fn v2_ipv4(body: &[u8]) -> Option<(Addresses, &[u8])> {
    let (remote, rest) = body.split_first_chunk::<4>()?;
    let (local, rest) = rest.split_first_chunk::<4>()?;
    let (remote_port, rest) = rest.split_first_chunk::<2>()?;
    let (local_port, rest) = rest.split_first_chunk::<2>()?;
    let remote = SocketAddr::new(Ipv4Addr::from(*remote).into(), u16::from_be_bytes(*remote_port));
    let local = SocketAddr::new(Ipv4Addr::from(*local).into(), u16::from_be_bytes(*local_port));
    Some((Addresses { remote, local }, rest))
}

fn v2_ipv6(body: &[u8]) -> Option<(Addresses, &[u8])> {
    let (remote, rest) = body.split_first_chunk::<16>()?;
    let (local, rest) = rest.split_first_chunk::<16>()?;
    let (remote_port, rest) = rest.split_first_chunk::<2>()?;
    let (local_port, rest) = rest.split_first_chunk::<2>()?;
    let remote = SocketAddr::new(Ipv6Addr::from(*remote).into(), u16::from_be_bytes(*remote_port));
    let local = SocketAddr::new(Ipv6Addr::from(*local).into(), u16::from_be_bytes(*local_port));
    Some((Addresses { remote, local }, rest))
}

fn v2_tlvs(bytes: &[u8], header: &mut Header) -> Option<()> {
    let mut tlvs = bytes;
    while !tlvs.is_empty() {
        let (kind, value, rest) = next_tlv(tlvs)?;
        match kind {
            TLV_AUTHORITY => header.hostname = Some(text(value)),
            TLV_SSL => {
                let (fixed, mut inner) = value.split_at_checked(TLV_SSL_FIXED_BYTES)?;
                header.ssl = fixed.first().is_some_and(|flags| flags & CLIENT_SSL != 0);
                while !inner.is_empty() {
                    let (kind, value, rest) = next_tlv(inner)?;
                    if kind == TLV_SSL_CN {
                        header.cert_common_name = Some(text(value));
                    }
                    inner = rest;
                }
            }
            _ => {}
        }
        tlvs = rest;
    }
    Some(())
}

fn next_tlv(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk::<3>()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    Some((kind, value, rest))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<(Option<&str>, usize), &str>) {
        // Every proper prefix must ask for more and never fail or panic, except the garbage cases.
        let parsed = parse(bytes);
        if parsed.is_ok() {
            for end in 0..bytes.len().min(16) {
                assert!(parse(&bytes[..end]).is_ok(), "prefix of {end}");
            }
        }
        let got = match parsed {
            Ok(Parsed::Complete(header, size)) => {
                let pair = header.addresses.map(|a| format!("{} {}", a.remote, a.local));
                Ok((pair, size))
            }
            Ok(Parsed::Incomplete) => Err("incomplete".to_owned()),
            Err(refusal) => Err(refusal.line([127, 0, 0, 1].into())),
        };
        assert_eq!(got, expected.map(|(a, n)| (a.map(str::to_owned), n)).map_err(str::to_owned));
    }

    #[test]
    fn version_1() {
        check(b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 143\r\na login", Ok((Some("1.2.3.4:1000 5.6.7.8:143"), 37)));
        check(b"PROXY TCP6 ::1 ::2 1 2\r\n", Ok((Some("[::1]:1 [::2]:2"), 24)));
        check(b"PROXY UNKNOWN ffff\r\n", Ok((None, 20)));
        check(b"PROXY TCP4 1.2.3.4", Err("incomplete"));
        check(
            b"PROXY TCP5 x\r\n",
            Err(
                "haproxy(v1): Client disconnected: Unknown proxied protocol (protocol=`TCP5', rip=127.0.0.1)",
            ),
        );
        check(
            b"PROXY TCP4 ::1 5.6.7.8 1 2\r\n",
            Err(
                "haproxy(v1): Client disconnected: Proxied remote address is invalid (address=`::1', rip=127.0.0.1)",
            ),
        );
        check(
            b"GET / HTTP/1.0\r\n",
            Err("haproxy: Client disconnected: Failed to read valid HAproxy data (rip=127.0.0.1)"),
        );
        check(
            &[b"PROXY ".as_slice(), &[b'x'; 200]].concat(),
            Err("haproxy: Client disconnected: Failed to read full header (rip=127.0.0.1)"),
        );
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn version_2() {
        let body = [1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0, 0, 143];
        check(&v2(0x21, 0x11, &body), Ok((Some("1.2.3.4:4096 5.6.7.8:143"), 28)));
        check(&v2(0x20, 0x00, b""), Ok((None, 16)));
        check(
            &v2(0x21, 0x11, &body[..5]),
            Err("haproxy(v2): Client disconnected: IPv4 data is incomplete (rip=127.0.0.1)"),
        );
        check(
            &v2(0x31, 0x11, &body),
            Err("haproxy: Client disconnected: Unsupported protocol version (version=03, rip=127.0.0.1)"),
        );
        check(
            &v2(0x21, 0x12, &body),
            Err("haproxy(v2): Client disconnected: Not using TCP (type=02, rip=127.0.0.1)"),
        );
        check(
            &v2(0x21, 0x11, &[&body[..], &[1, 0, 9]].concat()),
            Err("haproxy(v2): Client disconnected: Invalid TLV: Truncated data (rip=127.0.0.1)"),
        );
    }

    #[test]
    fn tls_fields() {
        let mut body = vec![1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 143];
        body.extend([0x02, 0, 3]);
        body.extend(b"a.b");
        body.extend([0x20, 0, 10, 1, 0, 0, 0, 0, 0x22, 0, 2]);
        body.extend(b"me");
        let Ok(Parsed::Complete(header, _)) = parse(&v2(0x21, 0x11, &body)) else { panic!() };
        assert!(header.ssl);
        assert_eq!(
            (header.hostname.as_deref(), header.cert_common_name.as_deref()),
            (Some("a.b"), Some("me"))
        );
    }
}
