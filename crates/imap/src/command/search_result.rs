//! What SEARCH and SORT answer: the plain list of numbers, or ESEARCH (RFC 4731, RFC 5267).

use std::sync::Arc;

use base::{Uid, UidSet};
use proto::imap::command::SearchReturn;
use proto::imap::response;
use storage::View;

use crate::out::OutBuf;

/// What was found, in the order to tell it.
pub(super) struct Found<'a> {
    pub(super) uids: Vec<Uid>,
    pub(super) view: &'a Arc<View>,
    /// Whether numbers are UIDs.
    pub(super) by_uid: bool,
    /// Whether the client asked for MODSEQ and so is told the highest.
    pub(super) with_modseq: bool,
}

impl Found<'_> {
    /// `* SEARCH 1 2 3`, `* SORT 3 1 2`.
    pub(super) fn plain(&self, command: &str) -> Writer {
        let modseq = self.modseq(&self.uids).map(|modseq| format!(" (MODSEQ {modseq})")).unwrap_or_default();
        Writer {
            head: format!("* {command}").into_bytes(),
            ranges: self.numbers(&self.uids).map(|number| (number, number)).collect(),
            separator: b' ',
            leads: true,
            at: 0,
            tail: format!("{modseq}\r\n").into_bytes(),
        }
    }

    /// `* ESEARCH (TAG "a") …`, or nothing if the result is only saved.
    pub(super) fn extended(&self, tag: &str, returns: &SearchReturn) -> Writer {
        let only_saved = SearchReturn { save: true, update: returns.update, ..SearchReturn::default() };
        let mut writer = Writer {
            head: Vec::new(),
            ranges: Vec::new(),
            separator: b',',
            leads: false,
            at: 0,
            tail: Vec::new(),
        };
        if *returns == only_saved {
            return writer;
        }
        let head = &mut writer.head;
        head.extend_from_slice(b"* ESEARCH (TAG ");
        response::put_string(head, tag.as_bytes());
        head.push(b')');
        if self.by_uid {
            head.extend_from_slice(b" UID");
        }
        let ends = [("MIN", returns.min, self.uids.first()), ("MAX", returns.max, self.uids.last())];
        for (name, is_wanted, uid) in ends {
            if let Some(number) = uid.filter(|_| is_wanted).and_then(|uid| self.number(*uid)) {
                head.extend_from_slice(format!(" {name} {number}").as_bytes());
            }
        }
        let listed = self.listed(returns);
        if returns.all && !listed.is_empty() {
            head.extend_from_slice(b" ALL ");
        }
        let mut tail = String::new();
        if returns.relevancy {
            // Without an index of words all that are found fit equally well: 2.3's lowest score.
            let scores = vec!["1"; self.told(returns).len()].join(" ");
            let scores = format!(" RELEVANCY ({scores})");
            if returns.partial.is_some() {
                head.extend_from_slice(scores.as_bytes())
            } else {
                tail += &scores
            }
        }
        if let Some((first, last)) = returns.partial {
            let nil = if listed.is_empty() { "NIL" } else { "" };
            head.extend_from_slice(format!(" PARTIAL ({first}:{last} {nil}").as_bytes());
            tail.push(')');
        }
        if returns.count {
            tail += &format!(" COUNT {}", self.uids.len());
        }
        if let Some(modseq) = self.modseq(&self.told(returns)) {
            tail += &format!(" MODSEQ {modseq}");
        }
        writer.ranges = ranges(self.numbers(listed));
        writer.tail = (tail + "\r\n").into_bytes();
        writer
    }

    /// What `$` will mean (RFC 5182 §2.4).
    pub(super) fn to_save(&self, returns: &SearchReturn) -> UidSet {
        let mut uids = if returns.count { self.uids.clone() } else { self.told(returns) };
        uids.sort_unstable();
        uids.into_iter().collect()
    }

    /// Those in ALL or PARTIAL.
    fn listed(&self, returns: &SearchReturn) -> &[Uid] {
        match returns.partial {
            Some((first, last)) => {
                let last = self.uids.len().min(last as usize);
                self.uids.get(first as usize - 1..last).unwrap_or_default()
            }
            None if returns.all => &self.uids,
            None => &[],
        }
    }

    /// Those that the answer is about: MIN and MAX alone are about two.
    fn told(&self, returns: &SearchReturn) -> Vec<Uid> {
        let is_few =
            returns.partial.is_some() || (returns.min || returns.max) && !returns.all && !returns.count;
        if !is_few {
            return self.uids.clone();
        }
        let first = self.uids.first().filter(|_| returns.min);
        let last = self.uids.last().filter(|_| returns.max);
        first.into_iter().chain(self.listed(returns)).chain(last).copied().collect()
    }

    fn modseq(&self, uids: &[Uid]) -> Option<u64> {
        if !self.with_modseq {
            return None;
        }
        let modseqs = uids.iter().filter_map(|uid| self.view.record(*uid)).map(|record| record.modseq.0);
        modseqs.max().filter(|&modseq| modseq > 0)
    }

    fn number(&self, uid: Uid) -> Option<u32> {
        let seq = self.view.seq(uid)?;
        Some(if self.by_uid { uid.get() } else { seq.get() })
    }

    fn numbers<'b>(&'b self, uids: &'b [Uid]) -> impl Iterator<Item = u32> + 'b {
        let seqs = self.view.seqs_table(uids.len());
        uids.iter().filter_map(move |&uid| match &seqs {
            Some(seqs) => seqs.get(uid).map(|seq| if self.by_uid { uid.get() } else { seq.get() }),
            None => self.number(uid),
        })
    }
}

/// Runs of ascending numbers, in the order in which they come.
fn ranges(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// Writes the response a piece at a time.
pub(super) struct Writer {
    head: Vec<u8>,
    ranges: Vec<(u32, u32)>,
    separator: u8,
    /// Whether the separator also comes before the first.
    leads: bool,
    at: usize,
    tail: Vec<u8>,
}

impl Writer {
    /// Writes until there is enough; `true` when done.
    pub(super) fn step(&mut self, out: &mut OutBuf) -> bool {
        out.put(&std::mem::take(&mut self.head));
        while let Some(&(first, last)) = self.ranges.get(self.at) {
            if out.is_full() {
                return false;
            }
            if self.at > 0 || self.leads {
                out.put(&[self.separator]);
            }
            self.at += 1;
            out.number(first.into());
            if last != first {
                out.put(b":");
                out.number(last.into());
            }
        }
        out.put(&std::mem::take(&mut self.tail));
        true
    }
}
