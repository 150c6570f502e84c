//! Reads what others wrote to the log.

use super::Index;
use crate::error::{Error, Result};
use crate::log::file::{LogFile, Stop};
use crate::map::apply::Applier;

impl Index {
    /// Reads what others did. Says whether view, header or an extension changed. Costs one stat(2)
    /// where nothing happened.
    ///
    /// # Errors
    /// Those of the system. What is damaged is mended or left out, and logged.
    pub fn refresh(&mut self) -> Result<bool> {
        if self.is_in_memory() || self.held.is_some() {
            return Ok(false);
        }
        let before = self.changes;
        let path = self.beside(".log");
        self.fs.renew_index_name(&path);
        let stamp = self.fs.stamp(&path).map_err(|error| Error::io("stat", &path, error))?;
        match (self.log.take(), stamp) {
            (None, None) => {}
            (None, Some(_)) => self.reload()?,
            (Some(log), None) => {
                // The mailbox was deleted or renamed. Whoever has it open may finish with it.
                self.deleted = true;
                self.read_rest(log)?;
            }
            (Some(log), Some(stamp)) if log.is_same_file(&stamp) => {
                if log.may_have_more(stamp.size) {
                    self.read_rest(log)?;
                } else {
                    self.log = Some(log);
                }
            }
            (Some(log), Some(_)) => {
                self.read_rest(log)?;
                self.follow()?;
            }
        }
        Ok(self.changes != before)
    }

    /// The log was replaced: goes on with the new one.
    pub(super) fn follow(&mut self) -> Result<()> {
        let old = self.log.as_ref().map(|log| (log.header.file_seq, log.sync_offset));
        let Some(new) = self.open_log("")? else {
            // Damaged already, or just gone again.
            if let Some(log) = &mut self.log {
                log.corrupted = true;
            }
            return Ok(());
        };
        let follows = old == Some((new.header.prev_file_seq, new.header.prev_file_offset.into()));
        if follows && new.header.index_id == self.map.header.index_id && self.attach(new, true, false)? {
            return Ok(());
        }
        self.reload()
    }

    /// Reads a log on from where it was read, and keeps it.
    pub(super) fn read_rest(&mut self, mut log: Box<LogFile>) -> Result<()> {
        if log.corrupted {
            self.log = Some(log);
            return Ok(());
        }
        if let Some(file) = log.file().filter(|_| self.held.is_none()) {
            self.fs.renew_index_bytes(file);
        }
        let from = log.sync_offset;
        let read = log.read(&self.fs, from);
        match read {
            Ok(bytes) => {
                if bytes.is_empty() && log.size_seen() < from {
                    let what = format!("file size shrank ({} < {from})", log.size_seen());
                    self.tell_corrupted_log(&mut log, &what);
                } else {
                    self.absorb(&mut log, &bytes, from, false, false);
                }
                self.log = Some(log);
                Ok(())
            }
            // Somebody on another host replaced it, and the server forgot it (NFS).
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::StaleNetworkFileHandle => {
                self.reload()
            }
            Err(error) => {
                self.log = Some(log);
                Err(error)
            }
        }
    }

    /// Reads a log from where modification sequences are known, applies it from `begin`, and keeps it.
    pub(super) fn read_log(
        &mut self,
        mut log: Box<LogFile>,
        begin: u64,
        reset: bool,
        quiet: bool,
    ) -> Result<()> {
        self.prepare(&mut log, begin);
        if self.map.header.log_file_seq == log.header.file_seq
            && self.map.header.log_file_tail_offset != 0
            && !reset
        {
            let first = u64::from(log.header.hdr_size);
            log.set_tail(u64::from(self.map.header.log_file_tail_offset).max(first));
        }
        let from = log.sync_offset;
        let bytes = log.read(&self.fs, from)?;
        self.absorb(&mut log, &bytes, begin, reset, quiet);
        if log.sync_offset < begin && !log.corrupted {
            let what = format!("log file shrank ({} < {begin})", log.sync_offset);
            self.tell_corrupted_log(&mut log, &what);
        }
        self.log = Some(log);
        Ok(())
    }

