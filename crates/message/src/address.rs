//! Address lists (RFC 5322 §3.4), read tolerantly and exactly as Dovecot 2.3 reads them: whatever
//! stands in the header, something comes out, and a client sees the same as before.

use crate::limits::ADDRESSES_MAX;
use crate::rfc822::{Cursor, Step, is_atext};

/// One entry of an address list.
///
/// A group begins with an entry that has a mailbox (the group's name) and no domain, and ends with
/// one that has neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// The display name.
    pub name: Option<Vec<u8>>,
    /// The obsolete source route.
    pub route: Option<Vec<u8>>,
    /// The local part.
    pub mailbox: Option<Vec<u8>>,
    /// The domain. Empty where there was none.
    pub domain: Option<Vec<u8>>,
    /// Whether this is not what RFC 5322 allows.
    pub invalid: bool,
}

impl Address {
    /// Whether this entry begins or ends a group instead of being an address.
    pub fn is_group_mark(&self) -> bool {
        self.domain.is_none()
    }
}

/// What to put where an address lacks a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing.
    Empty,
    /// `MISSING_MAILBOX`, `MISSING_DOMAIN` and the like, as ENVELOPE shows.
    Named,
}

/// Reads the addresses of one field's value.
pub fn parse(value: &[u8], missing: Missing) -> Vec<Address> {
    let mut reader = reader(value, missing);
    if reader.cursor.skip_lwsp() == Step::More {
        reader.list();
    }
    reader.out
}

/// Whether a field's value has nothing but addresses that are written as nearly all are, so that [`write`] gives
/// their names, local parts and domains as they stand.
pub fn are_simple(value: &[u8]) -> bool {
    let mut cursor = Cursor::new(value);
    if cursor.skip_lwsp() != Step::More {
        return false;
    }
    while Simple::read(&mut cursor).is_some() {
        if cursor.peek().is_none() {
            return true;
        }
        cursor.bump();
        if cursor.skip_lwsp() != Step::More {
            return false;
        }
    }
    false
}

/// Reads the first address of one field's value, or the first mark of a group.
pub fn first(value: &[u8], missing: Missing) -> Option<Address> {
    let mut reader = reader(value, missing);
    if reader.cursor.skip_lwsp() == Step::More {
        reader.address();
    }
    reader.out.into_iter().next()
}

fn reader(value: &[u8], missing: Missing) -> Reader<'_> {
    let cursor = Cursor::new(value).keeping_comments().replacing_nul();
    Reader { cursor, text: Vec::new(), address: Address::default(), out: Vec::new(), missing }
}

/// Reads one path as SMTP and Return-Path have it: `<local@domain>`, `<>`, or the same without
/// angle brackets. `None` if it is malformed. The null path gives an empty address.
pub fn parse_path(value: &[u8]) -> Option<Address> {
    let mut reader = Reader {
        cursor: Cursor::new(value),
        text: Vec::new(),
        address: Address::default(),
        out: Vec::new(),
        missing: Missing::Empty,
    };
    reader.path().is_ok().then_some(reader.address)
}

/// Writes addresses in one form: `Name <local@domain>, group: a@b;`, quoted where it must be. An
/// encoded word is never quoted, since it would be none any more.
pub fn write(out: &mut Vec<u8>, addresses: &[Address]) {
    let mut in_group = false;
    let mut first = true;
    for address in addresses {
        if address.is_group_mark() && in_group {
            out.push(b';');
            in_group = false;
            continue;
        }
        if !first {
            out.extend_from_slice(b", ");
        }
        first = address.is_group_mark();
        if first {
            write_phrase(out, address.mailbox.as_deref().unwrap_or_default());
            out.extend_from_slice(b": ");
            in_group = true;
        } else {
            write_one(out, address);
        }
    }
}

fn write_one(out: &mut Vec<u8>, address: &Address) {
    let mailbox = address.mailbox.as_deref().unwrap_or_default();
    let domain = address.domain.as_deref().unwrap_or_default();
    if let Some(name) = &address.name {
        write_phrase(out, name);
        if mailbox.is_empty() && domain.is_empty() && address.route.is_none() {
            return;
        }
        out.push(b' ');
    }
    out.push(b'<');
    if let Some(route) = &address.route {
        out.extend_from_slice(route);
        out.push(b':');
    }
    write_local_part(out, mailbox);
    if !domain.is_empty() {
        out.push(b'@');
        out.extend_from_slice(domain);
    }
    out.push(b'>');
}

