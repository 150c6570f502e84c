//! Transactions: changes that are collected, and made when they are committed.

/// Changes of one user, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Whose private keys are meant.
    pub user: String,
    /// When it was changed, in seconds and nanoseconds since 1970, for databases that decide by it who was
    /// last. None of those that are supported does; it is passed on to `dict` processes.
    pub timestamp: Option<(i64, u32)>,
    /// What to do.
    pub changes: Vec<Change>,
}

impl Transaction {
    /// Adds a change. Adding nothing to a number is none.
    pub fn add(&mut self, change: Change) {
        if !matches!(change, Change::Increase { diff: 0, .. }) {
            self.changes.push(change);
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Gives a key a value.
    Set {
        /// The key.
        key: String,
        /// Its new value.
        value: String,
    },
    /// Takes a key away, if it is there.
    Unset {
        /// The key.
        key: String,
    },
    /// Adds to a number that is there.
    Increase {
        /// The key.
        key: String,
        /// What to add; may be negative.
        diff: i64,
    },
}

/// What came of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// All is done.
    Done,
    /// A key that was to be increased is not there; the rest is done.
    NotFound,
}

impl Change {
    /// Which key it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Set { key, .. } | Self::Unset { key } | Self::Increase { key, .. } => key,
        }
    }

    pub(super) fn has_nul(&self) -> bool {
        let in_value = matches!(self, Self::Set { value, .. } if value.contains('\0'));
        in_value || self.key().contains('\0')
    }
}
