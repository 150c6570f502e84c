//! `$HasAttachment` and `$HasNoAttachment` on messages that are read and have neither
//! (`mail_attachment_detection_options = add-flags`). What was found waits for the next look at the
//! mailbox, so that no FETCH waits for a flag to be written.

use std::sync::{Mutex, MutexGuard};

use base::{Uid, UidSet};
use message::{Options, Parts};

use crate::api::{FlagChange, FlagMode};
use crate::attachment::detect::{Detection, HAS_ATTACHMENT, HAS_NO_ATTACHMENT};
use crate::error::{Error, Result};
use crate::view::{Flags, View};

use super::{Driver, Shared};

/// Messages whose keywords are not written yet.
#[derive(Default)]
pub(crate) struct Detected(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    with: UidSet,
    without: UidSet,
}

impl Detected {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<D: Driver> Shared<D> {
    /// Whether reading this message should tell whether it has attachments.
    fn detects(&self, view: &View, uid: Uid) -> bool {
        if !self.driver.context().settings.attachment_detection.on_fetch {
            return false;
        }
        let is_open =
            |record: &crate::view::Record| !Detection::is_settled(view.keyword_names(&record.keywords));
        let waiting = self.detected.lock();
        view.record(uid).is_some_and(is_open) && !waiting.with.contains(uid) && !waiting.without.contains(uid)
    }

    /// Notes what the parts of a message that was read say.
    pub(super) fn note_parts(&self, view: &View, uid: Uid, parts: &Parts) {
        if self.detects(view, uid) {
            let found = self.driver.context().settings.attachment_detection.keyword(parts);
            let mut waiting = self.detected.lock();
            if found == HAS_ATTACHMENT { waiting.with.insert(uid) } else { waiting.without.insert(uid) }
        }
    }

    /// Called where a message is going to be read: it is looked at first, once in its life.
    pub(super) fn detect(&self, view: &View, uid: Uid) -> Result<()> {
        if !self.detects(view, uid) {
            return Ok(());
        }
        let opened = self.driver.open(self, view, uid)?;
        let parts = message::parse_reader(opened.reader, Options::default(), ());
        let parts = parts.map_err(|error| Error::io("read", opened.path.clone(), error))?;
        self.note_parts(view, uid, &parts);
        Ok(())
    }

    /// Writes the keywords that wait. A failure costs a look at the messages another time.
    pub(crate) fn flush_detected(&self) {
        let Waiting { with, without } = std::mem::take(&mut *self.detected.lock());
        for (uids, found, other) in
            [(with, HAS_ATTACHMENT, HAS_NO_ATTACHMENT), (without, HAS_NO_ATTACHMENT, HAS_ATTACHMENT)]
        {
            if uids.is_empty() {
                continue;
            }
            let change =
                |mode, name: &str| FlagChange { mode, flags: Flags::NONE, keywords: vec![name.to_owned()] };
            let removed = self.store_flags(&uids, &change(FlagMode::Remove, other));
            let added = removed.and_then(|_| self.store_flags(&uids, &change(FlagMode::Add, found)));
            if let Err(error) = added {
                let why = base::chain(&error);
                let logger = &self.driver.context().logger;
                logger.error(format_args!("Failed to add attachment keywords: {why}"));
            }
        }
    }
}
