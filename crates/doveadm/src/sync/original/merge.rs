//! What this side does to a mailbox that Dovecot's dsync at the other end has, too, when changes go both
//! ways. Each side decides for itself: both must come to the same UIDs, so the rules here are Dovecot's.
//! Pure: no mail is touched.
//!
//! Up to some UID, which is found by comparing GUIDs or is known from a state of the last time, both have
//! the same messages but for what one of them has expunged. What is above is new: a message keeps its UID
//! where the other side has never given it, and gets one that is free on both sides otherwise.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base::Guid;

use crate::sync::plan::{Arrival, Source, Work};
use crate::sync::side::{Flagged, Message, Opened};

/// What the other side tells of a mailbox.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Its messages, all of them or those above the common UID.
    pub(super) messages: Vec<Message>,
    /// Messages up to the common UID whose flags have changed.
    pub(super) changed: Vec<Message>,
    /// What was expunged, with GUIDs or zeros.
    pub(super) expunged: Vec<(u32, Guid)>,
    pub(super) uid_next: u32,
}

/// What comes of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) work: Work,
    /// Up to here both have the same when all is done.
    pub(super) common_uid: u32,
}

/// What is to be done here. `is_first` says that this side began: of two changes at the same time its own
/// counts. `common_uid` is known from the last time.
pub(super) fn merge(own: &Opened, other: &Told, is_first: bool, common_uid: Option<u32>) -> Merged {
    let mut merge = Merge { own, other, is_first, flags: BTreeMap::new(), work: Work::default() };
    let common = match common_uid {
        Some(uid) => {
            merge.known(uid);
            uid
        }
        None => {
            let uid = merge.find_common();
            merge.common(uid);
            uid
        }
    };
    let next = merge.news(common);
    merge.work.expunge.sort_unstable();
    merge.work.arrive.sort_by_key(|arrival| arrival.uid);
    merge.work.moved.sort_unstable();
    merge.work.flag = std::mem::take(&mut merge.flags)
        .into_iter()
        .map(|((flags, keywords), uids)| Flagged { uids, flags, keywords })
        .collect();
    Merged { work: merge.work, common_uid: next.saturating_sub(1) }
}

struct Merge<'a> {
    own: &'a Opened,
    other: &'a Told,
    is_first: bool,
    flags: BTreeMap<(u8, Vec<String>), Vec<u32>>,
    work: Work,
}

