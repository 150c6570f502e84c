//! The streaming parser: bytes in, in pieces of any size; the tree of parts out, with header fields
//! and body bytes shown to a [`Sink`] on the way.
//!
//! Memory stays bounded by `limits` whatever the message's size. The structure found is the one
//! Dovecot 2.3 finds, down to which side of a boundary a line end belongs to, because sizes in
//! BODYSTRUCTURE and byte ranges of sections follow from it.

use std::io::{self, Read};

use crate::envelope::Envelope;
use crate::header::Field;
use crate::limits::{
    BOUNDARY_BYTES_MAX, BOUNDARY_LINE_BYTES_MAX, DESCRIPTION_BYTES_MAX, FIELD_BYTES_MAX, LINE_PIECE_BYTES,
    NESTED_PARTS_MAX, READ_BYTES, TOTAL_PARTS_MAX,
};
use crate::part::{Part, PartFlags, PartId, Parts, Size};

/// What to collect on the way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Make the message's own [`Envelope`] too. Envelopes of messages inside are always made.
    pub envelope: bool,
}

/// Sees a message go by. Every method may be left out.
pub trait Sink {
    /// A header field of `part` is complete.
    fn field(&mut self, part: PartId, field: &Field<'_>) {
        let _ = (part, field);
    }

    /// The header of `part` has ended; its flags are final.
    fn header_end(&mut self, part: PartId, flags: PartFlags) {
        let _ = (part, flags);
    }

    /// Bytes of the body of `part`, which is no multipart: preambles, epilogues and boundaries are
    /// not shown, nor is the line end before a boundary.
    fn body(&mut self, part: PartId, data: &[u8]) {
        let _ = (part, data);
    }

    /// Bytes of the message that [`body`](Self::body) is not shown: headers, boundaries, what stands
    /// between parts. Both together show every byte once, in order.
    fn other(&mut self, data: &[u8]) {
        let _ = data;
    }

    /// True ends [`parse_reader`] early; the tree is then cut off at that point.
    fn is_done(&self) -> bool {
        false
    }
}

impl Sink for () {}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn field(&mut self, part: PartId, field: &Field<'_>) {
        (**self).field(part, field);
    }

    fn header_end(&mut self, part: PartId, flags: PartFlags) {
        (**self).header_end(part, flags);
    }

    fn body(&mut self, part: PartId, data: &[u8]) {
        (**self).body(part, data);
    }

    fn other(&mut self, data: &[u8]) {
        (**self).other(data);
    }

    fn is_done(&self) -> bool {
        (**self).is_done()
    }
}

/// Parses a message that is in memory.
pub fn parse(message: &[u8], options: Options) -> Parts {
    let mut core = Core::new(options, ());
    core.consume(message, true);
    core.finish().0
}

/// Parses a message from its beginning to its end, or until the sink is done.
///
/// # Errors
/// Whatever `reader` gives; an interrupted read is tried again.
pub fn parse_reader(mut reader: impl Read, options: Options, sink: impl Sink) -> io::Result<Parts> {
    let mut core = Core::new(options, sink);
    let mut buffer = vec![0; FIRST_BYTES];
    let mut filled = 0;
    loop {
        let space = buffer.get_mut(filled..).unwrap_or_default();
        let room = space.len();
        let count = match reader.read(space) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        filled += count;
        let used = core.consume(buffer.get(..filled).unwrap_or_default(), count == 0);
        if count == 0 || core.sink.is_done() {
            return Ok(core.finish().0);
        }
        // What is left over is at most one line piece, far less than the buffer.
        buffer.copy_within(used..filled, 0);
        filled -= used;
        if count == room && buffer.len() < READ_BYTES {
            buffer.resize(READ_BYTES, 0);
        }
    }
}

/// What is read of a message first: making room for more takes longer than parsing a small one.
const FIRST_BYTES: usize = 16 * 1024;

/// Parses a message that arrives in pieces.
pub struct Parser<S: Sink = ()> {
    core: Core<S>,
    /// The end of the last piece that could not be judged yet.
    pending: Vec<u8>,
}

impl<S: Sink> Parser<S> {
    /// Starts a message.
    pub fn new(options: Options, sink: S) -> Self {
        Self { core: Core::new(options, sink), pending: Vec::new() }
    }

