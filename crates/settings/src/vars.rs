//! `%` variables: `%u`, `%{user}`, with modifiers, widths, hashes and conditions, as in 2.3.
//! `[-]<offset>.<width><modifiers><variable>`; what a variable is worth, the caller's table says.

mod condition;
mod hash;
mod modifiers;

use crate::limits::{EXPANSION_BYTES_MAX, EXPANSION_DEPTH_MAX};

/// One variable: short name or `'\0'`, long name or `""`, value. Without a value it is empty.
pub type Variable<'a> = (char, &'a str, Option<&'a str>);

/// Knows what variables are worth.
#[derive(Clone, Copy)]
pub struct Expander<'a> {
    /// The variables. The first entry that fits counts.
    pub table: &'a [Variable<'a>],
    /// The environment, for `%{env:NAME}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Every other `%{function:argument}`, such as `%{passdb:field}`; also long names that the
    /// table lacks (`pid`, `uid`, `gid`, `hostname`), with an empty argument. `None` means that
    /// there is no such variable.
    pub dynamic: &'a dyn Fn(&str, &str) -> Option<String>,
}

/// Why a template cannot be expanded, in 2.3's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VarError {
    /// A variable that does not exist here.
    #[error("Unknown variable '%{0}'")]
    Unknown(String),
    /// A condition or hash that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Encryption inside of templates.
    #[error("%{{{0}}} is not supported")]
    Unsupported(String),
    /// The result is too large, or the nesting too deep.
    #[error("Template expands to too much")]
    TooLarge,
}

impl<'a> Expander<'a> {
    /// For tables that are all there is: no environment, no functions.
    pub fn of(table: &'a [Variable<'a>]) -> Self {
        Self { table, env: &|_| None, dynamic: &|_, _| None }
    }

    /// Replaces every variable.
    ///
    /// # Errors
    /// The first variable that does not exist, or is used wrongly.
    pub fn expand(&self, template: &str) -> Result<String, VarError> {
        match self.expand_all(template) {
            (text, None) => Ok(text),
            (_, Some(error)) => Err(error),
        }
    }

    /// Replaces every variable, and unknown ones by `UNSUPPORTED_VARIABLE_x`, as 2.3 does where
    /// it only logs the mistake.
    pub fn expand_all(&self, template: &str) -> (String, Option<VarError>) {
        let mut run = Run { expander: self, depth: 0, error: None };
        let mut out = Vec::new();
        run.expand(template, &mut out);
        (String::from_utf8_lossy(&out).into_owned(), run.error)
    }
}

/// One expansion, with the first thing that went wrong.
struct Run<'e> {
    expander: &'e Expander<'e>,
    depth: usize,
    error: Option<VarError>,
}

/// What stands between `%` and the variable.
#[derive(Debug, Default, Clone)]
struct Shape {
    offset: i64,
    width: i64,
    zero_padding: bool,
    modifiers: Vec<char>,
}

/// What stands there in place of a variable, and whether it is its value.
enum Found {
    Value(String),
    /// Put in as it is, without modifiers.
    Missing(String, VarError),
}

