//! The auth client protocol's lines, from the server.

use crate::session::{AuthReply, Fields, Mechanism, Mechanisms};
use base::tab;

/// The handshake as far as it has come. 2.3 sends VERSION, MECH…, SPID, CUID, COOKIE, DONE; any order
/// that ends with DONE will do.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    mechanisms: Mechanisms,
    has_version: bool,
}

impl Handshake {
    /// Takes a line; the result is there after DONE. An error ends the connection.
    pub(crate) fn line(&mut self, line: &str) -> Result<Option<Mechanisms>, String> {
        let words: Vec<String> = tab::words(line).collect();
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        let broken = || format!("BUG: Authentication server sent broken {} line", word(0));
        match word(0) {
            "VERSION" if word(1) == "1" => self.has_version = true,
            "VERSION" => {
                return Err(format!(
                    "Socket supports major version {}, but we support only 1 (mixed old and new binaries?)",
                    word(1)
                ));
            }
            "MECH" if word(1).is_empty() => return Err(broken()),
            "MECH" => {
                let has = |flag: &str| words.iter().skip(2).any(|word| word == flag);
                self.mechanisms.list.push(Mechanism {
                    name: word(1).to_owned(),
                    plaintext: has("plaintext"),
                    private: has("private"),
                    bound: has("channel-binding"),
                });
            }
            "SPID" => self.mechanisms.server_pid = word(1).parse().map_err(|_| broken())?,
            "CUID" => self.mechanisms.connection_id = word(1).parse().map_err(|_| broken())?,
            "COOKIE" => self.mechanisms.cookie = word(1).to_owned(),
            "DONE" => return self.done().map(Some),
            // Newer servers may say more.
            _ => {}
        }
        Ok(None)
    }

    fn done(&mut self) -> Result<Mechanisms, String> {
        let missing = match self {
            Self { has_version: false, .. } => "didn't send its version",
            Self { mechanisms, .. } if mechanisms.list.is_empty() => "returned no mechanisms",
            Self { mechanisms, .. } if mechanisms.cookie.is_empty() => "didn't send a cookie",
            _ => return Ok(std::mem::take(&mut self.mechanisms)),
        };
        Err(format!("BUG: Authentication server {missing}"))
    }
}

/// A line after the handshake.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) id: u32,
    pub(crate) reply: AuthReply,
}

impl Line {
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let mut words = tab::words(line);
        let word = words.next().unwrap_or_default();
        let id = words.next().and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| "BUG: Authentication server input missing ID".to_owned())?;
        let reply = match word.as_str() {
            "OK" => AuthReply::Ok { fields: Fields::new(words) },
            "FAIL" => AuthReply::Fail { fields: Fields::new(words) },
            "CONT" => AuthReply::Continue(
                words.next().ok_or_else(|| "BUG: Authentication server sent broken CONT line".to_owned())?,
            ),
            other => return Err(format!("Auth server sent unknown response: {other}")),
        };
        Ok(Self { id, reply })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes() {
        let check = |lines: &str, expected: Result<usize, &str>| {
            let mut handshake = Handshake::default();
            let result = lines.lines().try_fold(None, |_, line| handshake.line(&line.replace(' ', "\t")));
            let result = result.map(|mechanisms| mechanisms.map_or(0, |mechanisms| mechanisms.list.len()));
            assert_eq!(result, expected.map_err(str::to_owned), "{lines}");
        };
        check("VERSION 1 2\nMECH PLAIN plaintext\nMECH APOP private\nSPID 5\nCUID 1\nCOOKIE ab\nDONE", Ok(2));
        check("VERSION 1 3\nNEW x\nMECH PLAIN\nCOOKIE ab\nDONE", Ok(1));
        check(
            "VERSION 2 0",
            Err("Socket supports major version 2, but we support only 1 (mixed old and new binaries?)"),
        );
        check("VERSION 1 2\nCOOKIE ab\nDONE", Err("BUG: Authentication server returned no mechanisms"));
        check("VERSION 1 2\nMECH PLAIN\nDONE", Err("BUG: Authentication server didn't send a cookie"));
        check("SPID x", Err("BUG: Authentication server sent broken SPID line"));
    }

    #[test]
    fn answers() {
        assert_eq!(Line::parse("CONT\t7\tabc"), Ok(Line { id: 7, reply: AuthReply::Continue("abc".into()) }));
        assert!(matches!(Line::parse("OK\t7\tuser=a"), Ok(Line { id: 7, reply: AuthReply::Ok { .. } })));
        for bad in ["", "OK", "OK\tx", "CONT\t7", "WHAT\t7"] {
            assert!(Line::parse(bad).is_err(), "{bad}");
        }
    }
}
