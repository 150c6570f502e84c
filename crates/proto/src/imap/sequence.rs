//! Sequence sets as clients write them (RFC 3501 §9 `sequence-set`): `1,3:5,7:*`. What `*` stands
//! for is known only once a mailbox is looked at, hence the two steps.

use base::{Seq, SeqSet, Uid, UidSet};

/// A parsed sequence set, not yet applied to a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSet {
    /// Both ends as written; `None` is `*`. None at all is `$`.
    ranges: Vec<(Option<u32>, Option<u32>)>,
}

/// A number beyond the last message, which RFC 3501 §9 `seq-number` forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sequence number beyond the last message")]
pub struct BeyondLast;

impl SequenceSet {
    /// Parses `text`; `None` if it is no sequence set.
    pub fn parse(text: &str) -> Option<Self> {
        let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>()?;
        Some(Self { ranges })
    }

    /// The same where `$`, the result that a SEARCH saved, may stand instead (RFC 5182).
    pub fn parse_or_saved(text: &str) -> Option<Self> {
        if text == "$" { Some(Self { ranges: Vec::new() }) } else { Self::parse(text) }
    }

    /// Whether this is `$`. What that means only the session knows: everything else here takes it for
    /// the empty set.
    pub fn is_saved_result(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The sequence numbers meant in a mailbox of `exists` messages, for commands that act on
    /// messages: every number must be there.
    pub fn resolve_seqs(&self, exists: u32) -> Result<SeqSet, BeyondLast> {
        let mut set = SeqSet::new();
        for &(first, last) in &self.ranges {
            let end = |bound: Option<u32>| match bound.unwrap_or(exists) {
                bound if bound > exists => Err(BeyondLast),
                bound => Seq::new(bound).ok_or(BeyondLast),
            };
            set.insert_range(end(first)?, end(last)?);
        }
        Ok(set)
    }

    /// The sequence numbers meant, cut to those that exist, as SEARCH wants it.
    pub fn resolve_seqs_clipped(&self, exists: u32) -> SeqSet {
        let mut set = SeqSet::new();
        for &(first, last) in &self.ranges {
            let (first, last) = (first.unwrap_or(exists), last.unwrap_or(exists));
            let (first, last) = (first.min(last), first.max(last).min(exists));
            if let (Some(first), Some(last), true) = (Seq::new(first), Seq::new(last), first <= last) {
                set.insert_range(first, last);
            }
        }
        set
    }

    /// The UIDs meant, where `last` is the mailbox's highest. Numbers that no message has are fine.
    /// In an empty mailbox `*` stands for nothing.
    pub fn resolve_uids(&self, last: Option<Uid>) -> UidSet {
        let mut set = UidSet::new();
        for &(first, end) in &self.ranges {
            let uid =
                |bound: Option<u32>| bound.and_then(Uid::new).or(if bound.is_none() { last } else { None });
            if let (Some(first), Some(end)) = (uid(first), uid(end)) {
                set.insert_range(first, end);
            }
        }
        set
    }
}

fn range(text: &str) -> Option<(Option<u32>, Option<u32>)> {
    match text.split_once(':') {
        None => number(text).map(|number| (number, number)),
        Some((first, last)) => Some((number(first)?, number(last)?)),
    }
}

fn number(text: &str) -> Option<Option<u32>> {
    if text == "*" {
        return Some(None);
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&number| number != 0).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, exists: u32, seqs: Option<&str>, clipped: &str, uids: &str) {
        let set = SequenceSet::parse(text).unwrap();
        assert_eq!(set.resolve_seqs(exists).ok().map(|set| set.to_string()).as_deref(), seqs, "{text}");
        assert_eq!(set.resolve_seqs_clipped(exists).to_string(), clipped, "{text}");
        assert_eq!(set.resolve_uids(Uid::new(exists)).to_string(), uids, "{text}");
    }

    #[test]
    fn resolves() {
        check("1", 3, Some("1"), "1", "1");
        check("3:1,2", 3, Some("1:3"), "1:3", "1:3");
        check("2:*", 3, Some("2:3"), "2:3", "2:3");
        check("*", 3, Some("3"), "3", "3");
        check("4", 3, None, "", "4");
        check("2:9", 3, None, "2:3", "2:9");
        check("9:*", 3, None, "3", "3:9");
        check("*", 0, None, "", "");
        check("1:*", 0, None, "", "");
        check("1,4294967295", 1, None, "1", "1,4294967295");
    }

    #[test]
    fn refuses() {
        for text in [
            "",
            "0",
            "x",
            "1,",
            ",1",
            "1,,2",
            "1:",
            ":1",
            "1:2:3",
            "4294967296",
            "-1",
            "+1",
            "1 ",
            "**",
            "1:0",
        ] {
            assert_eq!(SequenceSet::parse(text), None, "{text}");
        }
    }
}