impl<'a> Merge<'a> {
    fn own_message(&self, uid: u32) -> Option<&'a Message> {
        let messages = &self.own.messages;
        messages.get(messages.binary_search_by_key(&uid, |message| message.uid).ok()?)
    }

    /// The GUID of what was expunged here; zeros where it is not known.
    fn own_expunged(&self, uid: u32) -> Guid {
        let expunged = &self.own.expunged;
        let found = expunged.binary_search_by_key(&uid, |(uid, _)| *uid).ok().and_then(|at| expunged.get(at));
        found.map(|(_, guid)| *guid).unwrap_or_default()
    }

    /// The last UID up to which both have, or had, the same messages.
    fn find_common(&self) -> u32 {
        let unknown = Guid::default();
        let last_own = self.own.messages.last().map_or(0, |message| message.uid);
        let saves = self.other.messages.iter().map(|message| (message.uid, message.guid, Some(message)));
        let expunges = self.other.expunged.iter().map(|&(uid, guid)| (uid, guid, None));
        let mut told: Vec<_> = saves.chain(expunges).collect();
        told.sort_by_key(|(uid, ..)| *uid);
        let mut common = 0;
        for (uid, guid, message) in told {
            if let Some(own) = self.own_message(uid) {
                match (guid == own.guid, guid == unknown) {
                    (true, false) => common = uid,
                    (_, true) if message.is_none() => {}
                    _ => return common,
                }
                continue;
            }
            let Some(message) = message else {
                if uid < last_own && guid != unknown && self.own_expunged(uid) == guid {
                    common = uid;
                }
                continue;
            };
            if message.skip {
                continue;
            }
            let expunged = self.own_expunged(uid);
            let is_past_end = uid > last_own;
            match () {
                () if is_past_end && self.own.uid_next <= uid => return common,
                () if expunged != unknown && expunged == guid => common = uid,
                () if expunged != unknown || is_past_end => return common,
                () => {}
            }
        }
        common
    }

    /// Below the common UID what is missing there was expunged there; flags are put together.
    fn common(&mut self, common: u32) {
        let theirs: HashMap<u32, &Message> =
            self.other.messages.iter().map(|message| (message.uid, message)).collect();
        for own in self.own.messages.iter().take_while(|message| message.uid <= common) {
            match theirs.get(&own.uid) {
                Some(other) => self.merge_flags(own, other),
                None => self.work.expunge.push(own.uid),
            }
        }
    }

    /// The same where the other side tells only what has changed since the last time.
    fn known(&mut self, common: u32) {
        for (uid, guid) in self.other.expunged.iter().filter(|(uid, _)| *uid <= common) {
            let own = self.own_message(*uid);
            if own.is_some_and(|own| *guid == Guid::default() || own.guid == *guid) {
                self.work.expunge.push(*uid);
            }
        }
        for other in &self.other.changed {
            if let Some(own) = self.own_message(other.uid) {
                self.merge_flags(own, other);
            }
        }
    }

    fn merge_flags(&mut self, own: &Message, other: &Message) {
        let prefers_other = match own.modseq.cmp(&other.modseq) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => !self.is_first,
        };
        let flags = merged(
            Change { last: own.flags, changed: own.changed.flags },
            Change { last: other.flags, changed: other.changed.flags },
            prefers_other,
        );
        let of = |message: &Message, name: &String| Change {
            last: u8::from(message.keywords.contains(name)),
            changed: u8::from(message.changed.keywords.contains(name)),
        };
        let both = own.keywords.iter().chain(&other.keywords);
        let names: BTreeSet<&String> = both.collect();
        let is_kept = |name: &&String| merged(of(own, name), of(other, name), prefers_other) != 0;
        let keywords: Vec<String> = names.into_iter().filter(is_kept).cloned().collect();
        if (flags, &keywords) != (own.flags, &own.keywords) {
            self.flags.entry((flags, keywords)).or_default().push(own.uid);
        }
    }

    /// Gives what is above the common UID its place; gives the next UID that neither side has used.
    fn news(&mut self, common: u32) -> u32 {
        let mut news = self.line_up(common);
        let next = assign(&mut news, self.own.uid_next.max(self.other.uid_next).max(1));
        let mut chains: BTreeMap<&str, Vec<&New<'_>>> = BTreeMap::new();
        for new in &news {
            chains.entry(&new.guid).or_default().push(new);
        }
        for chain in chains.values() {
            self.place(chain);
        }
        next
    }

    /// What is new on both sides, in an order that is the same on both.
    fn line_up(&self, common: u32) -> Vec<New<'a>> {
        let mut own = self.own.messages.iter().filter(|message| message.uid > common).peekable();
        let theirs = self.other.messages.iter();
        let mut theirs = theirs.filter(|message| message.uid > common && !message.skip).peekable();
        let mut news: Vec<New<'a>> = Vec::new();
        let mut by_guid: HashMap<String, Vec<usize>> = HashMap::new();
        loop {
            let order = match (own.peek(), theirs.peek()) {
                (None, None) => return news,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(one), Some(other)) => (key(one), one.uid).cmp(&(key(other), other.uid)),
            };
            let one = if order.is_le() { own.next() } else { None };
            let other = if order.is_ge() { theirs.next() } else { None };
            let Some(either) = one.or(other) else { return news };
            let is_usable = match (one, other) {
                (Some(_), Some(_)) => true,
                (Some(own), None) => own.uid >= self.other.uid_next,
                _ => either.uid >= self.own.uid_next,
            };
            let at = news.len();
            let link = (one.is_some() && other.is_some()).then_some(at);
            let mut new =
                New { guid: key(either), one, other, uid: either.uid, is_usable, link, skip: false };
            let same = by_guid.entry(new.guid.clone()).or_default();
            link_up(&mut news, &mut new, at, same);
            news.push(new);
        }
    }

    /// Makes the instances of one message have the UIDs that they are to have.
    fn place(&mut self, chain: &[&New<'_>]) {
        let own: BTreeSet<u32> = chain.iter().filter_map(|new| Some(new.one?.uid)).collect();
        let wanted: BTreeMap<u32, Option<u32>> = chain
            .iter()
            .filter(|new| !new.skip)
            .map(|new| (new.uid, new.other.map(|other| other.uid)))
            .collect();
        let mut spare: Vec<u32> = own.iter().copied().filter(|uid| !wanted.contains_key(uid)).collect();
        let any_other = chain.iter().find_map(|new| new.other).map(|other| other.uid);
        for (uid, from) in wanted.iter().filter(|(uid, _)| !own.contains(uid)) {
            let source = match (spare.pop(), own.first(), from.or(any_other)) {
                (Some(spare), ..) => {
                    self.work.moved.push(spare);
                    Source::Own(spare)
                }
                (None, Some(&own), _) => Source::Own(own),
                (None, None, Some(other)) => Source::Other(other),
                (None, None, None) => continue,
            };
            self.work.arrive.push(Arrival { uid: *uid, from: source });
        }
        // One too many.
        self.work.moved.append(&mut spare);
    }
}

