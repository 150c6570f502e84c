//! Reads bare lines: what a client sends while a command has the connection for itself, like the
//! DONE of IDLE or the responses of AUTHENTICATE.

/// Collects one line at a time, however the bytes come.
#[derive(Debug)]
pub struct LineReader {
    line: Vec<u8>,
    bytes_max: usize,
}

/// A line that is longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line is too long")]
pub struct LineTooLong;

impl LineReader {
    /// A reader for lines of at most `bytes_max` bytes without their end.
    pub const fn new(bytes_max: usize) -> Self {
        Self { line: Vec::new(), bytes_max }
    }

    /// Takes bytes off `input`; the line without CRLF or LF once it is complete, `None` if all
    /// input was taken and more is needed. After an error the reader is useless.
    pub fn read(&mut self, input: &mut &[u8]) -> Option<Result<Vec<u8>, LineTooLong>> {
        let end = input.iter().position(|&byte| byte == b'\n');
        let (more, rest) = input.split_at(end.unwrap_or(input.len()));
        *input = rest;
        // One byte more for the CR.
        if self.line.len() + more.len() > self.bytes_max + 1 {
            return Some(Err(LineTooLong));
        }
        self.line.extend_from_slice(more);
        end?;
        *input = rest.get(1..).unwrap_or_default();
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(if line.len() > self.bytes_max { Err(LineTooLong) } else { Ok(line) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_ends() {
        let mut reader = LineReader::new(4);
        let mut input = &b"DONE\r\nab\nlonger\r\n"[..];
        assert_eq!(reader.read(&mut input), Some(Ok(b"DONE".to_vec())));
        assert_eq!(reader.read(&mut input), Some(Ok(b"ab".to_vec())));
        assert_eq!(reader.read(&mut input), Some(Err(LineTooLong)));
    }

    #[test]
    fn pieces() {
        let mut reader = LineReader::new(4);
        assert_eq!(reader.read(&mut &b"DO"[..]), None);
        assert_eq!(reader.read(&mut &b"NE\r"[..]), None);
        assert_eq!(reader.read(&mut &b"\nx"[..]), Some(Ok(b"DONE".to_vec())));
    }
}
