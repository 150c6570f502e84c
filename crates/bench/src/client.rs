//! A blocking IMAP client that sends commands and reads past the answers as fast as they come.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

/// How long a server may say nothing before it counts as hung.
const SILENCE_MAX: Duration = Duration::from_secs(300);
const BUFFER_BYTES: usize = 256 << 10;
/// A SORT of a million messages fits into one line of this length.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Why a measurement came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server said NO, BAD or BYE, in these words.
    Refused(String),
    /// The connection, or a file.
    Io(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(words) => f.write_str(words),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(crate) type Outcome<T> = Result<T, Failure>;

/// What came before a command's tagged OK.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Answer {
    /// Untagged responses.
    pub(crate) untagged: u64,
    /// Bytes in their literals.
    pub(crate) literal_bytes: u64,
    /// A hash of the responses that begin with `* SEARCH`, `* SORT` or `* THREAD`.
    pub(crate) found: u64,
}

/// A session.
pub(crate) struct Imap {
    stream: TcpStream,
    responses: Responses<TcpStream>,
    tags: u32,
    literal_plus: bool,
    multiappend: bool,
}

impl Imap {
    /// Connects and reads the greeting.
    pub(crate) fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let responses = Responses::new(stream.try_clone()?);
        let mut session = Self { stream, responses, tags: 0, literal_plus: false, multiappend: false };
        let greeting = session.responses.line()?;
        let greeting = session.responses.text(greeting);
        if !greeting.starts_with("* OK") {
            return Err(Failure::Refused(greeting));
        }
        Ok(session)
    }

    /// The same, and logs in.
    pub(crate) fn login(address: SocketAddr, user: &str) -> Outcome<Self> {
        let mut session = Self::connect(address)?;
        let tag = session.next_tag();
        session.stream.write_all(format!("{tag} LOGIN {user} pass\r\n").as_bytes())?;
        let capabilities = session.responses.until(&tag, &mut Answer::default())?;
        session.literal_plus = capabilities.contains("LITERAL+");
        session.multiappend = capabilities.contains("MULTIAPPEND");
        Ok(session)
    }

    /// How many messages one APPEND may bring here.
    pub(crate) fn messages_at_once(&self) -> usize {
        if self.multiappend { 50 } else { 1 }
    }

    /// Says goodbye and reads until the server hangs up.
    pub(crate) fn logout(mut self) -> Outcome<()> {
        self.command("LOGOUT")?;
        self.responses.drain()?;
        Ok(())
    }

    /// One command and its whole answer.
    pub(crate) fn command(&mut self, command: &str) -> Outcome<Answer> {
        self.pipeline([command.to_owned()])
    }

    /// Sends all commands, then reads all answers and adds them up.
    pub(crate) fn pipeline(&mut self, commands: impl IntoIterator<Item = String>) -> Outcome<Answer> {
        let mut text = String::new();
        let mut tags = Vec::new();
        for command in commands {
            let tag = self.next_tag();
            text.push_str(&format!("{tag} {command}\r\n"));
            tags.push(tag);
        }
        self.stream.write_all(text.as_bytes())?;
        let mut sum = Answer::default();
        for tag in tags {
            self.responses.until(&tag, &mut sum)?;
        }
        Ok(sum)
    }

    /// Appends messages whose lines end in CRLF, with one command.
    pub(crate) fn append(&mut self, mailbox: &str, messages: &[Vec<u8>]) -> Outcome<()> {
        let tag = self.next_tag();
        let mut bytes = format!("{tag} APPEND {mailbox}").into_bytes();
        let plus = if self.literal_plus { "+" } else { "" };
        for message in messages {
            bytes.extend_from_slice(format!(" {{{}{plus}}}\r\n", message.len()).as_bytes());
            if !self.literal_plus {
                self.stream.write_all(&bytes)?;
                bytes.clear();
                self.responses.continuation()?;
            }
            bytes.extend_from_slice(message);
        }
        bytes.extend_from_slice(b"\r\n");
        self.stream.write_all(&bytes)?;
        self.responses.until(&tag, &mut Answer::default()).map(drop)
    }

    fn next_tag(&mut self) -> String {
        self.tags += 1;
        format!("b{}", self.tags)
    }
}

/// Reads responses from a byte stream. Literals are read past, never kept.
struct Responses<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Responses<R> {
    fn new(source: R) -> Self {
        Self { source, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0 }
    }

