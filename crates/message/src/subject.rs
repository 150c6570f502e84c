//! The base subject (RFC 5256 §2.1): what of a `Subject` stays the same when people answer and
//! forward. SORT, THREAD and nothing else use it.

use crate::casefold::fold;
use crate::encoded_word;

/// A base subject, and what had to go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BaseSubject {
    /// Folded for comparing (see [`fold`]): the order of the bytes is the order of SORT.
    pub text: Vec<u8>,
    /// Whether it said `Re:`, `Fwd:` or the like.
    pub is_reply: bool,
}

/// The base subject of a field's value on one line.
pub fn base(value: &[u8]) -> BaseSubject {
    let mut folded = Vec::with_capacity(value.len());
    fold(&encoded_word::decode(value), &mut folded);
    pack_white_space(&mut folded);
    let mut cutter = Cutter { rest: &folded, is_reply: false };
    loop {
        cutter.cut_trailers();
        while cutter.cut_leader() | cutter.cut_blob() {}
        if !cutter.unwrap_forward() {
            break;
        }
    }
    BaseSubject { text: cutter.rest.to_vec(), is_reply: cutter.is_reply }
}

fn pack_white_space(text: &mut Vec<u8>) {
    let mut last = 0;
    text.retain_mut(|byte| {
        if matches!(byte, b'\t' | b'\r' | b'\n') {
            *byte = b' ';
        }
        let keep = *byte != b' ' || last != b' ';
        last = *byte;
        keep
    });
}

/// What is left, in upper case and with single spaces.
struct Cutter<'a> {
    rest: &'a [u8],
    is_reply: bool,
}

impl Cutter<'_> {
    /// `subj-trailer`, any number of them.
    fn cut_trailers(&mut self) {
        loop {
            if let Some(rest) = self.rest.strip_suffix(b"(FWD)") {
                self.rest = rest;
                self.is_reply = true;
            } else if let Some(rest) = self.rest.strip_suffix(b" ") {
                self.rest = rest;
            } else {
                return;
            }
        }
    }

    /// `subj-leader`. A space is one, too, and goes whatever follows.
    fn cut_leader(&mut self) -> bool {
        let space = self.rest.strip_prefix(b" ");
        self.rest = space.unwrap_or(self.rest);
        match after_leader(self.rest) {
            Some(rest) => {
                self.rest = rest;
                self.is_reply = true;
                true
            }
            None => space.is_some(),
        }
    }

    /// `subj-blob`, unless nothing else is left.
    fn cut_blob(&mut self) -> bool {
        match after_blob(self.rest) {
            Some(rest) if !rest.is_empty() => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// `subj-fwd`: `[fwd: … ]`.
    fn unwrap_forward(&mut self) -> bool {
        match self.rest.strip_prefix(b"[FWD:").and_then(|rest| rest.strip_suffix(b"]")) {
            Some(rest) => {
                self.rest = rest;
                self.is_reply = true;
                true
            }
            None => false,
        }
    }
}

/// What follows blobs, `RE`, `FW` or `FWD`, perhaps a blob, and a colon.
fn after_leader(mut rest: &[u8]) -> Option<&[u8]> {
    while rest.first() == Some(&b'[') {
        rest = after_blob(rest)?;
    }
    rest = [&b"RE"[..], b"FWD", b"FW"].into_iter().find_map(|word| rest.strip_prefix(word))?;
    rest = rest.strip_prefix(b" ").unwrap_or(rest);
    if rest.first() == Some(&b'[') {
        rest = after_blob(rest)?;
    }
    rest.strip_prefix(b":")
}

/// What follows `[…]` and the space after it.
fn after_blob(rest: &[u8]) -> Option<&[u8]> {
    let inner = rest.strip_prefix(b"[")?;
    let end = memchr::memchr2(b'[', b']', inner)?;
    let (_, after) = inner.split_at(end);
    let after = after.strip_prefix(b"]")?;
    Some(after.strip_prefix(b" ").unwrap_or(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(subject: &str, want: &str, is_reply: bool) {
        let got = base(subject.as_bytes());
        assert_eq!(
            (String::from_utf8_lossy(&got.text).as_ref(), got.is_reply),
            (want, is_reply),
            "{subject:?}"
        );
    }

    #[test]
    fn base_subjects() {
        check("", "", false);
        check("hello  \t world ", "HELLO WORLD", false);
        check("Re: hello", "HELLO", true);
        check("RE : fw [x] :FWD: hello (fwd) (FWD)", "HELLO", true);
        check("[list] Re: [list] hello", "HELLO", true);
        check("[list]", "[LIST]", false);
        check("[list] [other]", "[OTHER]", false);
        check("[fwd: hello]", "HELLO", true);
        check("[fwd: [fwd: re: hello (fwd)]]", "HELLO", true);
        check("Re: [a[b] x", "[A[B] X", true);
        check("re hello", "RE HELLO", false);
        check("Re:", "", true);
        check("=?utf-8?q?Re=3A_Gr=C3=BC=C3=9Fe?=", "GRU\u{308}ßE", true);
        check("[fwd:(fwd)]", "", true);
        check("[fwd:]", "", true);
    }

    #[test]
    fn long_ones_take_linear_time() {
        let deep = format!("{}x{}", "[fwd:".repeat(100_000), "]".repeat(100_000));
        check(&deep, "X", true);
        check(&"[".repeat(300_000), &"[".repeat(300_000), false);
        check(&format!("{}hello", "re:".repeat(100_000)), "HELLO", true);
    }
}
