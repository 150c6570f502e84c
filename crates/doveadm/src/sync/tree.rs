//! Which mailboxes are to be made, deleted and renamed, and which subscriptions changed, so that two sides
//! are the same. Pure.
//!
//! A mailbox is the same that has the same GUID, or the same name. What one side alone has was made there,
//! unless the other's `dovecot.mailbox.log` says that it was deleted there. Of two names for the same
//! mailbox the one that was given last counts.

use std::collections::BTreeSet;

use base::Guid;
use index::mailbox_log::{Action, name_hash};
use storage::Result;

use super::local::name_of;
use super::plan::Way;
use super::side::{Levels, Node, Tree};

/// A change to a side's mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Delete(Levels),
    Rename(Levels, Levels),
    Create(Levels),
    /// Makes a name that only holds others.
    CreateNode(Levels),
    Subscribe(Levels, bool),
}

impl Step {
    /// Does it to a tree that is only imagined. A mailbox that is made is entered by whoever knows its GUID.
    pub(crate) fn imagine(&self, tree: &mut Tree) {
        match self {
            Self::Delete(levels) => {
                tree.mailboxes.retain(|node| node.levels != *levels);
                tree.nodes.retain(|node| node != levels);
            }
            Self::Rename(from, to) => {
                let moved = |levels: &mut Levels| {
                    if let Some(rest) = levels.strip_prefix(from.as_slice()) {
                        *levels = [to.as_slice(), rest].concat();
                    }
                };
                tree.mailboxes.iter_mut().for_each(|node| moved(&mut node.levels));
                tree.nodes.iter_mut().for_each(moved);
            }
            Self::Create(_) => {}
            Self::CreateNode(levels) => tree.nodes.push(levels.clone()),
            Self::Subscribe(levels, true) => tree.subscriptions.push(levels.clone()),
            Self::Subscribe(levels, false) => tree.subscriptions.retain(|known| known != levels),
        }
    }
}

impl Tree {
    /// When a name, or one above it, was last given to a mailbox.
    fn renamed(&self, levels: &Levels) -> u32 {
        let above = (1..=levels.len()).filter_map(|count| levels.get(..count));
        let times = above.map(|levels| self.last_of_name(Action::Rename, &levels.to_vec()));
        times.max().unwrap_or(0)
    }

    fn last(&self, action: Action, guid: Guid) -> Option<u32> {
        let fits = |(number, of, _): &&(u8, Guid, u32)| *number == action.encode() && *of == guid;
        self.log.iter().filter(fits).map(|(_, _, time)| *time).max()
    }

    pub(crate) fn hash(&self, levels: &Levels) -> Result<Guid> {
        Ok(name_hash(&name_of(levels, &self.prefix, self.separator)?))
    }

    /// When a name was last given to a mailbox, or a subscription changed.
    pub(crate) fn last_of_name(&self, action: Action, levels: &Levels) -> u32 {
        self.hash(levels).ok().and_then(|hash| self.last(action, hash)).unwrap_or(0)
    }

    fn with_guid(&self, guid: Guid) -> Option<&Node> {
        self.mailboxes.iter().find(|node| node.guid == guid && guid != Guid::default())
    }

    fn with_name(&self, levels: &Levels) -> Option<&Node> {
        self.mailboxes.iter().find(|node| node.levels == *levels)
    }
}

const INBOX: &str = "INBOX";

fn is_inbox(levels: &Levels) -> bool {
    *levels == [INBOX]
}

/// The first deletions and renames that are due: what to do here, and there. When they have been done
/// and both sides looked at anew, there may be more.
pub(crate) fn moves(here: &Tree, there: &Tree, way: Way, wanted: &dyn Fn(&Node) -> bool) -> [Vec<Step>; 2] {
    let mut steps = [
        if way == Way::Both { deletions(here, there, false, wanted) } else { Vec::new() },
        deletions(there, here, way == Way::Mirror, wanted),
    ];
    if steps.iter().all(Vec::is_empty) {
        renames(here, there, way, wanted, &mut steps);
    }
    steps
}

/// What goes on the side `own`.
fn deletions(own: &Tree, other: &Tree, all: bool, wanted: &dyn Fn(&Node) -> bool) -> Vec<Step> {
    let is_surplus = |node: &&Node| {
        let stays = other.with_guid(node.guid).is_some() || is_inbox(&node.levels);
        let same_name = other.with_name(&node.levels).is_some();
        let deleted = other.last(Action::DeleteMailbox, node.guid).is_some();
        !stays && wanted(node) && (deleted || all && !same_name)
    };
    let mut gone: Vec<&Levels> = own.mailboxes.iter().filter(is_surplus).map(|node| &node.levels).collect();
    // Children go before their parents.
    gone.sort_by(|one, other| other.cmp(one));
    gone.into_iter().map(|levels| Step::Delete(levels.clone())).collect()
}

/// The first rename, as it may change the names that others go by.
fn renames(here: &Tree, there: &Tree, way: Way, wanted: &dyn Fn(&Node) -> bool, steps: &mut [Vec<Step>; 2]) {
    for node in &here.mailboxes {
        let Some(other) = there.with_guid(node.guid).filter(|other| other.levels != node.levels) else {
            continue;
        };
        if is_inbox(&node.levels) || is_inbox(&other.levels) || !wanted(node) {
            continue;
        }
        // At the same time the first in the alphabet counts, which is the same one whoever asks.
        let newer_here = match here.renamed(&node.levels).cmp(&there.renamed(&other.levels)) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => node.levels < other.levels,
        };
        let (at, tree, from, to) = match newer_here || way != Way::Both {
            true => (1, there, &other.levels, &node.levels),
            false => (0, here, &node.levels, &other.levels),
        };
        let Some(list) = steps.get_mut(at) else { return };
        if let Some(in_the_way) = tree.with_name(to) {
            // Another mailbox has the name: it is kept under one that nobody else has.
            let mut aside = to.clone();
            let mark: String = in_the_way.guid.to_string().chars().take(8).collect();
            if let Some(last) = aside.last_mut() {
                *last = format!("{last}-{mark}");
            }
            list.push(Step::Rename(to.clone(), aside));
        }
        list.push(Step::Rename(from.clone(), to.clone()));
        return;
    }
}

