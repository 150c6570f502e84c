//! Plays a transcript against a server: a text file that reads as documentation of a protocol.
//!
//! ```text
//! # A comment.
//! open A imap            connect A without TLS (imaps, pop3, pop3s: those ports)
//! A> a LOGIN user pass   send a line
//! A< a OK *              the next line must match; `*` stands for anything, `$name` for a capture
//! A<? * FLAGS *          one of a run of `<?` lines, which may come in any order
//! A! *EXPUNGE*           no line up to the next matched one of A may match
//! A~ text\r\n            send bytes with escapes, no line end added
//! starttls A             begin TLS
//! close A                hang up
//! eof A                  the server must close
//! ```
//! Literals appear as the server sends them: the announcing line, then the literal's lines.

use std::collections::HashMap;
use std::path::Path;

use crate::client::Client;
use crate::host::Host;

/// Plays the transcript at `path` against `host`, with `user` for `$user`. Panics with file and line
/// where they differ.
pub fn play_as(host: &Host, path: &Path, user: &str) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut player = Player {
        host,
        connections: HashMap::new(),
        captures: HashMap::from([("user".to_owned(), user.to_owned())]),
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let place = format!("{}:{}", path.display(), at + 1);
        at += match lines[at] {
            line if line.trim().is_empty() || line.starts_with('#') => 1,
            line if line.contains("<? ") => player.unordered(&lines[at..], &place),
            line => {
                player.step(line, &place);
                1
            }
        };
    }
}

struct Player<'a> {
    host: &'a Host,
    connections: HashMap<String, Connection>,
    captures: HashMap<String, String>,
}

struct Connection {
    client: Client,
    forbidden: Vec<String>,
}

impl Player<'_> {
    fn step(&mut self, line: &str, place: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "open" => self.open(rest, place),
            "starttls" => self.connection(rest.trim(), place).client.start_tls("localhost"),
            "close" => drop(self.connections.remove(rest.trim())),
            "eof" => {
                let line = self.connection(rest.trim(), place).client.read_line();
                assert_eq!(line, None, "{place}: expected the end of the connection");
            }
            _ => self.exchange(word, rest, place),
        }
    }

    fn open(&mut self, rest: &str, place: &str) {
        let mut words = rest.split_whitespace();
        let (Some(name), Some(port)) = (words.next(), words.next()) else {
            panic!("{place}: open NAME PORT")
        };
        let address = self.host.address(port);
        let client = match port.ends_with('s') {
            true => Client::connect_tls(address, "localhost"),
            false => Client::connect(address),
        };
        self.connections.insert(name.to_owned(), Connection { client, forbidden: Vec::new() });
    }

    fn exchange(&mut self, word: &str, rest: &str, place: &str) {
        let (name, action) = word.split_at(word.len() - 1);
        let text = self.filled(rest);
        let connection = self.connection(name, place);
        match action {
            ">" => connection.client.line(&text),
            "~" => connection.client.send(unescape(&text)),
            "!" => connection.forbidden.push(text),
            "<" => {
                let line = connection.next_line(place);
                connection.forbidden.clear();
                let found = matched(&text, &line)
                    .unwrap_or_else(|| panic!("{place}:\nexpected {text}\n     got {line}"));
                self.captures.extend(found);
            }
            _ => panic!("{place}: what does {word:?} mean?"),
        }
    }

    /// A run of `NAME<? pattern` lines: as many lines must come, each matching one pattern.
    fn unordered(&mut self, lines: &[&str], place: &str) -> usize {
        let run: Vec<(&str, &str)> = lines.iter().map_while(|line| line.split_once("<? ")).collect();
        let mut patterns: Vec<String> = run.iter().map(|(_, pattern)| self.filled(pattern)).collect();
        for (name, _) in &run {
            let line = self.connection(name, place).next_line(place);
            let hit = patterns.iter().position(|pattern| matched(pattern, &line).is_some());
            let hit =
                hit.unwrap_or_else(|| panic!("{place}:\nexpected one of {patterns:#?}\n     got {line}"));
            patterns.remove(hit);
        }
        run.len()
    }

    fn connection(&mut self, name: &str, place: &str) -> &mut Connection {
        self.connections.get_mut(name).unwrap_or_else(|| panic!("{place}: {name:?} is not open"))
    }

    /// `text` with the captures made so far put in.
    fn filled(&self, text: &str) -> String {
        let mut names: Vec<_> = self.captures.keys().collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        names
            .into_iter()
            .fold(text.to_owned(), |text, name| text.replace(&format!("${name}"), &self.captures[name]))
    }
}

