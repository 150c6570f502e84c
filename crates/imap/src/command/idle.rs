//! IDLE (RFC 2177). The session calls in when the storage has news; this job only waits for DONE.

use proto::imap::LineReader;

use crate::context::Context;
use crate::job::{Job, Start, Step};
use crate::limits::IDLE_LINE_BYTES_MAX;
use crate::out::OutBuf;
use crate::reply::{Answer, Sync};

pub(super) fn start(out: &mut OutBuf) -> Start {
    out.put(b"+ idling\r\n");
    Start::Job(Box::new(Idle { line: LineReader::new(IDLE_LINE_BYTES_MAX) }))
}

struct Idle {
    line: LineReader,
}

impl Job for Idle {
    fn step(&mut self, _context: &mut Context, input: &mut &[u8], _out: &mut OutBuf) -> Step {
        match self.line.read(input) {
            None => Step::NeedInput,
            Some(Ok(line)) if line.eq_ignore_ascii_case(b"DONE") => {
                let sync = Sync::All { uid: false, mode: storage::SyncMode::Quick, newmail: true };
                Step::Done(Answer::ok("Idle completed").sync(sync))
            }
            Some(Ok(_)) => Step::Done(Answer::bad("Expected DONE")),
            Some(Err(_)) => Step::Bye("Input buffer full, aborting".to_owned()),
        }
    }

    fn is_idle(&self) -> bool {
        true
    }
}
