//! Changing what identifies a mailbox: its GUID, UIDVALIDITY and UIDNEXT, which are in the first line
//! of the uidlist as well as in the index.

use index::{Locked, Transaction};

use crate::api::MailboxUpdate;
use crate::error::Result;

use super::driver::Maildir;

impl Maildir {
    /// Changes the uidlist; the index follows by `tx`.
    pub(super) fn update_uidlist(
        &self,
        index: &mut Locked<'_>,
        tx: &mut Transaction,
        update: &MailboxUpdate,
    ) -> Result<()> {
        let mut names = self.names();
        names.refresh(self, true)?;
        if let Some(validity) = update.uid_validity {
            names.header.uid_validity = validity.get();
            tx.set_uid_validity(validity);
        }
        let next = update.min_next_uid.map_or(1, base::Uid::get);
        names.header.next_uid = names.header.next_uid.max(next).max(index.header().next_uid);
        names.header.guid = update.guid.or(names.header.guid);
        names.recreate = true;
        let end = names.entries.len();
        names.write(self, end, &[])
    }
}