impl Run<'_> {
    fn expand(&mut self, template: &str, out: &mut Vec<u8>) {
        let mut rest = template;
        while let Some(at) = rest.find('%') {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            let (shape, after) = Shape::read(&rest[at + 1..]);
            let Some((name, after)) = split_name(after) else { return };
            rest = after;
            match self.find(name) {
                Found::Value(value) => shape.put(value.into_bytes(), out),
                Found::Missing(text, error) => {
                    out.extend_from_slice(text.as_bytes());
                    self.error.get_or_insert(error);
                }
            }
            if out.len() > EXPANSION_BYTES_MAX {
                self.error.get_or_insert(VarError::TooLarge);
                return;
            }
        }
        out.extend_from_slice(rest.as_bytes());
    }

    fn find(&mut self, name: Name<'_>) -> Found {
        match name {
            Name::Short(key) => {
                let found = self.expander.table.iter().find(|(short, _, _)| *short == key);
                match found {
                    Some((_, _, value)) => Found::Value(value.unwrap_or_default().to_owned()),
                    None if key == '%' => Found::Value("%".into()),
                    None => unknown(&key.to_string()),
                }
            }
            Name::Long(key) => self.long(key),
        }
    }

    fn long(&mut self, key: &str) -> Found {
        let entry = self.expander.table.iter().find(|(_, long, _)| !long.is_empty() && *long == key);
        if let Some((_, _, value)) = entry {
            return Found::Value(value.unwrap_or_default().to_owned());
        }
        let (function, argument) = key.split_once(':').unwrap_or((key, ""));
        let word = function.split(';').next().unwrap_or_default();
        if word.eq_ignore_ascii_case("if") {
            return self.nested(|run| run.condition(key));
        }
        if word == "pkcs5" || crate::digest::Method::find(word).is_some() {
            return self.nested(|run| run.hash(function, argument));
        }
        if word == "encrypt" || word == "decrypt" {
            return Found::Missing(String::new(), VarError::Unsupported(word.into()));
        }
        if function == "env" {
            return Found::Value((self.expander.env)(argument).unwrap_or_default());
        }
        match (self.expander.dynamic)(function, argument) {
            Some(value) => Found::Value(value),
            None => unknown(function),
        }
    }

    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<String, VarError>) -> Found {
        if self.depth >= EXPANSION_DEPTH_MAX {
            return Found::Missing(String::new(), VarError::TooLarge);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        match result {
            Ok(value) => Found::Value(value),
            Err(error) => Found::Missing(String::new(), error),
        }
    }

    /// Expands a part of a template by itself.
    fn part(&mut self, template: &str) -> Result<String, VarError> {
        let before = self.error.take();
        let mut out = Vec::new();
        self.expand(template, &mut out);
        let error = std::mem::replace(&mut self.error, before);
        match error {
            Some(error) => Err(error),
            None => Ok(String::from_utf8_lossy(&out).into_owned()),
        }
    }
}

fn unknown(name: &str) -> Found {
    Found::Missing(format!("UNSUPPORTED_VARIABLE_{name}"), VarError::Unknown(name.to_owned()))
}

enum Name<'t> {
    Short(char),
    Long(&'t str),
}

