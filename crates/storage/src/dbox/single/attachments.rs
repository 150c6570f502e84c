//! The attachments of sdbox messages that are stored apart: their names end with the mailbox's GUID and
//! the message's UID, and must follow where the GUID changes.

use std::path::Path;

use base::{Guid, Uid};
use index::Index;

use crate::attachment::ExtRef;
use crate::error::Result;
use crate::fs::{Fs, is_missing};

use super::Sdbox;
use crate::dbox::FileError;
use crate::dbox::apart;
use crate::dbox::file::DboxFile;
use crate::dbox::mailbox;
use crate::dbox::records::SDBOX_HEADER;

/// Attachments on the way from one GUID to another.
#[derive(Default)]
pub(crate) struct Renamed {
    /// The new one.
    to: Guid,
    /// What the files are called for the old one and for the new one.
    names: Vec<[String; 2]>,
}

impl Sdbox {
    /// The files of a message's attachments, as far as they can be found out.
    pub(super) fn attachments(&self, index: &Index, uid: Uid) -> Vec<String> {
        let header = mailbox::read_header(index, SDBOX_HEADER).filter(|_| self.place.attachments.is_some());
        let Some(header) = header else { return Vec::new() };
        let suffix = attachment_suffix(header.guid, uid);
        self.refs(uid).iter().map(|one| format!("{}{suffix}", one.path)).collect()
    }

    /// The references of a message, as far as they can be found out.
    fn refs(&self, uid: Uid) -> Vec<ExtRef> {
        for path in self.paths(uid) {
            match attachments_in(&self.context().fs, &path) {
                Ok(refs) => return refs,
                Err(FileError::Io(error)) if is_missing(&error) => {}
                Err(error) => {
                    let path = path.display();
                    let logger = &self.context().logger;
                    logger.warning(format_args!("{path}: Attachments are not removed: {error}"));
                }
            }
        }
        Vec::new()
    }

    /// Has attachments go by the mailbox's GUID. Other names that they have stay: whose those are cannot
    /// be told.
    pub(super) fn adopt(&self, refs: &[ExtRef], guid: Guid, uid: Uid) -> Result<()> {
        let Some(store) = &self.place.attachments else { return Ok(()) };
        let suffix = attachment_suffix(guid, uid);
        refs.iter().try_for_each(|one| store.adopt(&one.path, &suffix))
    }

    /// Gives all attachments the names that they need with another GUID. The old ones stay until the index
    /// has the GUID.
    pub(super) fn add_names(&self, index: &Index, to: Guid, renamed: &mut Renamed) -> Result<()> {
        let old = mailbox::read_header(index, SDBOX_HEADER).map(|header| header.guid);
        let Some(old) = old.filter(|old| *old != to && self.place.attachments.is_some()) else {
            return Ok(());
        };
        *renamed = Renamed { to, names: Vec::new() };
        for uid in index.view().uids().iter() {
            let refs = self.refs(uid);
            let name = |one: &ExtRef, guid| format!("{}{}", one.path, attachment_suffix(guid, uid));
            renamed.names.extend(refs.iter().map(|one| [name(one, old), name(one, to)]));
            self.adopt(&refs, to, uid)?;
        }
        match &self.place.attachments {
            Some(store) => store.sync_names(renamed.names.iter().map(|[_, new]| new.as_str())),
            None => Ok(()),
        }
    }

    /// Removes the names that are of no use, now that the index has the new GUID or has not.
    pub(super) fn drop_names(&self, index: &Index, renamed: Renamed) {
        let now = mailbox::read_header(index, SDBOX_HEADER).map(|header| header.guid);
        if let Some(store) = self.place.attachments.as_ref().filter(|_| now.is_some()) {
            let of_no_use = |[old, new]: [String; 2]| if now == Some(renamed.to) { old } else { new };
            let names: Vec<String> = renamed.names.into_iter().map(of_no_use).collect();
            apart::delete(store, names.iter().map(String::as_str));
        }
    }
}

/// What is added to the names of the attachments of a message in the mailbox with this GUID.
pub(super) fn attachment_suffix(guid: Guid, uid: Uid) -> String {
    format!("-{guid}-{uid}")
}

/// The references of the message in a file.
pub(super) fn attachments_in(fs: &Fs, path: &Path) -> Result<Vec<ExtRef>, FileError> {
    let dbox = DboxFile::open(fs.open(path).map_err(FileError::Io)?)?;
    let metadata = dbox.metadata(&dbox.message(0)?)?;
    apart::refs(&metadata, path).map_err(|_| FileError::damaged(metadata.end, "Broken ext-refs string"))
}
