//! What comes out of one service's log pipe, put together to lines.
//!
//! Any process of the service writes to the pipe, some of them on behalf of strangers, so nothing
//! in it is believed: lines are cut, control characters replaced, and memory is bounded.

use std::collections::{HashMap, VecDeque};

use base::Level;
use ipc::limits::LOG_LINE_MAX;
use ipc::log::{Entry, Splitter};

use crate::limits::{PARTIAL_LINES_MAX, PREFIXES_MAX};

/// A line to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) level: Level,
    /// What goes before the level; ends in `: ` where it is not empty.
    pub(crate) prefix: String,
    pub(crate) text: String,
    /// Who wrote it, if that is known.
    pub(crate) pid: Option<u32>,
}

impl Line {
    pub(crate) fn new(level: Level, prefix: &str, text: &str) -> Self {
        Self { level, prefix: clean(prefix), text: clean(text), pid: None }
    }

    fn of(pid: u32, level: Level, prefix: &str, text: &str) -> Self {
        Self { pid: Some(pid), ..Self::new(level, prefix, text) }
    }
}

/// One service's pipe.
#[derive(Debug)]
pub(crate) struct Source {
    service: String,
    splitter: Splitter,
    writers: HashMap<u32, Writer>,
    partial: VecDeque<(u32, Level, String, String)>,
}

#[derive(Debug, Default)]
struct Writer {
    prefix: String,
    /// It said itself why it ends.
    fatal: bool,
}

impl Source {
    pub(crate) fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            splitter: Splitter::default(),
            writers: HashMap::new(),
            partial: VecDeque::new(),
        }
    }

    /// Whether the process `pid` has written something.
    pub(crate) fn knows(&self, pid: u32) -> bool {
        self.writers.contains_key(&pid)
    }

    /// The prefix of lines that come without one.
    fn default_prefix(&self) -> String {
        format!("{}: ", self.service)
    }

    /// Takes in what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let entries = self.splitter.push(bytes);
        entries.into_iter().filter_map(|entry| self.entry(entry)).collect()
    }

    /// The pipe has ended: what is left of it.
    pub(crate) fn finish(&mut self) -> Vec<Line> {
        let last = self.splitter.finish().and_then(|entry| self.entry(entry));
        let partial = std::mem::take(&mut self.partial);
        last.into_iter()
            .chain(partial.into_iter().map(|(pid, level, prefix, text)| Line::of(pid, level, &prefix, &text)))
            .collect()
    }

    /// A process of the service has ended. `text` is the master's line about it, empty when there
    /// is nothing to say.
    pub(crate) fn died(&mut self, pid: u32, text: &str) -> Option<Line> {
        let writer = self.writers.remove(&pid);
        self.partial.retain(|(writer, ..)| *writer != pid);
        // A process that ends with status 89 has said why; as in 2.3 the master's line about it
        // is wanted only if it has not.
        let said_why = writer.as_ref().is_some_and(|writer| writer.fatal);
        if text.is_empty() || (said_why && text.contains("returned error 89")) {
            return None;
        }
        let prefix = match writer {
            Some(writer) if !writer.prefix.is_empty() => writer.prefix,
            _ => self.default_prefix(),
        };
        Some(Line::of(pid, Level::Fatal, &prefix, &format!("master: {text}")))
    }

    fn entry(&mut self, entry: Entry) -> Option<Line> {
        match entry {
            // Libraries and programs print without a level; 2.3 takes all of it for errors.
            Entry::Raw(text) => Some(Line::new(Level::Error, &self.default_prefix(), &text)),
            Entry::Line { level, pid, prefix, text, more } => {
                self.remember(pid, level, &prefix);
                self.complete(pid, level, prefix, text, more)
            }
        }
    }

    fn remember(&mut self, pid: u32, level: Level, prefix: &str) {
        if self.writers.len() >= PREFIXES_MAX && !self.writers.contains_key(&pid) {
            return;
        }
        let writer = self.writers.entry(pid).or_default();
        writer.fatal |= level >= Level::Fatal;
        if writer.prefix != prefix {
            prefix.clone_into(&mut writer.prefix);
        }
    }

    /// Joins the parts of a long line, up to [`LOG_LINE_MAX`].
    fn complete(&mut self, pid: u32, level: Level, prefix: String, text: String, more: bool) -> Option<Line> {
        let begun = self.partial.iter().position(|(writer, ..)| *writer == pid);
        let (level, prefix, mut line) = match begun.and_then(|at| self.partial.remove(at)) {
            Some((_, level, prefix, line)) => (level, prefix, line),
            None => (level, prefix, String::new()),
        };
        let room = LOG_LINE_MAX.saturating_sub(line.len());
        line.push_str(&text[..text.floor_char_boundary(room)]);
        if !more {
            return Some(Line::of(pid, level, &prefix, &line));
        }
        self.partial.push_back((pid, level, prefix, line));
        if self.partial.len() <= PARTIAL_LINES_MAX {
            return None;
        }
        self.partial.pop_front().map(|(pid, level, prefix, line)| Line::of(pid, level, &prefix, &line))
    }
}

