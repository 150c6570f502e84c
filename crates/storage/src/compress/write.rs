//! Compressing mail while it is saved.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::GzBuilder;

use crate::error::{Error, Result};

use super::{Compression, Format, MAGIC_BYTES_MAX, lz4};

/// What stands between the bytes of a message as a driver stores it and its file.
pub struct SaveFilter {
    path: PathBuf,
    kind: Kind,
    out: Vec<u8>,
}

enum Kind {
    /// The plugin is off.
    Off,
    /// Saved as it comes, unless it begins as a compressed mail does: that would be shown decompressed.
    Plain {
        start: Vec<u8>,
    },
    Compressed(Encoder),
    Finished,
}

impl SaveFilter {
    /// For one message that goes to `path`, which errors name.
    ///
    /// # Errors
    /// No memory for the compressor.
    pub fn new(settings: &Compression, path: &Path) -> Result<Self> {
        let failed = |error| Error::io("write", path, error);
        let kind = match (settings.is_on, settings.save) {
            (false, _) => Kind::Off,
            (true, None) => Kind::Plain { start: Vec::with_capacity(MAGIC_BYTES_MAX) },
            (true, Some((format, level))) => Kind::Compressed(Encoder::new(format, level).map_err(failed)?),
        };
        Ok(Self { path: path.to_owned(), kind, out: Vec::new() })
    }

    /// Takes the next bytes of the message and gives those that have to be written to the file now.
    ///
    /// # Errors
    /// The compressor's.
    pub fn push<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        match &mut self.kind {
            Kind::Off | Kind::Finished => return Ok(bytes),
            Kind::Plain { start } => {
                let room = MAGIC_BYTES_MAX - start.len();
                start.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
                return Ok(bytes);
            }
            Kind::Compressed(encoder) => {
                self.out.clear();
                encoder.push(bytes, &mut self.out).map_err(|e| Error::io("write", self.path.clone(), e))?;
            }
        }
        Ok(&self.out)
    }

    /// Ends the message and gives the last bytes of the file.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a message that looks compressed already; the compressor's.
    pub fn finish(&mut self) -> Result<&[u8]> {
        self.out.clear();
        match std::mem::replace(&mut self.kind, Kind::Finished) {
            Kind::Off | Kind::Finished => {}
            Kind::Plain { start } => {
                if Format::detect(&start).is_some() {
                    let text = "Saving mails compressed by client isn't supported";
                    return Err(Error::Unsupported(text.to_owned()));
                }
            }
            Kind::Compressed(encoder) => {
                encoder.finish(&mut self.out).map_err(|e| Error::io("write", self.path.clone(), e))?;
            }
        }
        Ok(&self.out)
    }
}

/// Compresses one file.
pub struct Encoder(Kinds);

enum Kinds {
    Gz(Box<flate2::write::GzEncoder<Vec<u8>>>),
    Deflate(Box<flate2::write::DeflateEncoder<Vec<u8>>>),
    Bz2(Box<bzip2::write::BzEncoder<Vec<u8>>>),
    Lz4 { encoder: lz4::Encoder, header: Vec<u8> },
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl Encoder {
    /// Starts a file with a level of [`Format::levels`].
    ///
    /// # Errors
    /// `Unsupported` for xz, which is only read.
    pub fn new(format: Format, level: i32) -> io::Result<Self> {
        let number = u32::try_from(level).unwrap_or(0);
        let deflate = flate2::Compression::new(number.min(9));
        Ok(Self(match format {
            // The system is Unix (RFC 1952 §2.3.1), and there is no time, as 2.3 writes it.
            Format::Gz => {
                Kinds::Gz(Box::new(GzBuilder::new().operating_system(3).write(Vec::new(), deflate)))
            }
            Format::Deflate => {
                Kinds::Deflate(Box::new(flate2::write::DeflateEncoder::new(Vec::new(), deflate)))
            }
            Format::Bz2 => Kinds::Bz2(Box::new(bzip2::write::BzEncoder::new(
                Vec::new(),
                bzip2::Compression::new(number.clamp(1, 9)),
            ))),
            Format::Lz4 => {
                let mut header = Vec::new();
                Kinds::Lz4 { encoder: lz4::Encoder::new(&mut header), header }
            }
            Format::Zstd => Kinds::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), level)?)),
            Format::Xz => return Err(io::ErrorKind::Unsupported.into()),
        }))
    }

    /// Takes the next bytes and appends to `out` what has come out so far.
    ///
    /// # Errors
    /// The compressor's.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.0 {
            Kinds::Gz(encoder) => {
                encoder.write_all(bytes)?;
                out.append(encoder.get_mut());
            }
            Kinds::Deflate(encoder) => {
                encoder.write_all(bytes)?;
                out.append(encoder.get_mut());
            }
            Kinds::Bz2(encoder) => {
                encoder.write_all(bytes)?;
                out.append(encoder.get_mut());
            }
            Kinds::Lz4 { encoder, header } => {
                out.append(header);
                encoder.push(bytes, out);
            }
            Kinds::Zstd(encoder) => {
                encoder.write_all(bytes)?;
                out.append(encoder.get_mut());
            }
        }
        Ok(())
    }

    /// Ends the file and appends its last bytes to `out`.
    ///
    /// # Errors
    /// The compressor's.
    pub fn finish(self, out: &mut Vec<u8>) -> io::Result<()> {
        match self.0 {
            Kinds::Gz(encoder) => out.append(&mut encoder.finish()?),
            Kinds::Deflate(encoder) => out.append(&mut encoder.finish()?),
            Kinds::Bz2(encoder) => out.append(&mut encoder.finish()?),
            Kinds::Lz4 { mut encoder, mut header } => {
                out.append(&mut header);
                encoder.finish(out);
            }
            Kinds::Zstd(encoder) => out.append(&mut encoder.finish()?),
        }
        Ok(())
    }
}
