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
