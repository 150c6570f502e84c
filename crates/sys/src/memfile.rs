//! Sealed memory files: bytes that a process hands to another and that nobody can change any more.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};

const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// A sealed memory file with `bytes`; `name` is what `/proc/<pid>/fd` shows.
///
/// # Errors
/// Those of `memfd_create` and `write`.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let descriptor = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// The whole content of a sealed memory file of at most `bytes_max` bytes.
///
/// # Errors
/// `InvalidData` when it is not sealed or too long, and those of `read`.
pub fn read_sealed(descriptor: impl AsFd, bytes_max: u64) -> io::Result<Vec<u8>> {
    if !rustix::fs::fcntl_get_seals(&descriptor)?.contains(SEALS) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "memory file is not sealed"));
    }
    // The offset is shared with everyone who has the file open, so it is not relied upon.
    let file = File::from(descriptor.as_fd().try_clone_to_owned()?);
    // Not `File::metadata`: its statx is a call that sandboxes forbid.
    let length = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(u64::MAX);
    if length > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "memory file is too large"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    PositionedReader { file: &file, offset: 0 }.read_to_end(&mut bytes)?;
    Ok(bytes)
}

struct PositionedReader<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for PositionedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_cannot_be_changed() {
        let file = sealed("test", b"settings").unwrap();
        assert_eq!(read_sealed(&file, 100).unwrap(), b"settings");
        assert_eq!(read_sealed(&file, 100).unwrap(), b"settings");
        assert!(read_sealed(&file, 3).is_err());
        assert!(File::from(file).write_all(b"x").is_err());
        assert!(read_sealed(File::open("/dev/null").unwrap(), 100).is_err());
    }
}
