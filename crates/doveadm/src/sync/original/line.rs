//! The lines of Dovecot's dsync protocol, version 3: a letter for what it is, then values with tabs between
//! them. Which value means what each side says first, a line for each letter; a dot alone ends a list.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};

use base::tab::{escape, unescape};
use storage::{Error, Result};

use super::super::remote::broken;
use crate::limits::DSYNC_LINE_MAX;
use crate::wire::dot;

/// What the original says first, up to its minor version; and so do we.
pub(crate) const VERSION: &str = "VERSION\tdsync\t3\t";
const MINOR: u32 = 5;

/// Among what values mean a server of ours says that it is one; the original passes over it.
const OURS: char = '~';

/// A value that is not there.
const NONE: char = '\u{2}';

pub(super) const HANDSHAKE: char = 'H';
pub(super) const STATE: char = 'S';
pub(super) const NODE: char = 'N';
pub(super) const DELETES: char = 'D';
pub(super) const MAILBOX: char = 'B';
pub(super) const ATTRIBUTE: char = 'A';
pub(super) const CHANGE: char = 'C';
pub(super) const REQUEST: char = 'R';
pub(super) const MAIL: char = 'M';
pub(super) const FINISH: char = 'F';
const CACHE_FIELD: char = 'c';
/// The other side has closed the connection, and told its administrator why.
const DONE: char = 'X';

/// The values of our lines, in their order; those that the other side must find come first.
const FIELDS: [(char, &str); 11] = [
    (
        HANDSHAKE,
        "hostname sync_ns_prefix sync_box sync_box_guid sync_type debug sync_visible_namespaces \
         exclude_mailboxes send_mail_requests backup_send backup_recv lock_timeout no_mail_sync \
         no_backup_overwrite purge_remote no_notify sync_since_timestamp sync_max_size sync_flags \
         sync_until_timestamp virtual_all_box empty_hdr_workaround import_commit_msgs_interval \
         hashed_headers alt_char",
    ),
    (
        STATE,
        "mailbox_guid last_uidvalidity last_common_uid last_common_modseq last_common_pvt_modseq \
         last_messages_count changes_during_sync",
    ),
    (
        NODE,
        "name existence mailbox_guid uid_validity uid_next last_renamed_or_created subscribed \
         last_subscription_change",
    ),
    (DELETES, "hierarchy_sep escape_char mailboxes dirs unsubscribes"),
    (
        MAILBOX,
        "mailbox_guid uid_validity uid_next messages_count first_recent_uid highest_modseq \
         highest_pvt_modseq mailbox_lost mailbox_ignore cache_fields have_guids have_save_guids \
         have_only_guid128",
    ),
    (ATTRIBUTE, "type key value stream deleted last_change modseq"),
    (
        CHANGE,
        "type uid guid hdr_hash modseq pvt_modseq add_flags remove_flags final_flags keywords_reset \
         keyword_changes received_timestamp virtual_size",
    ),
    (REQUEST, "guid uid"),
    (MAIL, "guid uid pop3_uidl pop3_order received_date saved_date stream"),
    (FINISH, "error mail_error require_full_resync"),
    (CACHE_FIELD, "name decision last_used"),
];

/// The values of a line, by their names.
#[derive(Debug, Default)]
pub(super) struct Values(HashMap<String, String>);

impl Values {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A decimal number; `None` where there is none.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let parse = |text: &str| text.parse().map_err(|_| broken(format!("Invalid {name}: {text}")));
        self.text(name).map(parse).transpose()
    }

    /// The same in hexadecimal digits.
    pub(super) fn hex(&self, name: &str) -> Result<Option<u64>> {
        let parse =
            |text: &str| u64::from_str_radix(text, 16).map_err(|_| broken(format!("Invalid {name}: {text}")));
        self.text(name).map(parse).transpose()
    }

    pub(super) fn wanted<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        self.number(name)?.ok_or_else(|| broken(format!("Missing required field {name}")))
    }
}

