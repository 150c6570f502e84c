//! Dictionaries that a `dict` process has: `proxy:[<socket>]:<name>`. Commands and answers are lines of
//! words with tabs between them, as Dovecot's `src/lib-dict/dict-client.h` has them.

use std::io;
use std::path::Path;

use super::wire::{self, Wire, unexpected};
use super::{Address, DictError};
use crate::limits::DICT_TIMEOUT;

/// Protocol 3.0: answers come in the order of the commands, and without times. 2.3 speaks all 3.x.
const VERSION: &str = "3\t0";
/// The socket of the `dict` process, below `base_dir`.
const SOCKET: &str = "dict";
/// Of an iteration: keys only.
const NO_VALUES: u32 = 8;

#[derive(Clone)]
pub(super) struct Options {
    socket: String,
    name: String,
}

impl Options {
    pub(super) fn parse(text: &str, base_dir: &str) -> Result<Self, String> {
        let (socket, name) = text.split_once(':').ok_or_else(|| format!("Invalid URI: {text}"))?;
        if socket.starts_with("idle_msecs=") || socket.starts_with("warn_slow_msecs=") {
            return Err(format!("{socket} is not supported by this version"));
        }
        let socket = if socket.is_empty() { SOCKET } else { socket };
        let socket = Path::new(base_dir).join(socket).display().to_string();
        Ok(Self { socket, name: name.to_owned() })
    }
}

pub(super) struct Proxy {
    options: Options,
    wire: Option<Wire>,
}

/// What the process says.
enum Answer {
    Value(String),
    NotFound,
    Failed(String),
}

impl Answer {
    fn parse(line: &str) -> io::Result<Self> {
        let mut words = line.split('\t');
        let first = words.next().unwrap_or_default();
        match first.split_at_checked(1) {
            Some(("O", value)) => Ok(Self::Value(base::tab::unescape(value))),
            Some(("N", _)) => Ok(Self::NotFound),
            Some(("F", reason)) => Ok(Self::Failed(base::tab::unescape(reason))),
            _ => Err(unexpected(line)),
        }
    }
}

fn failed(reason: String) -> DictError {
    DictError::Failed { driver: "proxy", reason }
}

impl Proxy {
    pub(super) fn new(options: Options) -> Self {
        Self { options, wire: None }
    }

    pub(super) fn lookup(&mut self, user: &str, key: &str) -> Result<Option<String>, DictError> {
        let command = format!("L{}\t{}\n", base::tab::escape(key), base::tab::escape(user));
        let answer = self.exchange(&command, |wire| Answer::parse(&wire.unix_line()?))?;
        match answer {
            Answer::Value(value) => Ok(Some(value)),
            Answer::NotFound => Ok(None),
            Answer::Failed(reason) => Err(failed(format!("dict-server returned failure: {reason}"))),
        }
    }

    pub(super) fn iterate(&mut self, prefix: &str, each: &mut dyn FnMut(&str)) -> Result<(), DictError> {
        let command = format!("I{NO_VALUES}\t0\t{}\t\n", base::tab::escape(prefix));
        let answer = self.exchange(&command, |wire| {
            loop {
                // The end is a line with nothing in it.
                let line = wire.unix_line()?;
                if line.is_empty() {
                    return Ok(Answer::NotFound);
                }
                match Answer::parse(&line)? {
                    Answer::Value(key) => each(&key),
                    end => return Ok(end),
                }
            }
        })?;
        match answer {
            Answer::Failed(reason) => Err(failed(format!("dict-server returned failure: {reason}"))),
            Answer::Value(_) | Answer::NotFound => Ok(()),
        }
    }

    fn exchange(
        &mut self,
        command: &str,
        answer: impl FnOnce(&mut Wire) -> io::Result<Answer>,
    ) -> Result<Answer, DictError> {
        let asked = self.wire().and_then(|wire| {
            wire.send(command.as_bytes())?;
            answer(wire)
        });
        asked.map_err(|error| {
            // Nobody knows what comes next on it.
            self.wire = None;
            failed(format!("{}: {}", self.options.socket, wire::reason(&error, DICT_TIMEOUT)))
        })
    }

    /// A connection that is ready for a command.
    fn wire(&mut self) -> io::Result<&mut Wire> {
        let wire = match self.wire.take().and_then(|mut wire| wire.is_idle().then_some(wire)) {
            Some(mut wire) => {
                wire.restart(DICT_TIMEOUT);
                wire
            }
            None => {
                let mut wire = Wire::connect(&Address::Unix(self.options.socket.clone()), DICT_TIMEOUT)?;
                // Values are texts, and whose keys are meant comes with each command.
                wire.send(
                    format!("H{VERSION}\t0\t\t{}\n", base::tab::escape(&self.options.name)).as_bytes(),
                )?;
                wire
            }
        };
        Ok(self.wire.insert(wire))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn commands_and_answers() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("dict");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let mut heard = Vec::new();
            for answers in
                [&["Ox\u{1}ty\n", "N\n", "Fno\u{1}nway\n", "Oa/1\t\nOa/2\t\n\n", "?\n"][..], &["Oagain\n"]]
            {
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
        let mut dict = Proxy::new(options);
        assert_eq!(dict.lookup("joe", "shared/a\nb"), Ok(Some("x\ty".into())));
        assert_eq!(dict.lookup("joe", "priv/b"), Ok(None));
        let failure = dict.lookup("", "c").unwrap_err().to_string();
        assert_eq!(failure, "proxy: dict-server returned failure: no\nway");
        let mut keys = Vec::new();
        dict.iterate("a/", &mut |key| keys.push(key.to_owned())).unwrap();
        assert_eq!(keys, ["a/1", "a/2"]);
        let failure = dict.lookup("", "d").unwrap_err().to_string();
        assert!(failure.ends_with("Communication failure: Unexpected input: ?"), "{failure}");
        assert_eq!(dict.lookup("", "e"), Ok(Some("again".into())), "over a new connection");
        let hello = "H3\t0\t0\t\tna\u{1}tme";
        let commands =
            ["Lshared/a\u{1}nb\tjoe", "Lpriv/b\tjoe", "Lc\t", "I8\t0\ta/\t", "Ld\t", hello, "Le\t"];
        assert_eq!(server.join().unwrap(), [&[hello], &commands[..]].concat());
    }

    #[test]
    fn uris() {
        for (text, expect) in [
            (":x", Ok(("/run/d/dict", "x"))),
            ("other:x:y", Ok(("/run/d/other", "x:y"))),
            ("/tmp/s:x", Ok(("/tmp/s", "x"))),
            ("x", Err("Invalid URI: x")),
            ("idle_msecs=5::x", Err("idle_msecs=5 is not supported by this version")),
        ] {
            let parsed = Options::parse(text, "/run/d").map(|options| (options.socket, options.name));
            let expect = expect.map(|(socket, name)| (socket.to_owned(), name.to_owned()));
            assert_eq!(parsed, expect.map_err(str::to_owned), "{text}");
        }
    }
}