    /// Reads up to the response with this tag, and gives back its text; only OK is success.
    fn until(&mut self, tag: &str, sum: &mut Answer) -> Outcome<String> {
        loop {
            let first = self.line()?;
            let line = self.buffer.get(first.clone()).unwrap_or_default();
            if line.starts_with(b"* ") {
                sum.untagged += 1;
                if is_found(line) {
                    let mut hasher = DefaultHasher::new();
                    (sum.found, line.trim_ascii_end()).hash(&mut hasher);
                    sum.found = hasher.finish();
                }
                self.rest_of_response(literal(line), sum)?;
                continue;
            }
            let tagged = line.strip_prefix(tag.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
            let Some(text) = tagged else { return Err(Failure::Refused(self.text(first))) };
            let text = String::from_utf8_lossy(text).into_owned();
            return if text.starts_with("OK") { Ok(text) } else { Err(Failure::Refused(text)) };
        }
    }

    /// Goes past the literals of a response whose first line ended in one of this length.
    fn rest_of_response(&mut self, mut length: Option<usize>, sum: &mut Answer) -> Outcome<()> {
        while let Some(bytes) = length {
            sum.literal_bytes += bytes as u64;
            self.skip(bytes)?;
            let more = self.line()?;
            length = literal(self.buffer.get(more).unwrap_or_default());
        }
        Ok(())
    }

    fn continuation(&mut self) -> Outcome<()> {
        let line = self.line()?;
        match self.buffer.get(line.clone()).unwrap_or_default().first() {
            Some(b'+') => Ok(()),
            _ => Err(Failure::Refused(self.text(line))),
        }
    }

    /// The place of the next line in the buffer, without its line end; good until the next read.
    fn line(&mut self) -> io::Result<Range<usize>> {
        let mut searched = 0;
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            let rest = unread.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', rest) {
                let end = searched + at;
                let line = unread.get(..end).unwrap_or_default();
                let length = line.strip_suffix(b"\r").unwrap_or(line).len();
                let place = self.start..self.start + length;
                self.start += end + 1;
                return Ok(place);
            }
            searched = unread.len();
            self.fill()?;
        }
    }

    fn text(&self, line: Range<usize>) -> String {
        String::from_utf8_lossy(self.buffer.get(line).unwrap_or_default()).into_owned()
    }

    fn skip(&mut self, mut bytes: usize) -> io::Result<()> {
        loop {
            let here = bytes.min(self.end - self.start);
            self.start += here;
            bytes -= here;
            if bytes == 0 {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            if self.end >= LINE_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a response line without end"));
            }
            self.buffer.resize(self.end * 2, 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        match self.source.read(room)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up")),
            bytes => {
                self.end += bytes;
                Ok(())
            }
        }
    }

    /// Reads what comes until the end.
    fn drain(&mut self) -> io::Result<()> {
        io::copy(&mut self.source, &mut io::sink()).map(|_| ())
    }
}

fn is_found(line: &[u8]) -> bool {
    [b"* SEARCH".as_slice(), b"* SORT", b"* THREAD"].iter().any(|word| line.starts_with(word))
}

/// The length of the literal that a line announces at its end.
fn literal(line: &[u8]) -> Option<usize> {
    let inside = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', inside)?;
    std::str::from_utf8(inside.get(open + 1..)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of an awkward size.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let (now, later) = self.0.split_at(self.0.len().min(7).min(buffer.len()));
            self.0 = later;
            buffer[..now.len()].copy_from_slice(now);
            Ok(now.len())
        }
    }

    fn check(input: &str, expected: Result<(u64, u64), &str>) {
        let mut sum = Answer::default();
        let mut responses = Responses::new(Dribble(input.as_bytes()));
        let outcome = responses.until("b1", &mut sum).map(|_| (sum.untagged, sum.literal_bytes));
        match (outcome, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{input:?}"),
            (Err(found), Err(expected)) => assert_eq!(found.to_string(), expected, "{input:?}"),
            (found, expected) => panic!("{input:?}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn responses_are_counted() {
        check("b1 OK done\r\n", Ok((0, 0)));
        check("* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2)\r\nb1 OK done\r\n", Ok((2, 0)));
    }

    #[test]
    fn literals_are_not_taken_for_responses() {
        check(
            "* 1 FETCH (BODY[] {14}\r\nb1 OK literal!UID {1}\r\n7)\r\n* 9 EXISTS\r\nb1 OK done\r\n",
            Ok((2, 15)),
        );
    }

    #[test]
    fn what_is_not_ok_is_a_refusal() {
        check("* 3 EXISTS\r\nb1 BAD Unknown command\r\n", Err("BAD Unknown command"));
        check("b2 OK whose?\r\n", Err("b2 OK whose?"));
        check("* BYE gone\r\n", Err("the server hung up"));
    }

    #[test]
    fn lines_may_be_longer_than_the_buffer() {
        let numbers = " 4711".repeat(BUFFER_BYTES / 4);
        check(&format!("* SORT{numbers}\r\nb1 OK done\r\n"), Ok((1, 0)));
    }

    #[test]
    fn found_messages_make_the_difference() {
        let found = |input: &str| {
            let mut sum = Answer::default();
            Responses::new(input.as_bytes()).until("b1", &mut sum).expect("an answer");
            sum.found
        };
        assert_eq!(
            found("* SEARCH 1 2\r\nb1 OK\r\n"),
            found("* 7 EXISTS\r\n* SEARCH 1 2 \r\nb1 OK done\r\n")
        );
        assert_ne!(found("* SEARCH 1 2\r\nb1 OK\r\n"), found("* SEARCH 1 3\r\nb1 OK\r\n"));
    }
}