    /// Takes the next piece.
    pub fn push(&mut self, data: &[u8]) {
        if self.pending.is_empty() {
            let used = self.core.consume(data, false);
            self.pending.extend_from_slice(data.get(used..).unwrap_or_default());
            return;
        }
        for piece in data.chunks(READ_BYTES) {
            self.pending.extend_from_slice(piece);
            let used = self.core.consume(&self.pending, false);
            self.pending.drain(..used);
        }
    }

    /// What sees the message go by.
    pub fn sink(&mut self) -> &mut S {
        &mut self.core.sink
    }

    /// Ends the message.
    pub fn finish(mut self) -> (Parts, S) {
        let pending = std::mem::take(&mut self.pending);
        self.core.consume(&pending, true);
        self.core.finish()
    }
}

/// Where the parser is in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Body,
    /// After a boundary's text, up to the end of its line.
    BoundaryLine,
}

/// A boundary that may come.
#[derive(Debug)]
struct Boundary {
    text: Vec<u8>,
    part: PartId,
}

/// The field being collected.
#[derive(Debug, Default)]
struct FieldBuffer {
    bytes: Vec<u8>,
    /// In the middle of a line whose end has not come yet.
    mid_line: bool,
}

/// What a line's beginning says.
enum Line {
    Ordinary,
    Undecided,
    /// The boundary at this place of the stack, and whether it is the closing one.
    Boundary {
        index: usize,
        closing: bool,
    },
}

struct Core<S> {
    sink: S,
    parts: Vec<Part>,
    last_child: Vec<Option<PartId>>,
    current: PartId,
    depth: usize,
    offset: u64,
    last_byte: u8,
    state: State,
    boundaries: Vec<Boundary>,
    field: FieldBuffer,
    /// Bytes of the line end that closed the last header line.
    line_end_bytes: u64,
    /// The header's empty line is read; what comes next decides whom its line end belongs to.
    after_empty_line: bool,
    own_boundary: Option<Vec<u8>>,
    has_own_boundary: bool,
    seen_type: bool,
    described_bytes: usize,
    envelope: Option<Box<Envelope>>,
}

impl<S: Sink> Core<S> {
    fn new(options: Options, sink: S) -> Self {
        Self {
            sink,
            parts: vec![Part::default()],
            last_child: vec![None],
            current: PartId::ROOT,
            depth: 0,
            offset: 0,
            last_byte: b'\n',
            state: State::Header,
            boundaries: Vec::new(),
            field: FieldBuffer::default(),
            line_end_bytes: 0,
            after_empty_line: false,
            own_boundary: None,
            has_own_boundary: false,
            seen_type: false,
            described_bytes: 0,
            envelope: options.envelope.then(Box::default),
        }
    }

    /// Takes what can be judged from the front of `data` and says how much that was. What is left
    /// must come again with more behind it. With `eof` everything is taken.
    fn consume(&mut self, data: &[u8], eof: bool) -> usize {
        let mut pos = 0;
        loop {
            let rest = data.get(pos..).unwrap_or_default();
            let before = (self.state, self.current);
            let used = match self.state {
                State::Header => self.header_line(rest, eof),
                State::Body if self.boundaries.is_empty() => self.plain_body(rest),
                State::Body => self.bounded_body(rest, eof),
                State::BoundaryLine => self.boundary_line(rest),
            };
            pos += used;
            let stuck = used == 0 && (self.state, self.current) == before;
            if stuck || (pos == data.len() && !eof) {
                return pos;
            }
        }
    }

    fn finish(mut self) -> (Parts, S) {
        // At most twice: a message/rfc822 that ends with its header still holds an empty message.
        while self.state == State::Header {
            self.end_header();
        }
        while self.current != PartId::ROOT {
            self.close_part();
        }
        (Parts::new(self.parts, self.envelope), self.sink)
    }

    fn part(&mut self) -> &mut Part {
        // Invariant: `current` is the index of a part that was pushed.
        &mut self.parts[self.current.index()]
    }

    fn count_header(&mut self, data: &[u8]) {
        let before = self.last_byte;
        self.part().header.count(before, data);
        self.advance(data);
        self.sink.other(data);
    }

