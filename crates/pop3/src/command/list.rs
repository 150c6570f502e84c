//! LIST (RFC 1939 §5): numbers and sizes.

use crate::command::message;
use crate::context::Context;
use crate::job::{Job, Start, Step};
use crate::out::OutBuf;

pub(super) fn start(context: &mut Context, args: &[u8], out: &mut OutBuf) -> Start {
    if args.is_empty() {
        out.line(format_args!("+OK {} messages:", context.maildrop.left().0));
        return Start::Job(Box::new(List { next: 0 }));
    }
    let (index, _) = match message(context, args, false, out) {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let size = context.maildrop.message(index).map_or(0, |message| message.size);
    out.line(format_args!("+OK {} {size}", index.number()));
    Start::Done
}

struct List {
    next: u32,
}

impl Job for List {
    fn step(&mut self, context: &mut Context, out: &mut OutBuf) -> Step {
        while !out.is_full() {
            let Some((index, message)) = context.maildrop.next_left(&mut self.next) else {
                out.put(b".\r\n");
                return Step::Done;
            };
            out.line(format_args!("{} {}", index.number(), message.size));
        }
        Step::More
    }
}
