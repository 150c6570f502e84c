//! What a doveadm server sends: values, escaped, each with a tab behind it. The client knows the columns.

use super::{Column, Formatter, MultiLine};
use crate::output::Output;
use crate::wire::escape_into;

#[derive(Debug, Default)]
pub(super) struct Server {
    columns: usize,
}

impl Server {
    fn end_value(&self, at: usize, output: &mut Output) {
        output.stream_bytes(b"\t");
        if at + 1 >= self.columns {
            output.flush_stream();
        }
    }
}

impl Formatter for Server {
    fn columns(&mut self, columns: &[Column], _output: &mut Output) {
        self.columns = columns.len();
    }

    fn value(&mut self, at: usize, value: &str, output: &mut Output) {
        self.bytes(at, value.as_bytes(), output);
    }

    fn bytes(&mut self, at: usize, value: &[u8], output: &mut Output) {
        let mut escaped = Vec::new();
        escape_into(value, &mut escaped);
        output.stream_bytes(&escaped);
        self.end_value(at, output);
    }

    fn piece(&mut self, at: usize, piece: &[u8], output: &mut Output) -> Result<(), MultiLine> {
        if piece.is_empty() {
            self.end_value(at, output);
            return Ok(());
        }
        let mut escaped = Vec::new();
        escape_into(piece, &mut escaped);
        output.stream_bytes(&escaped);
        Ok(())
    }

    fn end(&mut self, _output: &mut Output) {}
}
