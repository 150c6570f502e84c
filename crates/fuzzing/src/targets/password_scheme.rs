//! Stored passwords: prefixes, encodings, costs. Hashes that take long are not computed.

use sasl::scheme::{self, Cost};

pub(crate) fn run(data: &[u8]) {
    let Ok(stored) = std::str::from_utf8(data) else { return };
    let params = scheme::Params { user: "user", ..Default::default() };
    let (name, rest) = scheme::split_prefix(stored);
    let name = name.unwrap_or("PLAIN");
    if let Ok(raw) = scheme::decode(rest, name)
        && matches!(scheme::cost(name, raw.expose()), Cost::Cheap)
    {
        let _ = scheme::verify(b"password", &params, name, raw.expose());
    }
}
