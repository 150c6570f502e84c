//! Work that takes more than one step: because the client reads slowly, or has more to send.

use base::IdSet;

use crate::context::Context;
use crate::out::OutBuf;
use crate::reply::Answer;

/// What a step of a job came to.
#[derive(Debug)]
pub enum Step {
    /// The command is done.
    Done(Answer),
    /// More output may follow once there is room again.
    More,
    /// The client has to send something.
    NeedInput,
    /// The connection must end: `* BYE` with this text, which the log gets too.
    Bye(String),
}

/// A command that goes on.
pub trait Job: Send {
    /// Does a bounded piece of work. `input` is what the client sent meanwhile; most jobs leave it.
    fn step(&mut self, context: &mut Context, input: &mut &[u8], out: &mut OutBuf) -> Step;

    /// Whether the job waits for news of the mailbox: IDLE.
    fn is_idle(&self) -> bool {
        false
    }
}

/// What a command begins with.
pub enum Start {
    /// It is done already.
    Answer(Answer),
    /// It goes on.
    Job(Box<dyn Job>),
}

impl From<Answer> for Start {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// Goes through a set and can stop anywhere.
#[derive(Debug)]
pub struct Walk {
    ranges: std::vec::IntoIter<(u32, u32)>,
    /// What is left of the range at hand.
    current: Option<(u32, u32)>,
}

impl Walk {
    /// Over all members of `set`, in order.
    pub fn new<T: Copy + Into<u32> + TryFrom<u32>>(set: &IdSet<T>) -> Self {
        let ranges: Vec<_> = set.ranges().map(|(first, last)| (first.into(), last.into())).collect();
        Self { ranges: ranges.into_iter(), current: None }
    }
}

impl Iterator for Walk {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (first, last) = self.current.take().or_else(|| self.ranges.next())?;
        if first < last {
            self.current = Some((first + 1, last));
        }
        Some(first)
    }
}
