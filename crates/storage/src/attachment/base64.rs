//! Base64 (RFC 4648 §4) for attachments: whether a text can be decoded and made again byte for byte, and
//! both directions.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn value(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Appends the base64 text of `bytes`, padded.
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for block in bytes.chunks(3) {
        let byte = |index: usize| u32::from(block.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let character = ALPHABET.get((bits >> shift & 63) as usize).copied().unwrap_or(b'=');
            out.push(if place <= block.len() { character } else { b'=' });
        }
    }
}

/// Appends what text that [`Judge`] has accepted stands for. Line ends are passed over; the bits of a
/// block that is not complete wait in it.
#[derive(Default)]
pub(super) struct Decoder {
    bits: u32,
    count: u32,
}

impl Decoder {
    pub(super) fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for value in text.iter().filter_map(|&character| value(character)) {
            self.bits = self.bits << 6 | u32::from(value);
            self.count += 6;
            if self.count >= 8 {
                self.count -= 8;
                out.push((self.bits >> self.count) as u8);
                self.bits &= (1 << self.count) - 1;
            }
        }
    }
}

/// Looks at the text of a part as it goes by, and says how much of it is base64 in lines of one length
/// with one kind of line end: exactly what can be made again from the decoded bytes.
#[derive(Default)]
pub(super) struct Judge {
    state: State,
    /// All bytes seen.
    seen: u64,
    /// Bytes up to the end of the last complete block.
    valid: u64,
    blocks_per_line: u32,
    blocks: u32,
    crlf: bool,
    last_value: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Between blocks.
    #[default]
    Block0,
    Block1,
    Block2,
    Block3,
    AfterCr,
    /// After one `=` of two.
    Padding,
    /// The base64 text has ended; what follows belongs to the message.
    End,
    /// It is none.
    Failed,
}

/// How a text can be made again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    /// How long the text is, in bytes.
    pub(super) bytes: u64,
    pub(super) blocks_per_line: u32,
    pub(super) crlf: bool,
}

impl Judge {
    pub(super) fn push(&mut self, text: &[u8]) {
        for &byte in text {
            if matches!(self.state, State::End | State::Failed) {
                break;
            }
            self.seen += 1;
            self.state = self.step(byte);
        }
    }

    /// What was found, once all has gone by.
    pub(super) fn finish(self) -> Option<Shape> {
        let ended = self.state == State::End || (self.state == State::Block0 && self.valid > 0);
        // Only one line: its own length is the length.
        let blocks_per_line = if self.blocks_per_line == 0 { self.blocks } else { self.blocks_per_line };
        (ended && blocks_per_line > 0).then_some(Shape {
            bytes: self.valid,
            blocks_per_line,
            crlf: self.crlf,
        })
    }

    fn step(&mut self, byte: u8) -> State {
        let known = value(byte);
        let before = std::mem::replace(&mut self.last_value, known.unwrap_or(0));
        match (self.state, byte, known) {
            (State::Block0, _, Some(_)) => State::Block1,
            (State::Block0, b'\r', _) => State::AfterCr,
            (State::Block0, b'\n', _) if self.crlf => State::Failed,
            (State::Block0, b'\n', _) => self.line_end(),
            (State::Block1, _, Some(_)) => State::Block2,
            (State::Block2, _, Some(_)) => State::Block3,
            // Bits that no byte has are lost by decoding.
            (State::Block2, b'=', _) if before & 0x0f == 0 => State::Padding,
            (State::Block3, _, Some(_)) => self.block_end(State::Block0),
            (State::Block3, b'=', _) if before & 0x03 == 0 => self.block_end(State::End),
            (State::Padding, b'=', _) => self.block_end(State::End),
            (State::AfterCr, b'\n', _) if self.crlf || self.blocks_per_line == 0 => {
                self.crlf = true;
                self.line_end()
            }
            _ => State::Failed,
        }
    }

    fn block_end(&mut self, next: State) -> State {
        self.valid = self.seen;
        self.blocks = self.blocks.saturating_add(1);
        let too_long = self.blocks_per_line > 0 && self.blocks > self.blocks_per_line;
        if too_long { State::Failed } else { next }
    }

    fn line_end(&mut self) -> State {
        if self.blocks < self.blocks_per_line {
            return State::End;
        }
        if self.blocks == 0 {
            return State::Failed;
        }
        self.blocks_per_line = self.blocks;
        self.blocks = 0;
        State::Block0
    }
}

/// Where byte `offset` of an encoded text lies.
pub(super) struct Place {
    /// The first byte of the decoded block.
    pub(super) decoded: u64,
    /// How many bytes of what comes out from there to leave out.
    pub(super) skip: usize,
}

/// A text made again from decoded bytes, from any place on.
pub(super) struct Encoder {
    blocks_per_line: u64,
    line_end: &'static [u8],
    block: u64,
}

impl Encoder {
    /// Starts at the block that `offset` is in, or in the line end before it.
    pub(super) fn at(offset: u64, blocks_per_line: u32, crlf: bool) -> (Self, Place) {
        let line_end: &[u8] = if crlf { b"\r\n" } else { b"\n" };
        let blocks_per_line = u64::from(blocks_per_line.max(1));
        let line_bytes = blocks_per_line * 4 + line_end.len() as u64;
        let (line, within) = (offset / line_bytes, offset % line_bytes);
        let in_line = (within / 4).min(blocks_per_line);
        let block = line * blocks_per_line + in_line;
        // A line end comes out before the first block of the next line, not behind the last.
        let skip =
            if in_line == 0 && line > 0 { within + line_end.len() as u64 } else { within - in_line * 4 };
        let place = Place { decoded: block.saturating_mul(3), skip: skip as usize };
        (Self { blocks_per_line, line_end, block }, place)
    }

    /// Appends the text of the next bytes, which must be whole blocks except at the end.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for block in bytes.chunks(3) {
            if self.block > 0 && self.block.is_multiple_of(self.blocks_per_line) {
                out.extend_from_slice(self.line_end);
            }
            encode(block, out);
            self.block += 1;
        }
    }
}
