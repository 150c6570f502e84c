//! Session ids of the log lines, in 2.3's form: 16 bytes that nobody else has, in base64.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// A new id.
pub(super) fn new_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut bytes = Vec::with_capacity(16);
    bytes.extend(now.subsec_nanos().to_le_bytes());
    bytes.extend((now.as_secs() as u32).to_le_bytes());
    bytes.extend(std::process::id().to_le_bytes());
    bytes.extend((RandomState::new().hash_one(now) as u32).to_le_bytes());
    base64(&bytes)
}

/// Without the padding, as 2.3 has it here.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_right() {
        assert_eq!((base64(b""), base64(b"f"), base64(b"fo")), (String::new(), "Zg".into(), "Zm8".into()));
        assert_eq!((base64(b"foo"), base64(b"foob")), ("Zm9v".to_owned(), "Zm9vYg".to_owned()));
        assert_eq!(new_id().len(), 22);
        assert_ne!(new_id(), new_id());
    }
}
