//! The numbers for sorting that the index keeps: extensions with 32 bits for each message.

use index::{ExtSpec, Origin, Transaction};

use crate::api::SortRanks;
use crate::error::Result;

use super::{Driver, Shared};

impl<D: Driver> Shared<D> {
    /// See [`Mailbox::sort_ranks`](crate::Mailbox::sort_ranks).
    pub(crate) fn sort_ranks(&self, name: &str) -> SortRanks {
        let view = self.view();
        let Some(column) = view.columns().named(name) else {
            let list = view.records().map(|record| (record.uid, 0)).collect();
            return SortRanks { reset_id: 0, list };
        };
        let rank = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let list = view.records_with(column.id).map(|(record, bytes)| (record.uid, rank(bytes))).collect();
        SortRanks { reset_id: column.reset_id, list }
    }

    /// See [`Mailbox::keep_sort_ranks`](crate::Mailbox::keep_sort_ranks).
    pub(crate) fn keep_sort_ranks(&self, name: &str, ranks: &SortRanks) -> Result<()> {
        let mut work = self.work();
        let mut index = work.index.lock()?;
        // Whoever changes them counts up, so that others do not mix theirs with them.
        if index.ext_reset_id(name).unwrap_or(0) == ranks.reset_id && !ranks.list.is_empty() {
            let mut tx = Transaction::new();
            tx.ext(&ExtSpec::new(name, 0, RANK_BYTES, RANK_BYTES), 0);
            tx.ext_reset(name, ranks.reset_id.wrapping_add(1), true);
            ranks.list.iter().for_each(|(uid, rank)| tx.ext_record(name, *uid, &rank.to_le_bytes()));
            index.commit(&tx, Origin::Internal)?;
        }
        self.end_save(index)?;
        self.publish(&work.index);
        Ok(())
    }
}

const RANK_BYTES: u16 = 4;