/// Both ways of the connection.
pub(crate) struct Line<R: Read, W: Write> {
    input: BufReader<R>,
    output: W,
    /// The names of the other side's values.
    names: HashMap<char, Vec<String>>,
    /// The minor version of the other side.
    pub(super) minor: u32,
}

impl<R: Read, W: Write> Line<R, W> {
    /// Behind the other side's first line, without its end: hears what its values mean.
    pub(crate) fn new(input: R, output: W, first: &str) -> Result<Self> {
        let minor = first.strip_prefix(VERSION).and_then(|minor| minor.parse().ok());
        let minor = minor.ok_or_else(|| broken("Remote dsync doesn't use compatible protocol"))?;
        let mut line = Self { input: BufReader::new(input), output, names: HashMap::new(), minor };
        loop {
            let text = line.read_line()?;
            if text == "." {
                return Ok(line);
            }
            let mut letters = text.chars();
            if let Some(letter) = letters.next() {
                line.names.insert(letter, letters.as_str().split('\t').map(unescape).collect());
            }
        }
    }

    /// Says what our values mean, where that has not been said.
    pub(crate) fn greet(&mut self) -> Result<()> {
        self.output.write_all(greeting(false).as_bytes()).map_err(write_error)?;
        self.flush()
    }

    /// Whether the other side is a server of ours, which speaks another protocol if it is asked to.
    pub(crate) fn is_ours(&self) -> bool {
        self.names.contains_key(&OURS)
    }

    /// Both ways, for that protocol.
    pub(crate) fn into_parts(self) -> (BufReader<R>, W) {
        (self.input, self.output)
    }

    pub(super) fn send(&mut self, letter: char, values: &[(&str, &str)]) -> Result<()> {
        let names = FIELDS.iter().find(|(known, _)| *known == letter).map_or("", |(_, names)| names);
        let mut text = String::from(letter);
        let given = names.split(' ').map(|name| values.iter().find(|(given, _)| *given == name));
        for (at, value) in given.enumerate() {
            if at > 0 {
                text.push('\t');
            }
            match value {
                None => text.push(NONE),
                Some((_, value)) => {
                    if value.starts_with(NONE) {
                        text.push(NONE);
                    }
                    text.push_str(&escape(value));
                }
            }
        }
        text.push('\n');
        self.output.write_all(text.as_bytes()).map_err(write_error)
    }

    pub(super) fn send_all(&mut self, letter: char, values: &[(&str, String)]) -> Result<()> {
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.send(letter, &values)
    }

    /// Ends the connection in an orderly way before it is due.
    pub(super) fn give_up(&mut self) -> Result<()> {
        self.output.write_all(&[DONE as u8, b'\n']).map_err(write_error)?;
        self.flush()
    }

    /// Ends a list.
    pub(super) fn send_end(&mut self) -> Result<()> {
        self.output.write_all(b".\n").map_err(write_error)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.output.flush().map_err(write_error)
    }

    /// The next line, which is about `letter`; `None` where the list ends.
    pub(super) fn next(&mut self, letter: char) -> Result<Option<Values>> {
        self.flush()?;
        let text = self.read_line()?;
        if text == "." {
            return Ok(None);
        }
        match text.strip_prefix(letter) {
            Some(values) => self.values(letter, values).map(Some),
            None if text.starts_with(DONE) => Err(broken("The other side has given up")),
            None => {
                let other = text.chars().next().unwrap_or('?');
                Err(broken(format!("Received unexpected input {other} != {letter}")))
            }
        }
    }

    /// The same where there must be one.
    pub(super) fn expect(&mut self, letter: char) -> Result<Values> {
        self.next(letter)?.ok_or_else(|| broken(format!("Remote sent end-of-list instead of {letter}")))
    }