/// Writes the part before the `@`, quoted if it is no dot-atom.
pub fn write_local_part(out: &mut Vec<u8>, local: &[u8]) {
    write_quotable(out, local, |byte| is_atext(byte) || byte == b'.');
}

fn write_phrase(out: &mut Vec<u8>, phrase: &[u8]) {
    if memchr::memmem::find(phrase, b"=?").is_some() {
        out.extend_from_slice(phrase);
    } else {
        write_quotable(out, phrase, is_atext);
    }
}

fn write_quotable(out: &mut Vec<u8>, text: &[u8], plain: impl Fn(u8) -> bool) {
    if !text.is_empty() && text.iter().all(|&byte| plain(byte)) {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\' | b'\'') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// What nearly all addresses are: `Word word <local@domain>`, `"Words" <local@domain>` or `local@domain`, with
/// nothing in it to be taken out, replaced or judged. The grammar below gives the same for it, slowly.
struct Simple<'a> {
    name: Option<&'a [u8]>,
    mailbox: &'a [u8],
    domain: &'a [u8],
}

impl<'a> Simple<'a> {
    /// Reads one with the white space behind it, up to a comma or the end; `None` if it is not one, or has no
    /// name that is easily told.
    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        let text = cursor.rest();
        let name = match text.first()? {
            b'"' => Some(Self::quoted(text)?),
            b'.' => return None,
            _ => Self::words(text),
        };
        let quotes = usize::from(text.first() == Some(&b'"')) * 2;
        let behind = text.get(name.map_or(0, |name| name.len() + quotes)..)?;
        let address = match name {
            Some(_) => Some(behind.strip_prefix(b" ").unwrap_or(behind).strip_prefix(b"<")?),
            None => text.strip_prefix(b"<"),
        };
        let (mailbox, rest) = split_while(address.unwrap_or(text), |byte| is_atext(byte) || byte == b'.');
        let (domain, rest) = split_while(rest.strip_prefix(b"@")?, |byte| is_atext(byte) || byte == b'.');
        let rest = if address.is_some() { rest.strip_prefix(b">")? } else { rest };
        let (_, rest) = split_while(rest, |byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        let is_name = !domain.is_empty() && domain.split(|&byte| byte == b'.').all(|part| !part.is_empty());
        if !is_name || mailbox.is_empty() || !matches!(rest.first(), None | Some(b',')) {
            return None;
        }
        cursor.rewind(cursor.pos() + text.len() - rest.len());
        Some(Self { name: name.filter(|name| !name.is_empty()), mailbox, domain })
    }

    /// The text between quotes, if it stands for itself.
    fn quoted(text: &'a [u8]) -> Option<&'a [u8]> {
        let (inner, rest) =
            split_while(text.get(1..)?, |byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0));
        (rest.first() == Some(&b'"')).then_some(inner)
    }

    /// Words with one space between them and a bracket behind them. `None` also if there is no bracket.
    fn words(text: &'a [u8]) -> Option<&'a [u8]> {
        let (words, rest) = split_while(text, |byte| is_atext(byte) || matches!(byte, b'.' | b' '));
        let words = words.strip_suffix(b" ").unwrap_or(words);
        let is_plain = words.split(|&byte| byte == b' ').all(|word| !word.is_empty());
        (is_plain && rest.first() == Some(&b'<')).then_some(words)
    }
}

impl From<Simple<'_>> for Address {
    fn from(simple: Simple<'_>) -> Self {
        Self {
            name: simple.name.map(<[u8]>::to_vec),
            mailbox: Some(simple.mailbox.to_vec()),
            domain: Some(simple.domain.to_vec()),
            ..Self::default()
        }
    }
}

fn split_while(text: &[u8], is_part: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| is_part(**byte)).count())
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    text: Vec<u8>,
    address: Address,
    out: Vec<Address>,
    missing: Missing,
}

