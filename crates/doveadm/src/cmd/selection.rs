//! `<user mask>` and `<ip/bits>`, as `who` and `kick` take them.

use std::net::IpAddr;

use base::filter::wildcard_match_icase;

use crate::context::{Context, Failure, Outcome, status};

/// Whom a command is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) user: Option<String>,
    pub(crate) net: Option<(IpAddr, u8)>,
}

impl Selection {
    /// From arguments: at most one mask and one network.
    pub(crate) fn parse(cx: &mut Context, masks: &[String]) -> Outcome<Self> {
        let mut selection = Self::default();
        for mask in masks {
            let is_number = mask.bytes().all(|byte| byte.is_ascii_digit());
            let problem = match parse_net(mask).filter(|_| !is_number) {
                Some(net) => selection.net.replace(net).map(|_| "network"),
                None => selection.user.replace(mask.clone()).map(|_| "username"),
            };
            if let Some(kind) = problem {
                cx.error(format_args!("Multiple {kind} masks not supported"), status::USAGE);
                return Err(Failure::Exit(status::USAGE));
            }
        }
        Ok(selection)
    }

    pub(crate) fn has_user(&self, user: &str) -> bool {
        self.user.as_ref().is_none_or(|mask| wildcard_match_icase(user, mask))
    }

    pub(crate) fn has_ip(&self, ip: Option<IpAddr>) -> bool {
        let Some((net, bits)) = self.net else { return true };
        // 2.3 takes a network of 0 bits for none.
        bits == 0 || ip.is_some_and(|ip| is_in_network(ip, net, bits))
    }
}

/// `10.0.0.0/8`, `::1` or `[::1]/64`; an address alone is its own network.
pub(crate) fn parse_net(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let address: IpAddr = address.parse().ok()?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(bits_max), |bits| bits.parse().ok())?;
    (bits <= bits_max).then_some((address, bits))
}

fn is_in_network(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    let bits = u32::from(bits);
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            ip.to_bits() & mask == net.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(net)) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            ip.to_bits() & mask == net.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (text, expected) in [
            ("10.0.0.0/8", Some(("10.0.0.0", 8))),
            ("10.0.0.1", Some(("10.0.0.1", 32))),
            ("[2001:db8::]/32", Some(("2001:db8::", 32))),
            ("::1", Some(("::1", 128))),
            ("10.0.0.0/33", None),
            ("user@10.0.0.1", None),
            ("1", None),
        ] {
            let expected = expected.map(|(ip, bits)| (ip.parse().unwrap(), bits));
            assert_eq!(parse_net(text), expected, "{text}");
        }
        let net = Selection { net: parse_net("10.0.0.0/8"), ..Selection::default() };
        assert!(net.has_ip("10.9.9.9".parse().ok()) && !net.has_ip("11.0.0.1".parse().ok()));
        assert!(!net.has_ip(None) && !net.has_ip("::1".parse().ok()));
    }
}
