//! Descriptors that a process finds at fixed numbers when it starts.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

use rustix::io::FdFlags;

static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Takes ownership of the open descriptor `number` that this process inherited, and marks it
/// closed-on-exec. Each number above 2 can be taken once, before the process opens anything itself.
///
/// # Errors
/// `EBADF` when it is not open, or was taken already.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    let mut taken = TAKEN.lock().map_err(|_| io::Error::from(io::ErrorKind::Other))?;
    if number <= 2 || taken.contains(&number) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: fcntl(F_GETFD) on any number is harmless; it fails with EBADF when nothing is open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    taken.push(number);
    // SAFETY: the descriptor is open, and TAKEN makes sure that it is handed out once; callers take
    // inherited numbers before anything else in the process could own them.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    Ok(descriptor)
}

/// Puts a copy of `source` at descriptor `number`, 3 or more, where the next program of this process
/// finds it: it is not closed on exec. Whatever [`take`] gave for that number is the copy from now on.
///
/// # Errors
/// Those of `dup2`; `InvalidInput` for standard streams.
pub fn place(number: RawFd, source: impl AsFd) -> io::Result<()> {
    let source = source.as_fd().as_raw_fd();
    if number <= 2 || number == source {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: dup2 closes what was there and opens another in the same step, so that an owner of the
    // number goes on owning an open descriptor. The caller is about to execute another program.
    match unsafe { libc::dup2(source, number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Whether descriptor `number` is open.
pub fn is_open(number: RawFd) -> bool {
    // SAFETY: fcntl(F_GETFD) on any number is harmless.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

/// Marks every descriptor from `first` on as closed-on-exec, so that nothing that a careless
/// parent left open reaches a child.
pub fn close_from_on_exec(first: u32) {
    // SAFETY: close_range with CLOSE_RANGE_CLOEXEC closes nothing now; it changes flags only.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Replaces standard input, output or error (0, 1, 2) by `source`.
///
/// # Errors
/// Those of `dup2`; `InvalidInput` for other numbers.
pub fn replace_standard(number: RawFd, source: impl AsFd) -> io::Result<()> {
    if !(0..=2).contains(&number) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: dup2 onto a standard stream; std's handles for it own no state besides the number.
    match unsafe { libc::dup2(source.as_fd().as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Standard error as a descriptor.
pub fn stderr() -> BorrowedFd<'static> {
    // SAFETY: descriptor 2 stays open for the process's life: replace_standard never closes it
    // without putting another in its place.
    unsafe { BorrowedFd::borrow_raw(2) }
}
