//! The numbers for sorting that the index keeps: extensions with 32 bits for each message.

use base::Uid;
use index::{ExtSpec, Origin, Transaction};

use crate::api::SortRanks;
use crate::error::Result;
use crate::facts::NumberFact;
use crate::view::View;

use super::{Driver, Shared, cached};

impl<D: Driver> Shared<D> {
    /// See [`Mailbox::numbers_at_hand`](crate::Mailbox::numbers_at_hand).
    pub(crate) fn numbers_at_hand(&self, view: &View, fact: NumberFact, uids: &[Uid]) -> Vec<Option<i64>> {
        let Some(column) = view.columns().named(cached::EXT) else { return vec![None; uids.len()] };
        let mut kept = self.memo.kept(view.uid_validity());
        let mut numbers = kept.numbers(fact, column.reset_id, uids);
        // The cache's decisions live of what is asked.
        self.cached.numbers(view, fact, uids, &mut numbers, |uid, number| {
            kept.keep_number(fact, column.reset_id, uid, number);
        });
        numbers
    }

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