impl Reader<'_> {
    fn list(&mut self) {
        while self.out.len() < ADDRESSES_MAX {
            if self.address() == Step::End || self.cursor.peek() != Some(b',') {
                return;
            }
            self.cursor.bump();
            match self.cursor.skip_lwsp() {
                Step::More => {}
                Step::End => return,
                Step::Bad => return self.add_fixed(),
            }
        }
    }

    fn address(&mut self) -> Step {
        if let Some(simple) = Simple::read(&mut self.cursor) {
            self.out.push(simple.into());
            return if self.cursor.peek().is_some() { Step::More } else { Step::End };
        }
        self.by_grammar()
    }

    fn by_grammar(&mut self) -> Step {
        let start = self.cursor.pos();
        match self.group() {
            Step::Bad => {
                self.cursor.rewind(start);
                self.mailbox()
            }
            step => step,
        }
    }

    fn add(&mut self) {
        self.out.push(std::mem::take(&mut self.address));
    }

    fn named(&self, name: &str) -> Vec<u8> {
        if self.missing == Missing::Named { name.as_bytes().to_vec() } else { Vec::new() }
    }

    fn add_fixed(&mut self) {
        if self.address.mailbox.is_none() {
            self.address.mailbox = Some(self.named("MISSING_MAILBOX"));
            self.address.invalid = true;
        }
        if self.address.domain.as_ref().is_none_or(Vec::is_empty) {
            self.address.domain = Some(self.named("MISSING_DOMAIN"));
            self.address.invalid = true;
        }
        self.add();
    }

    /// `phrase ":" [mailboxes] ";"`. Once the colon is there, it stays a group whatever follows.
    fn group(&mut self) -> Step {
        self.text.clear();
        if self.cursor.phrase(&mut self.text) != Step::More || self.cursor.peek() != Some(b':') {
            return Step::Bad;
        }
        self.cursor.bump();
        let mut step = self.cursor.skip_lwsp();
        self.address.invalid = step != Step::More;
        self.address.mailbox = Some(std::mem::take(&mut self.text));
        self.add();
        if step == Step::More && self.cursor.peek() != Some(b';') {
            step = self.group_members();
        }
        if step != Step::Bad {
            step = if self.cursor.peek() == Some(b';') {
                self.cursor.bump();
                self.cursor.skip_lwsp()
            } else {
                Step::Bad
            };
        }
        self.address = Address { invalid: step == Step::Bad, ..Address::default() };
        self.add();
        if step == Step::End { Step::End } else { Step::More }
    }

    fn group_members(&mut self) -> Step {
        loop {
            self.mailbox();
            if self.cursor.peek() != Some(b',') || self.out.len() >= ADDRESSES_MAX {
                return Step::More;
            }
            self.cursor.bump();
            if self.cursor.skip_lwsp() != Step::More {
                return Step::Bad;
            }
        }
    }

    fn mailbox(&mut self) -> Step {
        let start = self.cursor.pos();
        let mut step = self.name_address();
        if step == Step::Bad {
            self.cursor.rewind(start);
            step = self.bare_address();
            let address = &mut self.address;
            if address.invalid && address.name.is_none() && address.domain.is_none() {
                address.name = address.mailbox.take();
            }
        }
        self.address.invalid |= step == Step::Bad;
        self.add_fixed();
        step
    }

    /// `[phrase] "<" … ">"`.
    fn name_address(&mut self) -> Step {
        self.text.clear();
        if self.cursor.phrase(&mut self.text) != Step::More || self.cursor.peek() != Some(b'<') {
            return Step::Bad;
        }
        let name = std::mem::take(&mut self.text);
        self.address.name = (!name.is_empty()).then_some(name);
        if self.angle(false) == Step::Bad {
            if self.missing == Missing::Named {
                self.address.domain = Some(b"SYNTAX_ERROR".to_vec());
            }
            self.address.invalid = true;
        }
        if self.cursor.peek().is_some() { Step::More } else { Step::End }
    }

    fn angle(&mut self, strict: bool) -> Step {
        self.cursor.bump();
        if self.cursor.skip_lwsp() != Step::More {
            return Step::Bad;
        }
        if self.cursor.peek() == Some(b'@') && self.route(strict) == Step::Bad {
            return Step::Bad;
        }
        if self.cursor.peek() != Some(b'>') {
            if self.local_part() != Step::More {
                return Step::Bad;
            }
            if self.cursor.peek() == Some(b'@') && self.domain() != Step::More {
                return Step::Bad;
            }
        }
        if self.cursor.peek() != Some(b'>') {
            return Step::Bad;
        }
        self.cursor.bump();
        self.cursor.skip_lwsp()
    }

    /// `@a,@b:` before the address.
    fn route(&mut self, strict: bool) -> Step {
        let listed = self.route_domains();
        if listed == Step::More && self.cursor.peek() == Some(b':') {
            self.cursor.bump();
        } else if strict && self.cursor.peek() != Some(b':') {
            return Step::Bad;
        } else {
            if self.missing == Missing::Named {
                self.address.route = Some(b"INVALID_ROUTE".to_vec());
            }
            if self.cursor.peek().is_none() {
                return Step::Bad;
            }
        }
        if self.cursor.skip_lwsp() == Step::More { Step::More } else { Step::Bad }
    }

    fn route_domains(&mut self) -> Step {
        self.text.clear();
        loop {
            match self.cursor.peek() {
                None => return Step::End,
                Some(b'@') => {}
                Some(_) => break,
            }
            if !self.text.is_empty() {
                self.text.push(b',');
            }
            self.text.push(b'@');
            match self.cursor.domain(&mut self.text) {
                Step::More => {}
                step => return step,
            }
            while self.cursor.skip_lwsp() == Step::More && self.cursor.peek() == Some(b',') {
                self.cursor.bump();
            }
        }
        self.address.route = Some(std::mem::take(&mut self.text));
        Step::More
    }

    fn local_part(&mut self) -> Step {
        self.text.clear();
        let step = match self.cursor.peek() {
            Some(b'"') => self.cursor.quoted_string(&mut self.text),
            _ => self.cursor.loose_dot_atom(&mut self.text),
        };
        if step.is_ok() {
            self.address.mailbox = Some(self.text.clone());
        }
        step
    }

    fn domain(&mut self) -> Step {
        self.text.clear();
        let step = self.cursor.domain(&mut self.text);
        if step.is_ok() {
            self.address.domain = Some(self.text.clone());
        }
        step
    }

    /// `local@domain`, with the name perhaps in a comment; or what is neither.
    fn bare_address(&mut self) -> Step {
        self.cursor.clear_comment();
        let quoted = self.cursor.peek() == Some(b'"');
        let mut step = self.local_part();
        if step != Step::More {
            self.address.invalid = true;
        }
        let mut has_domain = false;
        if step != Step::End && self.cursor.peek() == Some(b'@') {
            has_domain = true;
            let domain = self.domain();
            if domain != Step::More {
                step = domain;
            }
        }
        if let Some(comment) = self.cursor.last_comment() {
            self.address.name = Some(comment.to_vec());
        } else if !has_domain {
            step = self.lone_words(quoted);
        }
        step
    }

    /// A single word without `@` is a mailbox; several are a display name.
    fn lone_words(&mut self, quoted: bool) -> Step {
        self.text.push(b' ');
        let before = self.text.len();
        let _ = self.cursor.phrase(&mut self.text);
        if self.text.len() != before {
            self.address.mailbox = None;
            self.address.name = Some(std::mem::take(&mut self.text));
        } else if !quoted {
            self.address.domain = Some(Vec::new());
        }
        self.address.invalid = true;
        Step::Bad
    }

    fn path(&mut self) -> Step {
        if self.cursor.skip_lwsp() != Step::More {
            return Step::Bad;
        }
        let step = if self.cursor.peek() == Some(b'<') {
            self.angle(true)
        } else {
            match self.local_part() {
                Step::More if self.cursor.peek() == Some(b'@') => self.domain(),
                step => step,
            }
        };
        let has_mailbox = self.address.mailbox.is_some();
        let has_domain = self.address.domain.as_ref().is_some_and(|domain| !domain.is_empty());
        let whole = step.is_ok() && self.cursor.skip_lwsp() == Step::End;
        if whole && has_mailbox == has_domain { Step::End } else { Step::Bad }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows addresses as `name|route|mailbox|domain`, `~` for what is not there.
    fn show(addresses: &[Address]) -> String {
        let text = |part: &Option<Vec<u8>>| match part {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => "~".to_owned(),
        };
        let one = |a: &Address| {
            format!("{}|{}|{}|{}", text(&a.name), text(&a.route), text(&a.mailbox), text(&a.domain))
        };
        addresses.iter().map(one).collect::<Vec<_>>().join(" ; ")
    }

    fn check(value: &str, want: &str) {
        assert_eq!(show(&parse(value.as_bytes(), Missing::Named)), want, "{value:?}");
    }

    // The expected values are what Dovecot 2.3.19 answers in ENVELOPE.
    #[test]
    fn as_dovecot() {
        check("a@b", "~|~|a|b");
        check("Foo Bar <a@b>", "Foo Bar|~|a|b");
        check("\"Foo, B.\" <a@b>, c@d (Cee)", "Foo, B.|~|a|b ; Cee|~|c|d");
        check("<@x,@y:a@b>", "~|@x,@y|a|b");
        check("grp: a@b, C <c@d>;, e@f", "~|~|grp|~ ; ~|~|a|b ; C|~|c|d ; ~|~|~|~ ; ~|~|e|f");
        check("undisclosed-recipients:;", "~|~|undisclosed-recipients|~ ; ~|~|~|~");
        check("user", "~|~|user|MISSING_DOMAIN");
        check("a\"b <c@d>", "~|~|a|MISSING_DOMAIN");
        check("a\"b\\c d\\e f", "a bc d|~|MISSING_MAILBOX|MISSING_DOMAIN");
        check("two words", "two words|~|MISSING_MAILBOX|MISSING_DOMAIN");
        check("a@b, , c@d", "~|~|a|b ; ~|~|MISSING_MAILBOX|MISSING_DOMAIN ; ~|~|c|d");
        check("<>", "~|~|MISSING_MAILBOX|MISSING_DOMAIN");
        check("", "");
    }

    #[test]
    fn simple_addresses_are_those_of_the_grammar() {
        let pieces =
            ["a", "b.", "\"", " ", "<", ">", "@", ",", "(c)", ":", "\\", "é", "\r\n ", ".c", "Foo <a@b>"];
        let mut is_simple = 0;
        for number in 0..pieces.len().pow(5) {
            let place = |power: u32| number / pieces.len().pow(power) % pieces.len();
            let text: String = (0..5).map(|power| pieces[place(power)]).collect();
            let mut cursor = Cursor::new(text.as_bytes());
            let Some(simple) = Simple::read(&mut cursor) else { continue };
            let rest = cursor.rest().to_vec();
            is_simple += 1;
            let mut reader = reader(text.as_bytes(), Missing::Named);
            let _ = reader.by_grammar();
            assert_eq!(reader.out, [simple.into()], "{text:?}");
            assert_eq!(reader.cursor.rest(), rest, "{text:?}");
        }
        assert!(is_simple > 1000, "{is_simple}");
    }

    fn check_written(value: &str, want: &str) {
        let mut out = Vec::new();
        write(&mut out, &parse(value.as_bytes(), Missing::Named));
        assert_eq!(String::from_utf8_lossy(&out), want, "{value:?}");
    }

    #[test]
    fn written() {
        check_written("a@b, c@d (Cee)", "<a@b>, Cee <c@d>");
        check_written("Foo B. <\"a b\"@c>", "\"Foo B.\" <\"a b\"@c>");
        check_written("=?utf-8?q?x?= y <@r:a@b>", "=?utf-8?q?x?= y <@r:a@b>");
        check_written("grp: a@b, c@d;, e@f", "grp: <a@b>, <c@d>;, <e@f>");
        check_written("", "");
    }

    #[test]
    fn paths() {
        let shown = |value: &str| parse_path(value.as_bytes()).map(|address| show(&[address]));
        assert_eq!(shown("<a@b>").as_deref(), Some("~|~|a|b"));
        assert_eq!(shown(" a@b ").as_deref(), Some("~|~|a|b"));
        assert_eq!(shown("<>").as_deref(), Some("~|~|~|~"));
        assert_eq!(shown("<a>"), None);
        assert_eq!(shown("<a@b> x"), None);
    }
}
