//! A client and the dictionary that it has chosen. Its commands are answered in their order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base::{Logger, tab};
use db::dict::{Change, Committed, Dict, DictError, Flags, Iteration, Row, Transaction};
use service::Stream;
use settings::Snapshot;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::command::Command;
use super::pool::{Pool, Shared};
use crate::limits::{
    DICT_ANSWER_BYTES_MAX, DICT_CHANGES_BYTES_MAX, DICT_LINE_BYTES_MAX, DICT_TRANSACTIONS_MAX,
    DICT_WRITE_BYTES,
};

/// The version of the protocol that there has to be.
const MAJOR: &str = "3";
/// From here on answers have numbers, and say when work began and ended.
const MINOR_TIMES: u32 = 1;
/// From here on a lookup may give several values.
const MINOR_VALUES: u32 = 2;

pub(super) struct Connection {
    reader: BufReader<Stream>,
    pool: Arc<Pool>,
    log: Logger,
    /// Of the client's version.
    minor: u32,
    /// The last number that was given to a command.
    number: u32,
    /// Those that have begun.
    transactions: HashMap<u32, Transaction>,
    /// What is in them.
    changes_bytes: usize,
}

/// Why a connection ends, for the log; nothing if the client has gone.
type End = Option<String>;

/// Seconds and microseconds since 1970.
type Time = (u64, u32);

impl Connection {
    pub(super) fn new(stream: Stream, pool: Arc<Pool>, log: Logger) -> Self {
        let reader = BufReader::new(stream);
        Self { reader, pool, log, minor: 0, number: 0, transactions: HashMap::new(), changes_bytes: 0 }
    }

    pub(super) async fn talk(&mut self, settings: &Snapshot) {
        if let Err(Some(reason)) = self.serve(settings).await {
            self.log.error(format_args!("dict client: {reason}"));
        }
    }

    async fn serve(&mut self, settings: &Snapshot) -> Result<(), End> {
        let dict = self.greet(settings).await?;
        loop {
            let line = self.line().await?;
            let began = now();
            match Command::parse(&line).map_err(Some)? {
                Command::Lookup { key, user } => self.lookup(&dict, key, user, began).await?,
                Command::Iterate { flags, rows_max, path, user } => {
                    self.iterate(&dict, (flags, rows_max), path, user, began).await?;
                }
                Command::Begin { id, user } => self.begin(id, user)?,
                Command::Change { id, change } => self.change(id, change)?,
                Command::Timestamp { id, time } => self.transaction(id)?.timestamp = Some(time),
                Command::Rollback { id } => drop(self.end(id)?),
                Command::Commit { id, marked } => self.commit(&dict, id, marked, began).await?,
            }
        }
    }

    /// The client's version, and the dictionary that it wants.
    async fn greet(&mut self, settings: &Snapshot) -> Result<Arc<Shared>, End> {
        let line = self.line().await?;
        let words: Vec<String> = line.split('\t').map(tab::unescape).collect();
        let [version, minor, _value_type, _user, name, ..] = words.as_slice() else {
            return Err(Some("Broken handshake".into()));
        };
        if version.strip_prefix('H') != Some(MAJOR) {
            return Err(Some("Unsupported protocol version".into()));
        }
        self.minor = minor.parse().map_err(|_| Some("Broken handshake".to_owned()))?;
        self.pool.find(settings, name).map_err(Some)
    }

    async fn lookup(
        &mut self,
        dict: &Arc<Shared>,
        key: String,
        user: String,
        began: Time,
    ) -> Result<(), End> {
        self.start().await?;
        let found = dict.with(move |dict| dict.values(&user, &key)).await.map_err(DictError::Failed);
        let answer = match found.and_then(|found| found) {
            Ok(Some(values)) => self.values(&values),
            Ok(None) => "N".to_owned(),
            Err(error) => {
                self.log.error(format_args!("dict client: {}: Lookup failed: {error}", dict.name));
                format!("F{}", tab::escape(&error.to_string()))
            }
        };
        self.finish(&answer, began).await
    }

    fn values(&self, values: &[String]) -> String {
        match values {
            [_, _, ..] if self.minor >= MINOR_VALUES => {
                // Escaped once more, so that they become one word.
                let values: Vec<_> = values.iter().map(|value| tab::escape(value)).collect();
                format!("M{}", tab::escape(&values.join("\t")))
            }
            _ => format!("O{}", tab::escape(values.first().map_or("", String::as_str))),
        }
    }

    async fn iterate(
        &mut self,
        dict: &Arc<Shared>,
        (flags, rows_max): (Flags, usize),
        path: String,
        user: String,
        began: Time,
    ) -> Result<(), End> {
        self.start().await?;
        let found = dict.with(move |dict| rows(dict, &user, &path, flags, rows_max)).await;
        let (rows, failed) = found.unwrap_or_else(|error| (Vec::new(), Some(error)));
        let number = self.prefix();
        let mut text = String::new();
        for row in rows {
            let values: Vec<_> = row.values.iter().map(|value| tab::escape(value)).collect();
            text.push_str(&format!("{number}O{}\t{}\n", tab::escape(&row.key), values.join("\t")));
            if text.len() >= DICT_WRITE_BYTES {
                self.write(&std::mem::take(&mut text)).await?;
            }
        }
        self.write(&text).await?;
        let answer = match failed {
            None => String::new(),
            Some(error) => {
                self.log.error(format_args!("dict client: {}: dict_iterate() failed: {error}", dict.name));
                format!("F{}", tab::escape(&error))
            }
        };
        self.finish(&answer, began).await
    }

