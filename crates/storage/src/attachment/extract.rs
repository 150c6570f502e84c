//! Takes attachments out of a message while it is saved.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use base::Guid;
use message::header::Field;
use message::rfc822::Cursor;
use message::{Options, Parser, PartFlags, PartId, Sink};

use crate::error::{Error, Result};
use crate::fs::Permissions;

use super::base64::{Decoder, Judge, Shape};
use super::hash::Hasher;
use super::limits::{EXTRA_BYTES_MAX, STEP_BYTES};
use super::refs::ExtRef;
use super::store::Store;

/// Takes a message in pieces and gives it back without those parts that are no text and at least
/// `mail_attachment_min_size` long, which are in the store then. Dropped before
/// [`finish`](Self::finish), it removes them again.
pub struct Extractor {
    parser: Option<Parser<Splitter>>,
}

impl Extractor {
    /// For one message.
    pub fn new(store: Arc<Store>) -> Self {
        let splitter = Splitter {
            store,
            out: Vec::new(),
            offset: 0,
            described: None,
            content_type: None,
            part: Part::Inline,
            refs: Vec::new(),
            error: None,
        };
        Self { parser: Some(Parser::new(Options::default(), splitter)) }
    }

    /// Takes the next bytes as the driver stores them, and appends to `out` what stays of the message
    /// so far.
    ///
    /// # Errors
    /// The store's, after which the message can't be saved.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let parser = self.parser.as_mut().ok_or_else(failed_before)?;
        parser.push(bytes);
        let splitter = parser.sink();
        out.append(&mut splitter.out);
        let Some(error) = splitter.error.take() else { return Ok(()) };
        splitter.discard();
        self.parser = None;
        Err(error)
    }

    /// Ends the message: appends what is left of it to `out` and gives the references. From here on
    /// the caller has to delete the attachments if the message is not saved after all.
    ///
    /// # Errors
    /// The store's; nothing is left behind then.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Vec<ExtRef>> {
        let parser = self.parser.take().ok_or_else(failed_before)?;
        let (_, mut splitter) = parser.finish();
        splitter.end_part();
        out.append(&mut splitter.out);
        match splitter.error.take() {
            Some(error) => {
                splitter.discard();
                Err(error)
            }
            None => Ok(std::mem::take(&mut splitter.refs)),
        }
    }
}

fn failed_before() -> Error {
    Error::BadRequest("No message is being saved".to_owned())
}

impl Drop for Extractor {
    fn drop(&mut self) {
        if let Some(parser) = &mut self.parser {
            parser.sink().discard();
        }
    }
}

/// What happens to the body that goes by.
enum Part {
    /// It stays in the message.
    Inline,
    /// It could be an attachment and is not long enough yet.
    Candidate { start: u64, bytes: Vec<u8> },
    /// It is one.
    Attachment(Box<Attachment>),
}

struct Attachment {
    start: u64,
    temp: File,
    path: PathBuf,
    size: u64,
    judge: Judge,
    hasher: Hasher,
}

struct Splitter {
    store: Arc<Store>,
    out: Vec<u8>,
    /// Bytes of the message that have gone by.
    offset: u64,
    /// The part whose header goes by.
    described: Option<PartId>,
    content_type: Option<Vec<u8>>,
    part: Part,
    refs: Vec<ExtRef>,
    /// The first thing that went wrong; nothing is stored after it.
    error: Option<Error>,
}

impl Sink for Splitter {
    fn field(&mut self, part: PartId, field: &Field<'_>) {
        if self.described != Some(part) {
            self.described = Some(part);
            self.content_type = None;
        }
        if field.is(b"Content-Type") && self.content_type.is_none() {
            let value = field.value_lf();
            let mut cursor = Cursor::new(&value);
            cursor.skip_lwsp();
            let mut text = Vec::new();
            let _ = cursor.content_type(&mut text);
            self.content_type = Some(text);
        }
    }

    fn header_end(&mut self, part: PartId, flags: PartFlags) {
        self.end_part();
        let content_type = if self.described == Some(part) { self.content_type.take() } else { None };
        let is_text =
            |kind: &Vec<u8>| kind.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"text/"));
        if content_type.is_some_and(|kind| !is_text(&kind)) && !flags.multipart && self.error.is_none() {
            self.part = Part::Candidate { start: self.offset, bytes: Vec::new() };
        }
    }

    fn body(&mut self, _: PartId, data: &[u8]) {
        self.offset += data.len() as u64;
        match &mut self.part {
            Part::Inline => self.out.extend_from_slice(data),
            Part::Candidate { start, bytes } => {
                bytes.extend_from_slice(data);
                if bytes.len() as u64 >= self.store.settings.min_size {
                    let (start, bytes) = (*start, std::mem::take(bytes));
                    self.part = match Attachment::begin(&self.store, start) {
                        Ok(attachment) => Part::Attachment(Box::new(attachment)),
                        Err(error) => {
                            // As in 2.3 the message is more important than where its parts are.
                            self.store.log.error(format_args!("{}", base::chain(&error)));
                            self.out.extend_from_slice(&bytes);
                            Part::Inline
                        }
                    };
                    self.add(&bytes);
                }
            }
            Part::Attachment(_) => self.add(data),
        }
    }

    fn other(&mut self, data: &[u8]) {
        self.end_part();
        self.offset += data.len() as u64;
        self.out.extend_from_slice(data);
    }
}

