//! Frames: a length of four bytes, little endian, then that many bytes of postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::FRAME_MAX;

const LENGTH_BYTES: usize = 4;

/// Why a peer's bytes were refused. The connection is of no use afterwards.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`FRAME_MAX`].
    #[error("frame of {0} bytes is too large")]
    TooLarge(usize),
    /// Not a message that is permitted on this socket.
    #[error("malformed frame")]
    Malformed(#[source] postcard::Error),
}

/// One message as the bytes to write.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = postcard::to_extend(message, vec![0; LENGTH_BYTES]).map_err(FrameError::Malformed)?;
    let length = frame.len() - LENGTH_BYTES;
    if length > FRAME_MAX {
        return Err(FrameError::TooLarge(length));
    }
    // FRAME_MAX fits in 32 bits.
    frame[..LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(frame)
}

/// Collects bytes and gives back whole messages.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes as they were read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, or `None` when more bytes are needed.
    pub fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let pending = &self.buffer[self.start..];
        let Some((length, rest)) = pending.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > FRAME_MAX {
            return Err(FrameError::TooLarge(length));
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let message = postcard::from_bytes(payload).map_err(FrameError::Malformed)?;
        self.start += LENGTH_BYTES + length;
        if self.start == self.buffer.len() {
            // An idle connection keeps no buffer.
            self.buffer = Vec::new();
            self.start = 0;
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_any_split() {
        let frames: Vec<u8> =
            ["one", "", "three"].iter().flat_map(|text| encode(&text.to_string()).unwrap()).collect();
        for size in 1..frames.len() {
            let mut decoder = Decoder::new();
            let mut seen = Vec::new();
            for chunk in frames.chunks(size) {
                decoder.push(chunk);
                while let Some(text) = decoder.message::<String>().unwrap() {
                    seen.push(text);
                }
            }
            assert_eq!(seen, ["one", "", "three"], "chunks of {size}");
        }
    }

    #[test]
    fn a_huge_length_is_refused() {
        let mut decoder = Decoder::new();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.message::<String>(), Err(FrameError::TooLarge(_))));
    }
}
