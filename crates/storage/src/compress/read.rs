//! Reading mail that may be compressed.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::api::MessageReader;

use super::limits::{HEAD_BYTES_MAX, STEP_BYTES, XZ_MEMORY_KIB_MAX, ZSTD_WINDOW_LOG_MAX};
use super::{Compression, Format, MAGIC_BYTES_MAX, lz4};

/// Shows a stored message as its plain bytes: `raw` itself if the plugin is off or the message is not
/// compressed, else a reader that decompresses as it goes. `path` is what errors name. `size` is how
/// many plain bytes there are, where a file name or metadata says so; it is believed, and a message that
/// turns out to be longer or shorter gives an error at the end. Without it the message is decompressed
/// once to count.
///
/// Seeking back beyond the first 128 KiB decompresses from the beginning again.
///
/// # Errors
/// Of `raw`; a damaged message whose bytes have to be counted. Damage found while reading is of kind
/// `InvalidData` and says in 2.3's words what and at which plain offset.
pub fn reader(
    mut raw: Box<dyn MessageReader>,
    path: &Path,
    size: Option<u64>,
    settings: &Compression,
) -> io::Result<Box<dyn MessageReader>> {
    if !settings.is_on {
        return Ok(raw);
    }
    let mut start = [0; MAGIC_BYTES_MAX];
    let count = read_up_to(&mut raw, &mut start)?;
    // At most 15 bytes back: what `raw` has buffered stays buffered.
    raw.seek_relative(-(count as i64))?;
    match Format::detect(start.get(..count).unwrap_or_default()) {
        None => Ok(raw),
        Some(format) => Ok(Box::new(sized_reader(raw, format, path, size)?)),
    }
}

/// Reads what is known to be of `format` from the place where `raw` stands, which must be its beginning.
/// See [`reader`].
///
/// # Errors
/// As [`reader`].
pub fn sized_reader(
    raw: Box<dyn MessageReader>,
    format: Format,
    path: &Path,
    size: Option<u64>,
) -> io::Result<impl MessageReader + use<>> {
    let decoder = Some(Decoder::new(format, BufReader::with_capacity(STEP_BYTES, raw))?);
    let path = path.to_owned();
    let mut reader =
        Reader { decoder, format, path, size: size.unwrap_or(0), head: Vec::new(), decoded: 0, position: 0 };
    if size.is_none() {
        let mut scratch = vec![0; STEP_BYTES];
        while reader.decode(&mut scratch)? > 0 {}
        reader.size = reader.decoded;
    }
    Ok(reader)
}

/// The plain bytes of a deflated stream without header and checksum (RFC 1951), as IMAP's COMPRESS has them.
/// Where it was cut is an error of kind `UnexpectedEof`, damage one of another kind.
pub fn raw_deflate(raw: impl BufRead) -> impl Read {
    flate2::bufread::DeflateDecoder::new(raw)
}

/// Writes the plain bytes of what is known to be of `format` from the place where `raw` stands, and says
/// how many there were; more than `bytes_max` are an error.
///
/// # Errors
/// Those of both sides, and damage as with [`reader`].
pub(crate) fn copy_plain(
    raw: Box<dyn MessageReader>,
    format: Format,
    path: &Path,
    bytes_max: u64,
    to: &mut dyn io::Write,
) -> io::Result<u64> {
    let decoder = Some(Decoder::new(format, BufReader::with_capacity(STEP_BYTES, raw))?);
    let path = path.to_owned();
    let mut reader = Reader { decoder, format, path, size: 0, head: Vec::new(), decoded: 0, position: 0 };
    let mut buffer = vec![0; STEP_BYTES];
    loop {
        let count = reader.decode(&mut buffer)?;
        if count == 0 {
            return Ok(reader.decoded);
        }
        if reader.decoded > bytes_max {
            return Err(reader.damaged("too much data"));
        }
        to.write_all(buffer.get(..count).unwrap_or_default())?;
    }
}

