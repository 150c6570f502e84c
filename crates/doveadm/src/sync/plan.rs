//! What is to be done to two copies of a mailbox so that they are the same. Pure: no mail is touched here.
//!
//! Messages are the same that have the same UID and GUID. One that only one side has goes to the other,
//! unless that side's index remembers that it was expunged there: then it goes here, too. It keeps its UID
//! where that is free and above all that were ever given there; otherwise both sides give it a new one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base::Guid;

use super::side::{Flagged, Identity, Message, Opened};

/// Which way changes go. The first side is *here*, the other *there*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Both ways.
    Both,
    /// From here to there; what changed there stays.
    There,
    /// There becomes what here is (backup).
    Mirror,
}

/// What one side is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) flag: Vec<Flagged>,
    /// Before anything arrives.
    pub(crate) expunge: Vec<u32>,
    /// By their new UIDs, which are above all that the side has.
    pub(crate) arrive: Vec<Arrival>,
    /// After everything has arrived: what has got a new UID.
    pub(crate) moved: Vec<u32>,
    pub(crate) identity: Option<Identity>,
}

/// A message that gets a UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) uid: u32,
    pub(crate) from: Source,
}

/// Where a message comes from, by its UID there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Own(u32),
    Other(u32),
}

impl Work {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// There cannot be made what here is by adding and removing: it has given away UIDs that are needed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MakeAnew;

/// What both sides are to do.
pub(crate) fn plan(here: &Opened, there: &Opened, way: Way) -> Result<[Work; 2], MakeAnew> {
    let mut planner = Planner::new(here, there, way);
    planner.pair();
    planner.flags();
    planner.missing()?;
    planner.identities();
    Ok(planner.work)
}

/// Flags and keywords, and who is to have them.
type Changes = BTreeMap<(u8, Vec<String>), Vec<u32>>;

struct Planner<'a> {
    sides: [&'a Opened; 2],
    way: Way,
    /// UIDs mean the same on both sides.
    comparable: bool,
    /// Messages with the same UID on both sides.
    pairs: Vec<(&'a Message, &'a Message)>,
    alone: [Vec<&'a Message>; 2],
    work: [Work; 2],
    /// The next UID that neither side has given.
    next: u32,
    /// The first UID that may be another message's on the other side, in the end.
    first_other: u32,
}

const HERE: usize = 0;
const THERE: usize = 1;

fn is_fresh(side: &Opened) -> bool {
    side.uid_next == 1 && side.messages.is_empty() && side.expunged.is_empty()
}

fn same_guid(one: Guid, other: Guid) -> bool {
    one == other || one == Guid::default() || other == Guid::default()
}

impl<'a> Planner<'a> {
    fn new(here: &'a Opened, there: &'a Opened, way: Way) -> Self {
        let comparable = here.uid_validity == there.uid_validity || is_fresh(here) || is_fresh(there);
        let next = here.uid_next.max(there.uid_next);
        Self {
            sides: [here, there],
            way,
            comparable,
            pairs: Vec::new(),
            alone: [Vec::new(), Vec::new()],
            work: [Work::default(), Work::default()],
            next,
            first_other: u32::MAX,
        }
    }

    fn pair(&mut self) {
        let [here, there] = self.sides;
        let theirs: HashMap<u32, &Message> = there.messages.iter().map(|one| (one.uid, one)).collect();
        let mut paired = BTreeSet::new();
        for message in &here.messages {
            let other = theirs.get(&message.uid).copied();
            match other.filter(|other| {
                // Without GUIDs UIDs must mean the same.
                match self.comparable {
                    true => same_guid(message.guid, other.guid),
                    false => message.guid == other.guid && message.guid != Guid::default(),
                }
            }) {
                Some(other) => {
                    paired.insert(message.uid);
                    self.pairs.push((message, other));
                }
                None => self.alone[HERE].push(message),
            }
        }
        self.alone[THERE] = there.messages.iter().filter(|one| !paired.contains(&one.uid)).collect();
    }

    /// Gives both the same flags.
    fn flags(&mut self) {
        let mut changes: [Changes; 2] = Default::default();
        for &(here, there) in &self.pairs {
            let wanted = merged(here, there, self.way);
            for (change, own) in changes.iter_mut().zip([here, there]) {
                if (own.flags, &own.keywords) != (wanted.0, &wanted.1) {
                    change.entry(wanted.clone()).or_default().push(own.uid);
                }
            }
        }
        for (work, change) in self.work.iter_mut().zip(changes) {
            work.flag = change
                .into_iter()
                .map(|((flags, keywords), uids)| Flagged { uids, flags, keywords })
                .collect();
        }
        if self.way != Way::Both {
            self.work[HERE].flag.clear();
        }
    }

    /// Whether the side's index remembers that the message was expunged.
    fn was_expunged(&self, side: usize, message: &Message) -> bool {
        let expunged = &self.sides[side].expunged;
        let known = expunged.binary_search_by_key(&message.uid, |(uid, _)| *uid);
        self.comparable
            && known.is_ok_and(|at| expunged.get(at).is_some_and(|(_, guid)| same_guid(*guid, message.guid)))
    }

    fn missing(&mut self) -> Result<(), MakeAnew> {
        if self.way == Way::Mirror {
            return self.mirror();
        }
        let [mut here, mut there] = std::mem::take(&mut self.alone);
        let gone = |planner: &Self, side: usize, message: &&Message| planner.was_expunged(side, message);
        let (gone_here, rest): (Vec<_>, Vec<_>) = here.into_iter().partition(|one| gone(self, THERE, one));
        here = rest;
        let (gone_there, rest): (Vec<_>, Vec<_>) = there.into_iter().partition(|one| gone(self, HERE, one));
        there = rest;
        self.work[THERE].expunge = gone_there.iter().map(|one| one.uid).collect();
        if self.way == Way::Both {
            self.work[HERE].expunge = gone_here.iter().map(|one| one.uid).collect();
        }
        if self.way == Way::There {
            self.first_other = there.first().map_or(u32::MAX, |one| one.uid);
        }
        here.retain(|one| !one.skip);
        there.retain(|one| !one.skip);
        let same = self.same_guids(&mut here, &mut there);
        self.arrivals(here, there, same);
        Ok(())
    }

    /// Messages that both have under different UIDs; they are taken out.
    fn same_guids(
        &self,
        here: &mut Vec<&'a Message>,
        there: &mut Vec<&'a Message>,
    ) -> Vec<(&'a Message, &'a Message)> {
        let mut theirs: HashMap<Guid, Vec<&Message>> = HashMap::new();
        for message in there.iter().rev().filter(|one| one.guid != Guid::default()) {
            theirs.entry(message.guid).or_default().push(message);
        }
        let mut same = Vec::new();
        here.retain(|message| match theirs.get_mut(&message.guid).and_then(Vec::pop) {
            Some(other) => {
                same.push((*message, other));
                false
            }
            None => true,
        });
        let taken: BTreeSet<u32> = same.iter().map(|(_, other)| other.uid).collect();
        there.retain(|message| !taken.contains(&message.uid));
        same
    }

    fn arrivals(&mut self, here: Vec<&Message>, there: Vec<&Message>, same: Vec<(&'a Message, &'a Message)>) {
        // What keeps its UID comes first: it is below all new ones.
        let mut new: Vec<(Option<u32>, Option<u32>)> = Vec::new();
        for message in here {
            match self.keeps(THERE, message.uid) {
                true => self.arrive(THERE, message.uid, Source::Other(message.uid)),
                false => new.push((Some(message.uid), None)),
            }
        }
        if self.way == Way::Both {
            for message in there {
                match self.keeps(HERE, message.uid) {
                    true => self.arrive(HERE, message.uid, Source::Other(message.uid)),
                    false => new.push((None, Some(message.uid))),
                }
            }
            for (one, other) in same {
                match () {
                    () if self.keeps(HERE, other.uid) => self.relocate(HERE, one.uid, other.uid),
                    () if self.keeps(THERE, one.uid) => self.relocate(THERE, other.uid, one.uid),
                    () => new.push((Some(one.uid), Some(other.uid))),
                }
            }
        }
        // In the order of UIDs, those of here first where they are the same.
        new.sort_by_key(|(one, other)| (one.or(*other), one.is_none()));
        for (one, other) in new {
            let uid = self.next;
            self.next = self.next.saturating_add(1);
            self.give(HERE, uid, one, other);
            self.give(THERE, uid, other, one);
        }
        self.work.iter_mut().for_each(|work| work.arrive.sort_by_key(|arrival| arrival.uid));
    }

    /// Whether a side can take a message under the UID that the other has it under.
    fn keeps(&self, side: usize, uid: u32) -> bool {
        self.comparable && uid >= self.sides[side].uid_next
    }

    fn arrive(&mut self, side: usize, uid: u32, from: Source) {
        self.work[side].arrive.push(Arrival { uid, from });
    }

    fn relocate(&mut self, side: usize, from: u32, to: u32) {
        self.arrive(side, to, Source::Own(from));
        self.work[side].moved.push(from);
    }

    fn give(&mut self, side: usize, uid: u32, own: Option<u32>, other: Option<u32>) {
        if side == HERE && self.way != Way::Both {
            return;
        }
        match (own, other) {
            (Some(own), _) => self.relocate(side, own, uid),
            (None, Some(other)) => self.arrive(side, uid, Source::Other(other)),
            (None, None) => {}
        }
    }

    fn mirror(&mut self) -> Result<(), MakeAnew> {
        let [here, there] = std::mem::take(&mut self.alone);
        let wanted: Vec<&Message> = here.into_iter().filter(|one| !one.skip).collect();
        let all_keep = wanted.iter().all(|one| self.keeps(THERE, one.uid));
        if !all_keep || !self.comparable || self.sides[THERE].uid_next > self.sides[HERE].uid_next {
            return Err(MakeAnew);
        }
        self.work[THERE].expunge = there.iter().map(|one| one.uid).collect();
        for message in wanted {
            self.arrive(THERE, message.uid, Source::Other(message.uid));
        }
        Ok(())
    }

    fn identities(&mut self) {
        let [here, there] = self.sides;
        let uid_validity = match (is_fresh(here), is_fresh(there), self.way) {
            (_, _, Way::Mirror) | (false, true, _) => here.uid_validity,
            (true, false, _) => there.uid_validity,
            _ => here.uid_validity.max(there.uid_validity),
        };
        let wanted = Identity {
            guid: here.guid,
            uid_validity,
            uid_next: self.next,
            // What the other side's number is about must be there as well.
            first_recent: there.first_recent.max(here.first_recent.min(self.first_other)),
            highest_modseq: here.highest_modseq.max(there.highest_modseq),
        };
        for (work, own) in self.work.iter_mut().zip(self.sides) {
            let has = Identity {
                guid: own.guid,
                uid_validity: own.uid_validity,
                uid_next: own.uid_next,
                first_recent: own.first_recent,
                highest_modseq: own.highest_modseq,
            };
            work.identity = (has != wanted).then_some(wanted);
        }
        if self.way != Way::Both {
            self.work[HERE] = Work::default();
        }
    }
}

/// The flags and keywords that both are to have.
fn merged(here: &Message, there: &Message, way: Way) -> (u8, Vec<String>) {
    if way == Way::Mirror {
        return (here.flags, here.keywords.clone());
    }
    let newer = match here.modseq.cmp(&there.modseq) {
        _ if way == Way::There => Newer::Here,
        std::cmp::Ordering::Greater => Newer::Here,
        std::cmp::Ordering::Less => Newer::There,
        std::cmp::Ordering::Equal => Newer::Unknown,
    };
    let choose = |has: [bool; 2], changed: [bool; 2]| match (changed, newer) {
        _ if has[0] == has[1] => has[0],
        ([true, false], _) => has[0],
        ([false, true], _) => has[1],
        (_, Newer::Here) => has[0],
        (_, Newer::There) => has[1],
        // A flag too many is less than one lost.
        (_, Newer::Unknown) => true,
    };
    let bit = |flags: u8, bit: u8| flags >> bit & 1 != 0;
    let flags = (0..8u8).filter(|&at| {
        choose(
            [bit(here.flags, at), bit(there.flags, at)],
            [bit(here.changed.flags, at), bit(there.changed.flags, at)],
        )
    });
    let flags = flags.fold(0, |flags, at| flags | 1 << at);
    let names: BTreeSet<&String> = here.keywords.iter().chain(&there.keywords).collect();
    let keywords = names.into_iter().filter(|name| {
        choose(
            [here.keywords.contains(name), there.keywords.contains(name)],
            [here.changed.keywords.contains(name), there.changed.keywords.contains(name)],
        )
    });
    (flags, keywords.cloned().collect())
}

#[derive(Clone, Copy)]
enum Newer {
    Here,
    There,
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::super::side::Changed;
    use super::*;

    fn guid(number: u8) -> Guid {
        Guid([number; 16])
    }

    /// Messages as UID and GUID, UIDNEXT, and what was expunged.
    fn side(messages: &[(u32, u8)], uid_next: u32, expunged: &[(u32, u8)]) -> Opened {
        Opened {
            guid: guid(99),
            uid_validity: 7,
            uid_next,
            first_recent: 1,
            highest_modseq: 1,
            messages: messages
                .iter()
                .map(|&(uid, number)| Message { uid, guid: guid(number), ..Message::default() })
                .collect(),
            expunged: expunged.iter().map(|&(uid, number)| (uid, guid(number))).collect(),
        }
    }

    fn arrivals(work: &Work) -> Vec<(u32, Source)> {
        work.arrive.iter().map(|arrival| (arrival.uid, arrival.from)).collect()
    }

    #[test]
    fn what_is_new_on_one_side_keeps_its_uid() {
        let [here, there] =
            plan(&side(&[(1, 1), (2, 2)], 3, &[]), &side(&[(1, 1)], 2, &[]), Way::Both).unwrap();
        assert_eq!(arrivals(&there), [(2, Source::Other(2))]);
        assert!(here.is_none(), "{here:?}");
    }

    #[test]
    fn what_was_expunged_goes_on_both_sides() {
        let [here, there] =
            plan(&side(&[(2, 2)], 3, &[(1, 1)]), &side(&[(1, 1), (2, 2)], 3, &[]), Way::Both).unwrap();
        assert_eq!((there.expunge, there.arrive), (vec![1], vec![]));
        assert!(here.is_none(), "{here:?}");
    }

    #[test]
    fn what_both_gave_the_same_uid_gets_new_ones() {
        let [here, there] =
            plan(&side(&[(1, 1), (2, 2)], 3, &[]), &side(&[(1, 1), (2, 3)], 3, &[]), Way::Both).unwrap();
        assert_eq!(arrivals(&here), [(3, Source::Own(2)), (4, Source::Other(2))]);
        assert_eq!(arrivals(&there), [(3, Source::Other(2)), (4, Source::Own(2))]);
        assert_eq!((here.moved, there.moved), (vec![2], vec![2]));
    }

    #[test]
    fn one_way_leaves_the_source_alone() {
        let [here, there] =
            plan(&side(&[(1, 1), (2, 2)], 3, &[]), &side(&[(1, 1), (2, 3)], 3, &[]), Way::There).unwrap();
        assert!(here.is_none(), "{here:?}");
        assert_eq!(arrivals(&there), [(3, Source::Other(2))]);
    }

    #[test]
    fn a_mirror_loses_what_is_only_there_and_is_made_anew_where_uids_are_taken() {
        let [_, there] =
            plan(&side(&[(1, 1)], 5, &[]), &side(&[(1, 1), (2, 3)], 3, &[]), Way::Mirror).unwrap();
        assert_eq!(there.expunge, [2]);
        let made = plan(&side(&[(1, 1), (2, 2)], 3, &[]), &side(&[(1, 1), (2, 3)], 3, &[]), Way::Mirror);
        assert_eq!(made, Err(MakeAnew));
    }

    #[test]
    fn changes_of_both_sides_are_put_together_and_the_newer_one_counts() {
        let message = |flags, changed, modseq| Message {
            flags,
            modseq,
            changed: Changed { flags: changed, keywords: Vec::new() },
            ..Message::default()
        };
        let merge = |here, there| merged(&here, &there, Way::Both).0;
        assert_eq!(merge(message(1, 1, 5), message(2, 2, 9)), 3);
        assert_eq!(merge(message(0, 1, 5), message(1, 0, 9)), 0);
        assert_eq!(merge(message(0, 1, 5), message(1, 1, 9)), 1);
        assert_eq!(merge(message(0, 1, 9), message(1, 1, 5)), 0);
        assert_eq!(merge(message(1, 0, 0), message(0, 0, 0)), 1);
    }
}
