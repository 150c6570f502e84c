//! Certificates as clients may send them, without the handshake: fuzz targets feed it.

use crate::tls::look_at_certificate;

/// What log lines and channel bindings take out of a certificate (DER): its subject in one line, and
/// whether there is a hash for `tls-server-end-point`.
pub fn certificate(der: &[u8]) -> (String, bool) {
    look_at_certificate(der)
}
