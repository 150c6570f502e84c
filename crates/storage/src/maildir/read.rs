//! Opening messages and finding out about them: from the file's name, the uidlist, a stat, the header
//! or, where nothing else will do, the whole message.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base::Uid;

use crate::api::{MessageFile, MessageReader, SyncMode};
use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};

use super::filename;
use super::shared::Shared;
use super::uidlist;

/// What memory has on a message's file.
struct Located {
    path: PathBuf,
    name: Box<[u8]>,
    fields: Box<[u8]>,
}

struct FileReader {
    file: BufReader<File>,
    size: u64,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl MessageReader for FileReader {
    fn size(&self) -> u64 {
        self.size
    }
}

impl Shared {
    pub(super) fn open_message(&self, uid: Uid) -> Result<Box<dyn MessageReader>> {
        let (_, file) = self.open_file(uid)?;
        let size = self.fs.stamp_of(&file).map_err(|error| Error::io("fstat", self.dir.clone(), error))?.size;
        Ok(Box::new(FileReader { file: BufReader::with_capacity(BUFFER, file), size }))
    }

    pub(super) fn message_file(&self, uid: Uid) -> Option<MessageFile> {
        let located = self.locate(uid).ok()?;
        let (size_physical, size_virtual) = self.sizes(&located);
        Some(MessageFile { path: located.path, size_physical, size_virtual })
    }

    pub(super) fn fetch_facts(&self, uid: Uid, wanted: Wanted) -> Result<Facts> {
        let mut located = self.locate(uid)?;
        let mut facts = Facts::default();
        (facts.size_physical, facts.size_virtual) = self.sizes(&located);
        let names = Wanted::GUID | Wanted::FILE_NAME | Wanted::POP3_UIDL | Wanted::POP3_ORDER;
        if wanted.0 & names.0 != 0 {
            self.names(&located, &mut facts);
        }
        let dates = wanted.0 & (Wanted::INTERNAL_DATE | Wanted::SAVE_DATE).0 != 0;
        let size = wanted.has(Wanted::SIZE_PHYSICAL) && facts.size_physical.is_none();
        if dates || size {
            let meta = self.find(uid, &mut located, |path| std::fs::metadata(path))?;
            facts.size_physical = Some(meta.size());
            facts.internal_date = Some(time(meta.mtime(), meta.mtime_nsec()));
            facts.save_date = Some(time(meta.ctime(), meta.ctime_nsec()));
        }
        let content = HEADER_FACTS | Wanted::BODY | Wanted::BODYSTRUCTURE;
        let count = wanted.has(Wanted::SIZE_VIRTUAL) && facts.size_virtual.is_none();
        if wanted.0 & content.0 != 0 || count {
            let file = self.find(uid, &mut located, |path| self.fs.open(path))?;
            self.read_content(file, &located, wanted, &mut facts)?;
            if count {
                self.remember_size(uid, facts.size_virtual);
            }
        }
        Ok(facts)
    }

    fn read_content(&self, file: File, located: &Located, wanted: Wanted, facts: &mut Facts) -> Result<()> {
        let failed = |error| Error::io("read", located.path.clone(), error);
        let mut reader = BufReader::with_capacity(BUFFER, file);
        let size = wanted.has(Wanted::SIZE_VIRTUAL) && facts.size_virtual.is_none();
        let structure = wanted.has(Wanted::BODY) || wanted.has(Wanted::BODYSTRUCTURE);
        if wanted.0 & HEADER_FACTS.0 != 0 {
            let header = read_header(&mut reader).map_err(failed)?;
            if wanted.has(Wanted::ENVELOPE) {
                let mut out = Vec::new();
                message::envelope::write(&mut out, &message::envelope::Envelope::of_header(&header));
                facts.envelope = Some(out.into());
            }
            facts.header = Some(header.into());
            facts.fill_from_header(wanted, &[]);
        }
        if structure || size {
            reader.seek(SeekFrom::Start(0)).map_err(failed)?;
        }
        if structure {
            let mut counting = Counting::new(&mut reader);
            let parts =
                message::parse_reader(&mut counting, message::Options::default(), ()).map_err(failed)?;
            for (bit, extended) in [(Wanted::BODY, false), (Wanted::BODYSTRUCTURE, true)] {
                let mut out = Vec::new();
                message::bodystructure::write(&mut out, &parts, extended);
                let out: Option<Arc<[u8]>> = wanted.has(bit).then(|| out.into());
                if extended { facts.bodystructure = out } else { facts.body = out }
            }
            io::copy(&mut counting, &mut io::sink()).map_err(failed)?;
            facts.size_virtual = facts.size_virtual.or(Some(counting.virtual_size));
        } else if size {
            let mut counting = Counting::new(&mut reader);
            io::copy(&mut counting, &mut io::sink()).map_err(failed)?;
            facts.size_virtual = Some(counting.virtual_size);
        }
        Ok(())
    }

