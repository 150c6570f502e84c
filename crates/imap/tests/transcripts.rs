//! Plays `tests/transcripts/imap/*.t` against sessions over a temporary Maildir: the files read as
//! documentation of what the server does. The syntax is that of `harness::transcript`, without
//! ports and TLS:
//!
//! ```text
//! # A comment.
//! open A                 a new session of the same user
//! A> a NOOP              send a line
//! A~ a NOOP\r\n          send bytes with escapes, no line end added
//! A< a OK *              the next line must match; `*` stands for anything, `$name` for a capture
//! A<? * FLAGS *          one of a run of `<?` lines, which may come in any order
//! A.                     nothing more must have been sent
//! news A                 the storage tells the session that something changed
//! close A                the client hangs up
//! eof A                  the session must have ended
//! ```

mod support;

use std::collections::HashMap;
use std::path::Path;

use support::{Client, Home};

struct Player {
    home: Home,
    clients: HashMap<String, Client>,
    captures: HashMap<String, String>,
}

fn play(path: &Path) {
    let text = std::fs::read_to_string(path).expect("the transcript can be read");
    let mut player = Player { home: Home::new(), clients: HashMap::new(), captures: HashMap::new() };
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

impl Player {
    fn step(&mut self, line: &str, place: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "open" => {
                let client = Client::new(&self.home);
                self.clients.insert(rest.to_owned(), client);
            }
            "news" => self.client(rest, place).notice_changes(),
            "close" => drop(self.clients.remove(rest)),
            "eof" => assert!(self.client(rest, place).is_closed(), "{place}: the session goes on"),
            _ => self.exchange(word, rest, place),
        }
    }

    fn exchange(&mut self, word: &str, rest: &str, place: &str) {
        let (name, action) = word.split_at(word.len() - 1);
        let text = self.filled(rest);
        let client = self.client(name, place);
        match action {
            ">" => client.send(format!("{text}\r\n").as_bytes()),
            "~" => client.send(&unescape(&text)),
            "." => assert_eq!(client.read_line(), None, "{place}: nothing was expected"),
            "<" => {
                let line = client.read_line().unwrap_or_else(|| panic!("{place}: nothing came, not {text}"));
                let found = matched(&text, &line)
                    .unwrap_or_else(|| panic!("{place}:\nexpected {text}\n     got {line}"));
                self.captures.extend(found);
            }
            _ => panic!("{place}: what does {word:?} mean?"),
        }
    }

    fn unordered(&mut self, lines: &[&str], place: &str) -> usize {
        let run: Vec<(&str, &str)> = lines.iter().map_while(|line| line.split_once("<? ")).collect();
        let mut patterns: Vec<String> = run.iter().map(|(_, pattern)| self.filled(pattern)).collect();
        for (name, _) in &run {
            let line =
                self.client(name, place).read_line().unwrap_or_else(|| panic!("{place}: nothing came"));
            let hit = patterns.iter().position(|pattern| matched(pattern, &line).is_some());
            let hit =
                hit.unwrap_or_else(|| panic!("{place}:\nexpected one of {patterns:#?}\n     got {line}"));
            patterns.remove(hit);
        }
        run.len()
    }

    fn client(&mut self, name: &str, place: &str) -> &mut Client {
        self.clients.get_mut(name).unwrap_or_else(|| panic!("{place}: {name:?} is not open"))
    }

    fn filled(&self, text: &str) -> String {
        let mut names: Vec<_> = self.captures.keys().collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        names
            .into_iter()
            .fold(text.to_owned(), |text, name| text.replace(&format!("${name}"), &self.captures[name]))
    }
}

/// Matches `line` with `pattern`; gives the captures, or `None`. A `*` at the very beginning is
/// that of an untagged response.
fn matched(pattern: &str, line: &str) -> Option<Vec<(String, String)>> {
    match (pattern.strip_prefix("* "), line.strip_prefix("* ")) {
        (Some(pattern), Some(line)) => matched_rest(pattern, line),
        (Some(_), None) => None,
        (None, _) => matched_rest(pattern, line),
    }
}

fn matched_rest(pattern: &str, line: &str) -> Option<Vec<(String, String)>> {
    let special = pattern.char_indices().find(|&(at, c)| {
        c == '*' && !pattern[..at].ends_with('\\') || c == '$' && !name_at(&pattern[at + 1..]).is_empty()
    });
    let Some((at, kind)) = special else {
        return (pattern.replace("\\*", "*") == line.replace("\\*", "*")).then(Vec::new);
    };
    let rest = line.strip_prefix(&pattern[..at])?;
    let name = if kind == '$' { name_at(&pattern[at + 1..]) } else { "" };
    let after = &pattern[at + 1 + name.len()..];
    for end in (0..=rest.len()).filter(|&end| rest.is_char_boundary(end)) {
        if kind == '$' && (end == 0 || rest[..end].contains(' ')) {
            continue;
        }
        if let Some(mut found) = matched_rest(after, &rest[end..]) {
            if kind == '$' {
                found.push((name.to_owned(), rest[..end].to_owned()));
            }
            return Some(found);
        }
    }
    None
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

macro_rules! transcripts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let file = concat!("tests/transcripts/imap/", stringify!($name), ".t");
            play(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
        })*

        #[test]
        fn every_transcript_is_played() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/imap");
            for entry in std::fs::read_dir(folder).expect("the folder is there") {
                let path = entry.expect("it can be read").path();
                let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                assert!([$(stringify!($name)),*].contains(&name.as_str()), "{name} is not played");
            }
        }
    };
}

transcripts!(append basics copy_move errors expunge fetch folders idle list literals search select shared status store);
