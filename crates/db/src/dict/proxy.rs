//! Dictionaries that a `dict` process has: `proxy:[idle_msecs=<n>:][warn_slow_msecs=<n>:][<socket>]:<name>`.
//! Commands and answers are lines of words with tabs between them, as Dovecot's
//! `src/lib-dict/dict-client.h` has them.

mod answer;
mod link;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use base::{Logger, tab};

use answer::Answer;
use link::{Link, LinkError, Replies};

use super::{Backend, Change, Committed, DictError, Iteration, Row, Transaction};
use crate::limits::{DICT_IDLE_MIN, DICT_WARN_SLOW};

/// The socket of the `dict` process, below `base_dir`.
const SOCKET: &str = "dict";

#[derive(Clone)]
pub(super) struct Options {
    socket: String,
    name: String,
    idle: Duration,
    warn_slow: Duration,
}

impl Options {
    pub(super) fn parse(text: &str, base_dir: &str) -> Result<Self, String> {
        let (mut rest, mut idle, mut warn_slow) = (text, Duration::ZERO, DICT_WARN_SLOW);
        loop {
            let (name, place) = match rest.split_once('=') {
                Some(("idle_msecs", _)) => ("idle_msecs", &mut idle),
                Some(("warn_slow_msecs", _)) => ("warn_slow_msecs", &mut warn_slow),
                _ => break,
            };
            let (word, after) = rest.split_once(':').ok_or_else(|| format!("Invalid URI: {rest}"))?;
            let value = word.split_once('=').and_then(|(_, value)| value.parse::<u32>().ok());
            *place = Duration::from_millis(value.ok_or_else(|| format!("Invalid {name}"))?.into());
            rest = after;
        }
        let (socket, name) = rest.split_once(':').ok_or_else(|| format!("Invalid URI: {rest}"))?;
        let socket = if socket.is_empty() { SOCKET } else { socket };
        let socket = Path::new(base_dir).join(socket).display().to_string();
        Ok(Self { socket, name: name.to_owned(), idle: idle.max(DICT_IDLE_MIN), warn_slow })
    }
}

pub(super) struct Proxy {
    log: Logger,
    warn_slow: Duration,
    link: Link,
    /// The number of the last transaction.
    number: u32,
}

impl Proxy {
    pub(super) fn new(options: Options, log: Logger) -> Self {
        let Options { socket, name, idle, warn_slow } = options;
        Self { log, warn_slow, link: Link::new(socket, name, idle), number: 0 }
    }

    /// Asks, and tries it once more over a new connection if the old one breaks before anything comes.
    fn ask<T>(
        &mut self,
        what: &str,
        command: &str,
        mut read: impl FnMut(&mut Replies<'_>) -> io::Result<T>,
    ) -> Result<T, DictError> {
        let began = Instant::now();
        let text = format!("{command}\n");
        let done = match self.link.exchange(&text, &mut read) {
            Err(error) if error.may_be_repeated() => self.link.exchange(&text, &mut read),
            done => done,
        };
        let took = began.elapsed();
        if done.is_ok() && took >= self.warn_slow {
            self.log.warning(format_args!("dict {what} took {}: {command}", seconds(took)));
        }
        done.map_err(|error| DictError::Failed(format!("{error} (reply took {})", seconds(took))))
    }
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03} secs", time.as_secs(), time.subsec_millis())
}

fn failure(reason: &str, began: Instant) -> String {
    format!("dict-server returned failure: {reason} (reply took {})", seconds(began.elapsed()))
}

impl Backend for Proxy {
    fn lookup(&mut self, user: &str, key: &str) -> Result<Option<Vec<String>>, DictError> {
        let began = Instant::now();
        let command = format!("L{}\t{}", tab::escape(key), tab::escape(user));
        match self.ask("lookup", &command, |replies| Answer::of_lookup(replies.next()?))? {
            Answer::Values(values) => Ok(Some(values)),
            Answer::NotFound => Ok(None),
            Answer::Failed(reason) => Err(DictError::Failed(failure(&reason, began))),
        }
    }

    fn iterate(&mut self, iteration: &Iteration<'_>, each: &mut dyn FnMut(Row)) -> Result<(), DictError> {
        let began = Instant::now();
        let Iteration { user, path, flags, rows_max } = *iteration;
        let command = format!("I{}\t{rows_max}\t{}\t{}", flags.bits(), tab::escape(path), tab::escape(user));
        let failed = self.ask("iteration", &command, |replies| {
            loop {
                match Answer::of_iteration(replies.next()?)? {
                    Ok(mut row) => {
                        if flags.no_value {
                            row.values.clear();
                        }
                        each(row);
                    }
                    Err(end) => return Ok(end),
                }
            }
        })?;
        failed.map_or(Ok(()), |reason| Err(DictError::Failed(failure(&reason, began))))
    }