    fn begin(&mut self, id: u32, user: String) -> Result<(), End> {
        if self.transactions.len() >= DICT_TRANSACTIONS_MAX {
            return Err(Some("Too many transactions".to_owned()));
        }
        match self.transactions.insert(id, Transaction { user, ..Transaction::default() }) {
            None => Ok(()),
            Some(_) => Err(Some(format!("Transaction ID {id} already exists"))),
        }
    }

    fn transaction(&mut self, id: u32) -> Result<&mut Transaction, End> {
        let none = || Some(format!("Transaction ID {id} doesn't exist"));
        self.transactions.get_mut(&id).ok_or_else(none)
    }

    fn change(&mut self, id: u32, change: Change) -> Result<(), End> {
        let bytes = size(&change);
        if self.changes_bytes + bytes > DICT_CHANGES_BYTES_MAX {
            return Err(Some("Too many changes".to_owned()));
        }
        self.transaction(id)?.add(change);
        self.changes_bytes += bytes;
        Ok(())
    }

    fn end(&mut self, id: u32) -> Result<Transaction, End> {
        let none = || Some(format!("Transaction ID {id} doesn't exist"));
        let transaction = self.transactions.remove(&id).ok_or_else(none)?;
        let bytes: usize = transaction.changes.iter().map(size).sum();
        self.changes_bytes = self.changes_bytes.saturating_sub(bytes);
        Ok(transaction)
    }

    async fn commit(&mut self, dict: &Arc<Shared>, id: u32, marked: bool, began: Time) -> Result<(), End> {
        let transaction = self.end(id)?;
        self.start().await?;
        let done = dict.with(move |dict| dict.commit(&transaction)).await.map_err(DictError::Uncertain);
        let answer = match done.and_then(|done| done) {
            Ok(Committed::Done) => format!("O{id}"),
            Ok(Committed::NotFound) => format!("N{id}"),
            Err(DictError::Uncertain(error)) => format!("W{id}\t{}", tab::escape(&error)),
            Err(error) => format!("F{id}\t{}", tab::escape(&error.to_string())),
        };
        let mark = if marked { "A" } else { "" };
        self.finish(&format!("{mark}{answer}"), began).await
    }

    /// Says that the command is being worked on, to clients that want to hear it.
    async fn start(&mut self) -> Result<(), End> {
        if self.minor < MINOR_TIMES {
            return Ok(());
        }
        self.number = self.number.checked_add(1).unwrap_or(1);
        let line = format!("*{}\n", self.number);
        self.write(&line).await
    }

    /// What an answer's lines begin with: the command's number where it has one.
    fn prefix(&self) -> String {
        if self.minor < MINOR_TIMES { String::new() } else { format!("+{}\t", self.number) }
    }

    /// Sends the last line of an answer.
    async fn finish(&mut self, answer: &str, (secs, micros): Time) -> Result<(), End> {
        let times = match self.minor < MINOR_TIMES {
            true => String::new(),
            false => {
                let (end_secs, end_micros) = now();
                format!("\t{secs}\t{micros}\t{end_secs}\t{end_micros}")
            }
        };
        let line = format!("{}{answer}{times}\n", self.prefix());
        self.write(&line).await
    }

    async fn write(&mut self, text: &str) -> Result<(), End> {
        // The client has gone.
        self.reader.get_mut().write_all(text.as_bytes()).await.map_err(|_| None)
    }

    async fn line(&mut self) -> Result<String, End> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(DICT_LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut line).await.map_err(|_| None)?;
        match line.pop() {
            None => Err(None),
            Some(b'\n') => String::from_utf8(line).map_err(|_| Some("Input is not UTF-8".to_owned())),
            Some(_) => Err(Some("Input line is too long, or ends too early".to_owned())),
        }
    }
}

/// What is found, and why there is not more.
fn rows(
    dict: &mut Dict,
    user: &str,
    path: &str,
    flags: Flags,
    rows_max: usize,
) -> (Vec<Row>, Option<String>) {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    let done = dict.iterate(&Iteration { user, path, flags, rows_max }, &mut |row| {
        bytes += row.key.len() + row.values.iter().map(String::len).sum::<usize>();
        if bytes <= DICT_ANSWER_BYTES_MAX {
            rows.push(row);
        }
    });
    let too_many = (bytes > DICT_ANSWER_BYTES_MAX).then(|| "there are too many keys".to_owned());
    let failed = done.err().map(|error| error.to_string()).or(too_many);
    (rows, failed)
}

fn size(change: &Change) -> usize {
    let value = if let Change::Set { value, .. } = change { value.len() } else { 0 };
    change.key().len() + value + std::mem::size_of::<Change>()
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_micros())
}
