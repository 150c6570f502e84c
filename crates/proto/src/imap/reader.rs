//! Reads commands from a byte stream, however it is cut into pieces. No input is kept: bytes go
//! straight into the tag, name and arguments that are being built, every byte is looked at once,
//! and between commands the reader owns no memory. APPEND's message is handed on piece by piece.
//!
//! The grammar is RFC 3501 §9 as 2.3 reads it: bare LF ends a line too, atoms may contain `*`, `%`,
//! `\` and brackets, quoted strings may contain 8-bit bytes, commands without arguments skip what
//! follows. Literals: synchronising, non-synchronising (RFC 7888), and `~{n}` for APPEND.

use super::arg::Arg;
use super::error::{Place, SyntaxError};
use super::kind::{CommandKind, Phase};
use super::lexer::{Lexed, Lexer, LexerLimits};
use super::limits;
use super::skip::Skip;

/// A command's tag: non-empty printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(Box<str>);

impl Tag {
    /// The tag as the client sent it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A complete command: the name is known, the arguments are well formed but have no meaning yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawCommand {
    /// What its answer starts with.
    pub tag: Tag,
    /// Which command it is.
    pub kind: CommandKind,
    /// Everything after the name; empty where [`CommandKind::skips_arguments`].
    pub args: Vec<Arg>,
}

/// An APPEND that has come to a message. The caller must call [`CommandReader::accept_message`] or
/// [`CommandReader::refuse_message`] before it reads on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageHead {
    /// What the answer starts with.
    pub tag: Tag,
    /// Arguments before the literal; for a second message (RFC 3502) those since the first.
    pub args: Vec<Arg>,
    /// Whether it is the first message of the command, so that `args` begins with the mailbox.
    pub is_first: bool,
    /// Announced size in bytes.
    pub size_bytes: u64,
    /// Whether the client waits for a continuation before it sends the message.
    pub is_synchronizing: bool,
    /// Whether it was announced as `~{n}` and may contain NULs (RFC 3516 §4.4).
    pub is_binary: bool,
}

/// What came out of the bytes read so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A complete command.
    Command(RawCommand),
    /// A synchronising literal was announced: send `+ OK`.
    SendContinuation,
    /// APPEND has come to a message.
    Message(MessageHead),
    /// A piece of the message that was accepted.
    MessageData(&'a [u8]),
    /// All of the message has been handed on. More may come before [`Event::AppendEnd`].
    MessageEnd,
    /// The APPEND command is complete.
    AppendEnd(Tag),
    /// A command was refused; reading goes on with the next one unless the error is fatal.
    Error(SyntaxError),
}

/// The reader. See the module's documentation.
#[derive(Debug)]
pub struct CommandReader {
    phase: Phase,
    line_bytes_max: usize,
    /// The largest literal that may come without waiting.
    nonsync_bytes_max: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In the tag.
    Tag(Vec<u8>),
    /// In the name; after `UID ` it has two words.
    Name { tag: Tag, name: String },
    /// In the arguments.
    Args { tag: Tag, kind: CommandKind, lexer: Box<Lexer>, messages: u32 },
    /// APPEND waits for the caller's word.
    Asked { tag: Tag, size: u64, sync: bool },
    /// In a message.
    Message { tag: Tag, left: u64, messages: u32 },
    /// In a line whose rest does not matter; at its end the command, if any, is delivered.
    Skipping { skip: Skip, then: Option<(Tag, CommandKind)> },
    /// After a fatal error nothing is read any more.
    Dead,
}

impl CommandReader {
    /// A reader for the time before login, with its stricter limits.
    pub fn before_login() -> Self {
        Self::new(Phase::BeforeLogin, limits::LOGIN_LINE_BYTES_MAX)
    }

    /// A reader for a logged-in client; `line_bytes_max` is `imap_max_line_length`.
    pub fn after_login(line_bytes_max: usize) -> Self {
        Self::new(Phase::AfterLogin, line_bytes_max)
    }

    fn new(phase: Phase, line_bytes_max: usize) -> Self {
        Self { phase, line_bytes_max, nonsync_bytes_max: u64::MAX, state: START }
    }

    /// The same for LITERAL- (`imap_literal_minus`): literals of more than 4096 bytes have to wait.
    #[must_use]
    pub fn with_literal_minus(self) -> Self {
        Self { nonsync_bytes_max: limits::LITERAL_MINUS_BYTES_MAX, ..self }
    }

    /// Whether it is between two commands, with nothing of the next one read.
    pub fn is_between_commands(&self) -> bool {
        matches!(&self.state, State::Tag(tag) if tag.is_empty())
    }