impl Connection {
    fn next_line(&mut self, place: &str) -> String {
        let line =
            self.client.read_line().unwrap_or_else(|| panic!("{place}: the server closed the connection"));
        for pattern in &self.forbidden {
            assert!(matched(pattern, &line).is_none(), "{place}: must not appear: {line}");
        }
        line
    }
}

/// Matches `line` with `pattern`; gives the captures, or `None`.
fn matched(pattern: &str, line: &str) -> Option<Vec<(String, String)>> {
    let special = pattern.char_indices().find(|&(at, c)| {
        c == '*' && !(at == 0 && pattern.starts_with("* "))
            || c == '$' && !name_at(&pattern[at + 1..]).is_empty()
    });
    let Some((at, kind)) = special else { return (pattern == line).then(Vec::new) };
    let rest = line.strip_prefix(&pattern[..at])?;
    let name = if kind == '$' { name_at(&pattern[at + 1..]) } else { "" };
    let after = &pattern[at + 1 + name.len()..];
    let ends = (0..=rest.len()).filter(|&end| rest.is_char_boundary(end));
    for end in ends {
        if kind == '$' && (end == 0 || rest[..end].contains(' ')) {
            continue;
        }
        if let Some(mut found) = tail_matched(after, &rest[end..]) {
            if kind == '$' {
                found.push((name.to_owned(), rest[..end].to_owned()));
            }
            return Some(found);
        }
    }
    None
}

/// Like [`matched`], but a leading `* ` is a wildcard here: only a line begins untagged.
fn tail_matched(pattern: &str, line: &str) -> Option<Vec<(String, String)>> {
    match pattern.strip_prefix("* ") {
        Some(after) => (0..=line.len())
            .filter(|&end| line.is_char_boundary(end) && line[end..].starts_with(' '))
            .find_map(|end| tail_matched(after, &line[end + 1..])),
        None => matched(pattern, line),
    }
}

fn name_at(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(text.len());
    &text[..end]
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('r')) => bytes.push(b'\r'),
            ('\\', Some('n')) => bytes.push(b'\n'),
            ('\\', Some('0')) => bytes.push(0),
            ('\\', Some('x')) => {
                let hex: String = chars.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&hex, 16).expect("two hexadecimal digits after \\x"));
            }
            ('\\', Some(other)) => bytes.extend(other.to_string().as_bytes()),
            (c, _) => bytes.extend(c.to_string().as_bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, line: &str, expected: Option<&[(&str, &str)]>) {
        let found = matched(pattern, line);
        let found: Option<Vec<_>> =
            found.as_ref().map(|found| found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect());
        assert_eq!(found.as_deref(), expected, "{pattern} ~ {line}");
    }

    #[test]
    fn patterns() {
        check("* OK done", "* OK done", Some(&[]));
        check("* OK done", "x OK done", None);
        check("a OK *", "a OK Logged in", Some(&[]));
        check("a OK (* secs).", "a OK (0.1 + 0 secs).", Some(&[]));
        check("* OK [UIDVALIDITY $v] UIDs valid", "* OK [UIDVALIDITY 12] UIDs valid", Some(&[("v", "12")]));
        check("* 1 FETCH (FLAGS ($f))", "* 1 FETCH (FLAGS (\\Seen))", Some(&[("f", "\\Seen")]));
        check("price $5", "price $5", Some(&[]));
    }
}
