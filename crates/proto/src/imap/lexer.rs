//! Builds the arguments of one command from bytes as they come. Used by the reader only.

use super::arg::Arg;

/// What one command may contain.
#[derive(Debug, Clone, Copy)]
pub(super) struct LexerLimits {
    pub(super) bytes_max: usize,
    /// The largest literal that the client may send without waiting.
    pub(super) nonsync_bytes_max: u64,
    pub(super) nesting_max: usize,
    pub(super) args_max: usize,
    /// Whether a literal after the first argument is a message that is handed on unbuffered.
    pub(super) has_message: bool,
}

/// What came of the bytes.
#[derive(Debug)]
pub(super) enum Lexed {
    /// All input is taken, the line goes on.
    More,
    /// A synchronising literal is wanted.
    Continue,
    /// The line is complete.
    End(Vec<Arg>),
    /// A message literal begins.
    Message { args: Vec<Arg>, size: u64, sync: bool, binary: bool },
    /// Refused; the rest of the line is still in the input.
    Bad(&'static str),
    /// Refused with the end of the line, which has been taken.
    BadLine(&'static str),
    /// Refused, and the connection must end.
    Fatal(&'static str),
}

#[derive(Debug)]
pub(super) struct Lexer {
    limits: LexerLimits,
    bytes: usize,
    args: usize,
    /// Lists that are open; the first one is the command itself.
    open: Vec<Vec<Arg>>,
    token: Token,
    /// Set where an atom could be a second word only after a space.
    after_message: bool,
}

#[derive(Debug)]
enum Token {
    None,
    /// A `~` that may become `~{n}` or the beginning of an atom.
    Tilde,
    Atom(Vec<u8>),
    Quoted {
        text: Vec<u8>,
        escaped: bool,
    },
    LiteralHead {
        size: Option<u64>,
        step: HeadStep,
        sync: bool,
        binary: bool,
    },
    Literal {
        bytes: Vec<u8>,
        left: usize,
    },
    /// A CR that must be followed by LF.
    Cr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeadStep {
    Size,
    Plus,
    Closed,
    Cr,
}

/// What one token did: go on, or something for the caller.
type Step = Result<(), Lexed>;

impl Lexer {
    pub(super) fn new(limits: LexerLimits) -> Self {
        Self { limits, bytes: 0, args: 0, open: vec![Vec::new()], token: Token::None, after_message: false }
    }

    /// Prepares for what may follow an APPEND's message.
    pub(super) fn after_message(&mut self) {
        self.after_message = true;
    }

    /// Takes bytes off `input` until the line is complete or there is something to say.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Lexed {
        loop {
            // An empty literal is complete without a byte.
            if input.is_empty() && !matches!(self.token, Token::Literal { left: 0, .. }) {
                return Lexed::More;
            }
            let before = input.len();
            let step = self.step(input);
            self.bytes += before - input.len();
            if let Err(lexed) = step {
                return lexed;
            }
            if self.bytes > self.limits.bytes_max {
                return Lexed::Bad("Too long argument");
            }
        }
    }

    fn step(&mut self, input: &mut &[u8]) -> Step {
        match std::mem::replace(&mut self.token, Token::None) {
            Token::None => self.between(input),
            Token::Tilde => self.tilde(input),
            Token::Atom(word) => self.atom(word, input),
            Token::Quoted { text, escaped } => self.quoted(text, escaped, input),
            Token::LiteralHead { size, step, sync, binary } => {
                self.literal_head(size, step, sync, binary, input)
            }
            Token::Literal { bytes, left } => self.literal(bytes, left, input),
            Token::Cr => match take(input) {
                Some(b'\n') => self.end_of_line(),
                _ => Err(Lexed::Bad("CR sent without LF")),
            },
        }
    }

    fn between(&mut self, input: &mut &[u8]) -> Step {
        let Some(byte) = take(input) else { return Ok(()) };
        match byte {
            b' ' => {}
            b'\r' => self.token = Token::Cr,
            b'\n' => return self.end_of_line(),
            b'(' if self.open.len() > self.limits.nesting_max => return Err(Lexed::Bad("Too many '('")),
            b'(' => self.open.push(Vec::new()),
            b')' => return self.close_list(),
            b'"' => self.token = Token::Quoted { text: Vec::new(), escaped: false },
            b'{' => self.token = head(false),
            b'~' => self.token = Token::Tilde,
            _ if is_atom_byte(byte) => self.token = Token::Atom(vec![byte]),
            _ => return Err(Lexed::Bad(bad_atom_byte(byte))),
        }
        Ok(())
    }

    fn tilde(&mut self, input: &mut &[u8]) -> Step {
        match input.first() {
            Some(b'{') if self.is_at_message() => {
                take(input);
                self.token = head(true);
                Ok(())
            }
            Some(b'{') => Err(Lexed::Bad("literal8 not allowed here")),
            _ => self.atom(vec![b'~'], input),
        }
    }

    fn atom(&mut self, mut word: Vec<u8>, input: &mut &[u8]) -> Step {
        let end = input.iter().position(|&byte| !is_atom_byte(byte));
        let (more, rest) = input.split_at(end.unwrap_or(input.len()));
        word.extend_from_slice(more);
        *input = rest;
        match rest.first() {
            None => {
                self.token = Token::Atom(word);
                Ok(())
            }
            Some(b' ' | b')' | b'\r' | b'\n') => {
                // Invariant: only ASCII passes `is_atom_byte`.
                self.push(Arg::Atom(String::from_utf8_lossy(&word).into()))
            }
            Some(&byte) => Err(Lexed::Bad(bad_atom_byte(byte))),
        }
    }

    fn quoted(&mut self, mut text: Vec<u8>, escaped: bool, input: &mut &[u8]) -> Step {
        if escaped
            && let Some(&byte) = input.first()
            && !matches!(byte, b'\r' | b'\n' | 0)
        {
            text.push(byte);
            take(input);
            self.token = Token::Quoted { text, escaped: false };
            return Ok(());
        }
        let end = input.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0));
        let (more, rest) = input.split_at(end.unwrap_or(input.len()));
        text.extend_from_slice(more);
        *input = rest;
        match rest.first() {
            None => self.token = Token::Quoted { text, escaped: false },
            Some(b'"') => {
                take(input);
                return self.push(Arg::String(text.into()));
            }
            Some(b'\\') => {
                take(input);
                self.token = Token::Quoted { text, escaped: true };
            }
            Some(0) => return Err(Lexed::Bad("NULs not allowed in strings")),
            Some(_) => return Err(Lexed::Bad("Missing '\"'")),
        }
        Ok(())
    }

    fn literal_head(
        &mut self,
        size: Option<u64>,
        step: HeadStep,
        sync: bool,
        binary: bool,
        input: &mut &[u8],
    ) -> Step {
        let Some(&byte) = input.first() else { return Ok(()) };
        let (size, step, sync) = match (step, byte) {
            (HeadStep::Size, b'0'..=b'9') => {
                let digit = u64::from(byte - b'0');
                let size = size.unwrap_or(0).checked_mul(10).and_then(|size| size.checked_add(digit));
                let size = size.filter(|&size| size <= i64::MAX as u64).ok_or(LITERAL_TOO_LARGE)?;
                (Some(size), HeadStep::Size, sync)
            }
            (HeadStep::Size, b'+') if size.is_some() => (size, HeadStep::Plus, false),
            (HeadStep::Size | HeadStep::Plus, b'}') if size.is_some() => (size, HeadStep::Closed, sync),
            (HeadStep::Size, _) => return Err(Lexed::Bad("Invalid literal size")),
            (HeadStep::Plus, _) => return Err(Lexed::Bad("Expecting '}' after '+'")),
            (HeadStep::Closed, b'\r') => (size, HeadStep::Cr, sync),
            (HeadStep::Closed | HeadStep::Cr, b'\n') => {
                take(input);
                return self.begin_literal(size.unwrap_or(0), sync, binary);
            }
            (HeadStep::Closed | HeadStep::Cr, _) => return Err(Lexed::Bad("Missing LF after literal size")),
        };
        take(input);
        self.token = Token::LiteralHead { size, step, sync, binary };
        Ok(())
    }

    fn begin_literal(&mut self, size: u64, sync: bool, binary: bool) -> Step {
        // Its bytes are on their way: only the end of the connection keeps them out.
        if !sync && size > self.limits.nonsync_bytes_max {
            return Err(Lexed::Fatal("Non-synchronizing literal size too large"));
        }
        if self.is_at_message() {
            let args = self.open.pop().unwrap_or_default();
            return Err(Lexed::Message { args, size, sync, binary });
        }
        let room = self.limits.bytes_max.saturating_sub(self.bytes);
        let left = usize::try_from(size).ok().filter(|&size| size <= room).ok_or(LITERAL_TOO_LARGE)?;
        self.token = Token::Literal { bytes: Vec::new(), left };
        if sync { Err(Lexed::Continue) } else { Ok(()) }
    }

    fn literal(&mut self, mut bytes: Vec<u8>, left: usize, input: &mut &[u8]) -> Step {
        let (more, rest) = input.split_at(left.min(input.len()));
        bytes.extend_from_slice(more);
        *input = rest;
        let left = left - more.len();
        if left > 0 {
            self.token = Token::Literal { bytes, left };
            return Ok(());
        }
        if bytes.contains(&0) {
            return Err(Lexed::Bad("NULs not allowed in strings"));
        }
        self.push(Arg::String(bytes.into()))
    }

    /// Whether a literal that begins now is APPEND's message: not the mailbox, not in a list.
    fn is_at_message(&self) -> bool {
        let has_mailbox = self.after_message || self.open.first().is_some_and(|args| !args.is_empty());
        self.limits.has_message && self.open.len() == 1 && has_mailbox
    }

    fn push(&mut self, arg: Arg) -> Step {
        self.args += 1;
        if self.args > self.limits.args_max {
            return Err(Lexed::Bad("Too many arguments"));
        }
        if let Some(list) = self.open.last_mut() {
            list.push(arg);
        }
        Ok(())
    }

    fn close_list(&mut self) -> Step {
        if self.open.len() < 2 {
            return Err(Lexed::Bad("Unexpected ')'"));
        }
        let list = self.open.pop().unwrap_or_default();
        self.push(Arg::List(list))
    }

    fn end_of_line(&mut self) -> Step {
        let args = self.open.pop().unwrap_or_default();
        Err(if self.open.is_empty() { Lexed::End(args) } else { Lexed::BadLine("Missing ')'") })
    }
}

const LITERAL_TOO_LARGE: Lexed = Lexed::Fatal("Literal size too large");

fn head(binary: bool) -> Token {
    Token::LiteralHead { size: None, step: HeadStep::Size, sync: true, binary }
}

fn take(input: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = input.split_first()?;
    *input = rest;
    Some(byte)
}

fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'"')
}

fn bad_atom_byte(byte: u8) -> &'static str {
    if byte.is_ascii() { "Invalid characters in atom" } else { "8bit data in atom" }
}
