//! The text of an HTML page, as 2.3 reads it for previews and full text search: tags become spaces,
//! scripts, styles and comments nothing, quoted blocks lines that begin with `>`.

use crate::html_entities::ENTITIES;

/// Whether `Content-Type` says HTML, in which case [`html2text`] is to be used.
pub fn is_html(content_type: &[u8], subtype: &[u8]) -> bool {
    let is = |one: &[u8], other: &str| one.eq_ignore_ascii_case(other.as_bytes());
    (is(content_type, "text") && is(subtype, "html"))
        || (is(content_type, "application") && is(subtype, "xhtml+xml"))
}

/// The text. Whatever is not closed goes on to the end.
pub fn html2text(html: &str) -> String {
    let mut reader = Reader { out: String::with_capacity(html.len() / 2), quotes: 0, ends_quote: false };
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        let (text, from) = rest.split_at(at);
        reader.out.push_str(text);
        rest = if from.starts_with('<') { reader.tag(from) } else { reader.entity(from) };
    }
    reader.out.push_str(rest);
    reader.out
}

struct Reader {
    out: String,
    /// Open blockquotes.
    quotes: u32,
    ends_quote: bool,
}

impl Reader {
    /// Takes what begins with `<` and gives what is behind it.
    fn tag<'a>(&mut self, from: &'a str) -> &'a str {
        let inner = from.get(1..).unwrap_or_default();
        if let Some(comment) = inner.strip_prefix("!--") {
            return end_of_comment(comment);
        }
        if let Some(cdata) = strip_prefix_icase(inner, "![CDATA[") {
            let (text, rest) = cdata.split_once("]]>").unwrap_or((cdata, ""));
            self.out.push_str(text);
            return rest;
        }
        for (name, end) in [("script", "</script>"), ("style", "</style>")] {
            if let Some(content) = strip_name(inner, name) {
                let rest = after_icase(content, end);
                self.space();
                return rest;
            }
        }
        if strip_name(inner, "blockquote").is_some() {
            self.quotes += 1;
        } else if self.quotes > 0 && strip_prefix_icase(inner, "/blockquote>").is_some() {
            self.quotes -= 1;
            self.ends_quote = true;
        }
        let rest = end_of_tag(inner);
        if self.quotes > 0 {
            self.out.push_str("\n>");
        } else if self.ends_quote {
            self.out.push('\n');
        }
        self.ends_quote = false;
        self.space();
        rest
    }

    /// Takes what begins with `&` and gives what is behind it.
    fn entity<'a>(&mut self, from: &'a str) -> &'a str {
        let inner = from.get(1..).unwrap_or_default();
        let end = inner.bytes().take(NAME_BYTES_MAX + 1).position(|byte| byte == b';' || is_space(byte));
        match end.filter(|&end| inner.as_bytes().get(end) == Some(&b';')) {
            Some(end) => {
                self.out.extend(inner.get(..end).and_then(character));
                inner.get(end + 1..).unwrap_or_default()
            }
            // As in 2.3 the sign itself is lost.
            None => inner,
        }
    }

    fn space(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with([' ', '\n']) {
            self.out.push(' ');
        }
    }
}

fn character(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    let at = ENTITIES.binary_search_by_key(&name, |(known, _)| *known).ok()?;
    ENTITIES.get(at).map(|(_, character)| *character)
}

/// What is behind `-->`, where spaces may stand before the `>`.
fn end_of_comment(comment: &str) -> &str {
    let mut rest = comment;
    while let Some((_, after)) = rest.split_once("--") {
        if let Some(rest) = after.trim_ascii_start().strip_prefix('>') {
            return rest;
        }
        rest = after;
    }
    ""
}

/// What is behind the `>` that is in no quotes.
fn end_of_tag(inner: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match (quote, byte) {
            _ if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return inner.get(at + 1..).unwrap_or_default(),
            (None, _) => {}
        }
    }
    ""
}

fn strip_prefix_icase<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// What is behind a tag's name and the byte that ends it.
fn strip_name<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = strip_prefix_icase(text, name)?;
    let ends = rest.bytes().next().is_some_and(|byte| byte == b'>' || is_space(byte));
    if ends { rest.get(1..) } else { None }
}

fn after_icase<'a>(text: &'a str, end: &str) -> &'a str {
    for (at, _) in text.match_indices('<') {
        if let Some(rest) = text.get(at..).and_then(|from| strip_prefix_icase(from, end)) {
            return rest;
        }
    }
    ""
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The longest name between `&` and `;`, as in 2.3.
const NAME_BYTES_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &str, expected: &str) {
        assert_eq!(html2text(html), expected, "{html}");
    }

    #[test]
    fn tags_and_entities() {
        check("<p>Hello <b>html</b> world &amp; all</p>", "Hello html  world & all ");
        check("a&nbsp;b&#65;&#x42;&bogus;&lt;", "a\u{a0}bAB<");
        check("a & b &c", "a  b c");
        check("x<a href=\"a>b\" title='>'>y</a>", "x y ");
        check("x<a b=\"\\\">\">y", "x y");
        check("x<unclosed", "x ");
    }

    #[test]
    fn what_is_not_text() {
        check("a<script>if (1<2) x</scripT>b", "a b");
        check("a<style type=x>p{}</style>b<styled>c", "a b c");
        check("a<!-- <b> -- > c", "a c");
        check("a<!-- x", "a");
        check("<![CDATA[<x>]]>y", "<x>y");
        check("a<script>never", "a ");
    }

    #[test]
    fn quotes() {
        check("a<blockquote>b</blockquote>c", "a\n> b\nc");
    }

    #[test]
    fn names_are_sorted() {
        assert!(ENTITIES.is_sorted_by_key(|(name, _)| *name));
    }
}
