//! The `dict` process: answers what is asked of the dictionaries of `dict {}`, so that others need no
//! rights to them (`proxy:`). Commands and answers are lines of words with tabs between them, as
//! Dovecot's `src/lib-dict/dict-client.h` has them. It changes nothing: dictionaries can be read only.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base::{Logger, tab};
use db::dict::{Dict, DictUri};
use rustix::net::Shutdown;
use service::{Client, Entry, Fatal, Process};
use settings::Snapshot;

use crate::limits::{DICT_LINE_BYTES_MAX, DICT_TRANSACTIONS_MAX};

/// The version of the protocol that there has to be.
const MAJOR: &str = "3";
/// From here on answers say when work began and ended, and may come later than those to later commands.
const MINOR_TIMES: u32 = 1;
/// Flags of an iteration: with what is below, sorted by key or by value, without values, for one key.
const RECURSE: u32 = 1;
const SORT_BY_KEY: u32 = 2;
const SORT_BY_VALUE: u32 = 4;
const NO_VALUE: u32 = 8;
const EXACT_KEY: u32 = 16;

const READ_ONLY: &str = "Dictionaries can't be changed in this version";

/// The process as the binary knows it.
pub(crate) fn entry() -> Entry {
    Entry::new("dict", |_| Ok(()), |process, ()| run(process))
}

async fn run(process: Process) -> Result<(), Fatal> {
    let own = process.clone();
    process.serve(move |client| serve(own.clone(), client)).await
}

/// Lives a connection on a thread of its own: the drivers block.
async fn serve(process: Process, client: Client) {
    let Client { stream, guard, .. } = client;
    let log = process.log().clone();
    let begun = stream.into_descriptor().and_then(|socket| {
        rustix::io::ioctl_fionbio(&socket, false)?;
        let closer = socket.try_clone()?;
        Ok((Connection::new(&process, socket)?, closer))
    });
    let (connection, closer) = match begun {
        Ok(begun) => begun,
        Err(error) => return log.error(format_args!("dict client: {}", base::reason(&error))),
    };
    let mut talk = tokio::task::spawn_blocking(move || connection.talk());
    let shutdown = process.shutdown();
    tokio::select! {
        _ = &mut talk => {}
        () = shutdown.stopping() => {
            // What it waits for ends here. It may have ended by itself.
            let _ = rustix::net::shutdown(closer.as_fd(), Shutdown::Both);
            let _ = talk.await;
        }
    }
    drop(guard);
}

/// A client and the dictionary that it has chosen.
pub(crate) struct Connection {
    log: Logger,
    settings: Arc<Snapshot>,
    base_dir: String,
    reader: BufReader<File>,
    writer: File,
    /// Of the client's version.
    minor: u32,
    /// The last number that was given to a command.
    number: u32,
    /// Those that have begun, with whom they are for.
    transactions: HashMap<u32, String>,
}

/// Why a connection ends, for the log; nothing if the client has gone.
type End = Option<String>;

impl Connection {
    fn new(process: &Process, socket: OwnedFd) -> io::Result<Self> {
        let base_dir = process.base_dir().display().to_string();
        Self::over(socket, process.settings(), base_dir, process.log().clone())
    }

    fn over(socket: OwnedFd, settings: Arc<Snapshot>, base_dir: String, log: Logger) -> io::Result<Self> {
        let writer = File::from(socket.try_clone()?);
        Ok(Self {
            log,
            settings,
            base_dir,
            reader: BufReader::new(File::from(socket)),
            writer,
            minor: 0,
            number: 0,
            transactions: HashMap::new(),
        })
    }

    /// Over a socket that is there already, for fuzz targets.
    pub(crate) fn hear(socket: OwnedFd, settings: Arc<Snapshot>, log: Logger) -> io::Result<()> {
        Self::over(socket, settings, String::new(), log).map(Self::talk)
    }

    fn talk(mut self) {
        if let Err(Some(reason)) = self.serve() {
            self.log.error(format_args!("dict client: {reason}"));
        }
    }

    fn serve(&mut self) -> Result<(), End> {
        let (name, mut dict) = self.greet()?;
        loop {
            let line = self.line()?;
            let began = now();
            let mut words = line.get(1..).unwrap_or_default().split('\t').map(tab::unescape);
            let mut word = || words.next().unwrap_or_default();
            match line.get(..1).unwrap_or_default() {
                "L" => {
                    let (key, user) = (word(), word());
                    self.start()?;
                    let answer = self.lookup(&name, &mut dict, &key, &user);
                    self.finish(&answer, began)?;
                }
                "I" => {
                    let (flags, most, path) =
                        (word().parse().unwrap_or(0), word().parse().unwrap_or(0), word());
                    let user = word();
                    self.start()?;
                    let answer = self.iterate(&name, &mut dict, (flags, most), &path, &user)?;
                    self.finish(&answer, began)?;
                }
                "B" => self.begin(&word(), word())?,
                "S" | "U" | "A" | "T" => {
                    self.transaction(&word())?;
                }
                "R" => {
                    let id = self.transaction(&word())?;
                    self.transactions.remove(&id);
                }
                kind @ ("C" | "D") => {
                    let id = self.transaction(&word())?;
                    self.transactions.remove(&id);
                    self.start()?;
                    let sign = if kind == "D" { "A" } else { "" };
                    self.finish(&format!("{sign}F{id}\t{READ_ONLY}"), began)?;
                }
                other => return Err(Some(format!("Unknown command {other}"))),
            }
        }
    }

