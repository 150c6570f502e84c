//! `dovecot.index.thread`: which Message-IDs each message names, as the numbers that threads are made of.

use std::path::Path;

use super::{number, read};
use crate::context::{Context, Outcome};

const HEADER_BYTES: usize = 16;
/// Of an entry: a checksum and a number.
const WORD_BYTES: usize = 4;

pub(super) fn print(cx: &mut Context, path: &Path, _: &[String]) -> Outcome {
    let bytes = read(path)?;
    cx.output.line(&format!("version = {}", bytes.first().copied().unwrap_or(0)));
    cx.output.line(&format!("uid validity = {}", number(&bytes, WORD_BYTES).unwrap_or(0)));
    let index_max = u32::try_from(bytes.len() / 8).unwrap_or(u32::MAX).saturating_mul(2);
    let (mut at, mut uid) = (HEADER_BYTES, 0);
    loop {
        cx.output.line(&format!("block at offset {at}:"));
        match block(cx, bytes.get(at..).unwrap_or_default(), &mut uid, index_max) {
            Some(length) => at += length,
            None => return Ok(()),
        }
    }
}

/// Shows a block; its length, or `None` where there is no other behind it.
fn block(cx: &mut Context, bytes: &[u8], uid: &mut u32, index_max: u32) -> Option<usize> {
    let (size, rest) = bytes.split_first_chunk::<WORD_BYTES>().filter(|(_, rest)| !rest.is_empty())?;
    // Written last, so that a block that is not whole has a size of 0: each byte's highest bit is set.
    let is_whole = size.iter().all(|byte| byte & 0x80 != 0);
    let digits = size.iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
    let size = if is_whole { digits } else { 0 };
    cx.output.line(&format!(" - block_size={size}"));
    if size == 0 {
        return None;
    }
    let Some(mut records) = rest.get(..size) else {
        cx.output.line("   - broken!");
        return None;
    };
    *uid = uid.wrapping_add(1);
    while !records.is_empty() {
        match record(cx, records, uid, index_max) {
            Some(rest) => records = rest,
            None => {
                cx.output.line(" - broken");
                return None;
            }
        }
    }
    Some(WORD_BYTES + size)
}

/// Shows what a message names; gives what follows, or `None` where it is cut.
fn record<'a>(cx: &mut Context, bytes: &'a [u8], uid: &mut u32, index_max: u32) -> Option<&'a [u8]> {
    let (difference, bytes) = packed(bytes)?;
    *uid = uid.wrapping_add(difference);
    let (references, bytes) = packed(bytes)?;
    cx.output.line(&format!(" - uid {uid}: n={references}"));
    let count = if references < 2 { references as usize + 1 } else { references as usize };
    let size = count.checked_mul(2 * WORD_BYTES)?;
    let (entries, rest) = bytes.split_at_checked(size)?;
    for at in 0..count {
        let what = match (at, references) {
            (0, _) => "message-id".to_owned(),
            (1, 1) => "in-reply-to".to_owned(),
            (at, _) => format!("references[{at}]"),
        };
        let (crc32, index) = (number(entries, WORD_BYTES * at)?, number(entries, WORD_BYTES * (count + at))?);
        cx.output.line(&format!("   - {what}: crc32={crc32:08x} index={index}"));
        if index > index_max {
            cx.output.line(" - index probably broken");
        }
    }
    Some(rest)
}

/// A number of seven bits in each byte, the lowest first; the last byte's highest bit is not set.
fn packed(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let length = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1;
    let (digits, rest) = bytes.split_at_checked(length)?;
    let value = digits.iter().rev().fold(0u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
    Some((u32::try_from(value).ok()?, rest))
}