fn read_up_to(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(space) = buffer.get_mut(filled..).filter(|space| !space.is_empty()) {
        match from.read(space) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

type Source = BufReader<Box<dyn MessageReader>>;

enum Decoder {
    Gz(Box<flate2::bufread::MultiGzDecoder<Source>>),
    Deflate(Box<flate2::bufread::DeflateDecoder<Source>>),
    Bz2(Box<bzip2::bufread::BzDecoder<Source>>),
    Xz(Box<lzma_rust2::XzReader<Source>>),
    Lz4(Box<lz4::Decoder<Source>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Source>>),
}

impl Decoder {
    fn new(format: Format, source: Source) -> io::Result<Self> {
        Ok(match format {
            Format::Gz => Self::Gz(Box::new(flate2::bufread::MultiGzDecoder::new(source))),
            Format::Deflate => Self::Deflate(Box::new(flate2::bufread::DeflateDecoder::new(source))),
            Format::Bz2 => Self::Bz2(Box::new(bzip2::bufread::BzDecoder::new(source))),
            Format::Xz => {
                Self::Xz(Box::new(lzma_rust2::XzReader::new_mem_limit(source, true, XZ_MEMORY_KIB_MAX)))
            }
            Format::Lz4 => Self::Lz4(Box::new(lz4::Decoder::new(source))),
            Format::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    fn into_source(self) -> Source {
        match self {
            Self::Gz(decoder) => decoder.into_inner(),
            Self::Deflate(decoder) => decoder.into_inner(),
            Self::Bz2(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Lz4(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gz(decoder) => decoder.read(buffer),
            Self::Deflate(decoder) => decoder.read(buffer),
            Self::Bz2(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Lz4(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

struct Reader {
    /// `None` after an error: nothing more can be had from it.
    decoder: Option<Decoder>,
    format: Format,
    path: PathBuf,
    size: u64,
    /// The first bytes that were decoded, as far as there is room.
    head: Vec<u8>,
    /// How far the decoder has come.
    decoded: u64,
    /// Where the next read is to begin.
    position: u64,
}

impl Reader {
    /// Decodes the next bytes; zero at the end.
    fn decode(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Err(self.damaged("unexpected EOF")) };
        let count = loop {
            match decoder.read(buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.decoder = None;
                    return Err(self.explain(error));
                }
            }
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        if self.decoded == self.head.len() as u64 {
            let room = HEAD_BYTES_MAX - self.head.len();
            self.head.extend_from_slice(bytes.get(..room.min(count)).unwrap_or_default());
        }
        self.decoded += count as u64;
        Ok(count)
    }

    /// Brings the decoder to `position`, which is behind the head.
    fn reach(&mut self) -> io::Result<()> {
        if self.position < self.decoded {
            let Some(decoder) = self.decoder.take() else { return Err(self.damaged("unexpected EOF")) };
            let mut source = decoder.into_source();
            source.seek(SeekFrom::Start(0))?;
            self.decoder = Some(Decoder::new(self.format, source)?);
            self.decoded = 0;
        }
        let mut scratch = vec![0; STEP_BYTES];
        while self.decoded < self.position {
            let left = usize::try_from(self.position - self.decoded).unwrap_or(usize::MAX);
            let step = scratch.get_mut(..left.min(STEP_BYTES)).unwrap_or_default();
            if self.decode(step)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// At the end: whether the message was as long as it should be.
    fn check_size(&self) -> io::Result<()> {
        let (size, decoded) = (self.size, self.decoded);
        let what = match size.cmp(&decoded) {
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Greater => {
                format!("Cached message size larger than expected ({size} > {decoded})")
            }
            std::cmp::Ordering::Less => {
                format!("Cached message size smaller than expected ({size} < {decoded})")
            }
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    }

    fn damaged(&self, what: &str) -> io::Error {
        let damage = Damage {
            module: self.format.module(),
            path: self.path.clone(),
            what: what.to_owned(),
            offset: self.decoded,
        };
        io::Error::new(io::ErrorKind::InvalidData, damage)
    }

    /// What a decoder says, in 2.3's words. Errors of the system stay as they are.
    fn explain(&self, error: io::Error) -> io::Error {
        if error.raw_os_error().is_some() {
            return error;
        }
        let text = error.to_string();
        let what = match (self.format, error.kind()) {
            (Format::Lz4, _) => text.as_str(),
            (_, io::ErrorKind::UnexpectedEof) => "unexpected EOF",
            (Format::Zstd, _) => text.as_str(),
            (Format::Gz, _) if text.contains("checksum") => "gz trailer has wrong CRC value",
            (Format::Gz, _) if text.contains("header") => "wrong magic in header (not gz file?)",
            (Format::Xz, io::ErrorKind::Unsupported) => "Unsupported xz options",
            // LZMA_MEMLIMIT_ERROR
            (Format::Xz, io::ErrorKind::OutOfMemory) => "lzma_code() failed with 6",
            _ => "corrupted data",
        };
        self.damaged(what)
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let at = usize::try_from(self.position).unwrap_or(usize::MAX);
        let kept = self.head.get(at..).unwrap_or_default();
        if !kept.is_empty() {
            let count = kept.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..count), kept.get(..count)) {
                to.copy_from_slice(from);
            }
            self.position += count as u64;
            return Ok(count);
        }
        if self.position != self.decoded {
            self.reach()?;
        }
        let count = self.decode(buffer)?;
        if count == 0 {
            self.check_size()?;
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Reader {
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

impl MessageReader for Reader {
    fn size(&self) -> u64 {
        self.size
    }
}

/// A compressed mail that is broken.
#[derive(Debug)]
struct Damage {
    module: &'static str,
    path: PathBuf,
    what: String,
    /// In plain bytes, as in 2.3.
    offset: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.read({}): {} at {}", self.module, self.path.display(), self.what, self.offset)
    }
}

impl std::error::Error for Damage {}
