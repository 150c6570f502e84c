//! Compressed mail of every format, read to the end.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::kit::Bytes;
use storage::compress::{Compression, Format, reader, sized_reader};

/// More than this is not asked for: every format can pack gigabytes into a few bytes.
const BYTES_MAX: u64 = 1 << 20;

pub(crate) fn run(data: &[u8]) {
    let raw = || Box::new(Bytes::new(data));
    let on = Compression { is_on: true, ..Compression::default() };
    if let Ok(reader) = reader(raw(), Path::new("file"), Some(1000), &on) {
        let _ = reader.take(BYTES_MAX).read_to_end(&mut Vec::new());
    }
    for format in [Format::Gz, Format::Bz2, Format::Xz, Format::Lz4, Format::Zstd, Format::Deflate] {
        let Ok(mut reader) = sized_reader(raw(), format, Path::new("file"), Some(1000)) else { continue };
        let _ = (&mut reader).take(BYTES_MAX).read_to_end(&mut Vec::new());
        let _ = reader.seek(SeekFrom::Start(10));
        let _ = reader.take(BYTES_MAX).read_to_end(&mut Vec::new());
    }
}