    fn count_body(&mut self, data: &[u8]) {
        let before = self.last_byte;
        self.part().body.count(before, data);
        self.advance(data);
    }

    fn advance(&mut self, data: &[u8]) {
        self.offset += data.len() as u64;
        if let Some(&last) = data.last() {
            self.last_byte = last;
        }
    }

    // Headers

    fn header_line(&mut self, data: &[u8], eof: bool) -> usize {
        if data.is_empty() {
            if eof {
                self.end_header();
            }
            return 0;
        }
        if self.after_empty_line {
            match self.judge_line(data, eof) {
                Line::Undecided => {}
                Line::Boundary { index, .. } if self.is_foreign(index) => self.boundary_in_header(),
                _ => self.end_header(),
            }
            return 0;
        }
        if !self.field.mid_line {
            let end = match data {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                [b'\r'] if !eof => return 0,
                _ => 0,
            };
            if end > 0 {
                return self.empty_line(data.get(..end).unwrap_or_default());
            }
            match self.judge_line(data, eof) {
                Line::Undecided => return 0,
                Line::Boundary { .. } => {
                    self.boundary_in_header();
                    return 0;
                }
                Line::Ordinary => {}
            }
        }
        self.header_text(data, eof)
    }

    fn header_text(&mut self, data: &[u8], eof: bool) -> usize {
        let end = match memchr::memchr(b'\n', data) {
            Some(lf) => lf + 1,
            None if eof || data.len() >= LINE_PIECE_BYTES => data.len(),
            None => return 0,
        };
        let line = data.get(..end).unwrap_or_default();
        let continues = self.field.mid_line || matches!(line.first(), Some(b' ' | b'\t'));
        if !continues {
            self.end_field();
        }
        let room = FIELD_BYTES_MAX.saturating_sub(self.field.bytes.len());
        self.field.bytes.extend_from_slice(line.get(..room.min(line.len())).unwrap_or_default());
        self.field.mid_line = line.last() != Some(&b'\n');
        self.line_end_bytes = match line {
            [.., b'\r', b'\n'] => 2,
            [b'\n'] if self.last_byte == b'\r' => 2,
            [.., b'\n'] => 1,
            _ => 0,
        };
        self.count_header(line);
        end
    }

    /// The empty line after a header. A multipart's own boundary counts from here on.
    fn empty_line(&mut self, line_end: &[u8]) -> usize {
        self.end_field();
        if self.part().flags.mime
            && let Some(mut text) = self.own_boundary.take()
        {
            if self.depth + 1 >= NESTED_PARTS_MAX {
                self.part().flags.overflow = true;
                self.part().flags.multipart = false;
            } else {
                text.truncate(BOUNDARY_BYTES_MAX);
                self.boundaries.push(Boundary { text, part: self.current });
                self.has_own_boundary = true;
            }
        }
        self.count_header(line_end);
        self.line_end_bytes = line_end.len() as u64;
        self.after_empty_line = true;
        line_end.len()
    }

    fn is_foreign(&self, boundary: usize) -> bool {
        self.boundaries.get(boundary).is_some_and(|boundary| boundary.part != self.current)
    }

    /// A boundary of an outer part came before the header ended. The line end before it belongs to
    /// the boundary, so it moves from this header to the parent's body.
    fn boundary_in_header(&mut self) {
        self.end_field();
        if self.line_end_bytes > 0
            && let Some(parent) = self.part().parent
        {
            let line_end = Size { physical: self.line_end_bytes, virtual_: 2, lines: 1 };
            let header = &mut self.part().header;
            header.physical = header.physical.saturating_sub(line_end.physical);
            header.virtual_ = header.virtual_.saturating_sub(2);
            header.lines = header.lines.saturating_sub(1);
            self.parts[parent.index()].body += line_end;
        }
        self.end_header();
    }

