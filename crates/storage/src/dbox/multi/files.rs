//! The open `m.N` files, and the messages in them.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base::Uid;

use crate::dbox::FileError;
use crate::dbox::body::BodyReader;
use crate::dbox::file::{DboxFile, Message};
use crate::dbox::metadata::Metadata;
use crate::dbox::names;
use crate::dbox::records::MapRecord;
use crate::error::{Error, Result};
use crate::fs::is_missing;
use crate::limits::READ_BYTES;
use crate::source::Window;

use super::map;
use super::store::{Store, lock};

/// Files that were used recently. Each is what it was when it was opened: messages only come behind those
/// that are in it, until the storage is rebuilt.
#[derive(Default)]
pub(crate) struct Files(Mutex<Vec<(u32, Arc<OpenFile>)>>);

impl Files {
    /// Forgets all.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    fn known(&self, id: u32) -> Option<Arc<OpenFile>> {
        lock(&self.0).iter().find(|(known, _)| *known == id).map(|(_, file)| file.clone())
    }

    fn forget(&self, id: u32) {
        lock(&self.0).retain(|(known, _)| *known != id);
    }

    fn keep(&self, id: u32, file: &Arc<OpenFile>) {
        let mut files = lock(&self.0);
        files.retain(|(known, _)| *known != id);
        files.insert(0, (id, file.clone()));
        files.truncate(OPEN_FILES_MAX);
    }
}

/// An `m.N` file.
pub(crate) struct OpenFile {
    pub path: PathBuf,
    file: Arc<File>,
    dbox: DboxFile<Arc<File>>,
}

/// How much of a message is going to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// What stands before and behind its body.
    Metadata,
    /// All of it.
    Body,
}

/// A message of the map and the file that it is in.
pub(crate) struct Found {
    pub file: Arc<OpenFile>,
    pub message: Message,
    source: Arc<Window<Arc<File>>>,
    dbox: DboxFile<Arc<Window<Arc<File>>>>,
}

impl Found {
    fn read(file: Arc<OpenFile>, place: MapRecord, needs: Needs) -> std::result::Result<Self, FileError> {
        let size = usize::try_from(place.size).unwrap_or(READ_BYTES);
        let count = match needs {
            Needs::Body => size.min(READ_BYTES),
            Needs::Metadata if size <= SMALL_BYTES => size,
            Needs::Metadata => 0,
        };
        let source = Arc::new(Window::read(file.file.clone(), place.offset.into(), count)?);
        let dbox = file.dbox.through(source.clone());
        let message = dbox.message(place.offset.into())?;
        Ok(Self { file, message, source, dbox })
    }

    /// What stands behind the body.
    ///
    /// # Errors
    /// Those of [`DboxFile::metadata`].
    pub(crate) fn metadata(&self) -> std::result::Result<Metadata, FileError> {
        self.dbox.metadata(&self.message)
    }

    /// The body as it lies there.
    pub(crate) fn body(&self) -> BodyReader {
        BodyReader::new(self.source.clone(), self.message.body, self.message.size)
    }
}

impl Store {
    /// Reads a message of the map. `None` if it is not there.
    pub(crate) fn locate(&self, uid: Uid, needs: Needs) -> Result<Option<Found>> {
        let mut entry = self.entry(uid)?;
        for _ in 0..RETRIES {
            let Some(place) = entry.map(|entry| entry.place) else { return Ok(None) };
            if let Some(found) = self.read(place, needs)? {
                return Ok(Some(found));
            }
            // Purged to another file meanwhile, or lost.
            let now = self.entry_now(uid)?;
            if now.map(|entry| entry.place) == Some(place) {
                return Ok(None);
            }
            entry = now;
        }
        Ok(None)
    }

    /// What stands around a message's body, as far as that is known without waiting for the map.
    pub(crate) fn metadata_known(&self, uid: Uid) -> Option<Metadata> {
        let seen = lock(&self.view).clone();
        let place = map::entry(&seen, uid)?.place;
        self.read(place, Needs::Metadata).ok()??.metadata().ok()
    }

    /// Reads the message at a place; `None` if its file is not there.
    fn read(&self, place: MapRecord, needs: Needs) -> Result<Option<Found>> {
        if let Some(file) = self.files.known(place.file_id) {
            if let Ok(found) = Found::read(file, place, needs) {
                return Ok(Some(found));
            }
            // Somebody has put another file in its place.
            self.files.forget(place.file_id);
        }
        let Some(file) = self.open(place.file_id)? else { return Ok(None) };
        let found = Found::read(file.clone(), place, needs);
        found.map(Some).map_err(|error| self.damaged(&file.path, error))
    }

    fn open(&self, id: u32) -> Result<Option<Arc<OpenFile>>> {
        for path in self.paths(id) {
            let file = match self.fs.open(&path) {
                Ok(file) => Arc::new(file),
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(Error::io("open", path, error)),
            };
            let dbox = DboxFile::open(file.clone()).map_err(|error| self.damaged(&path, error))?;
            let file = Arc::new(OpenFile { path, file, dbox });
            self.files.keep(id, &file);
            return Ok(Some(file));
        }
        Ok(None)
    }

    /// Where an `m.N` file can be, the primary place first.
    pub(crate) fn paths(&self, id: u32) -> impl Iterator<Item = PathBuf> + '_ {
        let name = names::multi(id);
        [Some(&self.dir), self.alt_dir.as_ref()].into_iter().flatten().map(move |dir| dir.join(&name))
    }
}

/// A message that is moved to another file again and again while it is looked for is given up.
const RETRIES: usize = 5;
/// `m.N` files that are kept open, for the messages of a mailbox are mostly in few of them.
const OPEN_FILES_MAX: usize = 3;
/// Up to here reading a message costs less than reading its two ends.
const SMALL_BYTES: usize = 16 * 1024;