    /// The bytes that follow a line that said so.
    pub(super) fn stream(&mut self, output: &mut impl Write) -> Result<()> {
        dot::read(&mut self.input, output).map_err(|error| Error::io("read", "dsync", error))
    }

    /// Sends bytes behind a line that said so. A dot at the beginning of a line gets another before it.
    pub(super) fn send_stream(&mut self, mut input: impl Read) -> Result<()> {
        let mut buffer = vec![0; crate::limits::COPY_BYTES];
        let mut at_start = true;
        loop {
            let count = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", "mail", error)),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                if at_start && line.starts_with(b".") {
                    self.output.write_all(b".").map_err(write_error)?;
                }
                self.output.write_all(line).map_err(write_error)?;
                at_start = line.ends_with(b"\n");
            }
        }
        self.output.write_all(b"\r\n.\r\n").map_err(write_error)
    }

    fn values(&self, letter: char, text: &str) -> Result<Values> {
        let names = self.names.get(&letter);
        let names =
            names.ok_or_else(|| broken(format!("Remote didn't handshake deserializer for {letter}")))?;
        let mut values = HashMap::new();
        // Values that are missing at the end are not there, nor is the first of none.
        let given = text.split('\t').filter(|_| !text.is_empty());
        for (name, value) in names.iter().zip(given.map(unescape)) {
            match value.strip_prefix(NONE) {
                Some("") => {}
                Some(rest) => drop(values.insert(name.clone(), rest.to_owned())),
                None => drop(values.insert(name.clone(), value)),
            }
        }
        Ok(Values(values))
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let read = (&mut self.input).take(DSYNC_LINE_MAX).read_until(b'\n', &mut line);
        read.map_err(|error| Error::io("read", "dsync", error))?;
        match line.pop() {
            Some(b'\n') => Ok(String::from_utf8_lossy(&line).into_owned()),
            Some(_) => Err(broken("The other side sent a line that is too long")),
            None => Err(broken("The other side hung up")),
        }
    }
}

/// Version and what values mean; `server` says also that it is one of ours.
pub(crate) fn greeting(server: bool) -> String {
    let mut said = format!("{VERSION}{MINOR}\n");
    for (letter, names) in FIELDS {
        said.push(letter);
        said.push_str(&names.replace(' ', "\t"));
        said.push('\n');
    }
    if server {
        said.push(OURS);
        said.push_str("culver\n");
    }
    said.push_str(".\n");
    said
}

fn write_error(error: io::Error) -> Error {
    Error::io("write", "dsync", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_the_names_that_the_other_side_gave_them() {
        let heard = "Nexistence\tname\tmailbox_guid\n.\nNy\tA\u{1}1tB\t\u{2}\nNy\t\u{2}\u{2}x\n.\nX\n";
        let mut said = Vec::new();
        let mut line = Line::new(heard.as_bytes(), &mut said, "VERSION\tdsync\t3\t4").unwrap();
        line.greet().unwrap();
        assert_eq!(line.minor, 4);
        let values = line.expect(NODE).unwrap();
        assert_eq!((values.text("name"), values.text("existence")), (Some("A\u{1}tB"), Some("y")));
        assert!(!values.has("mailbox_guid"));
        assert_eq!(line.expect(NODE).unwrap().text("name"), Some("\u{2}x"));
        assert!(line.next(NODE).unwrap().is_none());
        assert!(line.next(NODE).is_err());
        line.send(REQUEST, &[("uid", "7")]).unwrap();
        line.send_stream(&b".a\n..\nb."[..]).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("VERSION\tdsync\t3\t5\nHhostname\tsync_ns_prefix\t"), "{said}");
        assert!(said.ends_with("\n.\nR\u{2}\t7\n..a\n...\nb.\r\n.\r\n"), "{said}");
    }

    #[test]
    fn other_versions_are_refused() {
        assert!(Line::new(&b""[..], Vec::new(), "VERSION\tdsync\t4\t0").is_err());
    }
}
