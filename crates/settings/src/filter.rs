//! Filters: `protocol`, `local`, `local_name` and `remote` sections, and which of them hold for a
//! connection.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// An address in it.
    pub ip: IpAddr,
    /// How many bits count; 0 matches nothing in particular, as in 2.3.
    pub bits: u8,
}

impl Network {
    /// `192.0.2.0/24`, `2001:db8::/32`, or a single address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let ip: IpAddr = address.parse().ok()?;
        Self::of(ip, bits)
    }

    /// An address with the text after the slash, if there is one.
    pub(crate) fn of(ip: IpAddr, bits: Option<&str>) -> Option<Self> {
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most)?,
        };
        Some(Self { ip, bits })
    }

    /// Whether an address is in it. An IPv4 address mapped to IPv6 counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.ip.to_canonical(), ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.bits.min(32));
                shift == 32 || u32::from(own) >> shift == u32::from(other) >> shift
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.bits.min(128));
                shift == 128 || u128::from(own) >> shift == u128::from(other) >> shift
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let most = if self.ip.is_ipv4() { 32 } else { 128 };
        write!(out, "{}", self.ip)?;
        if self.bits == most { Ok(()) } else { write!(out, "/{}", self.bits) }
    }
}

/// What a section of the configuration is limited to. Nothing: it holds always.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mask {
    /// `protocol NAME`, or `protocol !NAME` for every other one.
    pub protocol: Option<String>,
    /// `local NET`: the server's address.
    pub local: Option<Network>,
    /// `local_name NAME`: the name the client asked for by TLS. Several are separated by spaces,
    /// and `*.` stands for one label.
    pub local_name: Option<String>,
    /// `remote NET`: the client's address.
    pub remote: Option<Network>,
}

/// Who asks for settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter<'a> {
    /// The protocol of the session: `imap`, `pop3`, `lda`, `lmtp`, `doveadm`.
    pub protocol: Option<&'a str>,
    /// Another name that `protocol` sections may use for the process.
    pub service: Option<&'a str>,
    /// The server's address.
    pub local_ip: Option<IpAddr>,
    /// The client's address.
    pub remote_ip: Option<IpAddr>,
    /// The server's name as the client knows it.
    pub local_name: Option<&'a str>,
}

impl Mask {
    /// Whether the section holds for who asks.
    pub fn matches(&self, filter: &Filter<'_>) -> bool {
        self.matches_protocol(filter)
            && self.local_name.as_ref().is_none_or(|names| {
                filter.local_name.is_some_and(|name| names.split(' ').any(|mask| name_matches(name, mask)))
            })
            && self.remote.is_none_or(|net| filter.remote_ip.is_some_and(|ip| net.contains(ip)))
            && self.local.is_none_or(|net| filter.local_ip.is_some_and(|ip| net.contains(ip)))
    }

    fn matches_protocol(&self, filter: &Filter<'_>) -> bool {
        let Some(wanted) = &self.protocol else { return true };
        let names = [filter.protocol, filter.service];
        let mut names = names.iter().flatten().peekable();
        match wanted.strip_prefix('!') {
            // Who has no protocol is no "other protocol" either.
            Some(unwanted) => names.peek().is_some() && names.all(|name| *name != unwanted),
            None => names.any(|name| name == wanted),
        }
    }

    /// What comes first when several sections hold: the most special one.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let bits = |net: Option<Network>| std::cmp::Reverse(net.map_or(0, |net| net.bits));
        (self.local_name.is_none(), bits(self.local), bits(self.remote), self.protocol.is_none())
    }

    /// Whether this holds wherever `inner` does, given that both hold for the same connection.
    pub(crate) fn is_around(&self, inner: &Self) -> bool {
        let bits = |net: Option<Network>| net.map_or(0, |net| net.bits);
        bits(self.local) <= bits(inner.local)
            && bits(self.remote) <= bits(inner.remote)
            && (self.local_name.is_none() || inner.local_name.is_some())
            && (self.protocol.is_none() || inner.protocol.is_some())
    }

    /// Whether two sections are one, written twice.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let name = |mask: &Self| mask.local_name.as_ref().map(|name| name.to_ascii_lowercase());
        self.protocol == other.protocol
            && self.local == other.local
            && self.remote == other.remote
            && name(self) == name(other)
    }

    /// Whether it depends on who connects.
    pub fn is_local_or_remote(&self) -> bool {
        self.local_name.is_some() || self.local.is_some() || self.remote.is_some()
    }

    /// A filter that this holds for, to look at the settings inside.
    pub(crate) fn example(&self) -> Filter<'_> {
        Filter {
            protocol: self.protocol.as_deref(),
            service: None,
            local_ip: self.local.map(|net| net.ip),
            remote_ip: self.remote.map(|net| net.ip),
            local_name: self.local_name.as_deref(),
        }
    }
}

/// Compares a name with a pattern as DNS does: without case, `*.` for one label at the front of
/// what is left, `?` for any character.
fn name_matches(name: &str, mask: &str) -> bool {
    let (mut name, mut mask) = (name.as_bytes(), mask.as_bytes());
    while let (Some(n), Some(m)) = (name.first(), mask.first()) {
        match m {
            b'*' => {
                let Some(dot) = name.iter().position(|byte| *byte == b'.') else { return false };
                if mask.get(1) != Some(&b'.') {
                    return false;
                }
                name = &name[dot..];
                mask = &mask[1..];
            }
            b'?' => {}
            _ if !n.eq_ignore_ascii_case(m) => return false,
            _ => {}
        }
        (name, mask) = (&name[1..], &mask[1..]);
    }
    let mask = mask.strip_prefix(b"*").unwrap_or(mask);
    name.is_empty() && mask.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_names() {
        for (name, mask, expected) in [
            ("mail.example.com", "*.example.com", true),
            ("a.mail.example.com", "*.example.com", false),
            ("MAIL.example.com", "mail.Example.com", true),
            ("example.com", "*.example.com", false),
            ("example.com", "example.co", false),
        ] {
            assert_eq!(name_matches(name, mask), expected, "{name} {mask}");
        }
    }

    #[test]
    fn masks() {
        let net = |text| Network::parse(text);
        let imap = Filter { protocol: Some("imap"), local_ip: "192.0.2.7".parse().ok(), ..Filter::default() };
        for (mask, expected) in [
            (Mask::default(), true),
            (Mask { protocol: Some("imap".into()), ..Mask::default() }, true),
            (Mask { protocol: Some("!imap".into()), ..Mask::default() }, false),
            (Mask { protocol: Some("!pop3".into()), ..Mask::default() }, true),
            (Mask { local: net("192.0.2.0/24"), ..Mask::default() }, true),
            (Mask { local: net("192.0.3.0/24"), ..Mask::default() }, false),
            (Mask { local: net("::/0"), ..Mask::default() }, false),
            (Mask { remote: net("192.0.2.0/24"), ..Mask::default() }, false),
            (Mask { local_name: Some("a b".into()), ..Mask::default() }, false),
        ] {
            assert_eq!(mask.matches(&imap), expected, "{mask:?}");
        }
    }
}