/// One line of the log stays one line, whatever a stranger put into it, and a terminal that shows
/// it is not steered by it.
fn clean(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(LOG_LINE_MAX)];
    if text.chars().all(is_harmless) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_harmless(c) { c } else { '?' }).collect()
}

fn is_harmless(c: char) -> bool {
    !c.is_control() || c == '\t'
}

#[cfg(test)]
mod tests {
    use ipc::log::frames;

    use super::*;

    fn show(lines: impl IntoIterator<Item = Line>) -> Vec<String> {
        let show = |line: Line| format!("{}{}: {}", line.prefix, line.level.word(), line.text);
        lines.into_iter().map(show).collect()
    }

    #[test]
    fn lines_and_printed_text() {
        let mut source = Source::new("imap");
        let mut bytes = frames(Level::Info, 7, "imap(u)<7><s>: ", "Logged out\nFatal: forged").concat();
        bytes.extend(b"ld.so: cannot \x1b[2J load\n");
        assert_eq!(
            show(source.push(&bytes)),
            ["imap(u)<7><s>: Info: Logged out?Fatal: forged", "imap: Error: ld.so: cannot ?[2J load"]
        );
    }

    #[test]
    fn a_death_goes_under_the_last_prefix() {
        let mut source = Source::new("imap");
        source.push(&frames(Level::Info, 7, "imap(u)<7><s>: ", "x").concat());
        let text = "service(imap): child 7 killed with signal 9";
        assert_eq!(
            show(source.died(7, text)),
            ["imap(u)<7><s>: Fatal: master: service(imap): child 7 killed with signal 9"]
        );
        assert_eq!(
            show(source.died(7, text)),
            ["imap: Fatal: master: service(imap): child 7 killed with signal 9"]
        );
        assert_eq!(source.died(7, ""), None);
    }

    #[test]
    fn who_said_why_needs_no_second_line() {
        let mut source = Source::new("auth");
        source.push(&frames(Level::Fatal, 7, "auth: ", "passwd-file: no such file").concat());
        let text = "service(auth): child 7 returned error 89 (Fatal failure)";
        assert_eq!(source.died(7, text), None);
        assert!(source.died(8, text).is_some());
    }

    #[test]
    fn long_lines_are_joined_and_cut() {
        let mut source = Source::new("imap");
        let long = "é".repeat(LOG_LINE_MAX);
        let lines = source.push(&frames(Level::Error, 7, "imap: ", &long).concat());
        assert_eq!(lines.len(), 1);
        assert!(lines[0].text.len() <= LOG_LINE_MAX && lines[0].text.len() > LOG_LINE_MAX - 4);
        for pid in 0..10_000 {
            let first = frames(Level::Error, pid, "imap: ", &"x".repeat(5000));
            source.push(&first[0]);
        }
        assert!(source.partial.len() <= PARTIAL_LINES_MAX && source.writers.len() <= PREFIXES_MAX);
        assert_eq!(source.finish().len(), PARTIAL_LINES_MAX);
    }
}
