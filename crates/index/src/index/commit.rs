//! Writes transactions, and finishes synchronization.

use std::io;
use std::time::Duration;

use super::{Index, Locked};
use crate::error::{Error, Result};
use crate::header::LOG2_ROTATE_TIME;
use crate::log::encode::Encoder;
use crate::map::now;
use crate::settings::FsyncMode;
use crate::transaction::{Origin, Transaction};

impl Locked<'_> {
    /// Writes changes to the log and applies them.
    ///
    /// # Errors
    /// Those of the system; the changes have not happened then. Where there is no room on disk, the
    /// index goes on in memory, unless its [`Place`](crate::Place) says otherwise.
    pub fn commit(&mut self, transaction: &Transaction, origin: Origin) -> Result<()> {
        if transaction.is_empty() {
            return Ok(());
        }
        if transaction.reset {
            self.start_over()?;
        }
        if !transaction.modseqs.is_empty() {
            // Readers refuse them in an index that does not track any.
            self.enable_modseqs()?;
        }
        let mut records = self.index.encode(transaction, origin);
        self.index.write(transaction, origin, &mut records)?;
        if origin == Origin::Internal && transaction.asks() {
            let start = self.index.log.as_ref().map_or(0, |log| log.sync_offset);
            self.late.get_or_insert(start.saturating_sub(records.bytes().len() as u64));
        }
        Ok(())
    }

    /// Forces what was committed to disk, unless the settings say never.
    ///
    /// # Errors
    /// Those of the system. The changes are there for everybody; a crash may lose them.
    pub fn force(&mut self) -> Result<()> {
        let Some(log) = self.index.log.as_ref().filter(|_| self.index.settings.fsync != FsyncMode::Never)
        else {
            return Ok(());
        };
        log.sync(&self.index.fs).map_err(|error| Error::io("fdatasync", &log.path, error))
    }

    /// See [`Index::enable_modseqs`].
    pub fn enable_modseqs(&mut self) -> Result<()> {
        if self.tracks_modseqs() {
            return Ok(());
        }
        let mut header = [0; crate::map::MODSEQ_HEADER_SIZE];
        let highest = self.view().highest_modseq().0.max(1);
        header[..8].copy_from_slice(&highest.to_le_bytes());
        let mut transaction = Transaction::new();
        transaction.ext(&crate::transaction::ExtSpec::new(crate::map::MODSEQ, 16, 8, 8), 0);
        transaction.ext_header(crate::map::MODSEQ, 0, &header);
        self.commit(&transaction, Origin::Internal)
    }

    /// All that is [pending](Self::pending) has been carried out. Writes the index file anew and
    /// rotates the log where 2.3 would.
    pub fn synced(&mut self) -> Result<()> {
        self.synced_with(&Transaction::new())
    }

    /// [`commit`](Self::commit) with [`Origin::External`] and [`synced`](Self::synced) in one write.
    pub fn synced_with(&mut self, transaction: &Transaction) -> Result<()> {
        self.finish_with(transaction, false)
    }

    /// [`synced_with`](Self::synced_with) that tells in any case that the tail is at the log's end. A
    /// commit with [`Origin::Internal`] that asks for nothing leaves it behind: for readers who take that
    /// for a change of which not all was done.
    pub fn completed_with(&mut self, transaction: &Transaction) -> Result<()> {
        self.finish_with(transaction, true)
    }

    fn finish_with(&mut self, transaction: &Transaction, tells_tail: bool) -> Result<()> {
        let mut transaction = transaction.clone();
        if transaction.reset {
            self.start_over()?;
        }
        if !transaction.modseqs.is_empty() {
            self.enable_modseqs()?;
        }
        if let Some(time) = self.index.older_log() {
            transaction.set_header(LOG2_ROTATE_TIME, &time.to_le_bytes(), true);
        }
        let mut records = self.index.encode(&transaction, Origin::External);
        if let Some(log) = &self.index.log {
            let wanted = !records.bytes().is_empty() || log.has_requests || tells_tail;
            let moves = self.late.is_none_or(|late| log.tail_needs(late));
            if wanted && moves {
                records.tail(self.late, log.sync_offset);
            }
        }
        self.index.write(&transaction, Origin::External, &mut records)?;
        self.index.finish(self.late.is_none())
    }

    /// Begins with an empty index.
    fn start_over(&mut self) -> Result<()> {
        self.index.rotate_log(true)?;
        if !self.index.is_in_memory() {
            // The old one would only confuse whoever opens it.
            let _ = self.index.fs.unlink(&self.index.path);
            self.index.on_disk = Default::default();
        }
        self.late = None;
        Ok(())
    }
}