    /// Applies the older log up to where the newer one begins.
    pub(super) fn read_older(
        &mut self,
        mut log: Box<LogFile>,
        begin: u64,
        limit: u64,
        reset: bool,
    ) -> Result<()> {
        self.prepare(&mut log, begin);
        let from = log.sync_offset;
        let mut bytes = log.read(&self.fs, from)?;
        bytes.truncate(usize::try_from(limit.saturating_sub(from)).unwrap_or(0));
        self.absorb(&mut log, &bytes, begin, reset, false);
        Ok(())
    }

    /// Goes to the last position before `begin` at which the highest modification sequence is known.
    fn prepare(&self, log: &mut LogFile, begin: u64) {
        let known = self.map.modseq_header().filter(|known| {
            known.log_seq == log.header.file_seq
                && u64::from(known.log_offset) <= begin
                && u64::from(known.log_offset) >= u64::from(log.header.hdr_size)
        });
        if let Some(known) = known {
            log.seek(known.log_offset.into(), known.highest.max(log.header.initial_modseq));
        }
    }

    /// Applies the records in `bytes` that are at `begin` or behind.
    pub(super) fn absorb(
        &mut self,
        log: &mut LogFile,
        bytes: &[u8],
        begin: u64,
        reset: bool,
        quiet: bool,
    ) -> Stop {
        let seq = log.header.file_seq;
        let here = (self.map.header.log_file_seq, u64::from(self.map.header.log_file_head_offset));
        let known = self.map.view.highest_modseq().0 == self.map.highest_modseq(log.modseq).max(1);
        if bytes.is_empty() && !reset && !quiet && known && here == (seq, log.sync_offset) {
            self.map.header.log_file_tail_offset = log.tail.min(log.sync_offset) as u32;
            return Stop::End;
        }
        let tail_before = match self.map.header.log_file_seq == seq {
            true => u64::from(self.map.header.log_file_tail_offset),
            false => 0,
        };
        let keywords_before = self.map.keywords.len();
        let mut applier = Applier::new(&mut self.map, &mut self.names, self.place.no_dirty);
        if reset {
            applier.reset();
        }
        let stop = log.scan(bytes, |record, modseq| {
            if record.offset >= begin {
                record.check()?;
                applier.apply(record, modseq);
            }
            Ok(())
        });
        let has_changed = applier.has_changed() || reset;
        let (errors, delete_requested) = applier.finish(seq, log.sync_offset.max(begin), log.modseq);
        debug_assert!(reset || self.map.keywords.len() >= keywords_before);
        self.map.header.log_file_tail_offset = log.tail.min(log.sync_offset) as u32;
        self.read_much |= log.sync_offset.saturating_sub(tail_before) > self.settings.rewrite_min_log_bytes;
        self.changes += u64::from(has_changed);
        if let Some(requested) = delete_requested {
            self.delete_requested = requested;
        }
        if let Some(deleted) = log.deleted.take() {
            (self.deleted, self.delete_requested) = (deleted, false);
        }
        if let Stop::Corrupt(reason) = &stop {
            self.tell_corrupted_log(log, reason);
        }
        self.check(seq, &errors, quiet);
        stop
    }

    /// Mends the index after records that could not be applied.
    fn check(&mut self, seq: u32, errors: &[(u64, String)], quiet: bool) {
        let path = self.path.display().to_string();
        for (offset, reason) in errors.iter().filter(|_| !quiet) {
            self.logger.error(format_args!(
                "Log synchronization error at seq={seq},offset={offset} for {path}: {reason}"
            ));
        }
        self.use_rescued();
        let last_uid = self.map.view.last_uid().map_or(0, |uid| uid.get());
        let problem = self.map.problem(last_uid);
        if let Some(problem) = &problem {
            self.logger.error(format_args!("Synchronization corrupted index header {path}: {problem}"));
        }
        if errors.is_empty() && problem.is_none() && !quiet {
            return;
        }
        let fixes = self.map.mend();
        let edit = self.map.view.edit();
        let highest = self.map.view.highest_modseq().0;
        self.map.publish(edit, highest);
        self.tell_fsck(&fixes);
        self.changes += 1;
    }
}
