//! Adding a message to a dbox file: its header is left open, the body follows as it comes, the metadata
//! is written and the header filled in when all is known.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::api::SaveMeta;
use crate::attachment::{self, ExtRef, Extractor};
use crate::compress::{Compression, SaveFilter};
use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::limits::READ_BYTES;
use crate::stored::LineEnds;

use super::apart;
use super::header::{self, MESSAGE_HEADER_BYTES};
use super::metadata::NewMetadata;
use super::names;

/// A message being written.
pub(crate) struct MessageWriter {
    fs: Fs,
    file: Arc<File>,
    path: PathBuf,
    /// Of the message's header.
    offset: u64,
    /// Where the next bytes go.
    at: u64,
    ends: LineEnds,
    /// With the store that it fills.
    extractor: Option<(Extractor, Arc<attachment::Store>)>,
    filter: SaveFilter,
    /// Not looked at yet.
    buffer: Vec<u8>,
    /// What goes to `at`: at first room for the header, so that a small message is written in one go.
    held: Vec<u8>,
}

/// A message that was written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Behind its metadata.
    pub end: u64,
    /// Its GUID as it stands there.
    pub guid: String,
    /// Its attachments, which are the caller's to remove if the message does not stay.
    pub refs: Vec<ExtRef>,
}

impl MessageWriter {
    /// Begins a message at `offset`, which is the end of the file. With a store, its attachments go
    /// there.
    pub(crate) fn begin(
        fs: &Fs,
        file: Arc<File>,
        path: PathBuf,
        offset: u64,
        compression: &Compression,
        attachments: Option<&Arc<attachment::Store>>,
    ) -> Result<Self> {
        let filter = SaveFilter::new(compression, &path)?;
        let extractor = attachments.map(|store| (Extractor::new(store.clone()), store.clone()));
        Ok(Self {
            fs: fs.clone(),
            file,
            path,
            offset,
            at: offset,
            ends: LineEnds::new(false),
            extractor,
            filter,
            buffer: Vec::new(),
            // Until the header is filled in, zeros are there: whoever reads it sees that nothing is.
            held: vec![0; MESSAGE_HEADER_BYTES],
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(READ_BYTES) {
            self.ends.push(piece, &mut self.buffer);
            if self.buffer.len() >= READ_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        if let Some((extractor, _)) = &mut self.extractor {
            let whole = std::mem::take(&mut buffer);
            extractor.push(&whole, &mut buffer)?;
        }
        self.store(&buffer)
    }

    /// Takes what stays here.
    fn store(&mut self, buffer: &[u8]) -> Result<()> {
        self.held.extend_from_slice(self.filter.push(buffer)?);
        if self.held.len() >= READ_BYTES {
            self.put_held()?;
        }
        Ok(())
    }

    fn put_held(&mut self) -> Result<()> {
        self.put(&self.held, self.at)?;
        self.at += self.held.len() as u64;
        self.held.clear();
        Ok(())
    }

    fn put(&self, bytes: &[u8], at: u64) -> Result<()> {
        let put = self.fs.write_at(&self.file, &self.path, bytes, at);
        put.map_err(|error| Error::io("write", self.path.clone(), error))
    }

    /// Ends the message. `mailbox` is its name as the layout has it, for mdbox.
    pub(crate) fn finish(mut self, meta: &SaveMeta, mailbox: Option<&str>) -> Result<Written> {
        self.ends.finish(&mut self.buffer);
        self.flush()?;
        let Some((extractor, store)) = self.extractor.take() else {
            return self.end(meta, mailbox, Vec::new());
        };
        let mut last = Vec::new();
        let refs = extractor.finish(&mut last)?;
        let names: Vec<String> = refs.iter().map(|one| one.path.clone()).collect();
        // mdbox's have their names for good: they are on disk before there is a message that needs them.
        let synced = match mailbox {
            Some(_) => store.sync_names(names.iter().map(String::as_str)),
            None => Ok(()),
        };
        let written = synced.and_then(|()| self.store(&last)).and_then(|()| self.end(meta, mailbox, refs));
        written.inspect_err(|_| apart::delete(&store, names.iter().map(String::as_str)))
    }

    /// Writes what stands behind the body, and the header.
    fn end(mut self, meta: &SaveMeta, mailbox: Option<&str>, refs: Vec<ExtRef>) -> Result<Written> {
        self.held.extend_from_slice(self.filter.finish()?);
        let body_size = self.at + self.held.len() as u64 - self.offset - MESSAGE_HEADER_BYTES as u64;
        let guid = match &meta.guid {
            Some(guid) if !guid.is_empty() => guid.clone(),
            _ => names::new_guid().to_string(),
        };
        let ext_refs = (!refs.is_empty()).then(|| ExtRef::write_all(&refs));
        let metadata = NewMetadata {
            physical_size: (body_size != self.ends.size()).then(|| self.ends.size()),
            received: unix_secs(meta.internal_date.unwrap_or_else(SystemTime::now)),
            virtual_size: self.ends.virtual_size(),
            pop3_uidl: meta.pop3_uidl.as_deref(),
            pop3_order: meta.pop3_order,
            guid: &guid,
            mailbox,
            ext_refs: ext_refs.as_deref(),
        };
        self.held.extend(metadata.to_bytes());
        let header = header::message(body_size, MESSAGE_HEADER_BYTES);
        match self.held.get_mut(..header.len()).filter(|_| self.at == self.offset) {
            Some(room) => {
                room.copy_from_slice(&header);
                self.put_held()?;
            }
            None => {
                self.put_held()?;
                self.put(&header, self.offset)?;
            }
        }
        Ok(Written { end: self.at, guid, refs })
    }
}

/// Seconds since 1970.
pub(crate) fn unix_secs(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |secs| -secs),
    }
}

/// The time at so many seconds since 1970.
pub(crate) fn time_at(secs: i64) -> SystemTime {
    let span = std::time::Duration::from_secs(secs.unsigned_abs());
    let time = match secs < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(span),
        false => SystemTime::UNIX_EPOCH.checked_add(span),
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}
