//! Lines of the 2.3 language. What a line means depends on nothing but itself and the lines it
//! continues.

/// A line, as far as it can be understood alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing, or a comment.
    Skip,
    /// More comes on the next line.
    Continue,
    /// Not of the language.
    Error(&'static str),
    /// `key = value`
    Value(String, String),
    /// `key = <file`
    File(String, String),
    /// `key = text with $variables`
    Variables(String, String),
    /// `key name {`
    Begin(String, String),
    /// `}`
    End,
    /// `!include pattern`; `true` for `!include_try`.
    Include(String, bool),
}

/// The result of reading a line, with a remark if a `#` in it looks like a mistake.
pub(crate) struct Read {
    pub(crate) line: Line,
    pub(crate) ambiguous_hash: bool,
}

/// Reads lines, joining those that end in a backslash.
#[derive(Debug, Default)]
pub(crate) struct Lexer {
    pending: String,
}

fn is_white(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn trim(text: &str) -> &str {
    text.trim_matches(is_white)
}

impl Lexer {
    /// How many bytes of unfinished lines there are.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn read(&mut self, raw: &str) -> Read {
        let line = raw.trim_start_matches(is_white);
        if line.is_empty() || line.starts_with('#') {
            // Even between continued lines: what was pending is dropped with the comment.
            self.pending.clear();
            return Read { line: Line::Skip, ambiguous_hash: false };
        }
        let (line, ambiguous_hash) = strip_comment(line);
        let line = line.trim_end_matches(is_white);
        if let Some(begun) = line.strip_suffix('\\') {
            let begun = begun.trim_end_matches(is_white);
            if !begun.is_empty() {
                self.pending.push_str(begun);
                self.pending.push(' ');
            }
            return Read { line: Line::Continue, ambiguous_hash };
        }
        let whole = std::mem::take(&mut self.pending) + line;
        Read { line: understand(&whole), ambiguous_hash }
    }
}

/// Cuts at the first `#` outside quotes. Also tells whether no space stood before it.
fn strip_comment(line: &str) -> (&str, bool) {
    let mut chars = line.char_indices();
    let mut before = ' ';
    while let Some((at, c)) = chars.next() {
        if c == '#' {
            return (&line[..at], !is_white(before));
        }
        if c == '"' || c == '\'' {
            let mut escaped = false;
            let closed = chars.by_ref().any(|(_, inner)| {
                let ends = inner == c && !escaped;
                escaped = inner == '\\' && !escaped;
                ends
            });
            if !closed {
                return (line, false);
            }
        }
        before = c;
    }
    (line, false)
}

fn understand(line: &str) -> Line {
    let key_end = line.find(|c| is_white(c) || c == '=').unwrap_or(line.len());
    let (key, rest) = line.split_at(key_end);
    let rest = rest.trim_start_matches(is_white);
    match key {
        "!include" => return Line::Include(rest.to_owned(), false),
        "!include_try" => return Line::Include(rest.to_owned(), true),
        _ => {}
    }
    if let Some(value) = rest.strip_prefix('=') {
        return assignment(key, value.trim_start_matches(is_white));
    }
    if key == "}" && rest.is_empty() {
        return Line::End;
    }
    section(key, rest)
}

fn assignment(key: &str, value: &str) -> Line {
    let key = key.to_owned();
    if let Some(file) = value.strip_prefix('<') {
        return Line::File(key, trim(file).to_owned());
    }
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|inner| inner.strip_suffix(quote));
    let begins_quoted = value.starts_with(['"', '\'']);
    if !begins_quoted && value.contains('$') {
        return Line::Variables(key, value.to_owned());
    }
    match quoted('"').or_else(|| quoted('\'')) {
        Some(inner) => Line::Value(key, unescape(inner)),
        // A single quote character is both first and last for 2.3, and leaves nothing.
        None if value == "\"" || value == "'" => Line::Value(key, String::new()),
        None => Line::Value(key, value.to_owned()),
    }
}

fn section(key: &str, rest: &str) -> Line {
    let (name, rest) = if rest.starts_with('{') {
        (String::new(), rest)
    } else if let Some(inner) = rest.strip_prefix('"') {
        match inner.split_once('"') {
            Some((name, rest)) => (unescape(name), rest.trim_start_matches(is_white)),
            None => (String::new(), ""),
        }
    } else {
        let end = rest.find(is_white).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        (name.to_owned(), rest.trim_start_matches(is_white))
    };
    match rest.strip_prefix('{') {
        Some("") => Line::Begin(key.to_owned(), name),
        Some(_) => Line::Error("Garbage after '{'"),
        None => Line::Error("Expecting '{'"),
    }
}

/// A backslash makes the next character plain; one at the end is lost.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' { out.extend(chars.next()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Line) {
        let mut lexer = Lexer::default();
        let mut last = Line::Skip;
        for line in text.lines() {
            last = lexer.read(line).line;
        }
        assert_eq!(last, expected, "{text}");
    }

    #[test]
    fn lines() {
        let value = |key: &str, value: &str| Line::Value(key.into(), value.into());
        check("  # nothing", Line::Skip);
        check("a = b c  # d", value("a", "b c"));
        check("a=b", value("a", "b"));
        check("a =", value("a", ""));
        check("a = \" b # c \" # d", value("a", " b # c "));
        check("a = 'b'", value("a", "b"));
        check("a = \"b\\\"c\"", value("a", "b\"c"));
        check("a = b\\\n  c", Line::Value("a".into(), "b c".into()));
        check("a = < /x/y", Line::File("a".into(), "/x/y".into()));
        check("a = $b c", Line::Variables("a".into(), "$b c".into()));
        check("a = \"$b\"", value("a", "$b"));
        check("a b {", Line::Begin("a".into(), "b".into()));
        check("a \"b c\" {", Line::Begin("a".into(), "b c".into()));
        check("a {", Line::Begin("a".into(), String::new()));
        check("a{", Line::Error("Expecting '{'"));
        check("a { b", Line::Error("Garbage after '{'"));
        check("}", Line::End);
        check("!include x/*.conf", Line::Include("x/*.conf".into(), false));
        check("what is this", Line::Error("Expecting '{'"));
    }
}
