//! Commands that take more than one step: because the client reads slowly, or there is much to do.

use crate::context::Context;
use crate::out::OutBuf;

/// What a step of a job came to.
#[derive(Debug)]
pub enum Step {
    /// The command is done.
    Done,
    /// More output may follow once there is room again.
    More,
    /// The connection must end. The text is for the log.
    Close(String),
}

/// A command that goes on.
pub trait Job: Send {
    /// Does a bounded piece of work.
    fn step(&mut self, context: &mut Context, out: &mut OutBuf) -> Step;
}

/// What a command begins with.
pub enum Start {
    /// It is done already.
    Done,
    /// It made no sense. Too many of these in a row, and the client is sent away.
    Bad,
    /// It goes on.
    Job(Box<dyn Job>),
    /// The session is over. The text is for the log.
    Close(String),
}