    /// The command of which a part has been read, once its name is known.
    pub fn unfinished(&self) -> Option<CommandKind> {
        match &self.state {
            State::Args { kind, .. } => Some(*kind),
            State::Asked { .. } | State::Message { .. } => Some(CommandKind::Append),
            State::Skipping { then, .. } => then.as_ref().map(|(_, kind)| *kind),
            _ => None,
        }
    }

    /// Takes bytes off the front of `input` until something comes out; `None` means that all of it
    /// has been taken and more is needed.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        loop {
            let state = std::mem::replace(&mut self.state, State::Dead);
            let (state, event) = self.step(state, input);
            self.state = state;
            if event.is_some() {
                return event;
            }
            // Every step either takes bytes or moves to a state that does.
            if input.is_empty() || matches!(self.state, State::Dead | State::Asked { .. }) {
                return None;
            }
        }
    }

    /// Refuses the literal that [`Event::SendContinuation`] is about: the command ends here, and the client
    /// sends nothing more of it. Gives the command's tag.
    pub fn refuse_literal(&mut self) -> Option<Tag> {
        match std::mem::replace(&mut self.state, START) {
            State::Args { tag, .. } => Some(tag),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Has the message that was announced handed on. The caller sends the continuation if
    /// [`MessageHead::is_synchronizing`].
    pub fn accept_message(&mut self) {
        self.state = match std::mem::replace(&mut self.state, START) {
            State::Asked { tag, size, .. } => State::Message { tag, left: size, messages: 1 },
            other => other,
        };
    }

    /// Refuses the message: the command ends here. A client that did not wait is let finish, and
    /// its bytes are thrown away.
    pub fn refuse_message(&mut self) {
        self.state = match std::mem::replace(&mut self.state, START) {
            State::Asked { sync: true, .. } => START,
            State::Asked { size, .. } => State::Skipping { skip: Skip::literal(size), then: None },
            other => other,
        };
    }

    /// Gives up the APPEND whose message is being handed on (a full disk, say): what is left of it
    /// is thrown away, and no [`Event::AppendEnd`] follows.
    pub fn abandon_message(&mut self) {
        self.state = match std::mem::replace(&mut self.state, START) {
            State::Message { left, .. } => State::Skipping { skip: Skip::literal(left), then: None },
            State::Args { kind: CommandKind::Append, .. } => {
                State::Skipping { skip: Skip::line(), then: None }
            }
            other => other,
        };
    }

    fn step<'a>(&mut self, state: State, input: &mut &'a [u8]) -> (State, Option<Event<'a>>) {
        match state {
            State::Tag(tag) => read_tag(tag, input),
            State::Name { tag, name } => self.read_name(tag, name, input),
            State::Args { tag, kind, lexer, messages } => read_args(tag, kind, lexer, messages, input),
            State::Message { tag, left, messages } => self.read_message(tag, left, messages, input),
            State::Skipping { mut skip, then } => match (skip.read(input), then) {
                (false, then) => (State::Skipping { skip, then }, None),
                (true, Some((tag, kind))) => {
                    (START, Some(Event::Command(RawCommand { tag, kind, args: Vec::new() })))
                }
                (true, None) => (START, None),
            },
            State::Asked { .. } | State::Dead => (state, None),
        }
    }

    fn read_name<'a>(&self, tag: Tag, mut name: String, input: &mut &'a [u8]) -> (State, Option<Event<'a>>) {
        let end = input.iter().position(|&byte| !is_word_byte(byte));
        let room = limits::NAME_BYTES_MAX - name.len().min(limits::NAME_BYTES_MAX);
        let (word, rest) = input.split_at(end.unwrap_or(input.len()));
        if word.len() > room {
            return refuse(Some(tag), Place::Name, "Too long argument", input);
        }
        name.extend(word.iter().map(|byte| char::from(byte.to_ascii_uppercase())));
        *input = rest;
        let Some(&stop) = rest.first() else { return (State::Name { tag, name }, None) };
        if stop == b' ' && name == "UID" && self.phase == Phase::AfterLogin {
            *input = rest.get(1..).unwrap_or_default();
            return (State::Name { tag, name: name + " " }, None);
        }
        if name.is_empty() || name == "UID" || name.ends_with(' ') || !matches!(stop, b' ' | b'\r' | b'\n') {
            return refuse(Some(tag), Place::Name, "Invalid command name", input);
        }
        let Some(kind) = CommandKind::lookup(&name, self.phase) else {
            return refuse(Some(tag), Place::Command(name.into()), "Unknown command", input);
        };
        if kind.skips_arguments() {
            return (State::Skipping { skip: Skip::line(), then: Some((tag, kind)) }, None);
        }
        (State::Args { tag, kind, lexer: Box::new(Lexer::new(self.lexer_limits(kind))), messages: 0 }, None)
    }

    fn lexer_limits(&self, kind: CommandKind) -> LexerLimits {
        let (nesting_max, args_max) = match self.phase {
            Phase::BeforeLogin => (limits::LOGIN_NESTING_MAX, limits::LOGIN_ARGS_MAX),
            Phase::AfterLogin => (limits::NESTING_MAX, limits::ARGS_MAX),
        };
        LexerLimits {
            nonsync_bytes_max: self.nonsync_bytes_max,
            bytes_max: self.line_bytes_max,
            nesting_max,
            args_max,
            has_message: kind == CommandKind::Append,
        }
    }

    fn read_message<'a>(
        &self,
        tag: Tag,
        left: u64,
        messages: u32,
        input: &mut &'a [u8],
    ) -> (State, Option<Event<'a>>) {
        if left == 0 {
            let mut lexer = Box::new(Lexer::new(self.lexer_limits(CommandKind::Append)));
            lexer.after_message();
            return (
                State::Args { tag, kind: CommandKind::Append, lexer, messages },
                Some(Event::MessageEnd),
            );
        }
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let (data, rest) = input.split_at(take);
        *input = rest;
        let state = State::Message { tag, left: left - take as u64, messages };
        (state, (!data.is_empty()).then_some(Event::MessageData(data)))
    }
}

