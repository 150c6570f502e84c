//! What clients say, a line each.

use base::tab;
use db::dict::{Change, Flags};

/// A command with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// `L<key> [<user>]`
    Lookup { key: String, user: String },
    /// `I<flags> <rows> <path> [<user>]`
    Iterate { flags: Flags, rows_max: usize, path: String, user: String },
    /// `B<id> [<user>]`
    Begin { id: u32, user: String },
    /// `C<id>`, and `D<id>`, which only wants its answer marked.
    Commit { id: u32, marked: bool },
    /// `R<id>`
    Rollback { id: u32 },
    /// `S<id> <key> <value>`, `U<id> <key>`, `A<id> <key> <diff>`
    Change { id: u32, change: Change },
    /// `T<id> <seconds> <nanoseconds>`
    Timestamp { id: u32, time: (i64, u32) },
}

impl Command {
    /// Why it is none goes to the log, in 2.3's words.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| "Unknown command ".to_owned())?;
        let words: Vec<String> = rest.split('\t').map(tab::unescape).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let text = |word: &str| word.to_owned();
        let user = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
        let id = |word: &str| word.parse::<u32>().map_err(|_| format!("Invalid transaction ID {word}"));
        match (kind, words.as_slice()) {
            ("L", [key, ..]) => Ok(Self::Lookup { key: text(key), user: user(1) }),
            ("I", [flags, rows_max, path, ..]) => {
                let broken = || "ITERATE: broken input".to_owned();
                let flags = flags.parse().map(Flags::from_bits).map_err(|_| broken())?;
                let rows_max = rows_max.parse().map_err(|_| broken())?;
                Ok(Self::Iterate { flags, rows_max, path: text(path), user: user(3) })
            }
            ("I", _) => Err("ITERATE: broken input".into()),
            ("B", [word, ..]) => Ok(Self::Begin { id: id(word)?, user: user(1) }),
            ("C" | "D", [word, ..]) => Ok(Self::Commit { id: id(word)?, marked: kind == "D" }),
            ("R", [word, ..]) => Ok(Self::Rollback { id: id(word)? }),
            ("S", [word, key, value]) => {
                let change = Change::Set { key: text(key), value: text(value) };
                Ok(Self::Change { id: id(word)?, change })
            }
            ("S", _) => Err("SET: broken input".into()),
            ("U", [word, key]) => {
                Ok(Self::Change { id: id(word)?, change: Change::Unset { key: text(key) } })
            }
            ("U", _) => Err("UNSET: broken input".into()),
            ("A", [word, key, diff]) => {
                let diff = diff.parse().map_err(|_| "ATOMIC_INC: broken input".to_owned())?;
                Ok(Self::Change { id: id(word)?, change: Change::Increase { key: text(key), diff } })
            }
            ("A", _) => Err("ATOMIC_INC: broken input".into()),
            ("T", [word, seconds, nanoseconds]) => {
                let time = seconds.parse().ok().zip(nanoseconds.parse().ok());
                let time = time.ok_or_else(|| "TIMESTAMP: broken input".to_owned())?;
                Ok(Self::Timestamp { id: id(word)?, time })
            }
            ("T", _) => Err("TIMESTAMP: broken input".into()),
            (other, _) => Err(format!("Unknown command {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let set = |key: &str, value: &str| Change::Set { key: key.into(), value: value.into() };
        for (line, expect) in [
            ("Lshared/a", Ok(Command::Lookup { key: "shared/a".into(), user: String::new() })),
            ("Lpriv/a\u{1}tb\tjoe", Ok(Command::Lookup { key: "priv/a\tb".into(), user: "joe".into() })),
            ("B1\tjoe", Ok(Command::Begin { id: 1, user: "joe".into() })),
            ("S1\tshared/a\tx\u{1}ny", Ok(Command::Change { id: 1, change: set("shared/a", "x\ny") })),
            ("T1\t5\t6", Ok(Command::Timestamp { id: 1, time: (5, 6) })),
            ("D7", Ok(Command::Commit { id: 7, marked: true })),
            ("Bx", Err("Invalid transaction ID x")),
            ("S1\tshared/a", Err("SET: broken input")),
            ("A1\tshared/a\tx", Err("ATOMIC_INC: broken input")),
            ("I1\tx\ta", Err("ITERATE: broken input")),
            ("X", Err("Unknown command X")),
            ("", Err("Unknown command ")),
        ] {
            assert_eq!(Command::parse(line), expect.map_err(str::to_owned), "{line}");
        }
    }
}