    fn commit(&mut self, transaction: &Transaction) -> Result<Committed, DictError> {
        let began = Instant::now();
        self.number = self.number.checked_add(1).unwrap_or(1);
        let text = commands(self.number, transaction);
        let done =
            self.link.exchange(&text, &mut |replies: &mut Replies<'_>| Answer::of_commit(replies.next()?));
        let took = began.elapsed();
        if done.is_ok() && took >= self.warn_slow {
            let (count, first) = (transaction.changes.len(), text.lines().nth(1).unwrap_or_default());
            let took = seconds(took);
            self.log.warning(format_args!("dict commit took {took} ({count} commands, first: {first})"));
        }
        match done {
            Ok(Ok(committed)) => Ok(committed),
            Ok(Err((true, reason))) => Err(DictError::Uncertain(failure(&reason, began))),
            Ok(Err((false, reason))) => Err(DictError::Failed(failure(&reason, began))),
            Err(LinkError::NotConnected(reason)) => Err(DictError::Failed(reason)),
            Err(error) => Err(DictError::Uncertain(format!("{error} (reply took {})", seconds(took)))),
        }
    }
}

/// A whole transaction; only its last line is answered.
fn commands(number: u32, transaction: &Transaction) -> String {
    let mut text = format!("B{number}\t{}\n", tab::escape(&transaction.user));
    if let Some((seconds, nanoseconds)) = transaction.timestamp {
        text.push_str(&format!("T{number}\t{seconds}\t{nanoseconds}\n"));
    }
    for change in &transaction.changes {
        let key = tab::escape(change.key());
        text.push_str(&match change {
            Change::Set { value, .. } => format!("S{number}\t{key}\t{}\n", tab::escape(value)),
            Change::Unset { .. } => format!("U{number}\t{key}\n"),
            Change::Increase { diff, .. } => format!("A{number}\t{key}\t{diff}\n"),
        });
    }
    text.push_str(&format!("C{number}\n"));
    text
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::dict::Flags;

    /// One for each line that is said, over the first connection.
    const ANSWERS: [&str; 12] = [
        "*1\n+1\tOx\u{1}ty\t1\t2\t3\t4\n",
        "N\n",
        "Fno\u{1}nway\n",
        "*2\n+2\tMa\u{1}tb\t1\n",
        "*3\n+3\tOshared/1\tv\n+3\tOshared/2\t\n+3\t\t1\t2\t3\t4\n",
        "",
        "",
        "",
        "",
        "",
        "*4\n+4\tN1\t1\t2\t3\t4\n",
        "?\n",
    ];

    #[test]
    fn commands_and_answers() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("dict")).unwrap();
        let server = std::thread::spawn(move || {
            let mut heard = Vec::new();
            for answers in [&ANSWERS[..], &["Oagain\n"]] {
                let mut stream = BufReader::new(listener.accept().unwrap().0);
                for answer in [""].iter().chain(answers) {
                    let mut line = String::new();
                    stream.read_line(&mut line).unwrap();
                    heard.push(line.trim_end_matches('\n').to_owned());
                    stream.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            }
            heard
        });
        let options = Options::parse(":na\tme", dir.path().to_str().unwrap()).unwrap();
        let mut dict = Proxy::new(options, Logger::new(""));
        let one = |value: &str| Ok(Some(vec![value.to_owned()]));
        assert_eq!(dict.lookup("joe", "shared/a\nb"), one("x\ty"));
        assert_eq!(dict.lookup("joe", "priv/b"), Ok(None));
        let failure = dict.lookup("", "shared/c").unwrap_err().to_string();
        assert!(failure.starts_with("dict-server returned failure: no\nway (reply took "), "{failure}");
        assert_eq!(dict.lookup("", "shared/d"), Ok(Some(vec!["a".into(), "b".into()])));
        let mut rows = Vec::new();
        let flags = Flags { recurse: true, ..Flags::default() };
        let iteration = Iteration { user: "joe", path: "shared/", flags, rows_max: 7 };
        dict.iterate(&iteration, &mut |row| rows.push(format!("{}={}", row.key, row.values.concat())))
            .unwrap();
        assert_eq!(rows, ["shared/1=v", "shared/2="]);
        let changes = vec![
            Change::Set { key: "shared/a".into(), value: "\t".into() },
            Change::Unset { key: "shared/b".into() },
            Change::Increase { key: "shared/c".into(), diff: -3 },
        ];
        let transaction = Transaction { user: "joe".into(), timestamp: Some((12, 34)), changes };
        assert_eq!(dict.commit(&transaction), Ok(Committed::NotFound));
        let failure = dict.lookup("", "shared/e").unwrap_err().to_string();
        assert!(failure.contains("Unexpected input: ?"), "{failure}");
        assert_eq!(dict.lookup("", "shared/f"), one("again"), "over a new connection");
        let hello = "H3\t2\t0\t\tna\u{1}tme";
        let commands = [
            hello,
            "Lshared/a\u{1}nb\tjoe",
            "Lpriv/b\tjoe",
            "Lshared/c\t",
            "Lshared/d\t",
            "I1\t7\tshared/\tjoe",
            "B1\tjoe",
            "T1\t12\t34",
            "S1\tshared/a\t\u{1}t",
            "U1\tshared/b",
            "A1\tshared/c\t-3",
            "C1",
            "Lshared/e\t",
            hello,
            "Lshared/f\t",
        ];
        assert_eq!(server.join().unwrap(), commands);
    }

    #[test]
    fn uris() {
        for (text, expect) in [
            (":x", Ok(("/run/d/dict", "x", 1000, 5000))),
            ("other:x:y", Ok(("/run/d/other", "x:y", 1000, 5000))),
            ("/tmp/s:x", Ok(("/tmp/s", "x", 1000, 5000))),
            ("idle_msecs=5000:warn_slow_msecs=10::x", Ok(("/run/d/dict", "x", 5000, 10))),
            ("warn_slow_msecs=10:idle_msecs=0:s:x", Ok(("/run/d/s", "x", 1000, 10))),
            ("x", Err("Invalid URI: x")),
            ("idle_msecs=x::x", Err("Invalid idle_msecs")),
            ("idle_msecs=5", Err("Invalid URI: idle_msecs=5")),
        ] {
            let parsed = Options::parse(text, "/run/d");
            let parsed = parsed.as_ref().map(|options| {
                let (idle, slow) = (options.idle.as_millis(), options.warn_slow.as_millis());
                (options.socket.as_str(), options.name.as_str(), idle, slow)
            });
            assert_eq!(parsed.map_err(String::as_str), expect, "{text}");
        }
    }
}
