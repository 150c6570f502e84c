//! Attachments that lie apart from a dbox message: the line `X` of its metadata says where.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::api::MessageReader;
use crate::attachment::{ExtRef, Store, connect};
use crate::compress::{self, Compression};
use crate::error::{Error, Result};

use super::body::BodyReader;
use super::metadata::{Metadata, key};

/// What it takes to read the messages of a mailbox.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub compression: &'a Compression,
    /// `None`: `mail_attachment_dir` is not set.
    pub attachments: Option<&'a Arc<Store>>,
}

impl Reading<'_> {
    /// The plain and whole bytes of a message. `suffix` is what the driver adds to the names of
    /// attachments; it is asked for only where there are some.
    ///
    /// # Errors
    /// Damage in the references, and, in 2.3's words, attachments where there is no directory for them.
    pub(crate) fn reader(
        &self,
        raw: BodyReader,
        path: &Path,
        metadata: &Metadata,
        suffix: impl FnOnce() -> Result<String>,
    ) -> Result<Box<dyn MessageReader>> {
        let refs = refs(metadata, path)?;
        let size = metadata.physical_size();
        let apart: u64 = refs.iter().fold(0, |sum, one| sum.saturating_add(one.size));
        // A sum beyond the size is found to be damage below.
        let rest = size.map(|size| size.saturating_sub(apart));
        let rest = compress::reader(Box::new(raw), path, rest, self.compression);
        let rest = rest.map_err(|error| Error::io("read", path, error))?;
        if refs.is_empty() {
            return Ok(rest);
        }
        let Some(store) = self.attachments else {
            let what = "contains references to external attachments, but mail_attachment_dir is unset";
            let what = format!("{} {what}", path.display());
            return Err(Error::io("open", path, io::Error::other(what)));
        };
        connect(rest, refs, store.clone(), &suffix()?, size).map_err(|error| match error {
            Error::Corrupt { what, .. } => broken(metadata, path, &what),
            other => other,
        })
    }
}

/// The references of a message, in order.
///
/// # Errors
/// A line that cannot be understood.
pub(crate) fn refs(metadata: &Metadata, path: &Path) -> Result<Vec<ExtRef>> {
    let Some(line) = metadata.get(key::EXT_REF) else { return Ok(Vec::new()) };
    let refs = std::str::from_utf8(line).ok().and_then(ExtRef::parse_all);
    refs.ok_or_else(|| broken(metadata, path, "Broken ext-refs string"))
}

fn broken(metadata: &Metadata, path: &Path, why: &str) -> Error {
    let line = String::from_utf8_lossy(metadata.get(key::EXT_REF).unwrap_or_default());
    let what = format!("Corrupted ext-refs metadata {line}: {why}");
    Error::Corrupt { path: path.to_owned(), offset: metadata.end, what }
}

/// An attachment of a message that is being saved to sdbox: its final name has the UID.
pub(crate) struct Unsettled {
    /// Its name until then.
    pub now: String,
    /// Its name in the metadata.
    pub name: String,
}

/// Gives attachments their final names: all of them, or, with an error, none.
///
/// # Errors
/// The system's.
pub(crate) fn settle(store: &Store, all: &[Unsettled], suffix: &str) -> Result<()> {
    for (at, one) in all.iter().enumerate() {
        if let Err(error) = store.rename(&one.now, &format!("{}{suffix}", one.name)) {
            unsettle(store, all.get(..at).unwrap_or_default(), suffix);
            return Err(error);
        }
    }
    Ok(())
}

/// Takes that back.
pub(crate) fn unsettle(store: &Store, all: &[Unsettled], suffix: &str) {
    for one in all {
        if let Err(error) = store.rename(&format!("{}{suffix}", one.name), &one.now) {
            store.log(&error);
        }
    }
}

/// Removes attachments. What fails costs space only, and is logged.
pub(crate) fn delete<'a>(store: &Store, names: impl IntoIterator<Item = &'a str>) {
    for name in names {
        if let Err(error) = store.delete(name) {
            store.log(&error);
        }
    }
}