/// A message that is new on one side, or on both.
struct New<'a> {
    guid: String,
    one: Option<&'a Message>,
    other: Option<&'a Message>,
    /// What it has, and later what it is to have.
    uid: u32,
    is_usable: bool,
    /// The same message on the other side.
    link: Option<usize>,
    skip: bool,
}

/// GUIDs are compared as text.
fn key(message: &Message) -> String {
    message.long_guid.clone().unwrap_or_else(|| message.guid.to_string())
}

fn link_up(news: &mut [New<'_>], new: &mut New<'_>, at: usize, same: &mut Vec<usize>) {
    let mut link = None;
    for &other_at in same.iter() {
        let Some(other) = news.get_mut(other_at) else { continue };
        other.is_usable |= other.uid == new.uid;
        if link.is_none() && other.link.is_none() && other.one.is_some() != new.one.is_some() {
            link = Some(other_at);
        }
    }
    same.push(at);
    if let Some(other) = link.and_then(|link| news.get_mut(link)).filter(|_| new.link.is_none()) {
        other.link = Some(at);
        new.link = link;
    }
}

fn assign(news: &mut [New<'_>], mut next: u32) -> u32 {
    for at in 0..news.len() {
        let Some(new) = news.get(at).filter(|new| !new.skip) else { continue };
        let link = new.link.filter(|link| *link != at);
        let usable = link.and_then(|link| news.get(link)).filter(|link| link.is_usable).map(|link| link.uid);
        let uid = match (new.is_usable, usable) {
            (true, _) => new.uid,
            (false, Some(uid)) => uid,
            (false, None) => {
                next = next.saturating_add(1);
                next - 1
            }
        };
        if let Some(new) = news.get_mut(at) {
            new.uid = uid;
        }
        if let Some(link) = link.and_then(|link| news.get_mut(link)) {
            link.skip = true;
        }
    }
    next
}

/// Bits as they are on one side, and which of them somebody has changed there.
#[derive(Clone, Copy)]
struct Change {
    last: u8,
    changed: u8,
}

/// The bits that this side is to have: what one side changed counts, then what is newer.
fn merged(own: Change, other: Change, prefers_other: bool) -> u8 {
    let (mut added, mut removed) = (own.last & own.changed, !own.last & own.changed);
    let (mut added_there, mut removed_there) = (other.last & other.changed, !other.last & other.changed);
    let (fought, fought_there) = (added & removed_there, removed & added_there);
    if prefers_other {
        added &= !fought;
        removed &= !fought_there;
    } else {
        removed_there &= !fought;
        added_there &= !fought_there;
    }
    let differs = own.last ^ other.last;
    let (add, remove) = ((added | added_there) & differs, (removed | removed_there) & differs);
    let (wanted, theirs) = ((own.last | add) & !remove, (other.last | add) & !remove);
    if prefers_other { theirs } else { wanted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::side::Changed;

    fn guid(number: u8) -> Guid {
        Guid([number; 16])
    }

    fn messages(all: &[(u32, u8)]) -> Vec<Message> {
        let one = |&(uid, number): &(u32, u8)| Message { uid, guid: guid(number), ..Message::default() };
        all.iter().map(one).collect()
    }

    fn gone(all: &[(u32, u8)]) -> Vec<(u32, Guid)> {
        all.iter().map(|&(uid, number)| (uid, guid(number))).collect()
    }

    type Mailbox<'a> = (&'a [(u32, u8)], u32, &'a [(u32, u8)]);

    /// What each of two sides does, and the messages that both have then.
    #[track_caller]
    fn check(one: Mailbox<'_>, other: Mailbox<'_>, after: &[(u32, u8)]) {
        for (own, there, is_first) in [(one, other, true), (other, one, false)] {
            let opened = Opened {
                messages: messages(own.0),
                uid_next: own.1,
                expunged: gone(own.2),
                ..Opened::default()
            };
            let told = Told {
                messages: messages(there.0),
                uid_next: there.1,
                expunged: gone(there.2),
                changed: Vec::new(),
            };
            let merged = merge(&opened, &told, is_first, None);
            let mut has: BTreeMap<u32, u8> = own.0.iter().copied().collect();
            for arrival in &merged.work.arrive {
                assert!(arrival.uid >= own.1, "{merged:?}");
                let number = match arrival.from {
                    Source::Own(uid) => has[&uid],
                    Source::Other(uid) => there.0.iter().find(|(known, _)| *known == uid).unwrap().1,
                };
                assert_eq!(has.insert(arrival.uid, number), None, "{merged:?}");
            }
            has.retain(|uid, _| !merged.work.expunge.contains(uid) && !merged.work.moved.contains(uid));
            assert_eq!(has.into_iter().collect::<Vec<_>>(), after, "{merged:?}");
        }
    }

    #[test]
    fn both_sides_come_to_the_same() {
        let none: &[(u32, u8)] = &[];
        // New on one side, and on both under different UIDs.
        check((&[(1, 1), (2, 2)], 3, none), (&[(1, 1)], 2, none), &[(1, 1), (2, 2)]);
        check((&[(1, 1)], 2, none), (none, 1, none), &[(1, 1)]);
        check((&[(1, 1), (2, 2)], 3, none), (&[(1, 1), (3, 3)], 4, none), &[(1, 1), (3, 3), (4, 2)]);
        // The same UID for different messages: both get new ones.
        check((&[(1, 1), (2, 2)], 3, none), (&[(1, 1), (2, 3)], 3, none), &[(1, 1), (3, 2), (4, 3)]);
        // The same message under different UIDs.
        check((&[(1, 1), (2, 2)], 3, none), (&[(1, 1), (5, 2)], 6, none), &[(1, 1), (5, 2)]);
        // Expunged on one side, in the middle and at the end.
        check((&[(1, 1), (3, 3)], 4, none), (&[(1, 1), (2, 2), (3, 3)], 4, none), &[(1, 1), (3, 3)]);
        check((&[(1, 1)], 3, &[(2, 2)]), (&[(1, 1), (2, 2)], 3, none), &[(1, 1)]);
        check((&[(1, 1)], 3, &[(2, 2)]), (&[(1, 1), (2, 2), (3, 3)], 4, none), &[(1, 1), (3, 3)]);
        // Nobody knows whether it was expunged: it stays.
        check((&[(1, 1)], 3, none), (&[(1, 1), (2, 2)], 3, none), &[(1, 1), (3, 2)]);
        // Twice the same message.
        check((&[(1, 1), (2, 1)], 3, none), (&[(1, 1)], 2, none), &[(1, 1), (2, 1)]);
    }

    #[test]
    fn flags_of_both_sides_are_put_together() {
        let message = |flags, changed, modseq| Message {
            uid: 1,
            guid: guid(1),
            flags,
            modseq,
            changed: Changed { flags: changed, keywords: Vec::new() },
            ..Message::default()
        };
        let after = |own: Message, other: Message, is_first| {
            let opened = Opened { messages: vec![own.clone()], uid_next: 2, ..Opened::default() };
            let told = Told { messages: vec![other], uid_next: 2, ..Told::default() };
            let work = merge(&opened, &told, is_first, None).work;
            work.flag.first().map_or(own.flags, |flagged| flagged.flags)
        };
        let check = |one: Message, other: Message, flags| {
            assert_eq!(after(one.clone(), other.clone(), true), flags);
            assert_eq!(after(other, one, false), flags);
        };
        check(message(1, 1, 5), message(2, 2, 9), 3);
        check(message(0, 1, 5), message(1, 0, 9), 0);
        check(message(0, 1, 5), message(1, 1, 9), 1);
        check(message(0, 1, 9), message(1, 1, 5), 0);
        check(message(1, 0, 7), message(0, 0, 7), 1);
        check(message(1, 0, 6), message(0, 0, 7), 0);
    }

    #[test]
    fn with_a_state_only_changes_are_told() {
        let opened =
            Opened { messages: messages(&[(1, 1), (2, 2), (4, 4)]), uid_next: 5, ..Opened::default() };
        let told = Told {
            messages: messages(&[(4, 5)]),
            changed: vec![Message { uid: 1, guid: guid(1), flags: 8, modseq: 9, ..Message::default() }],
            expunged: gone(&[(2, 2), (3, 3)]),
            uid_next: 5,
        };
        let Merged { work, common_uid } = merge(&opened, &told, true, Some(3));
        assert_eq!(work.expunge, [2]);
        assert_eq!(work.flag, [Flagged { uids: vec![1], flags: 8, keywords: Vec::new() }]);
        let from = |uid, from| Arrival { uid, from };
        assert_eq!(work.arrive, [from(5, Source::Own(4)), from(6, Source::Other(4))]);
        assert_eq!((work.moved, common_uid), (vec![4], 6));
    }
}
