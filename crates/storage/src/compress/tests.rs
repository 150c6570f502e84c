use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use crate::api::MessageReader;

use super::*;

struct Memory(Cursor<Vec<u8>>);

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Memory {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

impl MessageReader for Memory {
    fn size(&self) -> u64 {
        self.0.get_ref().len() as u64
    }
}

const ON: Compression = Compression { is_on: true, save: None };
const WRITTEN: [Format; 5] = [Format::Gz, Format::Bz2, Format::Deflate, Format::Lz4, Format::Zstd];

/// Bytes that compress, but not away.
fn text(bytes: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut out = b"Subject: x\n\n".to_vec();
    while out.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        out.extend_from_slice(format!("line {} of a text\n", state >> 12).as_bytes());
    }
    out.truncate(bytes);
    out
}

fn compress(format: Format, level: i32, plain: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(format, level).unwrap();
    let mut out = Vec::new();
    for piece in plain.chunks(1000) {
        encoder.push(piece, &mut out).unwrap();
    }
    encoder.finish(&mut out).unwrap();
    out
}

fn open(bytes: &[u8], size: Option<u64>) -> std::io::Result<Box<dyn MessageReader>> {
    reader(Box::new(Memory(Cursor::new(bytes.to_vec()))), Path::new("/m"), size, &ON)
}

fn read_all(bytes: &[u8], format: Format, size: Option<u64>) -> Result<Vec<u8>, String> {
    let memory = Box::new(Memory(Cursor::new(bytes.to_vec())));
    let mut out = Vec::new();
    let read =
        sized_reader(memory, format, Path::new("/m"), size).and_then(|mut it| it.read_to_end(&mut out));
    read.map(|_| out).map_err(|error| error.to_string())
}

#[test]
fn every_format() {
    let plain = text(70_000);
    for format in WRITTEN {
        // Beyond 19 zstd takes hundreds of megabytes to compress.
        let (first, last) = (*format.levels().start(), *format.levels().end());
        for level in [first, format.default_level(), last.min(19)] {
            let stored = compress(format, level, &plain);
            assert!(stored.len() < plain.len() || level == 0, "{format:?} {level}");
            assert_eq!(read_all(&stored, format, None).unwrap(), plain, "{format:?} {level}");
            if format != Format::Deflate {
                assert_eq!(Format::detect(&stored), Some(format));
            }
        }
        assert_eq!(read_all(&compress(format, format.default_level(), b""), format, None).unwrap(), b"");
    }
}

#[test]
fn what_is_not_compressed_stays() {
    for plain in [&b""[..], b"\x1f", b"BZh", b"BZh0", b"BZ", b"Subject: a\n\nb", b"Dovecot-LZ4\r"] {
        let mut out = Vec::new();
        let mut reader = open(plain, Some(1)).unwrap();
        assert_eq!(reader.size(), plain.len() as u64);
        reader.read_to_end(&mut out).unwrap();
        assert_eq!(out, plain);
    }
    let gz = compress(Format::Gz, 6, b"x");
    let mut raw = Vec::new();
    let off = Compression::default();
    reader(Box::new(Memory(Cursor::new(gz.clone()))), Path::new("/m"), None, &off)
        .unwrap()
        .read_to_end(&mut raw)
        .unwrap();
    assert_eq!(raw, gz);
}

#[test]
fn seeking() {
    let plain = text(500_000);
    for format in WRITTEN.into_iter().filter(|&format| format != Format::Deflate) {
        let stored = compress(format, format.default_level(), &plain);
        let mut reader = open(&stored, None).unwrap();
        assert_eq!(reader.size(), 500_000);
        let mut piece = vec![0; 700];
        for at in [0usize, 10, 499_300, 131_000, 200_000, 130_900, 131_072, 5, 300_000, 299_999] {
            reader.seek(SeekFrom::Start(at as u64)).unwrap();
            reader.read_exact(&mut piece).unwrap();
            assert!(piece == plain[at..at + 700], "{format:?} at {at}");
        }
        assert_eq!(reader.seek(SeekFrom::End(-3)).unwrap(), 499_997);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, plain[499_997..]);
        reader.seek(SeekFrom::Start(600_000)).unwrap();
        assert_eq!(reader.read(&mut piece).unwrap(), 0);
    }
}

#[test]
fn sizes_that_are_wrong() {
    let plain = text(1000);
    let stored = compress(Format::Gz, 6, &plain);
    let error = |size| read_all(&stored, Format::Gz, Some(size)).unwrap_err();
    assert_eq!(error(1001), "Cached message size larger than expected (1001 > 1000)");
    assert_eq!(error(999), "Cached message size smaller than expected (999 < 1000)");
    assert_eq!(read_all(&stored, Format::Gz, Some(1000)).unwrap(), plain);
}

