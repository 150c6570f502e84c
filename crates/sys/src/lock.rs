//! Open-file-description locks. They conflict with the `fcntl` locks of Dovecot and other programs
//! as they must, but belong to the open file and not to the process, so that two sessions of one
//! process lock each other out and closing another descriptor of the file loses nothing.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::fcntl::{FcntlArg, fcntl};

/// What others may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Others may read.
    Shared,
    /// Others must wait.
    Exclusive,
}

/// Locks the whole file if nobody else holds a conflicting lock, and says whether it did.
///
/// # Errors
/// Those of `fcntl`, but not "somebody else has it".
pub fn try_lock(file: impl AsFd, kind: LockKind) -> io::Result<bool> {
    let whole = whole_file(lock_type(kind));
    match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Locks the whole file, waiting as long as it takes.
///
/// # Errors
/// Those of `fcntl`.
pub fn lock(file: impl AsFd, kind: LockKind) -> io::Result<()> {
    let whole = whole_file(lock_type(kind));
    loop {
        match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLKW(&whole)) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives the lock back. Closing the file does so too.
///
/// # Errors
/// Those of `fcntl`.
pub fn unlock(file: impl AsFd) -> io::Result<()> {
    fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&whole_file(libc::F_UNLCK)))?;
    Ok(())
}

/// The process that holds a conflicting classic `fcntl` lock, if the kernel knows it (it does not
/// for open-file-description locks).
pub fn holder(file: impl AsFd, kind: LockKind) -> Option<u32> {
    let mut whole = whole_file(lock_type(kind));
    // SAFETY: `whole` is a valid flock structure that the call fills in; the descriptor is open.
    let done = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_OFD_GETLK, &raw mut whole) };
    if done < 0 || i32::from(whole.l_type) == libc::F_UNLCK {
        return None;
    }
    u32::try_from(whole.l_pid).ok().filter(|&pid| pid != 0)
}

fn lock_type(kind: LockKind) -> i32 {
    match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    }
}

fn whole_file(kind: i32) -> libc::flock {
    // The constants are small; the field is a short on every platform.
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_openings_of_a_file_lock_each_other_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (first, second) = (file.reopen().unwrap(), file.reopen().unwrap());
        assert!(try_lock(&first, LockKind::Exclusive).unwrap());
        assert!(!try_lock(&second, LockKind::Shared).unwrap());
        unlock(&first).unwrap();
        assert!(try_lock(&first, LockKind::Shared).unwrap());
        assert!(try_lock(&second, LockKind::Shared).unwrap());
        assert!(!try_lock(&second, LockKind::Exclusive).unwrap());
    }
}
