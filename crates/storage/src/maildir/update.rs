//! Changing what identifies a mailbox: its GUID, UIDVALIDITY and UIDNEXT, which are in the first line
//! of the uidlist. Everybody who has the mailbox open finds the change as if another program had
//! made it.

use crate::api::{MailboxUpdate, SyncMode};
use crate::error::{Error, Result};

use super::shared::Shared;
use super::sync::new_guid;
use super::uidlist;

impl Shared {
    pub(super) fn update(&self, update: &MailboxUpdate) -> Result<()> {
        if update.min_highest_modseq.is_some()
            || update.min_highest_private_modseq.is_some()
            || update.min_first_recent_uid.is_some()
        {
            let what = "Modseqs and recent UIDs of a Maildir can't be updated without an index";
            return Err(Error::Unsupported(what.to_owned()));
        }
        let mut work = self.work();
        let lock = self.lock_uidlist()?;
        self.sync_under(&mut work, &lock, SyncMode::Full)?;
        let path = self.control_file("dovecot-uidlist");
        let data = self.read(&path)?.unwrap_or_default();
        let corrupt = |what: String| Error::Corrupt { path: path.clone(), offset: 0, what };
        let parsed = uidlist::parse(&data).map_err(|broken| corrupt(broken.what))?;
        let mut header = parsed.header.unwrap_or_default();
        header.version = 3;
        if let Some(validity) = update.uid_validity {
            header.uid_validity = validity.get();
        } else if header.uid_validity == 0 {
            header.uid_validity = self.next_uid_validity();
        }
        header.next_uid = header.next_uid.max(1).max(update.min_next_uid.map_or(1, base::Uid::get));
        let guid = update.guid.or(header.guid).unwrap_or_else(new_guid);
        let mut whole = Vec::with_capacity(data.len() + 80);
        uidlist::write_header(&header, guid, &mut whole);
        for line in parsed.lines {
            uidlist::write_line(line.uid, line.fields, line.name, &mut whole);
        }
        self.replace_uidlist(&whole)?;
        drop(lock);
        drop(work);
        self.sync(SyncMode::Full, false).map(drop)
    }
}
