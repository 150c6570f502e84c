//! The last few wrong credentials of somebody: the same ones again say nothing new.

use std::collections::VecDeque;

use crate::limits::CHECKSUMS_MAX;

/// Checksums, the most recent first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recent(VecDeque<u32>);

impl Recent {
    /// Moves `checksum` to the front, and says whether it was known.
    pub(crate) fn knows(&mut self, checksum: u32) -> bool {
        let at = self.0.iter().position(|&known| known == checksum);
        if let Some(at) = at {
            self.0.remove(at);
        }
        self.0.push_front(checksum);
        self.0.truncate(CHECKSUMS_MAX);
        at.is_some()
    }
}
