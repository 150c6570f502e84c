//! Envelope addresses: RFC 5321's path, as the command line and `From ` lines give it.

use std::fmt;

/// The address of an envelope. The domain may be missing: a user of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    local: String,
    domain: Option<String>,
}

/// Why text is no envelope address, in 2.3's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum PathError {
    #[error("Path is empty string")]
    Empty,
    #[error("Null path not allowed")]
    Null,
    #[error("Invalid character in localpart")]
    LocalPart,
    #[error("Missing domain after '@'")]
    NoDomainAfterAt,
    #[error("Missing domain")]
    NoDomain,
    #[error("Invalid domain")]
    Domain,
    #[error("Empty sub-domain")]
    EmptySubDomain,
    #[error("Missing '>' at end of path")]
    Unclosed,
    #[error("Unmatched '>' at end of path")]
    Unopened,
    #[error("Invalid character in path")]
    Character,
}

impl Address {
    /// An address made of parts that are known to be right, for instance from a header.
    pub fn new(local: impl Into<String>, domain: Option<String>) -> Self {
        Self { local: local.into(), domain }
    }

    /// Reads `local@domain` or `<local@domain>`, with a source route that is thrown away; the domain
    /// may be missing. `None` is the null path `<>`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_path(text: &str) -> Result<Option<Self>, PathError> {
        let Some(inner) = text.strip_prefix('<') else {
            return match text {
                "" => Err(PathError::Empty),
                text => Self::parse_all(text, PathError::Unopened).map(Some),
            };
        };
        match inner {
            ">" => Ok(None),
            inner => {
                let inner = match inner.starts_with('@') {
                    true => inner.split_once(':').ok_or(PathError::Character)?.1,
                    false => inner,
                };
                let (address, rest) = Self::read(inner)?;
                match rest {
                    ">" => Ok(Some(address)),
                    "" => Err(PathError::Unclosed),
                    _ => Err(PathError::Character),
                }
            }
        }
    }

    /// Reads `local@domain`, nothing else.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_full(text: &str) -> Result<Self, PathError> {
        let address = Self::parse_all(text, PathError::Character)?;
        if address.domain.is_none() { Err(PathError::NoDomain) } else { Ok(address) }
    }

    fn parse_all(text: &str, at_bracket: PathError) -> Result<Self, PathError> {
        match Self::read(text)? {
            (address, "") => Ok(address),
            (_, ">") => Err(at_bracket),
            _ => Err(PathError::Character),
        }
    }

    fn read(text: &str) -> Result<(Self, &str), PathError> {
        let (local, rest) = read_local(text)?;
        let Some(rest) = rest.strip_prefix('@') else { return Ok((Self { local, domain: None }, rest)) };
        let (domain, rest) = read_domain(rest)?;
        Ok((Self { local, domain: Some(domain.to_owned()) }, rest))
    }
}

impl fmt::Display for Address {
    /// Quoted where it must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_dot_atom = self.local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
        if is_dot_atom {
            f.write_str(&self.local)?;
        } else {
            let escaped = self.local.replace('\\', "\\\\").replace('"', "\\\"");
            write!(f, "\"{escaped}\"")?;
        }
        match &self.domain {
            Some(domain) => write!(f, "@{domain}"),
            None => Ok(()),
        }
    }
}

/// A quoted string, or atoms with dots wherever people put them.
fn read_local(text: &str) -> Result<(String, &str), PathError> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut local = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => return Ok((local, quoted.get(at + 1..).unwrap_or_default())),
                '\\' => local.extend(characters.next().map(|(_, escaped)| escaped)),
                ' '..='~' => local.push(character),
                _ => break,
            }
        }
        return Err(PathError::LocalPart);
    }
    let end = text.find(|c| !(is_atext(c) || c == '.')).unwrap_or(text.len());
    match text.split_at(end) {
        ("", _) => Err(PathError::LocalPart),
        (local, rest) => Ok((local.to_owned(), rest)),
    }
}

/// Labels with dots between, or an address literal (RFC 5321 §4.1.3).
fn read_domain(text: &str) -> Result<(&str, &str), PathError> {
    if text.is_empty() {
        return Err(PathError::NoDomainAfterAt);
    }
    if text.starts_with('[') {
        let end = text.find(']').ok_or(PathError::Domain)? + 1;
        let (literal, rest) = text.split_at(end);
        let is_valid = literal.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '\\'));
        return if is_valid { Ok((literal, rest)) } else { Err(PathError::Domain) };
    }
    let is_label = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let end = text.find(|c| !(is_label(c) || c == '.')).unwrap_or(text.len());
    let (domain, rest) = text.split_at(end);
    match domain {
        "" => Err(PathError::Domain),
        domain if domain.starts_with('.') => Err(PathError::Domain),
        domain if domain.split('.').any(str::is_empty) => Err(PathError::EmptySubDomain),
        domain => Ok((domain, rest)),
    }
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from 2.3.19: `-a` and how the log shows it.
    #[test]
    fn paths() {
        let check = |text: &str, expected: &str| {
            let got = match Address::parse_path(text) {
                Ok(Some(address)) => address.to_string(),
                Ok(None) => PathError::Null.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected, "{text}");
        };
        for same in ["a@b", "a", "a@[1.2.3.4]", "a@[IPv6:::1]", "a@b_c", "a@-b", "\"a b\"@c", "\"a\\\"b\"@c"]
        {
            check(same, same);
        }
        check("<a@b>", "a@b");
        check("<@a:b@c>", "b@c");
        check("a..b@c", "\"a..b\"@c");
        check(".a@b", "\".a\"@b");
        check("a.@b", "\"a.\"@b");
        check("", "Path is empty string");
        check("<>", "Null path not allowed");
        check("a b@c", "Invalid character in path");
        check("a@b c", "Invalid character in path");
        check("a@b@c", "Invalid character in path");
        check("a@b ", "Invalid character in path");
        check("<a@b", "Missing '>' at end of path");
        check("a@b>", "Unmatched '>' at end of path");
        check("@a:b@c", "Invalid character in localpart");
        check(" a@b", "Invalid character in localpart");
        check("ä@b", "Invalid character in localpart");
        check("a@", "Missing domain after '@'");
        check("a@ä", "Invalid domain");
        check("a@.b", "Invalid domain");
        check("a@b.", "Empty sub-domain");
        check("a@b..c", "Empty sub-domain");
    }

    #[test]
    fn full_addresses() {
        assert_eq!(Address::parse_full("a@b").map(|address| address.to_string()), Ok("a@b".to_owned()));
        assert_eq!(Address::parse_full("-"), Err(PathError::NoDomain));
        assert_eq!(Address::parse_full("<a@b>"), Err(PathError::LocalPart));
    }
}
