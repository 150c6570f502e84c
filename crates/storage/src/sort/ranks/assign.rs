//! Puts new numbers between old ones.

use std::collections::BTreeMap;

use base::Uid;

/// Messages with one text, and where it belongs.
#[derive(Debug)]
pub(super) struct Slot {
    /// The number of that text, if it has one; else 0.
    pub(super) rank: u32,
    /// The largest number that is not beyond it; 0 if it comes before all.
    pub(super) after: u32,
    pub(super) uids: Vec<Uid>,
}

/// A text, known or new.
struct Entry {
    /// What it has; 0 for none.
    old: u32,
    new: u32,
    known: Vec<Uid>,
    added: Vec<Uid>,
}

/// The numbers that change: of the messages in `slots`, which come in the order of their texts, and of
/// those in `known` that had to move.
pub(super) fn assign(known: BTreeMap<u32, Vec<Uid>>, slots: Vec<Slot>) -> Vec<(Uid, u32)> {
    let mut entries = merge(known, slots);
    let mut at = 0;
    while let Some(entry) = entries.get(at) {
        at += 1;
        if entry.new == 0 {
            at = make_room(&mut entries, at - 1);
        }
    }
    let mut changed = Vec::new();
    for entry in &entries {
        let moved = if entry.old == entry.new { &[][..] } else { &entry.known };
        changed.extend(entry.added.iter().chain(moved).map(|uid| (*uid, entry.new)));
    }
    changed
}

/// All texts in order.
fn merge(known: BTreeMap<u32, Vec<Uid>>, slots: Vec<Slot>) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(known.len() + slots.len());
    let mut known = known.into_iter().peekable();
    for slot in slots {
        while let Some((rank, uids)) = known.next_if(|(rank, _)| *rank <= slot.after) {
            entries.push(Entry { old: rank, new: rank, known: uids, added: Vec::new() });
        }
        match entries.last_mut().filter(|last| slot.rank != 0 && last.old == slot.rank) {
            Some(last) => last.added.extend(slot.uids),
            None => entries.push(Entry { old: 0, new: 0, known: Vec::new(), added: slot.uids }),
        }
    }
    entries.extend(known.map(|(rank, known)| Entry { old: rank, new: rank, known, added: Vec::new() }));
    entries
}

/// Numbers the entries without a number that start at `first`, and as many around them as that takes.
/// Gives where to go on.
fn make_room(entries: &mut [Entry], first: usize) -> usize {
    let end_of = |entries: &[Entry], from: usize| {
        let rest = entries.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|entry| entry.new == 0).count()
    };
    let (mut start, mut end) = (first, end_of(entries, first));
    let mut widened = false;
    loop {
        let low = start.checked_sub(1).and_then(|at| entries.get(at)).map_or(0, |entry| entry.new);
        let high = entries.get(end).map_or(u32::MAX, |entry| entry.new);
        let count = end - start;
        let step = (high - low) / u32::try_from(count + 1).unwrap_or(u32::MAX);
        let is_whole = start == 0 && end == entries.len();
        // Once numbers move, there should be room for some time.
        if step >= if widened && !is_whole { ROOM } else { 1 } || is_whole {
            let mut next = low;
            for entry in entries.get_mut(start..end).unwrap_or_default() {
                next = next.saturating_add(step.max(1));
                entry.new = next;
            }
            return end;
        }
        start = start.saturating_sub(count);
        end = end_of(entries, (end + count).min(entries.len()));
        widened = true;
    }
}

/// What is left between two numbers that were made anew.
const ROOM: u32 = 1 << 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(value: u32) -> Uid {
        Uid::new(value).unwrap()
    }

    fn new(after: u32, uids: &[u32]) -> Slot {
        Slot { rank: 0, after, uids: uids.iter().copied().map(uid).collect() }
    }

    #[test]
    fn the_first_texts_share_the_whole_range() {
        let changed = assign(BTreeMap::new(), vec![new(0, &[3]), new(0, &[1, 4]), new(0, &[2])]);
        let quarter = u32::MAX / 4;
        let expected = [(3, quarter), (1, quarter * 2), (4, quarter * 2), (2, quarter * 3)];
        assert_eq!(changed, expected.map(|(id, rank)| (uid(id), rank)));
    }

    #[test]
    fn a_known_text_keeps_its_number() {
        let known = BTreeMap::from([(100, vec![uid(1)]), (200, vec![uid(2)])]);
        let same = Slot { rank: 200, after: 200, uids: vec![uid(3)] };
        assert_eq!(assign(known, vec![new(100, &[4]), same]), [(uid(4), 150), (uid(3), 200)]);
    }

    #[test]
    fn without_room_those_around_move_and_the_order_stays() {
        let known: BTreeMap<u32, Vec<Uid>> = (1..=50).map(|rank| (rank, vec![uid(rank)])).collect();
        let changed = assign(known, vec![new(20, &[100])]);
        let mut all: BTreeMap<u32, u32> = (1..=50).map(|rank| (rank, rank)).collect();
        all.extend(changed.iter().map(|(uid, rank)| (uid.get(), *rank)));
        let mut order: Vec<u32> = all.keys().copied().collect();
        order.sort_by_key(|uid| all[uid]);
        let expected: Vec<u32> = (1..=20).chain([100]).chain(21..=50).collect();
        assert_eq!(order, expected);
        let mut ranks: Vec<u32> = all.values().copied().collect();
        ranks.dedup();
        assert_eq!(ranks.len(), 51);
    }

    #[test]
    fn appending_again_and_again_never_runs_out() {
        let mut all: BTreeMap<u32, Vec<Uid>> = BTreeMap::new();
        for number in 1..=500 {
            let last = all.keys().last().copied().unwrap_or(0);
            let changed = assign(all.clone(), vec![new(last, &[number])]);
            for (uid, rank) in changed {
                all.retain(|_, uids| !uids.contains(&uid));
                all.insert(rank, vec![uid]);
            }
            let order: Vec<u32> = all.values().flatten().map(|uid| uid.get()).collect();
            assert_eq!(order, (1..=number).collect::<Vec<_>>());
        }
    }
}
