//! The event filter language of 2.3, used by `log_debug`, `log_core_filter` and
//! `process_shutdown_filter`: comparisons joined by AND, OR and NOT, with `*` and `?` in values.
//!
//! AND and OR bind equally and to the left, as in 2.3; NOT binds tighter.

use crate::log::Level;

/// A filter may nest this deeply; each level costs a stack frame.
const DEPTH_MAX: usize = 100;

/// Why a filter was refused, in 2.3's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not the language.
    #[error("event filter: syntax error, unexpected {unexpected}{}", expecting(.expected))]
    Syntax {
        /// What stood there.
        unexpected: String,
        /// What could have, as a list joined by " or "; may be empty.
        expected: &'static str,
    },
    /// `category > x` and the like.
    #[error("event filter: Only fields support inequality comparisons")]
    Inequality,
    /// Nested beyond reason.
    #[error("event filter: memory exhausted")]
    TooDeep,
}

fn expecting(list: &str) -> String {
    if list.is_empty() { String::new() } else { format!(", expecting {list}") }
}

/// What a filter is held against.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The line's level; a filter sees it as a category.
    pub level: Level,
    /// The categories, with those they belong to: `service:imap`, `imap`.
    pub categories: &'a [&'a str],
    /// The event's name, if it has one.
    pub name: Option<&'a str>,
    /// File and line of the source.
    pub source: Option<(&'a str, u32)>,
    /// Fields as name and value.
    pub fields: &'a [(&'a str, &'a str)],
}

/// A parsed filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Option<Node>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Name(String),
    Source(String, Option<u32>),
    Category(String),
    Field(String, Op, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Equal,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
}

impl Filter {
    /// Parses `text`. An empty filter matches nothing.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let mut parser = Parser { tokens: tokens(text), at: 0, depth: 0 };
        if parser.peek() == &Token::End {
            return Ok(Self(None));
        }
        if !matches!(parser.peek(), Token::Word(_) | Token::Quoted(_) | Token::Not | Token::Open) {
            return Err(parser.unexpected("$end"));
        }
        let node = parser.expression()?;
        match parser.peek() {
            Token::End => Ok(Self(Some(node))),
            _ => Err(parser.unexpected("$end")),
        }
    }

    /// Whether the filter is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the filter matches `event`.
    pub fn matches(&self, event: &Event<'_>) -> bool {
        self.0.as_ref().is_some_and(|node| node.matches(event))
    }
}

impl Node {
    fn matches(&self, event: &Event<'_>) -> bool {
        match self {
            Self::And(left, right) => left.matches(event) && right.matches(event),
            Self::Or(left, right) => left.matches(event) || right.matches(event),
            Self::Not(inner) => !inner.matches(event),
            Self::Name(mask) => event.name.is_some_and(|name| wildcard_match(name, mask)),
            Self::Source(file, line) => event
                .source
                .is_some_and(|(name, number)| name == file && line.is_none_or(|line| line == number)),
            Self::Category(name) => {
                event.level.word().eq_ignore_ascii_case(name) || event.categories.contains(&name.as_str())
            }
            Self::Field(key, op, wanted) => {
                match event.fields.iter().find(|(name, _)| name == key) {
                    // As in 2.3 the empty value matches a field that is not there.
                    None => wanted.is_empty(),
                    Some((_, value)) => compare(value, *op, wanted),
                }
            }
        }
    }
}

fn compare(value: &str, op: Op, wanted: &str) -> bool {
    if op == Op::Equal {
        return wildcard_match_icase(value, wanted);
    }
    let (Ok(value), Ok(wanted)) = (value.parse::<i64>(), wanted.parse::<i64>()) else { return false };
    match op {
        Op::Equal => value == wanted,
        Op::Greater => value > wanted,
        Op::Less => value < wanted,
        Op::GreaterEqual => value >= wanted,
        Op::LessEqual => value <= wanted,
    }
}

/// Whether all of `text` matches `mask`, in which `*` stands for any run of characters and `?` for
/// any one.
pub fn wildcard_match(text: &str, mask: &str) -> bool {
    let (text, mask): (Vec<char>, Vec<char>) = (text.chars().collect(), mask.chars().collect());
    let (mut at, mut mask_at) = (0, 0);
    // Where to go on when what follows the last `*` does not fit.
    let mut retry = None;
    while let Some(&have) = text.get(at) {
        match mask.get(mask_at) {
            Some('*') => {
                mask_at += 1;
                retry = Some((at, mask_at));
            }
            Some(&want) if want == '?' || want == have => {
                at += 1;
                mask_at += 1;
            }
            _ => match retry {
                Some((from, after_star)) => {
                    at = from + 1;
                    mask_at = after_star;
                    retry = Some((at, mask_at));
                }
                None => return false,
            },
        }
    }
    mask[mask_at..].iter().all(|&left| left == '*')
}