    /// The client's version, and the dictionary that it wants.
    fn greet(&mut self) -> Result<(String, Dict), End> {
        let line = self.line()?;
        let words: Vec<String> = line.split('\t').map(tab::unescape).collect();
        let [version, minor, _value_type, _user, name, ..] = words.as_slice() else {
            return Err(Some("Broken handshake".into()));
        };
        if version.strip_prefix('H') != Some(MAJOR) {
            return Err(Some("Unsupported protocol version".into()));
        }
        self.minor = minor.parse().map_err(|_| Some("Broken handshake".to_owned()))?;
        let root = self.settings.root();
        let uri = root.dict().get(name).ok_or_else(|| {
            Some(match root.dict().iter().next() {
                None => "No dictionaries configured".to_owned(),
                Some(_) => format!("Unconfigured dictionary name '{name}'"),
            })
        })?;
        let uri = DictUri::parse(uri, &self.base_dir)
            .map_err(|error| Some(format!("Failed to initialize dictionary '{name}': {error}")))?;
        Ok((name.clone(), Dict::new(&uri)))
    }

    fn lookup(&self, name: &str, dict: &mut Dict, key: &str, user: &str) -> String {
        match dict.lookup(user, key) {
            Ok(Some(value)) => format!("O{}", tab::escape(&value)),
            Ok(None) => "N".to_owned(),
            Err(error) => {
                self.log.error(format_args!("dict client: {name}: Lookup failed: {error}"));
                format!("F{}", tab::escape(&error.to_string()))
            }
        }
    }

    /// Sends what was found; gives the end of the answer.
    fn iterate(
        &mut self,
        name: &str,
        dict: &mut Dict,
        (flags, most): (u32, usize),
        path: &str,
        user: &str,
    ) -> Result<String, End> {
        let found = match flags & RECURSE {
            0 => found(dict, flags, path, user),
            _ => Err("Recursive iteration is not supported by this version".to_owned()),
        };
        let mut found = match found {
            Ok(found) => found,
            Err(error) => {
                self.log.error(format_args!("dict client: {name}: dict_iterate() failed: {error}"));
                return Ok(format!("F{}", tab::escape(&error)));
            }
        };
        if flags & SORT_BY_KEY != 0 {
            found.sort_unstable();
        } else if flags & SORT_BY_VALUE != 0 {
            found.sort_unstable_by(|(_, one), (_, other)| one.cmp(other));
        }
        if most > 0 {
            found.truncate(most);
        }
        for (key, value) in found {
            self.send(&format!("O{}\t{}\n", tab::escape(&key), tab::escape(&value)))?;
        }
        Ok(String::new())
    }

    fn begin(&mut self, id: &str, user: String) -> Result<(), End> {
        let id: u32 = id.parse().map_err(|_| Some(format!("Invalid transaction ID {id}")))?;
        if self.transactions.len() >= DICT_TRANSACTIONS_MAX {
            return Err(Some("Too many transactions".to_owned()));
        }
        match self.transactions.insert(id, user) {
            None => Ok(()),
            Some(_) => Err(Some(format!("Transaction ID {id} already exists"))),
        }
    }

    fn transaction(&self, id: &str) -> Result<u32, End> {
        let number = id.parse().map_err(|_| Some(format!("Invalid transaction ID {id}")))?;
        match self.transactions.contains_key(&number) {
            true => Ok(number),
            false => Err(Some(format!("Transaction ID {id} doesn't exist"))),
        }
    }

    /// Says that the command is being worked on, to clients that want to hear it.
    fn start(&mut self) -> Result<(), End> {
        if self.minor < MINOR_TIMES {
            return Ok(());
        }
        self.number = self.number.checked_add(1).unwrap_or(1);
        let line = format!("*{}\n", self.number);
        self.write(&line)
    }

    /// Sends an answer's line, under the command's number where it has one.
    fn send(&mut self, line: &str) -> Result<(), End> {
        match self.minor < MINOR_TIMES {
            true => self.write(line),
            false => self.write(&format!("+{}\t{line}", self.number)),
        }
    }

    /// Sends the last line of an answer.
    fn finish(&mut self, answer: &str, (secs, micros): (u64, u32)) -> Result<(), End> {
        let times = match self.minor < MINOR_TIMES {
            true => String::new(),
            false => {
                let (end_secs, end_micros) = now();
                format!("\t{secs}\t{micros}\t{end_secs}\t{end_micros}")
            }
        };
        self.send(&format!("{answer}{times}\n"))
    }

    fn write(&mut self, line: &str) -> Result<(), End> {
        // The client has gone.
        self.writer.write_all(line.as_bytes()).map_err(|_| None)
    }

    fn line(&mut self) -> Result<String, End> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(DICT_LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut line).map_err(|_| None)?;
        match line.pop() {
            None => Err(None),
            Some(b'\n') => String::from_utf8(line).map_err(|_| Some("Input is not UTF-8".to_owned())),
            Some(_) => Err(Some("Input line is too long, or ends too early".to_owned())),
        }
    }
}

/// Keys and values; without values where nobody asks for them.
fn found(dict: &mut Dict, flags: u32, path: &str, user: &str) -> Result<Vec<(String, String)>, String> {
    let mut keys = Vec::new();
    if flags & EXACT_KEY != 0 {
        keys.push(path.to_owned());
    } else {
        dict.iterate(path, &mut |key| keys.push(key.to_owned())).map_err(|error| error.to_string())?;
    }
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let value = match flags & (NO_VALUE | EXACT_KEY) {
            NO_VALUE => Some(String::new()),
            _ => dict.lookup(user, &key).map_err(|error| error.to_string())?,
        };
        // One that has gone meanwhile is not there.
        found.extend(value.map(|value| (key, if flags & NO_VALUE != 0 { String::new() } else { value })));
    }
    Ok(found)
}

/// Seconds and microseconds since 1970.
fn now() -> (u64, u32) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_micros())
}
