//! What is asked of a dictionary that is looked through, and what it gives.

/// Which keys to list.
#[derive(Debug, Clone, Copy)]
pub struct Iteration<'a> {
    /// Whose private keys are meant.
    pub user: &'a str,
    /// What the keys begin with, with a `/` at its end.
    pub path: &'a str,
    /// How.
    pub flags: Flags,
    /// The most that are wanted; 0 is all.
    pub rows_max: usize,
}

/// How to list keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// Also what is further below.
    pub recurse: bool,
    /// By what the rows are sorted; without it they come in no order.
    pub order: Option<Order>,
    /// Only keys.
    pub no_value: bool,
    /// This key only, of which SQL may have several rows.
    pub exact_key: bool,
}

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The key.
    Key,
    /// The first value.
    Value,
}

/// A key that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The whole key.
    pub key: String,
    /// Its values; none if none were asked for.
    pub values: Vec<String>,
}

// As they are sent, of 2.3's `dict.h`.
const RECURSE: u32 = 0x01;
const SORT_BY_KEY: u32 = 0x02;
const SORT_BY_VALUE: u32 = 0x04;
const NO_VALUE: u32 = 0x08;
const EXACT_KEY: u32 = 0x10;

impl Flags {
    /// From 2.3's bits; those without meaning here are left out.
    pub fn from_bits(bits: u32) -> Self {
        let has = |bit| bits & bit != 0;
        let order = match (has(SORT_BY_KEY), has(SORT_BY_VALUE)) {
            (true, _) => Some(Order::Key),
            (false, true) => Some(Order::Value),
            (false, false) => None,
        };
        Self { recurse: has(RECURSE), order, no_value: has(NO_VALUE), exact_key: has(EXACT_KEY) }
    }

    /// As 2.3's bits.
    pub fn bits(self) -> u32 {
        let order = match self.order {
            Some(Order::Key) => SORT_BY_KEY,
            Some(Order::Value) => SORT_BY_VALUE,
            None => 0,
        };
        let bit = |is_set, bit| if is_set { bit } else { 0 };
        bit(self.recurse, RECURSE) | order | bit(self.no_value, NO_VALUE) | bit(self.exact_key, EXACT_KEY)
    }
}

impl Iteration<'_> {
    /// Whether a key that stands in no table is one of them.
    pub(super) fn wants(&self, key: &str) -> bool {
        let Some(rest) = key.strip_prefix(self.path) else { return false };
        match (self.flags.recurse, self.flags.exact_key) {
            (true, _) => true,
            (false, true) => rest.is_empty(),
            (false, false) => !rest.contains('/'),
        }
    }

    /// Gives rows in their order, and no more than are wanted.
    pub(super) fn give(&self, mut rows: Vec<Row>, each: &mut dyn FnMut(Row)) {
        match self.flags.order {
            Some(Order::Key) => rows.sort_by(|one, other| one.key.cmp(&other.key)),
            Some(Order::Value) => rows.sort_by(|one, other| one.values.cmp(&other.values)),
            None => {}
        }
        let most = if self.rows_max == 0 { usize::MAX } else { self.rows_max };
        for mut row in rows.into_iter().take(most) {
            if self.flags.no_value {
                row.values.clear();
            }
            each(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_bits() {
        for bits in [0, 1, 2, 4, 8, 16, 1 + 2 + 8, 4 + 16] {
            assert_eq!(Flags::from_bits(bits).bits(), bits);
        }
        assert_eq!(Flags::from_bits(6).order, Some(Order::Key));
        assert_eq!(Flags::from_bits(0x20), Flags::default(), "when answers come makes no difference");
    }

    #[test]
    fn rows_are_chosen_and_sorted() {
        let all = ["a/x", "a/b/c", "a/", "b/x", "a/b"].map(|key| (key, key.len().to_string()));
        for (bits, rows_max, expect) in [
            (0, 0, "a/x=3 a/=2 a/b=3"),
            (1, 0, "a/x=3 a/b/c=5 a/=2 a/b=3"),
            (3, 3, "a/=2 a/b=3 a/b/c=5"),
            (4, 0, "a/=2 a/x=3 a/b=3"),
            (8, 2, "a/x= a/="),
            (16, 0, "a/=2"),
        ] {
            let iteration = Iteration { user: "", path: "a/", flags: Flags::from_bits(bits), rows_max };
            let rows = all.iter().filter(|(key, _)| iteration.wants(key));
            let rows = rows.map(|(key, value)| Row { key: (*key).to_owned(), values: vec![value.clone()] });
            let mut given = Vec::new();
            iteration
                .give(rows.collect(), &mut |row| given.push(format!("{}={}", row.key, row.values.concat())));
            assert_eq!(given.join(" "), expect, "{bits}");
        }
    }
}
