//! `doveadm dump` of `dovecot.mailbox.log`.

use std::path::Path;

use ::index::mailbox_log::{RECORD_BYTES, iter};

use super::{broken, hex, number, read};
use crate::context::{Context, Outcome};
use crate::localtime;

pub(super) fn print(cx: &mut Context, path: &Path, _: &[String]) -> Outcome {
    let bytes = read(path)?;
    for (found, raw) in iter(&bytes).zip(bytes.chunks_exact(RECORD_BYTES)) {
        // An action that is none has no word.
        let word = found.record.map_or("", |record| record.action.word());
        let guid = hex(raw.get(4..20).unwrap_or_default());
        let time = number(raw, 20).unwrap_or(0).swap_bytes();
        let date = localtime::date(time.into());
        cx.output.line(&format!("#{}: {word} {guid} ({date})", found.offset));
    }
    match bytes.len() % RECORD_BYTES {
        0 => Ok(()),
        rest => Err(broken(format_args!("rec read() {rest} != {RECORD_BYTES}"))),
    }
}