/// Mailboxes that a side lacks.
pub(crate) fn creations(
    here: &Tree,
    there: &Tree,
    way: Way,
    wanted: &dyn Fn(&Node) -> bool,
) -> [Vec<Step>; 2] {
    let lacks = |own: &Tree, other: &Tree| -> Vec<Step> {
        let missing =
            other.mailboxes.iter().filter(|node| wanted(node) && own.with_name(&node.levels).is_none());
        missing.map(|node| Step::Create(node.levels.clone())).collect()
    };

    [if way == Way::Both { lacks(here, there) } else { Vec::new() }, lacks(there, here)]
}

/// Names that hold others, or nothing, and that a side lacks. What leads to a mailbox comes with that.
pub(crate) fn nodes(here: &Tree, there: &Tree, way: Way, wanted: &dyn Fn(&Levels) -> bool) -> [Vec<Step>; 2] {
    let lacks = |own: &Tree, other: &Tree| -> Vec<Step> {
        let leads = |levels: &Levels| other.mailboxes.iter().any(|node| node.levels.starts_with(levels));
        let is_there = |levels: &Levels| own.nodes.contains(levels) || own.with_name(levels).is_some();
        let missing =
            other.nodes.iter().filter(|levels| wanted(levels) && !leads(levels) && !is_there(levels));
        missing.map(|levels| Step::CreateNode(levels.clone())).collect()
    };
    [if way == Way::Both { lacks(here, there) } else { Vec::new() }, lacks(there, here)]
}

/// Subscriptions that differ: the side that changed last counts, and one is kept where nobody knows.
pub(crate) fn subscriptions(
    here: &Tree,
    there: &Tree,
    way: Way,
    wanted: &dyn Fn(&Levels) -> bool,
) -> [Vec<Step>; 2] {
    let mut steps: [Vec<Step>; 2] = Default::default();
    let all: BTreeSet<&Levels> = here.subscriptions.iter().chain(&there.subscriptions).collect();
    for levels in all.into_iter().filter(|levels| wanted(levels)) {
        let has = [here.subscriptions.contains(levels), there.subscriptions.contains(levels)];
        if has[0] == has[1] {
            continue;
        }
        let (with, without) = if has[0] { (here, there) } else { (there, here) };
        let given_up =
            without.last_of_name(Action::Unsubscribe, levels) > with.last_of_name(Action::Subscribe, levels);
        let subscribed = match way {
            Way::Mirror => has[0],
            Way::Both | Way::There => !given_up,
        };
        let at = usize::from(has[0] == subscribed);
        if at == 0 && way != Way::Both {
            continue;
        }
        if let Some(list) = steps.get_mut(at) {
            list.push(Step::Subscribe(levels.clone(), subscribed));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(name: &str) -> Levels {
        name.split('/').map(str::to_owned).collect()
    }

    fn tree(mailboxes: &[(&str, u8)], log: &[(Action, Guid, u32)]) -> Tree {
        Tree {
            separator: '/',
            mailboxes: mailboxes
                .iter()
                .map(|&(name, number)| Node {
                    levels: levels(name),
                    guid: Guid([number; 16]),
                    special_use: Vec::new(),
                })
                .collect(),
            log: log.iter().map(|&(action, guid, time)| (action.encode(), guid, time)).collect(),
            ..Tree::default()
        }
    }

    #[test]
    fn what_was_deleted_goes_and_what_was_not_comes() {
        let here = tree(&[("INBOX", 1)], &[(Action::DeleteMailbox, Guid([2; 16]), 5)]);
        let there = tree(&[("INBOX", 1), ("Old", 2), ("New", 3)], &[]);
        let all = |_: &Node| true;
        let [none, steps] = moves(&here, &there, Way::Both, &all);
        assert_eq!((none, steps), (vec![], vec![Step::Delete(levels("Old"))]));
        let [steps, none] = creations(&here, &there, Way::Both, &|node| node.guid.0[0] == 3);
        assert_eq!((none, steps), (vec![], vec![Step::Create(levels("New"))]));
    }

    #[test]
    fn the_last_name_counts() {
        let here = tree(&[("A", 1)], &[(Action::Rename, name_hash("A"), 5)]);
        let there = tree(&[("B", 1)], &[(Action::Rename, name_hash("B"), 6)]);
        let all = |_: &Node| true;
        let rename = Step::Rename(levels("A"), levels("B"));
        assert_eq!(moves(&here, &there, Way::Both, &all), [vec![rename.clone()], vec![]]);
        assert_eq!(moves(&there, &here, Way::Both, &all), [vec![], vec![rename]]);
    }

    #[test]
    fn the_last_subscription_counts() {
        let mut here = tree(&[], &[(Action::Subscribe, name_hash("A"), 5)]);
        here.subscriptions = vec![levels("A"), levels("B")];
        let there = tree(&[], &[(Action::Unsubscribe, name_hash("A"), 6)]);
        let [at_home, away] = subscriptions(&here, &there, Way::Both, &|_| true);
        assert_eq!(at_home, [Step::Subscribe(levels("A"), false)]);
        assert_eq!(away, [Step::Subscribe(levels("B"), true)]);
    }
}
