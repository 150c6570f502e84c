//! The numbers for sorting that the index keeps: extensions with 32 bits for each message.

use base::Uid;
use index::{ExtSpec, Origin, Transaction};

use crate::api::SortRanks;
use crate::error::Result;
use crate::facts::NumberFact;
use crate::view::View;

use super::{Driver, Shared, cached, lasting_size};

impl<D: Driver> Shared<D> {
    /// See [`Mailbox::numbers_at_hand`](crate::Mailbox::numbers_at_hand).
    pub(crate) fn numbers_at_hand(&self, view: &View, fact: NumberFact, uids: &[Uid]) -> Vec<Option<i64>> {
        let reset_id = view.columns().named(cached::EXT).map_or(0, |column| column.reset_id);
        let mut numbers = self.memo.kept(view.uid_validity()).numbers(fact, reset_id, uids);
        let is_news: Vec<bool> = numbers.iter().map(Option::is_none).collect();
        // The cache is told in any case: its decisions live of what is asked.
        self.cached.numbers(view, fact, uids, &mut numbers);
        if fact == NumberFact::Size {
            let size =
                |uid| lasting_size::in_index(view, uid).or_else(|| self.driver.size_virtual(view, uid));
            for (&uid, number) in uids.iter().zip(&mut numbers).filter(|(_, number)| number.is_none()) {
                *number = size(uid).and_then(|size| i64::try_from(size).ok());
            }
        }
        let mut kept = self.memo.kept(view.uid_validity());
        for ((&uid, number), _) in uids.iter().zip(&numbers).zip(is_news).filter(|(_, is_news)| *is_news) {
            if let Some(number) = number {
                kept.keep_number(fact, reset_id, uid, *number);
            }
        }
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
