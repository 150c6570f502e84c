//! The rows of one answer, within what an answer may take.

use std::time::{Duration, Instant};

use super::Rows;
use crate::limits::{SQL_ANSWER_BYTES_MAX, SQL_ROWS_PASSED_MAX};
use crate::stream::Stream;

/// Kept rows that have the time of one answer each time they are there. Lists of users have many; a lookup
/// has no more than one answer's time altogether.
const ROWS_PER_DEADLINE: usize = 1000;

/// What came so far of what a query gave.
pub(super) struct Answer {
    pub(super) rows: Rows,
    rows_max: usize,
    passed: usize,
    bytes: usize,
    patience: Duration,
}

impl Answer {
    /// Something is about to be asked that has to be answered within `patience`.
    pub(super) fn new(rows_max: usize, patience: Duration, stream: &mut dyn Stream) -> Self {
        stream.set_deadline(Instant::now() + patience);
        Self { rows: Rows::default(), rows_max, passed: 0, bytes: 0, patience }
    }

    /// Whether there are as many rows as were asked for.
    pub(super) fn is_full(&self) -> bool {
        self.rows.rows.len() >= self.rows_max
    }

    /// One more column.
    ///
    /// # Errors
    /// It is too much.
    pub(super) fn column(&mut self, name: String) -> Result<(), String> {
        self.count(size_of::<String>() + name.len())?;
        self.rows.columns.push(name);
        Ok(())
    }

    /// One more row.
    ///
    /// # Errors
    /// It is too much.
    pub(super) fn keep(&mut self, row: Vec<Option<String>>, stream: &mut dyn Stream) -> Result<(), String> {
        let text: usize = row.iter().flatten().map(String::len).sum();
        self.count(size_of::<Vec<Option<String>>>() + row.len() * size_of::<Option<String>>() + text)?;
        self.rows.rows.push(row);
        if self.rows.rows.len().is_multiple_of(ROWS_PER_DEADLINE) {
            stream.set_deadline(Instant::now() + self.patience);
        }
        Ok(())
    }

    /// A row that nobody asked for. False if there were so many that the connection is better given up.
    pub(super) fn pass(&mut self) -> bool {
        self.passed += 1;
        self.passed <= SQL_ROWS_PASSED_MAX
    }

    fn count(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes > SQL_ANSWER_BYTES_MAX {
            true => Err("The server sent an answer that is too long".into()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Said;

    #[test]
    fn no_answer_takes_all_memory() {
        let mut stream = Said::new(b"");
        let mut answer = Answer::new(usize::MAX, Duration::from_secs(1), &mut stream);
        let row = || vec![Some("x".repeat(1 << 20)), None];
        let kept = (0..1000).take_while(|_| answer.keep(row(), &mut stream).is_ok()).count();
        assert!((200..256).contains(&kept), "{kept}");
        // Rows and columns take something even if nothing is in them.
        let mut answer = Answer::new(usize::MAX, Duration::from_secs(1), &mut stream);
        let kept = (0..1000).take_while(|_| answer.keep(vec![None; 1 << 20], &mut stream).is_ok()).count();
        assert!(kept < 11, "{kept}");
        let mut answer = Answer::new(1, Duration::from_secs(1), &mut stream);
        assert!((0..1000).any(|_| answer.column("x".repeat(1 << 20)).is_err()));
    }

    #[test]
    fn rows_that_nobody_wants_are_read_for_a_while() {
        let mut stream = Said::new(b"");
        let mut answer = Answer::new(1, Duration::from_secs(1), &mut stream);
        assert!(!answer.is_full());
        answer.keep(Vec::new(), &mut stream).unwrap();
        assert!(answer.is_full());
        assert_eq!((0..usize::MAX).take_while(|_| answer.pass()).count(), SQL_ROWS_PASSED_MAX);
    }
}