/// As [`wildcard_match`], ASCII letters in either case.
pub fn wildcard_match_icase(text: &str, mask: &str) -> bool {
    wildcard_match(&text.to_ascii_lowercase(), &mask.to_ascii_lowercase())
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    And,
    Or,
    Not,
    Open,
    Close,
    Equal,
    Greater,
    Less,
    Unknown,
    End,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut used = first.len_utf8();
        let token = match first {
            ' ' | '\t' | '\n' | '\r' => None,
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            '=' => Some(Token::Equal),
            '>' => Some(Token::Greater),
            '<' => Some(Token::Less),
            '"' => match quoted(&rest[1..]) {
                Some((value, length)) => {
                    used += length;
                    Some(Token::Quoted(value))
                }
                // A string that never ends swallows the rest.
                None => break,
            },
            _ if is_word(first) => {
                used = rest.find(|next| !is_word(next)).unwrap_or(rest.len());
                Some(word(&rest[..used]))
            }
            _ => Some(Token::Unknown),
        };
        tokens.extend(token);
        rest = &rest[used..];
    }
    tokens.push(Token::End);
    tokens
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '*' | '?' | '_' | '-')
}

fn word(text: &str) -> Token {
    match text.to_ascii_lowercase().as_str() {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        _ => Token::Word(text.to_owned()),
    }
}

/// The string up to its closing quote, and how many bytes it took with that quote.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => match chars.next()?.1 {
                escaped @ ('\\' | '"') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            _ => value.push(c),
        }
    }
    None
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

const OPERANDS: &str = "TOKEN or STRING or NOT or '('";

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn unexpected(&self, expected: &'static str) -> FilterError {
        let unexpected = match self.peek() {
            Token::Word(_) => "TOKEN",
            Token::Quoted(_) => "STRING",
            Token::And => "AND",
            Token::Or => "OR",
            Token::Not => "NOT",
            Token::Open => "'('",
            Token::Close => "')'",
            Token::Equal => "'='",
            Token::Greater => "'>'",
            Token::Less => "'<'",
            Token::Unknown => "$undefined",
            Token::End => "$end",
        };
        FilterError::Syntax { unexpected: unexpected.to_owned(), expected }
    }

    fn expression(&mut self) -> Result<Node, FilterError> {
        let mut left = self.operand()?;
        loop {
            let join = match self.peek() {
                Token::And => Node::And,
                Token::Or => Node::Or,
                _ => return Ok(left),
            };
            self.at += 1;
            left = join(Box::new(left), Box::new(self.operand()?));
            self.deeper()?;
        }
    }

    /// Every join makes the tree deeper by one, so joins count as nesting does.
    fn deeper(&mut self) -> Result<(), FilterError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(FilterError::TooDeep) } else { Ok(()) }
    }

    fn operand(&mut self) -> Result<Node, FilterError> {
        match self.peek() {
            Token::Not => {
                self.at += 1;
                self.deeper()?;
                Ok(Node::Not(Box::new(self.operand()?)))
            }
            Token::Open => {
                self.at += 1;
                self.deeper()?;
                let inner = self.expression()?;
                if self.peek() != &Token::Close {
                    return Err(self.unexpected("AND or OR or ')'"));
                }
                self.at += 1;
                Ok(inner)
            }
            Token::Word(_) | Token::Quoted(_) => self.comparison(),
            _ => Err(self.unexpected(OPERANDS)),
        }
    }

    fn comparison(&mut self) -> Result<Node, FilterError> {
        let key = match self.take() {
            Token::Word(key) | Token::Quoted(key) => key,
            _ => return Err(self.unexpected(OPERANDS)),
        };
        let op = self.operator()?;
        let value = match self.peek() {
            Token::Word(value) | Token::Quoted(value) => value.clone(),
            Token::And => "and".to_owned(),
            Token::Or => "or".to_owned(),
            Token::Not => "not".to_owned(),
            _ => return Err(self.unexpected("")),
        };
        self.at += 1;
        comparison(key, op, value)
    }

    fn operator(&mut self) -> Result<Op, FilterError> {
        let first = match self.peek() {
            Token::Equal => Op::Equal,
            Token::Greater => Op::Greater,
            Token::Less => Op::Less,
            _ => return Err(self.unexpected("'=' or '>' or '<'")),
        };
        self.at += 1;
        let or_equal = match first {
            Op::Greater => Op::GreaterEqual,
            Op::Less => Op::LessEqual,
            _ => return Ok(first),
        };
        if self.peek() == &Token::Equal {
            self.at += 1;
            return Ok(or_equal);
        }
        Ok(first)
    }
}

