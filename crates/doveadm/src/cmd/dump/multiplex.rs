//! Channels in one stream, as doveadm's servers speak with their clients: each packet has a channel, the size
//! and so many bytes.

use std::collections::BTreeMap;
use std::path::Path;

use super::{broken, read};
use crate::context::{Context, Outcome};

/// Of a packet: the channel in a byte, the size in four, the highest first.
const HEADER_BYTES: usize = 5;

pub(super) fn print(cx: &mut Context, path: &Path, _: &[String]) -> Outcome {
    let file = read(path)?;
    let (mut bytes, mut channels) = (file.as_slice(), BTreeMap::<u8, Vec<u8>>::new());
    let mut missing = 0;
    while let Some((&[channel, ref size @ ..], rest)) = bytes.split_first_chunk::<HEADER_BYTES>() {
        let size = u32::from_be_bytes(*size) as usize;
        let (body, rest) = rest.split_at(size.min(rest.len()));
        channels.entry(channel).or_default().extend_from_slice(body);
        missing = size - body.len();
        bytes = rest;
    }
    for (channel, bytes) in channels.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        cx.output.line(&format!("CHANNEL {channel}: {} bytes:", bytes.len()));
        cx.output.plain_bytes(bytes);
        cx.output.plain("\n");
    }
    match (missing, bytes.len()) {
        (0, 0) => Ok(()),
        (0, _) => Err(broken("read() failed: Unexpected EOF in a packet's header")),
        (missing, _) => {
            Err(broken(format_args!("read() failed: Unexpected EOF - {missing} bytes remaining in packet")))
        }
    }
}