const START: State = State::Tag(Vec::new());

fn read_tag<'a>(mut tag: Vec<u8>, input: &mut &'a [u8]) -> (State, Option<Event<'a>>) {
    let end = input.iter().position(|&byte| !is_word_byte(byte) || byte == b'+');
    let (word, rest) = input.split_at(end.unwrap_or(input.len()));
    if tag.len() + word.len() > limits::TAG_BYTES_MAX {
        return refuse(None, Place::Tag, "Too long argument", input);
    }
    tag.extend_from_slice(word);
    *input = rest;
    match rest.first() {
        None => (State::Tag(tag), None),
        Some(b' ' | b'\r' | b'\n') if !tag.is_empty() => {
            // Invariant: only ASCII passes `is_word_byte`.
            let tag = Tag(String::from_utf8_lossy(&tag).into());
            if rest.first() == Some(&b' ') {
                *input = rest.get(1..).unwrap_or_default();
            }
            (State::Name { tag, name: String::new() }, None)
        }
        Some(_) => refuse(None, Place::Tag, "Invalid tag", input),
    }
}

fn read_args<'a>(
    tag: Tag,
    kind: CommandKind,
    mut lexer: Box<Lexer>,
    messages: u32,
    input: &mut &'a [u8],
) -> (State, Option<Event<'a>>) {
    match lexer.read(input) {
        Lexed::More => (State::Args { tag, kind, lexer, messages }, None),
        Lexed::Continue => (State::Args { tag, kind, lexer, messages }, Some(Event::SendContinuation)),
        Lexed::End(args) if messages > 0 && args.is_empty() => (START, Some(Event::AppendEnd(tag))),
        Lexed::End(_) if messages > 0 => {
            let error = SyntaxError {
                tag: Some(tag),
                place: Place::Command(kind.name().into()),
                text: "Invalid arguments",
            };
            (START, Some(Event::Error(error)))
        }
        Lexed::End(args) => (START, Some(Event::Command(RawCommand { tag, kind, args }))),
        Lexed::Message { args, size, sync, binary } => {
            let head = MessageHead {
                tag: tag.clone(),
                args,
                is_first: messages == 0,
                size_bytes: size,
                is_synchronizing: sync,
                is_binary: binary,
            };
            (State::Asked { tag, size, sync }, Some(Event::Message(head)))
        }
        Lexed::Bad(text) => refuse(Some(tag), Place::Command(kind.name().into()), text, input),
        Lexed::BadLine(text) => (
            START,
            Some(Event::Error(SyntaxError {
                tag: Some(tag),
                place: Place::Command(kind.name().into()),
                text,
            })),
        ),
        Lexed::Fatal(text) => {
            (State::Dead, Some(Event::Error(SyntaxError { tag: None, place: Place::Stream, text })))
        }
    }
}

/// Reports an error now and skips the rest of the line afterwards, at once if it is there already.
fn refuse<'a>(
    tag: Option<Tag>,
    place: Place,
    text: &'static str,
    input: &mut &'a [u8],
) -> (State, Option<Event<'a>>) {
    let mut skip = Skip::line();
    let state = match skip.read(input) {
        true => START,
        false => State::Skipping { skip, then: None },
    };
    (state, Some(Event::Error(SyntaxError { tag, place, text })))
}

/// Bytes that may stand in tags and command names: printable ASCII without RFC 3501's specials.
fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

#[cfg(test)]
mod tests;
