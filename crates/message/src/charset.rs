//! Charsets.
/// Decodes.
pub fn to_utf8(_charset: &[u8], value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