#[test]
fn several_in_a_row() {
    let twice = |format| [compress(format, 1, b"one "), compress(format, 1, b"two")].concat();
    for format in [Format::Gz, Format::Zstd] {
        assert_eq!(read_all(&twice(format), format, None).unwrap(), b"one two");
    }
    assert_eq!(read_all(&twice(Format::Bz2), Format::Bz2, None).unwrap(), b"one ");
}

#[test]
fn words_for_damage() {
    let plain = text(200_000);
    let stored = |format: Format| compress(format, format.default_level(), &plain);
    let check = |format, bytes: &[u8], start: &str, what: &str| {
        let error = read_all(bytes, format, Some(200_000)).unwrap_err();
        assert!(error.starts_with(&format!("{start}.read(/m): {what} at ")), "{error}");
    };
    for (format, module) in [(Format::Gz, "zlib"), (Format::Bz2, "bzlib"), (Format::Zstd, "zstd")] {
        let stored = stored(format);
        check(format, &stored[..stored.len() / 2], module, "unexpected EOF");
    }
    let gz = stored(Format::Gz);
    check(
        Format::Gz,
        &[&gz[..], b"garbage that trails"].concat(),
        "zlib",
        "wrong magic in header (not gz file?)",
    );
    let mut crc = gz.clone();
    *crc.iter_mut().rev().nth(7).unwrap() ^= 1;
    check(Format::Gz, &crc, "zlib", "gz trailer has wrong CRC value");
    let lz4 = stored(Format::Lz4);
    check(Format::Lz4, &lz4[..lz4.len() - 1], "lz4", "truncated lz4 chunk");
    check(Format::Lz4, &[&lz4[..], b"gar"].concat(), "lz4", "truncated lz4 chunk");
    check(Format::Lz4, &[&lz4[..], b"garbage"].concat(), "lz4", "invalid lz4 chunk size: 1734439522");
    check(Format::Lz4, &lz4[..17], "lz4", "missing header (not lz4 file?)");
    let mut large = lz4.clone();
    large[15] = 1;
    check(Format::Lz4, &large, "lz4", "lz4 max chunk size too large (16842752 > 1048576)");
    check(Format::Xz, b"\xfd7zXZ\0\0\x04xxxxxxxxx", "lzma", "corrupted data");
}

/// Whatever is cut off or changed: the right bytes, an error, or an end, and never a panic.
#[test]
fn damage_everywhere() {
    let plain = text(300);
    for format in WRITTEN {
        let stored = compress(format, format.default_level(), &plain);
        for at in 0..stored.len() {
            let _ = read_all(&stored[..at], format, Some(300)).map(|out| assert!(plain.starts_with(&out)));
            for bit in [1, 0x80] {
                let mut flipped = stored.clone();
                flipped[at] ^= bit;
                let _ = read_all(&flipped, format, None);
            }
        }
    }
}

/// A mail that expands a thousandfold is read in steps.
#[test]
fn bombs_are_streamed() {
    let zeros = vec![0; 1 << 20];
    let mut encoder = Encoder::new(Format::Gz, 9).unwrap();
    let mut stored = Vec::new();
    for _ in 0..64 {
        encoder.push(&zeros, &mut stored).unwrap();
    }
    encoder.finish(&mut stored).unwrap();
    let mut reader = open(&stored, Some(64 << 20)).unwrap();
    assert_eq!(std::io::copy(&mut reader, &mut std::io::sink()).unwrap(), 64 << 20);
}

#[test]
fn settings() {
    let check = |save, level, expected, errors: &[&str]| {
        let (found, said) = Compression::of_plugin(save, level);
        assert_eq!(
            (found.save, said.iter().map(String::as_str).collect::<Vec<_>>()),
            (expected, errors.to_vec())
        );
    };
    check(None, Some("9"), None, &[]);
    check(Some(""), None, None, &[]);
    check(Some("gz"), None, Some((Format::Gz, 6)), &[]);
    check(Some("zstd"), Some("22"), Some((Format::Zstd, 22)), &[]);
    check(
        Some("zstd"),
        Some("99"),
        Some((Format::Zstd, 3)),
        &["zlib_save_level: Level must be between 1..22"],
    );
    check(Some("lz4"), Some("x"), Some((Format::Lz4, 1)), &["zlib_save_level: Level must be between 1..9"]);
    check(Some("xz"), None, None, &["zlib_save: Support not compiled in for handler: xz"]);
    check(Some("nope"), None, None, &["zlib_save: Unknown handler: nope"]);
    check(Some("deflate"), None, None, &["zlib_save: Support not compiled in for handler: deflate"]);
}

#[test]
fn names_of_files() {
    assert_eq!(Format::of_file_name("archive.gz"), Some(Format::Gz));
    assert_eq!(Format::of_file_name("archive.zstd"), Some(Format::Zstd));
    assert_eq!(Format::of_file_name(".gz"), None);
    assert_eq!(Format::of_file_name("archive"), None);
}
