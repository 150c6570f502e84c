//! RFC 2047.
/// Decodes.
pub fn decode(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
