//! Compressed mail, as 2.3's zlib plugin stores it: the formats, which of them a mail has, and what the
//! settings ask for. All drivers read through [`reader`] and write through [`SaveFilter`]. The bytes are
//! described in `docs/formats/compress.md`.

mod limits;
mod lz4;
mod read;
mod write;

pub(crate) use read::copy_plain;
pub use read::{raw_deflate, reader, sized_reader};
pub use write::{Encoder, SaveFilter};

/// A way to compress, named as in `zlib_save`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `gz` (RFC 1952).
    Gz,
    /// `bz2`.
    Bz2,
    /// `deflate`: the bare stream of RFC 1951. Nothing in it says what it is, so no reader finds it.
    Deflate,
    /// `xz`: read only.
    Xz,
    /// `lz4` in Dovecot's own framing, which the `lz4` program does not know.
    Lz4,
    /// `zstd` (RFC 8878).
    Zstd,
}

impl Format {
    /// All, in the order in which 2.3 tries them.
    pub const ALL: [Self; 6] = [Self::Gz, Self::Bz2, Self::Deflate, Self::Xz, Self::Lz4, Self::Zstd];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gz => "gz",
            Self::Bz2 => "bz2",
            Self::Deflate => "deflate",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The format of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// What a mailbox file's name ends in, for formats that are files of their own.
    pub fn extension(self) -> Option<&'static str> {
        match self {
            Self::Deflate => None,
            Self::Gz => Some(".gz"),
            Self::Bz2 => Some(".bz2"),
            Self::Xz => Some(".xz"),
            Self::Lz4 => Some(".lz4"),
            Self::Zstd => Some(".zstd"),
        }
    }

    /// The format that `name` ends in (`archive.gz`), as 2.3 finds compressed mbox files.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let ends = |format: &Self| {
            format.extension().is_some_and(|end| name.len() > end.len() && name.ends_with(end))
        };
        Self::ALL.into_iter().find(ends)
    }

    /// The format that a mail beginning with `start` has; [`MAGIC_BYTES_MAX`] bytes are enough. `None`:
    /// it is not compressed.
    pub fn detect(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => Some(Self::Gz),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Self::Bz2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ if start.starts_with(lz4::MAGIC) => Some(Self::Lz4),
            _ => None,
        }
    }

    /// Whether mail can be saved in it.
    pub fn can_write(self) -> bool {
        self != Self::Xz
    }

    /// The levels that `zlib_save_level` may have.
    pub fn levels(self) -> std::ops::RangeInclusive<i32> {
        match self {
            Self::Gz | Self::Deflate => 0..=9,
            // LZ4 has no levels; 2.3 accepts these so that configurations survive a change of format.
            Self::Bz2 | Self::Lz4 => 1..=9,
            Self::Zstd => 1..=22,
            Self::Xz => 0..=0,
        }
    }

    /// The level without `zlib_save_level`. zlib calls its own default -1, which is 6.
    pub fn default_level(self) -> i32 {
        match self {
            Self::Gz | Self::Deflate => 6,
            Self::Bz2 => 9,
            Self::Lz4 => 1,
            Self::Zstd => 3,
            Self::Xz => 0,
        }
    }

    /// The word before `.read(` in 2.3's error messages.
    fn module(self) -> &'static str {
        match self {
            Self::Gz | Self::Deflate => "zlib",
            Self::Bz2 => "bzlib",
            Self::Xz => "lzma",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// How many bytes [`Format::detect`] needs at most.
pub const MAGIC_BYTES_MAX: usize = lz4::MAGIC.len();

/// What to do with compressed mail. The default is 2.3 without its zlib plugin: nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compression {
    /// `zlib` is in `mail_plugins`: compressed mails are shown decompressed, and clients may not save
    /// mail that looks compressed already.
    pub is_on: bool,
    /// `zlib_save` with `zlib_save_level`: how new mails are compressed.
    pub save: Option<(Format, i32)>,
}

impl Compression {
    /// From `plugin { zlib_save, zlib_save_level }` while the plugin is on; and, in 2.3's words, what is
    /// wrong with them. As in 2.3, mail is saved uncompressed, or with the default level, all the same.
    pub fn of_plugin(save: Option<&str>, level: Option<&str>) -> (Self, Vec<String>) {
        let mut errors = Vec::new();
        let format = save.filter(|name| !name.is_empty()).and_then(|name| {
            let (why, found) = match Format::of_name(name) {
                // Mail saved as `deflate` could never be read again: 2.3 does that, we don't.
                Some(format) if format.can_write() && format != Format::Deflate => return Some(format),
                Some(_) => ("Support not compiled in for handler", name),
                None => ("Unknown handler", name),
            };
            errors.push(format!("zlib_save: {why}: {found}"));
            None
        });
        let save = format.map(|format| {
            let (levels, default) = (format.levels(), format.default_level());
            let wanted = level.filter(|level| !level.is_empty());
            let level = wanted.map(|level| level.parse().ok().filter(|level| levels.contains(level)));
            if level == Some(None) {
                errors.push(format!(
                    "zlib_save_level: Level must be between {}..{}",
                    levels.start(),
                    levels.end()
                ));
            }
            (format, level.flatten().unwrap_or(default))
        });
        (Self { is_on: true, save }, errors)
    }
}

#[cfg(test)]
mod tests;