    fn end_field(&mut self) {
        self.field.mid_line = false;
        if self.field.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.field.bytes);
        self.take_field(&bytes);
        self.field.bytes = bytes;
        self.field.bytes.clear();
        self.field.bytes.shrink_to(LINE_PIECE_BYTES);
    }

    fn take_field(&mut self, bytes: &[u8]) {
        let field = Field::split(bytes);
        let id = self.current;
        self.sink.field(id, &field);
        if memchr::memchr(0, bytes).is_some() {
            self.part().flags.nuls = true;
        }
        if field.is(b"Mime-Version") || field.is(b"Content-Type") {
            self.part().flags.mime = true;
        }
        if id == PartId::ROOT
            && let Some(envelope) = &mut self.envelope
        {
            envelope.take(&field);
        }
        if self.described_bytes > DESCRIPTION_BYTES_MAX {
            return;
        }
        let inside_message = self.part().parent.is_some_and(|parent| self.parts[parent.index()].flags.rfc822);
        let part = self.part();
        if inside_message && let Some(envelope) = &mut part.data.envelope {
            envelope.take(&field);
        }
        if let Some(facts) = part.data.take(&field)
            && !self.seen_type
        {
            self.seen_type = true;
            let flags = &mut self.part().flags;
            flags.multipart = facts.flags.multipart;
            flags.digest = facts.flags.digest;
            flags.rfc822 = facts.flags.rfc822;
            flags.text = facts.flags.text;
            self.own_boundary = facts.boundary;
        }
    }

    fn end_header(&mut self) {
        self.end_field();
        let parent = self.part().parent.map(|parent| self.parts[parent.index()].flags).unwrap_or_default();
        let seen_type = std::mem::take(&mut self.seen_type);
        self.own_boundary = None;
        self.line_end_bytes = 0;
        self.after_empty_line = false;
        let part = self.part();
        if !part.flags.mime {
            part.flags = PartFlags { nuls: part.flags.nuls, ..PartFlags::default() };
            part.data.forget();
        }
        if !seen_type || !part.flags.mime {
            part.flags.rfc822 |= parent.digest;
            part.flags.text |= !parent.digest;
        }
        self.described_bytes += self.part().data.weight();
        self.last_byte = b'\n';
        self.state = State::Body;
        let room = self.depth + 1 < NESTED_PARTS_MAX && self.parts.len() < TOTAL_PARTS_MAX;
        let bounded = std::mem::take(&mut self.has_own_boundary);
        let part = self.part();
        let inside = part.flags.rfc822 && !bounded && room;
        if part.flags.rfc822 && !inside {
            part.flags.overflow = true;
            part.flags.rfc822 = false;
        }
        let (id, flags) = (self.current, self.part().flags);
        self.sink.header_end(id, flags);
        if inside {
            self.open_part();
        }
    }

    // Bodies

    fn plain_body(&mut self, data: &[u8]) -> usize {
        self.body_text(data);
        data.len()
    }

    fn body_text(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if !self.part().flags.nuls && memchr::memchr(0, data).is_some() {
            self.part().flags.nuls = true;
        }
        self.count_body(data);
        if !self.part().flags.multipart {
            let id = self.current;
            self.sink.body(id, data);
        } else {
            self.sink.other(data);
        }
    }

    /// Body text up to the next boundary. The line end before a boundary belongs to the boundary,
    /// so one is held back until the line after it is known.
    fn bounded_body(&mut self, data: &[u8], eof: bool) -> usize {
        if data.is_empty() {
            return 0;
        }
        if self.last_byte == b'\n' {
            match self.judge_line(data, eof) {
                Line::Undecided => return 0,
                Line::Boundary { index, closing } => return self.cross_boundary(data, 0, index, closing),
                Line::Ordinary => {}
            }
        }
        for lf in memchr::memchr_iter(b'\n', data) {
            let line = data.get(lf + 1..).unwrap_or_default();
            let line_end = if lf > 0 && data.get(lf - 1) == Some(&b'\r') { 2 } else { 1 };
            let text_end = lf + 1 - line_end;
            match self.judge_line(line, eof) {
                Line::Ordinary => {}
                Line::Undecided => {
                    self.body_text(data.get(..text_end).unwrap_or_default());
                    return text_end;
                }
                Line::Boundary { index, closing } => {
                    self.body_text(data.get(..text_end).unwrap_or_default());
                    let rest = data.get(text_end..).unwrap_or_default();
                    return text_end + self.cross_boundary(rest, line_end, index, closing);
                }
            }
        }
        // A CR at the end may belong to a line end before a boundary.
        let held = usize::from(data.last() == Some(&b'\r') && !eof);
        let (text, _) = data.split_at(data.len() - held);
        self.body_text(text);
        text.len()
    }

    fn cross_boundary(&mut self, data: &[u8], line_end: usize, index: usize, closing: bool) -> usize {
        let Some(boundary) = self.boundaries.get(index) else { return 0 };
        let (text_bytes, part) = (boundary.text.len(), boundary.part);
        while self.current != part && self.current != PartId::ROOT {
            self.close_part();
        }
        self.boundaries.truncate(if closing { index } else { index + 1 });
        let bytes = line_end + 2 + text_bytes + if closing { 2 } else { 0 };
        let text = data.get(..bytes).unwrap_or(data);
        self.count_body(text);
        self.sink.other(text);
        self.state = State::BoundaryLine;
        text.len()
    }

    fn boundary_line(&mut self, data: &[u8]) -> usize {
        let lf = memchr::memchr(b'\n', data);
        let line = data.get(..lf.map_or(data.len(), |lf| lf + 1)).unwrap_or_default();
        self.count_body(line);
        self.sink.other(line);
        let Some(lf) = lf else { return data.len() };
        self.state = State::Body;
        if self.boundaries.last().is_some_and(|boundary| boundary.part == self.current) {
            self.open_part();
            self.part().flags.mime = true;
        }
        lf + 1
    }

    /// Judges the line that `data` begins with.
    fn judge_line(&mut self, data: &[u8], eof: bool) -> Line {
        if self.boundaries.is_empty() {
            return Line::Ordinary;
        }
        let rest = match data {
            [b'-', b'-', rest @ ..] => rest,
            [] | [b'-'] if !eof => return Line::Undecided,
            _ => return Line::Ordinary,
        };
        if self.parts.len() >= TOTAL_PARTS_MAX {
            self.part().flags.overflow = true;
            return Line::Ordinary;
        }
        let window = rest.get(..rest.len().min(BOUNDARY_LINE_BYTES_MAX)).unwrap_or_default();
        let (text, dashed) = match memchr::memchr(b'\n', window) {
            Some(lf) => {
                let line = window.get(..lf).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                (line, line.len() > 2 && line.ends_with(b"--"))
            }
            None if window.len() < BOUNDARY_LINE_BYTES_MAX && !eof => return Line::Undecided,
            None => (window, false),
        };
        match self.find_boundary(text, dashed) {
            None => Line::Ordinary,
            Some((index, length)) => {
                let closing = window.get(length..).is_some_and(|tail| tail.starts_with(b"--"));
                Line::Boundary { index, closing }
            }
        }
    }

    /// The innermost boundary that the line begins with; a longer match wins, an exact one ends the
    /// search. Only the beginning has to match, as MIME says.
    fn find_boundary(&self, line: &[u8], dashed: bool) -> Option<(usize, usize)> {
        let mut best: Option<(usize, usize)> = None;
        for (index, boundary) in self.boundaries.iter().enumerate().rev() {
            let length = boundary.text.len();
            if line.starts_with(&boundary.text) && best.is_none_or(|(_, longest)| length > longest) {
                best = Some((index, length));
                if length == line.len() || (dashed && length + 2 == line.len()) {
                    break;
                }
            }
        }
        best
    }

    // The tree

    fn open_part(&mut self) {
        let id = PartId(u32::try_from(self.parts.len()).unwrap_or(u32::MAX));
        let parent = self.current;
        self.parts.push(Part { start: self.offset, parent: Some(parent), ..Part::default() });
        let inside_message = self.parts[parent.index()].flags.rfc822;
        if inside_message {
            // Even a message without any field has an envelope, one of NILs.
            self.parts[id.index()].data.envelope = Some(Box::default());
        }
        self.last_child.push(None);
        match self.last_child[parent.index()].replace(id) {
            Some(sibling) => self.parts[sibling.index()].next = Some(id),
            None => self.parts[parent.index()].first_child = Some(id),
        }
        self.current = id;
        self.depth += 1;
        self.state = State::Header;
        self.line_end_bytes = 0;
    }

    fn close_part(&mut self) {
        let size = self.part().header + self.part().body;
        let Some(parent) = self.part().parent else { return };
        self.current = parent;
        self.depth -= 1;
        self.part().body += size;
    }
}
