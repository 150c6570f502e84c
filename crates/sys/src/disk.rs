//! Telling the system what of a file is needed on disk soon.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Has the system begin to write a file's bytes from `from` to `end`, or to the file's end if that is 0,
/// without waiting for it: whoever forces the file to disk later finds it half done. Promises nothing.
///
/// # Errors
/// Those of `sync_file_range`, and `InvalidInput` for offsets that no file has.
pub fn begin_writing(file: impl AsFd, from: u64, end: u64) -> io::Result<()> {
    let offset = |bytes: u64| i64::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let (from, count) = (offset(from)?, offset(end.saturating_sub(from))?);
    // SAFETY: the descriptor is open for the call; nothing else is passed by reference.
    let result =
        unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), from, count, libc::SYNC_FILE_RANGE_WRITE) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