/// The variable at the start of the text, and what follows it. A `{` without any `}` after it is
/// a short name.
fn split_name(text: &str) -> Option<(Name<'_>, &str)> {
    let first = text.chars().next()?;
    if first != '{' || !text.contains('}') {
        return Some((Name::Short(first), &text[first.len_utf8()..]));
    }
    let (mut depth, mut escaped) = (0usize, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' if depth == 1 => return Some((Name::Long(&text[1..at]), &text[at + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    Some((Name::Long(&text[1..]), ""))
}

impl Shape {
    fn read(text: &str) -> (Self, &str) {
        let mut shape = Self::default();
        let (mut negative, mut rest) = skip(text, '-');
        (shape.zero_padding, rest) = skip(rest, '0');
        (shape.width, rest) = number(rest);
        if let Some(after) = rest.strip_prefix('.') {
            shape.offset = if negative { -shape.width } else { shape.width };
            (shape.zero_padding, rest) = skip(after, '0');
            (negative, rest) = skip(rest, '-');
            (shape.width, rest) = number(rest);
            if negative {
                shape.width = -shape.width;
            }
        }
        while let Some(c) = rest.chars().next().filter(|c| modifiers::is_modifier(*c)) {
            if shape.modifiers.len() == modifiers::COUNT_MAX {
                break;
            }
            shape.modifiers.push(c);
            rest = &rest[1..];
        }
        (shape, rest)
    }

    /// Changes a value as asked and puts it out.
    fn put(mut self, mut value: Vec<u8>, out: &mut Vec<u8>) {
        for modifier in std::mem::take(&mut self.modifiers) {
            value = modifiers::apply(modifier, value, &mut self);
        }
        let len = value.len();
        let magnitude = usize::try_from(self.offset.unsigned_abs()).unwrap_or(usize::MAX);
        let start = if self.offset < 0 { len.saturating_sub(magnitude) } else { magnitude.min(len) };
        let value = &value[start..];
        if self.width == 0 {
            out.extend_from_slice(value);
        } else if self.zero_padding {
            let width = usize::try_from(self.width).unwrap_or(0).min(EXPANSION_BYTES_MAX);
            out.resize(out.len() + width.saturating_sub(value.len()), b'0');
            out.extend_from_slice(value);
        } else {
            let magnitude = usize::try_from(self.width.unsigned_abs()).unwrap_or(usize::MAX);
            // A negative width leaves that many bytes out; more than there are leaves out none.
            let kept = if self.width < 0 { value.len().checked_sub(magnitude) } else { Some(magnitude) };
            out.extend_from_slice(&value[..kept.unwrap_or(value.len()).min(value.len())]);
        }
    }
}

fn skip(text: &str, c: char) -> (bool, &str) {
    text.strip_prefix(c).map_or((false, text), |rest| (true, rest))
}

fn number(text: &str) -> (i64, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (text[..digits].parse().unwrap_or(if digits == 0 { 0 } else { i64::from(i32::MAX) }), &text[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expected: &str) {
        let table: &[Variable<'_>] = &[
            ('u', "user", Some("Test.User@Example.org")),
            ('n', "username", Some("Test.User")),
            ('d', "domain", Some("Example.org")),
            ('p', "pid", Some("255")),
            ('w', "password", None),
        ];
        let expander = Expander {
            table,
            env: &|name| (name == "HOME").then(|| "/home/x".to_owned()),
            dynamic: &|function, argument| (function == "passdb").then(|| format!("<{argument}>")),
        };
        let got = match expander.expand(template) {
            Ok(text) => text,
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, expected, "{template}");
    }

    #[test]
    fn names() {
        check("/mail/%d/%n", "/mail/Example.org/Test.User");
        check("%{user}%%%w.", "Test.User@Example.org%.");
        check("%{env:HOME} %{passdb:uid}", "/home/x <uid>");
        check("%q", "error: Unknown variable '%q'");
        check("%{none}", "error: Unknown variable '%none'");
        check("%{userdb:a}", "error: Unknown variable '%userdb'");
        check("100%", "100");
    }

    #[test]
    fn modifiers_and_widths() {
        check("%Lu", "test.user@example.org");
        check("%Ud", "EXAMPLE.ORG");
        check("%Xp", "ff");
        check("%08Xp", "000000ff");
        check("%Rd", "gro.elpmaxE");
        check("%1n", "T");
        check("%2.3n", "st.");
        check("%-3.2d", "or");
        check("%0.-4d", "Example");
        check("%Dd", "Example,dc=org");
        check("%Mw", "d41d8cd98f00b204e9800998ecf8427e");
        check("%LMw", "d41d8cd98f00b204e9800998ecf8427e");
        check("%3.256Nn", "092");
        check("%2.256Hn", "02");
    }

    #[test]
    fn hashes() {
        check("%{md5:password}", "d41d8cd98f00b204e9800998ecf8427e");
        check("%{sha1;truncate=16:password}", "da39");
        check("%{sha256;rounds=1;format=base64:pid}", "lVa4JJnMCq+Grufw0lPhfGG373PUiilfN9mPCLBP+n8=");
        check("%{sha1;rounds=0:pid}", "error: Cannot parse hash arguments:rounds must be at least 1");
    }

    #[test]
    fn conditions() {
        check("%{if;%p;==;255;yes;no}", "yes");
        check("%{if;%d;ne;;%d;none}", "Example.org");
        check("%{if;%w;ne;;%w;none}", "none");
        check("%{if;%n;*;Test*;a;b}", "a");
        check("%{if;%n;~;^T.*r$;a;b}", "a");
        check("%{if;%n;!~;^T.*r$;a;b}", "b");
        check("%{if;%{if;1;<;2;x;y};eq;x;in;out}", "in");
        check("%{if;a;is;b;c;d}", "error: if: Unsupported comparator 'is'");
        check("%{if;a;==;1;c;d}", "error: if: a (lhs) is not a number");
        check("%{if;a;eq}", "error: if: requires four or five parameters, got 2");
        check("%{if;a;eq;a;x\\:y;z}", "x:y");
    }

    #[test]
    fn bounds() {
        check(
            &format!("{}%p{}", "%{if;1;==;1;".repeat(40), "}".repeat(40)),
            "error: Template expands to too much",
        );
        check(&"%0999999999u".repeat(2), "error: Template expands to too much");
    }

    #[test]
    fn what_is_wrong_is_put_in_where_only_logged() {
        let (text, error) = Expander::of(&[]).expand_all("a%q%{z}b");
        assert_eq!(text, "aUNSUPPORTED_VARIABLE_qUNSUPPORTED_VARIABLE_zb");
        assert_eq!(error, Some(VarError::Unknown("q".into())));
    }
}
