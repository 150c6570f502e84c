//! THREAD (RFC 5256 §3).

use std::ops::Range;
use std::sync::Arc;

use storage::thread::{Forest, Thread};
use storage::view::SeqTable;

use super::search::{Looker, algorithm};
use crate::context::{Context, NO_MAILBOX};
use crate::job::{Job, Start, Step};
use crate::limits::STEP_TIME;
use crate::out::OutBuf;
use crate::reply::{Answer, Sync};

pub(super) fn start(context: &mut Context, uid: bool, thread: &proto::imap::command::Thread) -> Start {
    let Some(looker) = Looker::new(context, &thread.key) else { return Answer::bad(NO_MAILBOX).into() };
    let algorithm = algorithm(thread.algorithm);
    Start::Job(Box::new(ThreadJob { looker, uid, algorithm, stage: Stage::Looking }))
}

struct ThreadJob {
    looker: Looker,
    uid: bool,
    algorithm: storage::thread::Algorithm,
    stage: Stage,
}

enum Stage {
    Looking,
    Threading(Thread),
    Writing(Arc<Forest>, Option<SeqTable>, Vec<Todo>),
}

/// What is still to be written, the next last. This is a list, not recursion, since threads may be as
/// deep as the mailbox is large.
enum Todo {
    /// These nodes, all children of one.
    Siblings { nodes: Range<usize>, in_parentheses: bool },
    /// A closing parenthesis.
    Close,
}

impl Job for ThreadJob {
    fn step(&mut self, context: &mut Context, _input: &mut &[u8], out: &mut OutBuf) -> Step {
        match self.work(context, out) {
            Ok(true) => Step::Done(Answer::ok("Thread completed").sync(Sync::after_messages(self.uid))),
            Ok(false) => Step::More,
            Err(answer) => Step::Done(answer),
        }
    }
}

impl ThreadJob {
    /// `true` when all is written.
    fn work(&mut self, context: &mut Context, out: &mut OutBuf) -> Result<bool, Answer> {
        match &mut self.stage {
            Stage::Looking => {
                if let Some(found) = self.looker.step(context, out)? {
                    self.stage = Stage::Threading(Thread::new(found, self.algorithm));
                }
            }
            Stage::Threading(thread) => {
                let selected = context.selected()?;
                let is_done = thread.advance(&mut *selected.mailbox, STEP_TIME);
                if !is_done.map_err(|error| context.failed(&error, Answer::of_error))? {
                    self.looker.progress.tell((context.clock)(), thread.progress(), out);
                    return Ok(false);
                }
                let forest = std::mem::replace(thread, Thread::new(Vec::new(), self.algorithm)).finish();
                let roots = Todo::Siblings { nodes: forest.roots(), in_parentheses: true };
                let seqs = self.looker.view.seqs_table(self.looker.view.len() as usize);
                self.stage = Stage::Writing(forest, seqs.filter(|_| !self.uid), vec![roots]);
                out.put(b"* THREAD ");
            }
            Stage::Writing(..) => return Ok(self.write(out)),
        }
        Ok(false)
    }

    fn write(&mut self, out: &mut OutBuf) -> bool {
        let Stage::Writing(forest, seqs, todo) = &mut self.stage else { return true };
        while !out.is_full() {
            match todo.pop() {
                None => {
                    out.put(b"\r\n");
                    return true;
                }
                Some(Todo::Close) => out.put(b")"),
                Some(Todo::Siblings { mut nodes, in_parentheses }) => {
                    let Some(node) = nodes.next().and_then(|first| forest.node(first)) else { continue };
                    if in_parentheses {
                        todo.push(Todo::Siblings { nodes, in_parentheses });
                        todo.push(Todo::Close);
                        out.put(b"(");
                    }
                    if let Some(uid) = node.uid {
                        let seq = match seqs {
                            Some(seqs) => seqs.get(uid),
                            None => self.looker.view.seq(uid).filter(|_| !self.uid),
                        };
                        out.number(seq.map_or(uid.get(), |seq| seq.get()).into());
                    }
                    let children = node.children.clone();
                    if node.uid.is_some() && !children.is_empty() {
                        out.put(b" ");
                    }
                    // An only child goes on in the same parentheses.
                    let in_parentheses = children.len() > 1;
                    todo.push(Todo::Siblings { nodes: children, in_parentheses });
                }
            }
        }
        false
    }
}
