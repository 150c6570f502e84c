//! Finding and reading one message. The file is locked only while its bytes are copied: a client may
//! take its time.

use std::path::PathBuf;

use base::Uid;
use sys::lock::LockKind;

use crate::api::{MessageReader, SyncMode};
use crate::error::{Error, Result};
use crate::indexed::Shared;
use crate::limits::READ_BYTES;
use crate::source::ReadAt;

use super::driver::Mbox;
use super::header;
use super::lock::LockedMbox;
use super::scan::Start;
use super::spool::Spool;

impl Mbox {
    /// A message and the locked file that it is in.
    pub(super) fn locate(&self, shared: &Shared<Self>, uid: Uid) -> Result<(Start, LockedMbox)> {
        for attempt in 0..ATTEMPTS {
            let locked = self.lock(LockKind::Shared)?;
            let seen = *self.seen();
            if (seen.size, seen.mtime) != self.stamp(locked.file())? && attempt + 1 < ATTEMPTS {
                drop(locked);
                shared.sync(SyncMode::Quick, false)?;
                continue;
            }
            let view = shared.view();
            if view.record(uid).is_none() {
                return Err(Error::Expunged(uid));
            }
            if let Some(offset) = Self::offset(&view, uid)
                && let Ok(Some(start)) = self.scan(locked.file()).start(offset)
                && self.is_message(&view, uid, &start)
            {
                return Ok((start, locked));
            }
            drop(locked);
            // Somebody changed what lies before it, and only the end of the file was looked at.
            shared.sync(SyncMode::Rebuild, false)?;
        }
        let what = format!("Message UID {uid} isn't where it was");
        Err(Error::Corrupt { path: self.path.clone(), offset: 0, what })
    }

    /// A message as clients see it: without our header fields.
    pub(super) fn read_message(&self, shared: &Shared<Self>, uid: Uid) -> Result<Box<dyn MessageReader>> {
        let (start, locked) = self.locate(shared, uid)?;
        let file = &**locked.file();
        let end = self.scan(file).end(&start).map_err(|error| self.failed(error))?;
        let failed = |error| Error::io("read", PathBuf::from(&self.path), error);
        let mut spool = Spool::new();
        spool.write(&header::visible(&start.header_bytes)).map_err(failed)?;
        let (mut at, mut buffer) = (start.body, vec![0; READ_BYTES]);
        while at < end.body {
            let wanted = usize::try_from(end.body - at).unwrap_or(READ_BYTES).min(READ_BYTES);
            let room = buffer.get_mut(..wanted).unwrap_or_default();
            let count = ReadAt::read_at(file, room, at).map_err(failed)?;
            if count == 0 {
                break;
            }
            spool.write(room.get(..count).unwrap_or_default()).map_err(failed)?;
            at += count as u64;
        }
        drop(locked);
        spool.into_reader().map_err(failed)
    }
}

const ATTEMPTS: usize = 4;
