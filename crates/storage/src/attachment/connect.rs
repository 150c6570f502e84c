//! Puts a message and its attachments together again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::api::MessageReader;
use crate::error::{Error, Result};

use super::base64::Encoder;
use super::limits::STEP_BYTES;
use super::refs::ExtRef;
use super::store::Store;

/// Shows the whole message: `base`, the stored rest of it (decompressed already), with the attachments
/// where they belong. `suffix` is what the driver adds to their names (sdbox: `-<mailbox guid>-<uid>`).
/// `size` is the size of the whole message, where metadata has it.
///
/// # Errors
/// A reference that leads out of the message, in 2.3's words. What is missing or too short in the store
/// is an error when it is read.
pub fn connect(
    base: Box<dyn MessageReader>,
    refs: Vec<ExtRef>,
    store: Arc<Store>,
    suffix: &str,
    size: Option<u64>,
) -> Result<Box<dyn MessageReader>> {
    let apart: u64 = refs.iter().fold(0, |sum, one| sum.saturating_add(one.size));
    let size = size.unwrap_or_else(|| base.size().saturating_add(apart));
    let mut end = 0;
    for one in &refs {
        let place = |what: String| Error::Corrupt {
            path: store.settings.dir.join(&one.path),
            offset: one.start,
            what,
        };
        if one.start < end {
            let what = format!("Attachment points before the previous attachment ({} < {end})", one.start);
            return Err(place(what));
        }
        end = one.start.saturating_add(one.size);
        if end > size {
            let (start, long) = (one.start, one.size);
            return Err(place(format!("Attachment points outside message ({start} + {long} > {size})")));
        }
    }
    Ok(Box::new(Connected {
        base,
        refs,
        store,
        suffix: suffix.to_owned(),
        size,
        position: 0,
        base_at: None,
        open: None,
    }))
}

struct Connected {
    base: Box<dyn MessageReader>,
    refs: Vec<ExtRef>,
    store: Arc<Store>,
    suffix: String,
    size: u64,
    position: u64,
    /// Where `base` stands, if that is known.
    base_at: Option<u64>,
    /// The attachment that was read last.
    open: Option<Open>,
}

struct Open {
    index: usize,
    file: File,
    /// Where in the attachment's text `text` begins.
    text_start: u64,
    /// What was encoded last.
    text: Vec<u8>,
}

/// What is at a place of the message.
enum At {
    /// The rest, from this offset of it on, for so many bytes.
    Base { offset: u64, left: u64 },
    /// An attachment.
    Ref { index: usize, offset: u64 },
}

impl Connected {
    fn at(&self, position: u64) -> At {
        let mut apart = 0;
        for (index, one) in self.refs.iter().enumerate() {
            if position < one.start {
                return At::Base { offset: position - apart, left: one.start - position };
            }
            if position - one.start < one.size {
                return At::Ref { index, offset: position - one.start };
            }
            apart += one.size;
        }
        At::Base { offset: position - apart, left: self.size.saturating_sub(position) }
    }

    fn read_ref(&mut self, index: usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(one) = self.refs.get(index) else { return Ok(0) };
        let opened = self.open.take().filter(|open| open.index == index);
        let open = match opened {
            Some(open) => self.open.insert(open),
            None => {
                let file = self
                    .store
                    .open(&one.path, &self.suffix)
                    .map_err(|error| io::Error::other(base::chain(&error).to_string()))?;
                self.open.insert(Open { index, file, text_start: 0, text: Vec::new() })
            }
        };
        let left = usize::try_from(one.size - offset).unwrap_or(usize::MAX);
        let space = left.min(buffer.len());
        let buffer = buffer.get_mut(..space).unwrap_or_default();
        let count = match one.blocks_per_line {
            None => open.file.read_at(buffer, offset)?,
            Some(blocks_per_line) => open.read_encoded(blocks_per_line, one.crlf, offset, buffer)?,
        };
        if count == 0 {
            let dir = self.store.settings.dir.display();
            let name = format!("{}{}", one.path, self.suffix);
            let what = format!("read({dir}/{name}) failed: Attachment is smaller than {} bytes", one.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(count)
    }
}

impl Open {
    fn read_encoded(&mut self, blocks: u32, crlf: bool, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.text_start + self.text.len() as u64;
        if !(self.text_start..end).contains(&offset) {
            let (mut encoder, place) = Encoder::at(offset, blocks, crlf);
            let mut bytes = vec![0; STEP_BYTES / 3 * 3];
            let count = read_full_at(&self.file, &mut bytes, place.decoded)?;
            self.text.clear();
            encoder.push(bytes.get(..count).unwrap_or_default(), &mut self.text);
            self.text.drain(..place.skip.min(self.text.len()));
            self.text_start = offset;
        }
        let at = usize::try_from(offset - self.text_start).unwrap_or(usize::MAX);
        let text = self.text.get(at..).unwrap_or_default();
        let count = text.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), text.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

fn read_full_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(space) = buffer.get_mut(filled..).filter(|space| !space.is_empty()) {
        match file.read_at(space, at.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Read for Connected {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = match self.at(self.position) {
            At::Base { left: 0, .. } => 0,
            At::Base { offset, left } => {
                if self.base_at.take() != Some(offset) {
                    self.base.seek(SeekFrom::Start(offset))?;
                }
                let space = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                let count = self.base.read(buffer.get_mut(..space).unwrap_or_default())?;
                if count == 0 {
                    let (size, position) = (self.size, self.position);
                    let what = format!("Cached message size larger than expected ({size} > {position})");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                self.base_at = Some(offset + count as u64);
                count
            }
            At::Ref { index, offset } => self.read_ref(index, offset, buffer)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Connected {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl MessageReader for Connected {
    fn size(&self) -> u64 {
        self.size
    }
}