    fn names(&self, located: &Located, facts: &mut Facts) {
        let text = |bytes: &[u8]| Arc::<str>::from(String::from_utf8_lossy(bytes));
        let base = text(filename::base(&located.name));
        let field = |key| uidlist::field(&located.fields, key);
        facts.guid = Some(match field(b'G') {
            Some(guid) if !guid.is_empty() => text(guid),
            _ => base.clone(),
        });
        facts.pop3_uidl = match field(b'P') {
            // Short for "the file name".
            Some([]) => Some(base.clone()),
            uidl => uidl.map(text),
        };
        facts.pop3_order = field(b'O').and_then(|order| std::str::from_utf8(order).ok()?.parse().ok());
        facts.file_name = Some(base);
    }

    fn sizes(&self, located: &Located) -> (Option<u64>, Option<u64>) {
        let field = |key| {
            let value = uidlist::field(&located.fields, key)?;
            std::str::from_utf8(value).ok()?.parse().ok()
        };
        let broken = self.settings.maildir_broken_filename_sizes;
        let named = |key| filename::size(&located.name, key).filter(|_| !broken);
        (named(b'S').or_else(|| field(b'S').filter(|_| !broken)), named(b'W').or_else(|| field(b'W')))
    }

    /// A size that had to be counted goes into the uidlist when that is next written.
    fn remember_size(&self, uid: Uid, size: Option<u64>) {
        let Some(size) = size else { return };
        let mut state = self.state();
        if let Ok(index) = state.entries.binary_search_by_key(&uid, |entry| entry.uid)
            && let Some(entry) = state.entries.get_mut(index)
        {
            entry.fields = uidlist::with_field(&entry.fields, b'W', size.to_string().as_bytes()).into();
        }
    }

    fn locate(&self, uid: Uid) -> Result<Located> {
        let state = self.state();
        let index = state.entries.binary_search_by_key(&uid, |entry| entry.uid);
        let entry = index.ok().and_then(|index| state.entries.get(index)).ok_or(Error::Expunged(uid))?;
        Ok(Located { path: entry.path(&self.dir), name: entry.name.clone(), fields: entry.fields.clone() })
    }

    fn open_file(&self, uid: Uid) -> Result<(Located, File)> {
        let mut located = self.locate(uid)?;
        let file = self.find(uid, &mut located, |path| self.fs.open(path))?;
        Ok((located, file))
    }

    /// Tries `step` on the file until it is where we think it is, or has gone.
    fn find<T>(
        &self,
        uid: Uid,
        located: &mut Located,
        mut step: impl FnMut(&std::path::Path) -> io::Result<T>,
    ) -> Result<T> {
        for _ in 0..RETRIES {
            match step(&located.path) {
                Ok(found) => return Ok(found),
                Err(error) if crate::fs::is_missing(&error) => {
                    self.sync(SyncMode::Full, false)?;
                    *located = self.locate(uid)?;
                }
                Err(error) => return Err(Error::io("open", located.path.clone(), error)),
            }
        }
        let path = located.path.display();
        self.logger.error(format_args!("maildir_file_do({path}): Filename keeps changing for UID={uid}"));
        Err(Error::Expunged(uid))
    }
}

/// The header with the empty line that ends it.
fn read_header(reader: &mut impl io::BufRead) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    loop {
        let start = header.len();
        let limit = (HEADER_BYTES_MAX - start.min(HEADER_BYTES_MAX)) as u64;
        reader.by_ref().take(limit).read_until(b'\n', &mut header)?;
        match header.get(start..) {
            None | Some([] | b"\n" | b"\r\n") => return Ok(header),
            Some(_) => {}
        }
    }
}

/// Counts bytes as they are when every line ends with CRLF.
struct Counting<R> {
    inner: R,
    virtual_size: u64,
    last: u8,
}

impl<R> Counting<R> {
    fn new(inner: R) -> Self {
        Self { inner, virtual_size: 0, last: 0 }
    }
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let data = buffer.get(..count).unwrap_or_default();
        self.virtual_size += count as u64;
        for at in memchr::memchr_iter(b'\n', data) {
            let before = if at == 0 { self.last } else { data[at - 1] };
            self.virtual_size += u64::from(before != b'\r');
        }
        self.last = data.last().copied().unwrap_or(self.last);
        Ok(count)
    }
}

fn time(secs: i64, nanos: i64) -> SystemTime {
    let nanos = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    match u64::try_from(secs) {
        Ok(secs) => SystemTime::UNIX_EPOCH + Duration::from_secs(secs) + nanos,
        Err(_) => SystemTime::UNIX_EPOCH - Duration::from_secs(secs.unsigned_abs()) + nanos,
    }
}

/// What is made from the header alone.
const HEADER_FACTS: Wanted = Wanted(Wanted::HEADER.0 | Wanted::ENVELOPE.0 | Wanted::SENT_DATE.0);
const BUFFER: usize = 32 * 1024;
/// A header beyond this is cut for ENVELOPE and HEADER; no program makes one so long.
const HEADER_BYTES_MAX: usize = 16 * 1024 * 1024;
// 2.3's MAILDIR_RESYNC_RETRY_COUNT.
const RETRIES: usize = 10;