fn comparison(key: String, op: Op, value: String) -> Result<Node, FilterError> {
    if matches!(key.as_str(), "event" | "category" | "source_location") && op != Op::Equal {
        return Err(FilterError::Inequality);
    }
    Ok(match key.as_str() {
        "event" => Node::Name(value),
        "category" => Node::Category(value),
        "source_location" => match value.rsplit_once(':') {
            Some((file, line)) if line.parse::<u32>().is_ok() => {
                // Line 0 stands for any.
                let line = line.parse().ok().filter(|&line| line != 0);
                Node::Source(file.to_owned(), line)
            }
            _ => Node::Source(value, None),
        },
        _ => Node::Field(key, op, value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Event<'_> = Event {
        level: Level::Debug,
        categories: &["service:auth", "auth"],
        name: Some("auth_request_finished"),
        source: Some(("auth.c", 12)),
        fields: &[("user", "Bob"), ("duration", "250")],
    };

    #[track_caller]
    fn check(filter: &str, expected: bool) {
        assert_eq!(Filter::parse(filter).unwrap().matches(&EVENT), expected, "{filter}");
    }

    #[track_caller]
    fn refused(filter: &str, expected: &str) {
        assert_eq!(
            Filter::parse(filter).unwrap_err().to_string(),
            format!("event filter: {expected}"),
            "{filter}"
        );
    }

    #[test]
    fn filters_match() {
        check("", false);
        check("category=auth", true);
        check("category=debug", true);
        check("category=error", false);
        check("category=mail OR event=auth_*", true);
        check("event=auth_request", false);
        check("user=b?b AND duration >= 250", true);
        check("duration > 250 or duration < 250", false);
        check("NOT user=bob AND category=auth", false);
        check("category=auth or category=mail and category=imap", false);
        check("category=auth or (category=mail and category=imap)", true);
        check("source_location=auth.c:12", true);
        check("source_location=\"auth.c\"", true);
        check("source_location=auth.c:13", false);
        check("nosuch=\"\"", true);
        check("nosuch=x", false);
        check("not not user=\"B*\"", true);
    }

    /// Recorded from 2.3.19.
    #[test]
    fn mistakes_are_named_as_in_2_3() {
        refused("category=", "syntax error, unexpected $end");
        refused("foo", "syntax error, unexpected $end, expecting '=' or '>' or '<'");
        refused("=x", "syntax error, unexpected '=', expecting $end");
        refused("a=b c=d", "syntax error, unexpected TOKEN, expecting $end");
        refused("(a=b", "syntax error, unexpected $end, expecting AND or OR or ')'");
        refused("category>x", "Only fields support inequality comparisons");
        refused("NOT", "syntax error, unexpected $end, expecting TOKEN or STRING or NOT or '('");
        refused("a=b AND", "syntax error, unexpected $end, expecting TOKEN or STRING or NOT or '('");
        refused("a=b OR )", "syntax error, unexpected ')', expecting TOKEN or STRING or NOT or '('");
        refused("a=\"x", "syntax error, unexpected $end");
        refused("a=$", "syntax error, unexpected $undefined");
        refused("a=b)", "syntax error, unexpected ')', expecting $end");
        refused("and=x", "syntax error, unexpected AND, expecting $end");
        refused("a==b", "syntax error, unexpected '='");
        refused(&"(".repeat(100_000), "memory exhausted");
        refused(&vec!["a=b"; 100_000].join(" and "), "memory exhausted");
    }

    #[test]
    fn wildcards() {
        for (text, mask, expected) in [
            ("abc", "abc", true),
            ("abc", "a*", true),
            ("abc", "*c", true),
            ("abc", "a?c", true),
            ("abc", "a?", false),
            ("", "*", true),
            ("", "?", false),
            ("aXbXc", "*X*c", true),
            ("aaaaab", "*a*a*b", true),
            ("aaaa", "*a*a*b", false),
        ] {
            assert_eq!(wildcard_match(text, mask), expected, "{text} {mask}");
        }
        assert!(wildcard_match_icase("USER@Example.com", "user@*"));
    }
}