impl Index {
    fn encode(&self, transaction: &Transaction, origin: Origin) -> Encoder {
        Encoder::transaction(transaction, origin, &self.map, today())
    }

    /// Writes changes under the lock.
    pub(super) fn write_transaction(&mut self, transaction: &Transaction, origin: Origin) -> Result<()> {
        let mut records = self.encode(transaction, origin);
        self.write(transaction, origin, &mut records)
    }

    fn write(&mut self, transaction: &Transaction, origin: Origin, records: &mut Encoder) -> Result<()> {
        let bytes = records.bytes();
        if bytes.is_empty() {
            return Ok(());
        }
        let Some(mut log) = self.log.take() else {
            return Err(Error::Busy(format!("Log of index {} is lost", self.path.display())));
        };
        let written = log.write(&self.fs, bytes).map_err(|error| ("write_full", error)).and_then(|()| {
            match self.wants_fsync(transaction, origin) {
                true => log.sync(&self.fs).map_err(|error| ("fdatasync", error)),
                false => Ok(()),
            }
        });
        if let Err((op, error)) = written {
            let path = log.path.clone();
            // Half a transaction must not stay, or everybody would wait for the rest.
            let _ = log.truncate(&self.fs);
            self.log = Some(log);
            self.fail_write(op, &path, error)?;
            return self.write(transaction, origin, records);
        }
        let from = log.sync_offset;
        self.absorb(&mut log, bytes, from, false, false);
        let corrupted = log.corrupted;
        self.log = Some(log);
        match corrupted {
            true => self.replace_log(),
            false => Ok(()),
        }
    }

    /// After a failed write: goes on in memory, or gives the error.
    fn fail_write(&mut self, op: &'static str, path: &std::path::Path, error: io::Error) -> Result<()> {
        if self.is_in_memory() {
            return Err(Error::io(op, path, error));
        }
        self.move_to_memory(op, path, error)
    }

    fn wants_fsync(&self, transaction: &Transaction, origin: Origin) -> bool {
        let expunges = origin == Origin::External && !transaction.expunges.is_empty();
        let changes = self.place.fsync_changes && (!transaction.appends.is_empty() || expunges);
        match self.settings.fsync {
            FsyncMode::Always => true,
            FsyncMode::Optimized => transaction.fsync || changes,
            FsyncMode::Never => false,
        }
    }

    /// The end of a synchronization; `fully` if nothing is pending any more.
    fn finish(&mut self, fully: bool) -> Result<()> {
        if let Some(log) = self.log.as_mut().filter(|log| log.is_in_memory()) {
            log.forget();
            return Ok(());
        }
        let rotate = if fully { self.wants_rotation() } else { None };
        if rotate.is_none() && self.wants_rewrite().is_none() {
            return Ok(());
        }
        self.look_at_disk();
        if let Some(reason) = rotate {
            self.rotate_log(false)?;
            return self.write_index(&reason);
        }
        match self.wants_rewrite() {
            Some(reason) => self.write_index(&reason),
            None => Ok(()),
        }
    }

    /// Once in a session: removes the older log when nobody can need it any more. Gives what the header
    /// is to say of it, if that is news.
    fn older_log(&mut self) -> Option<u32> {
        const NONE: u32 = u32::MAX;
        if std::mem::replace(&mut self.log2_checked, true) || self.is_in_memory() {
            return None;
        }
        let told = self.map.header.log2_rotate_time;
        let path = self.beside(".log.2");
        let mut time = told;
        if time == 0 {
            let stamp = self.fs.stamp(&path).ok()?;
            time = stamp.map_or(NONE, |stamp| (stamp.mtime_ns / 1_000_000_000) as u32);
        }
        let age = Duration::from_secs(now().saturating_sub(time).into());
        if time != NONE && age >= self.settings.log2_max_age {
            let _ = self.fs.unlink(&path);
            time = NONE;
        }
        (time != told).then_some(time)
    }
}

/// The beginning of the local day, in seconds since 1970.
fn today() -> u32 {
    let start = jiff::Zoned::now().start_of_day();
    start.ok().and_then(|start| u32::try_from(start.timestamp().as_second()).ok()).unwrap_or(0)
}
