//! Descriptors that travel beside bytes (SCM_RIGHTS). A plain `read` on such a socket silently
//! drops them, so whoever may receive one reads with [`receive`] only.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// The most descriptors that one message carries.
pub const DESCRIPTORS_MAX: usize = 16;

/// Sends `bytes` with `descriptors` beside the first of them, and returns how many bytes went out.
/// The descriptors went out if any byte did.
///
/// # Errors
/// Those of `sendmsg`; `InvalidInput` for more than [`DESCRIPTORS_MAX`] descriptors.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(sent)
}

/// Reads into `buffer` and appends the descriptors that came along, each closed on exec.
/// `Ok(0)` is the end of the stream.
///
/// # Errors
/// Those of `recvmsg`.
pub fn receive(socket: impl AsFd, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let read = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut ancillary, flags)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(read.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_arrives_closed_on_exec() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut writer, reader) = UnixStream::pair().unwrap();
        assert_eq!(send(&here, b"x", &[reader.as_fd()]).unwrap(), 1);
        let mut descriptors = Vec::new();
        let mut buffer = [0; 8];
        assert_eq!(receive(&there, &mut buffer, &mut descriptors).unwrap(), 1);
        let passed = descriptors.pop().unwrap();
        assert!(rustix::io::fcntl_getfd(&passed).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        writer.write_all(b"hello").unwrap();
        let mut text = [0; 5];
        UnixStream::from(passed).read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
    }
}
