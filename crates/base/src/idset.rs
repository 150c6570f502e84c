//! Sets of message numbers, kept as sorted ranges that neither overlap nor touch, so that `1:*`
//! of a large mailbox costs two numbers.

use std::fmt;
use std::marker::PhantomData;

use crate::id::{Seq, Uid};

/// A set of UIDs.
pub type UidSet = IdSet<Uid>;
/// A set of sequence numbers.
pub type SeqSet = IdSet<Seq>;

/// A set of numbers of one kind. Printing it gives an IMAP sequence-set (`1:3,7`).
#[derive(Clone, PartialEq, Eq)]
pub struct IdSet<T> {
    // Invariant: sorted, start <= end, and a gap of at least one number between ranges.
    ranges: Vec<(u32, u32)>,
    kind: PhantomData<T>,
}

impl<T: Copy + Into<u32> + TryFrom<u32>> IdSet<T> {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new(), kind: PhantomData }
    }

    /// All numbers from `first` to `last`, whichever is smaller.
    pub fn from_range(first: T, last: T) -> Self {
        let mut set = Self::new();
        set.insert_range(first, last);
        set
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|&(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether `id` is in the set.
    pub fn contains(&self, id: T) -> bool {
        let id = id.into();
        let after = self.ranges.partition_point(|&(first, _)| first <= id);
        after > 0 && self.ranges[after - 1].1 >= id
    }

    /// Adds one number.
    pub fn insert(&mut self, id: T) {
        self.insert_range(id, id);
    }

    /// Adds all numbers from `first` to `last`; the order of the two does not matter.
    pub fn insert_range(&mut self, first: T, last: T) {
        let (first, last) = (first.into(), last.into());
        let (first, last) = (first.min(last), first.max(last));
        // The common case: numbers come in ascending order.
        match self.ranges.last_mut() {
            Some(tail) if tail.0 <= first && first <= tail.1.saturating_add(1) => {
                tail.1 = tail.1.max(last);
                return;
            }
            Some(tail) if first > tail.1 => return self.ranges.push((first, last)),
            None => return self.ranges.push((first, last)),
            Some(_) => {}
        }
        let begin = self.ranges.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let end = self.ranges.partition_point(|&(start, _)| start <= last.saturating_add(1));
        let touched = &self.ranges[begin..end];
        let merged = (
            touched.first().map_or(first, |range| range.0.min(first)),
            touched.last().map_or(last, |range| range.1.max(last)),
        );
        self.ranges.splice(begin..end, [merged]);
    }

    /// Takes one number out, if it is there.
    pub fn remove(&mut self, id: T) {
        let id = id.into();
        let at = self.ranges.partition_point(|&(_, last)| last < id);
        let Some(&(first, last)) = self.ranges.get(at) else { return };
        if id < first {
            return;
        }
        let left = (first < id).then(|| (first, id - 1));
        let right = (id < last).then(|| (id + 1, last));
        self.ranges.splice(at..=at, left.into_iter().chain(right));
    }

    /// The ranges in ascending order, both ends included.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = (T, T)> + '_ {
        self.ranges
            .iter()
            .filter_map(|&(first, last)| Some((T::try_from(first).ok()?, T::try_from(last).ok()?)))
    }

    /// Every number in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.ranges.iter().flat_map(|&(first, last)| first..=last).filter_map(|id| T::try_from(id).ok())
    }

    /// The smallest number.
    pub fn first(&self) -> Option<T> {
        self.ranges.first().and_then(|range| T::try_from(range.0).ok())
    }

    /// The largest number.
    pub fn last(&self) -> Option<T> {
        self.ranges.last().and_then(|range| T::try_from(range.1).ok())
    }
}

impl<T> Default for IdSet<T> {
    fn default() -> Self {
        Self { ranges: Vec::new(), kind: PhantomData }
    }
}

impl<T: Copy + Into<u32> + TryFrom<u32>> FromIterator<T> for IdSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(ids: I) -> Self {
        let mut set = Self::new();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

impl<T> fmt::Display for IdSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}:{last}")?,
            }
        }
        Ok(())
    }
}

impl<T> fmt::Debug for IdSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ranges: &[(u32, u32)], expected: &str) {
        let mut set = UidSet::new();
        for &(first, last) in ranges {
            set.insert_range(Uid::new(first).unwrap(), Uid::new(last).unwrap());
        }
        assert_eq!(set.to_string(), expected);
    }

    #[test]
    fn ranges_merge() {
        check(&[(1, 3), (7, 7)], "1:3,7");
        check(&[(7, 7), (1, 3)], "1:3,7");
        check(&[(1, 3), (4, 5)], "1:5");
        check(&[(5, 9), (1, 2), (3, 4)], "1:9");
        check(&[(1, 1), (3, 3), (5, 5), (2, 4)], "1:5");
        check(&[(9, 5)], "5:9");
        check(&[(1, u32::MAX), (4, 5)], "1:4294967295");
    }

    #[test]
    fn remove_splits() {
        let mut set = UidSet::from_range(Uid::ONE, Uid::new(5).unwrap());
        set.remove(Uid::new(3).unwrap());
        assert_eq!(set.to_string(), "1:2,4:5");
        set.remove(Uid::ONE);
        set.remove(Uid::new(9).unwrap());
        assert_eq!((set.to_string().as_str(), set.len()), ("2,4:5", 3));
        assert!(set.contains(Uid::new(4).unwrap()) && !set.contains(Uid::new(3).unwrap()));
    }
}
