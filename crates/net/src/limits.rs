//! What a peer may make this crate hold or wait for.

use std::time::Duration;

/// The longest PROXY protocol v1 line, by its specification (§2.1).
pub const PROXY_V1_BYTES_MAX: usize = 107;

/// The longest PROXY protocol v2 header, addresses and TLVs included; as 2.3.
pub const PROXY_V2_BYTES_MAX: usize = 1500;

/// Pause between looks at a PROXY protocol header that comes in pieces.
pub(crate) const HEADER_PAUSE: Duration = Duration::from_millis(10);

/// How long an outgoing connection may take where no setting says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How many resumable sessions a process remembers. Tickets carry the state of all others.
pub const TLS_SESSIONS_MAX: usize = 256;

/// How deep a certificate's subject may nest; a well-formed one needs four levels.
pub const DER_SUBJECT_BYTES_MAX: usize = 16 * 1024;

/// Certificates of authorities for connections to other servers, in bytes: all that a distribution trusts are a
/// tenth.
pub const CLIENT_CA_BYTES_MAX: usize = 8 * 1024 * 1024;
