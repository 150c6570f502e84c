//! The names of files in dbox directories.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use base::Guid;
use sha1::{Digest, Sha1};

/// Where a mailbox's files are, below the directory with its name.
pub const MAIL_DIR: &str = "dbox-Mails";
/// Where all mailboxes are, below the root.
pub const MAILBOXES_DIR: &str = "mailboxes";
/// Where mdbox's messages and map are, below the root.
pub const STORAGE_DIR: &str = "storage";
/// How the names of the map's files begin.
pub const MAP_INDEX: &str = "dovecot.map.index";
/// The symbolic link that remembers `ALT=`.
pub const ALT_LINK: &str = "dbox-alt-root";
/// What the copy of a file that was mended ends with.
pub const BROKEN_SUFFIX: &str = ".broken";
/// How the names of files begin that are being written.
pub const TEMPORARY_PREFIX: &str = ".temp.";
/// Leftovers older than this are removed. 2.3's DBOX_TMP_DELETE_SECS.
pub const TEMPORARY_AGE: Duration = Duration::from_secs(36 * 3600);

/// `u.N`: sdbox's file of the message with this UID.
pub fn single(uid: u32) -> String {
    format!("u.{uid}")
}

/// `m.N`: mdbox's file with this id.
pub fn multi(id: u32) -> String {
    format!("m.{id}")
}

/// The number of a `u.N` or `m.N`, by `prefix`. `None` for names that do not begin so, `Some(None)` for
/// those that go on with something else.
pub fn number(name: &[u8], prefix: u8) -> Option<Option<u32>> {
    let [first, b'.', digits @ ..] = name else { return None };
    if *first != prefix {
        return None;
    }
    let plain = digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain);
    Some(text.and_then(|text| text.parse().ok()).filter(|&number| number != 0))
}

/// A name for a file being written, unique on all hosts that share the directory.
pub fn temporary(hostname: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let (secs, micros) = (now.as_secs(), now.subsec_micros());
    format!("{TEMPORARY_PREFIX}{secs}.P{}Q{count}M{micros}.{hostname}", std::process::id())
}

/// A GUID for a new message or mailbox.
pub fn new_guid() -> Guid {
    let mut guid = Guid::default();
    // The call cannot fail for so few bytes once the system has started.
    let _ = rustix::rand::getrandom(&mut guid.0[..], rustix::rand::GetRandomFlags::empty());
    guid
}

/// The 128 bits that stand for a message's GUID in indexes: the GUID itself where it is 32
/// hexadecimal digits, else the end of its SHA-1.
pub fn guid_bits(guid: &str) -> Guid {
    guid.parse().unwrap_or_else(|_| {
        let digest = Sha1::digest(guid.as_bytes());
        let mut bits = [0; 16];
        bits.iter_mut().zip(digest.iter().skip(digest.len() - 16)).for_each(|(to, from)| *to = *from);
        Guid(bits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(b"u.17", b'u'), Some(Some(17)));
        assert_eq!(number(b"m.1.broken", b'm'), Some(None));
        assert_eq!(number(b"u.", b'u'), Some(None));
        assert_eq!(number(b"u.+1", b'u'), Some(None));
        assert_eq!(number(b"u.4294967296", b'u'), Some(None));
        assert_eq!(number(b"m.1", b'u'), None);
        assert_eq!(number(b"dovecot.index", b'u'), None);
    }

    #[test]
    fn guids() {
        let hex = "8a0500102378076bac70000083ecc375";
        assert_eq!(guid_bits(hex).to_string(), hex);
        // The last 16 of SHA-1's 20 bytes.
        assert_eq!(guid_bits("abc").to_string(), "4706816aba3e25717850c26c9cd0d89d");
    }
}
