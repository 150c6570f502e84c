//! ORDEREDSUBJECT (RFC 5256 §3): messages with the same base subject below the oldest of them.

use std::collections::HashMap;

use base::Uid;

use super::forest::Forest;
use super::gather::Gathered;

pub(super) fn threads(facts: &Gathered, uids: &[Uid]) -> Forest {
    let subject = |message| facts.subject(message).map(|subject| subject.text.as_slice()).unwrap_or_default();
    let mut order: Vec<u32> = (0..facts.len() as u32).collect();
    order.sort_by_key(|&message| (subject(message), facts.date(message), message));
    let mut threads: Vec<&[u32]> = order.chunk_by(|&a, &b| subject(a) == subject(b)).collect();
    threads.sort_by_key(|thread| thread.first().map(|&first| (facts.date(first), first)));
    let mut below: HashMap<u32, &[u32]> = HashMap::new();
    let mut roots = Vec::with_capacity(threads.len());
    for thread in threads {
        if let [first, rest @ ..] = thread {
            roots.push(*first);
            below.insert(*first, rest);
        }
    }
    let uid = |message: u32| uids.get(message as usize).copied();
    Forest::grow(roots, uid, |message| below.get(&message).map(|rest| rest.to_vec()).unwrap_or_default())
}
