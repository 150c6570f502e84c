//! Lists of networks as `login_trusted_networks`, `haproxy_trusted_networks` and the `allow_nets`
//! field write them: `10.0.0.0/8, ::1 192.168.1.7`.

use std::net::IpAddr;

/// A parsed list. The empty list contains no address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

/// An entry that is neither an address nor a network; it holds the entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid network '{0}'")]
pub struct BadNetwork(pub String);

impl Networks {
    /// Parses entries separated by spaces or commas. Stops at the first bad one, as 2.3 does; the
    /// entries before it stay in force, so they come back together with the error.
    pub fn parse(text: &str) -> (Self, Option<BadNetwork>) {
        let mut networks = Vec::new();
        for entry in text.split([' ', ',', '\t']).filter(|entry| !entry.is_empty()) {
            match Network::parse(entry) {
                Some(network) => networks.push(network),
                None => return (Self(networks), Some(BadNetwork(entry.to_owned()))),
            }
        }
        (Self(networks), None)
    }

    /// Whether `address` lies in one of the networks. An IPv4 address mapped into IPv6 counts as
    /// the IPv4 address it stands for.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether the list has no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Network {
    fn parse(entry: &str) -> Option<Self> {
        let (address, bits) = match entry.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (entry, None),
        };
        let address = address.trim_start_matches('[').trim_end_matches(']');
        let address: IpAddr = address.parse().ok()?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(max);
        (bits <= max).then_some(Self { address, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str, address: &str, expected: bool) {
        let (networks, error) = Networks::parse(list);
        assert_eq!(error, None, "{list}");
        assert_eq!(networks.contains(address.parse().unwrap()), expected, "{address} in {list}");
    }

    #[test]
    fn membership() {
        check("", "127.0.0.1", false);
        check("127.0.0.1", "127.0.0.1", true);
        check("10.0.0.0/8, 192.168.1.0/24", "192.168.1.99", true);
        check("10.0.0.0/8 192.168.1.0/24", "192.168.2.1", false);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "::1", true);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
    }

    #[test]
    fn a_bad_entry_ends_the_list() {
        let (networks, error) = Networks::parse("10.0.0.1 nonsense 10.0.0.2");
        assert_eq!(error, Some(BadNetwork("nonsense".into())));
        assert!(networks.contains("10.0.0.1".parse().unwrap()));
        assert!(!networks.contains("10.0.0.2".parse().unwrap()));
        assert!(Networks::parse("10.0.0.1/33").1.is_some());
    }
}
