//! Channel bindings: what both ends of a TLS session know and nobody between two sessions can have in
//! common, so that SASL can prove that there is nobody.

use rustls::ProtocolVersion::TLSv1_3;
use rustls::ServerConnection;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::der;

/// Length of `tls-exporter` in bytes (RFC 9266 §2).
const EXPORTER_LEN: usize = 32;
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The channel bindings of a session; empty without TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings {
    /// `tls-exporter` (RFC 9266). Only TLS 1.3 has it: with 1.2 it is safe only after the extended
    /// master secret (RFC 7627), of which we are not told.
    pub exporter: Option<Vec<u8>>,
    /// `tls-server-end-point` (RFC 5929 §4): the hash of the server's certificate. It is not known
    /// where there are two certificates, nor where the signature's algorithm has no single hash.
    pub end_point: Option<Vec<u8>>,
}

impl Bindings {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.exporter.is_none() && self.end_point.is_none()
    }

    pub(super) fn of(connection: &ServerConnection, end_point: Option<&[u8]>) -> Self {
        let exporter = || {
            let output = vec![0; EXPORTER_LEN];
            connection.export_keying_material(output, EXPORTER_LABEL, Some(&[])).ok()
        };
        let is_tls13 = connection.protocol_version() == Some(TLSv1_3);
        Self { exporter: is_tls13.then(exporter).flatten(), end_point: end_point.map(<[u8]>::to_vec) }
    }
}

/// The hash of a certificate by the algorithm of its signature, where MD5 and SHA-1 count as SHA-256.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4];
    let algorithm = der::signature_algorithm(certificate)?;
    let kind = |family: &[u8]| algorithm.strip_prefix(family);
    Some(match (kind(RSA), kind(ECDSA)) {
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => Sha256::digest(certificate).to_vec(),
        (Some([12]), _) | (_, Some([3, 3])) => Sha384::digest(certificate).to_vec(),
        (Some([13]), _) | (_, Some([3, 4])) => Sha512::digest(certificate).to_vec(),
        _ => return None,
    })
}