impl Splitter {
    fn add(&mut self, data: &[u8]) {
        if let Part::Attachment(attachment) = &mut self.part
            && self.error.is_none()
            && let Err(error) = attachment.push(&self.store, data)
        {
            self.error = Some(error);
        }
    }

    fn end_part(&mut self) {
        match std::mem::replace(&mut self.part, Part::Inline) {
            Part::Inline => {}
            Part::Candidate { mut bytes, .. } => self.out.append(&mut bytes),
            Part::Attachment(attachment) if self.error.is_none() => {
                match attachment.finish(&self.store, &mut self.out) {
                    Ok(reference) => self.refs.push(reference),
                    Err(error) => self.error = Some(error),
                }
            }
            Part::Attachment(_) => {}
        }
    }

    fn discard(&mut self) {
        for reference in std::mem::take(&mut self.refs) {
            let _ = self.store.delete(&reference.path);
        }
    }
}

impl Attachment {
    /// A file that has no name any more, for the bytes until their end has come.
    fn begin(store: &Store, start: u64) -> Result<Self> {
        let mut guid = Guid([0; 16]);
        let _ = rustix::rand::getrandom(&mut guid.0[..], rustix::rand::GetRandomFlags::empty());
        let path = store.settings.temp_dir.join(format!("dovecot.attachment.{guid}"));
        let temp = store.fs.create_new(&path, &Permissions::default());
        let temp = temp.map_err(|error| Error::io("open", path.clone(), error))?;
        store.fs.unlink(&path).map_err(|error| Error::io("unlink", path.clone(), error))?;
        let hasher = store.settings.hash.start();
        Ok(Self { start, temp, path, size: 0, judge: Judge::default(), hasher })
    }

    fn push(&mut self, store: &Store, data: &[u8]) -> Result<()> {
        self.judge.push(data);
        self.hasher.update(data);
        self.size += data.len() as u64;
        store.fs.write(&self.temp, &self.path, data).map_err(|error| Error::io("write", &self.path, error))
    }

    /// Stores it. What follows its base64 text goes to `out`, back into the message.
    fn finish(self, store: &Store, out: &mut Vec<u8>) -> Result<ExtRef> {
        let (temp, size, start) = (&self.temp, self.size, self.start);
        let whole =
            |shape: &Shape| shape.bytes >= store.settings.min_size && size <= shape.bytes + EXTRA_BYTES_MAX;
        let Some(shape) = self.judge.finish().filter(whole) else {
            let open =
                || -> io::Result<Box<dyn Read + '_>> { Ok(Box::new(Range { file: temp, at: 0, end: size })) };
            let path = store.put(&self.hasher.finish(), &open)?;
            return Ok(ExtRef { start, size, blocks_per_line: None, crlf: false, path });
        };
        let open = || -> io::Result<Box<dyn Read + '_>> {
            let text = Range { file: temp, at: 0, end: shape.bytes };
            Ok(Box::new(Decoding { text, decoder: Decoder::default(), bytes: Vec::new(), at: 0 }))
        };
        let failed = |error| Error::io("read", &self.path, error);
        let mut hasher = store.settings.hash.start();
        io::copy(&mut open().map_err(failed)?, &mut Hashing(&mut hasher)).map_err(failed)?;
        let path = store.put(&hasher.finish(), &open)?;
        Range { file: temp, at: shape.bytes, end: size }.read_to_end(out).map_err(failed)?;
        Ok(ExtRef {
            start,
            size: shape.bytes,
            blocks_per_line: Some(shape.blocks_per_line),
            crlf: shape.crlf,
            path,
        })
    }
}

/// Some bytes of a file.
struct Range<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Range<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let space = left.min(buffer.len());
        let count = self.file.read_at(buffer.get_mut(..space).unwrap_or_default(), self.at)?;
        if count == 0 && space > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        Ok(count)
    }
}

struct Decoding<'a> {
    text: Range<'a>,
    decoder: Decoder,
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Decoding<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut text = [0; STEP_BYTES];
        while self.at == self.bytes.len() {
            let count = self.text.read(&mut text)?;
            if count == 0 {
                return Ok(0);
            }
            (self.at, self.bytes) = (0, std::mem::take(&mut self.bytes));
            self.bytes.clear();
            self.decoder.push(text.get(..count).unwrap_or_default(), &mut self.bytes);
        }
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), left.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }
}

struct Hashing<'a>(&'a mut Hasher);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
