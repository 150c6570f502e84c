//! Standard output as 2.3's doveadm has it: formatters write to a stream that is flushed now and
//! then, everything else goes through the C library's buffer, which a terminal sees line by line
//! and a pipe only at the end. What scripts read depends on that order, so it is kept.

use std::io::{self, IsTerminal, Write};

/// Beyond this the C library's buffer is written out early.
const BUFFER_MAX: usize = 64 * 1024;

/// Both ways to standard output.
#[derive(Default)]
pub(crate) struct Output {
    stream: Vec<u8>,
    plain: Vec<u8>,
    terminal: bool,
    closed: bool,
    /// Where a doveadm server's client reads what formatters write; nobody reads the rest.
    client: Option<Box<dyn Write + Send>>,
    /// Tests look at what would have been written.
    captured: Option<Vec<u8>>,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { terminal: io::stdout().is_terminal(), ..Self::default() }
    }

    /// The output of a doveadm server.
    pub(crate) fn to_client(client: Box<dyn Write + Send>) -> Self {
        Self { client: Some(client), ..Self::default() }
    }

    /// An output that keeps all, as if a pipe read it.
    #[cfg(test)]
    pub(crate) fn captured() -> Self {
        Self { captured: Some(Vec::new()), ..Self::default() }
    }

    #[cfg(test)]
    pub(crate) fn take_captured(&mut self) -> String {
        self.finish();
        String::from_utf8(self.captured.take().unwrap_or_default()).unwrap()
    }

    /// Writes where formatters write.
    pub(crate) fn stream(&mut self, text: &str) {
        self.stream_bytes(text.as_bytes());
    }

    /// Writes any bytes where formatters write.
    pub(crate) fn stream_bytes(&mut self, bytes: &[u8]) {
        self.stream.extend_from_slice(bytes);
        if self.stream.len() > BUFFER_MAX {
            self.flush_stream();
        }
    }

    /// Writes as `printf` does.
    pub(crate) fn plain(&mut self, text: &str) {
        self.plain_bytes(text.as_bytes());
    }

    /// Writes any bytes as `printf` does.
    pub(crate) fn plain_bytes(&mut self, bytes: &[u8]) {
        if self.client.is_some() {
            return;
        }
        self.plain.extend_from_slice(bytes);
        if self.terminal || self.plain.len() > BUFFER_MAX {
            self.flush_plain();
        }
    }

    /// A line through [`Output::plain`].
    pub(crate) fn line(&mut self, text: &str) {
        self.plain(text);
        self.plain("\n");
    }

    /// Writes out what formatters have written.
    pub(crate) fn flush_stream(&mut self) {
        let bytes = std::mem::take(&mut self.stream);
        self.write(&bytes);
    }

    /// Writes out everything.
    pub(crate) fn finish(&mut self) {
        self.flush_stream();
        self.flush_plain();
    }

    /// Whether a terminal reads it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether writing has failed: nobody reads it any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes out now what `plain` was given: for lines that show how work goes on.
    pub(crate) fn flush_plain(&mut self) {
        let bytes = std::mem::take(&mut self.plain);
        self.write(&bytes);
    }

    fn write(&mut self, bytes: &[u8]) {
        match (&mut self.captured, &mut self.client) {
            (Some(captured), _) => captured.extend_from_slice(bytes),
            (None, Some(client)) => self.closed |= client.write_all(bytes).is_err(),
            (None, None) => {
                // Whoever closed the pipe does not want the rest.
                let mut stdout = io::stdout().lock();
                self.closed |= stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err();
            }
        }
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}
