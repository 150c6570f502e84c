//! What is there before a client says anything: the PROXY protocol header of a load balancer, in pieces;
//! the certificate that a client shows; networks as settings have them.

use net::networks::Networks;
use net::proxy_protocol::{HEADER_BYTES_MAX, Parsed, parse};

pub(crate) fn run(data: &[u8]) {
    for end in (0..data.len().min(HEADER_BYTES_MAX)).step_by(3).chain([data.len()]) {
        let seen = data.get(..end).unwrap_or_default();
        match parse(seen) {
            Ok(Parsed::Complete(header, size)) => {
                // What is not there cannot be taken off the socket.
                assert!(size <= seen.len());
                assert!(header.hostname.is_none_or(|name| name.len() <= seen.len() * 3));
            }
            Ok(Parsed::Incomplete) => {}
            Err(refusal) => drop(refusal.line([10, 0, 0, 1].into())),
        }
    }
    let _ = net::probe::certificate(data);
    let (networks, bad) = Networks::parse(&String::from_utf8_lossy(data));
    assert!(bad.is_none() || !networks.contains([203, 0, 113, 77].into()) || !data.is_empty());
}
