//! Session ids in 2.3's form, which log tools match: the base64 of the lowest 48 bits of the time in
//! microseconds, the client's port and its address.

use std::net::IpAddr;

/// The id of a session that began `unix_us` microseconds after 1970.
pub(crate) fn session_id(unix_us: u64, remote: Option<IpAddr>, port: u16) -> String {
    let mut bytes = Vec::with_capacity(24);
    bytes.extend(unix_us.to_le_bytes().iter().take(6));
    bytes.extend(port.to_le_bytes());
    match remote {
        Some(IpAddr::V4(ip)) => bytes.extend(ip.octets()),
        Some(IpAddr::V6(ip)) => bytes.extend(ip.octets()),
        None => bytes.extend([0; 4]),
    }
    sasl::encoding::base64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_2_3_writes_it() {
        // From 2.3's log at 2026-11-23 14:32:46 UTC.
        let id = session_id(1_795_444_366_117_882, Some([127, 0, 0, 1].into()), 0xcb73);
        assert_eq!(id.len(), 16);
        assert!(id.ends_with("c8t/AAAB"), "{id}");
        assert_eq!(session_id(0, Some("::1".parse().unwrap()), 1), "AAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAB");
    }
}
