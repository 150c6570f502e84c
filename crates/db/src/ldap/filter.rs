//! Search filters: RFC 4515 as text, RFC 4511 section 4.5.1.7 for the server.

use super::ber::{self, OCTETS, SEQUENCE};
use crate::limits::LDAP_FILTER_DEPTH_MAX;

/// `AND`, `OR`, `NOT` and the others, by their numbers.
const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUAL: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const GREATER: u8 = 0xa5;
const LESS: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const APPROXIMATE: u8 = 0xa8;
const EXTENSIBLE: u8 = 0xa9;

/// What of a value is known: its beginning, something in it, its end.
const INITIAL: u8 = 0x80;
const ANY: u8 = 0x81;
const FINAL: u8 = 0x82;

/// The parts of an extensible match.
const RULE: u8 = 0x81;
const TYPE: u8 = 0x82;
const VALUE: u8 = 0x83;
const OF_DN: u8 = 0x84;

/// A filter as a server reads it; `None` if it is none.
pub(super) fn encode(text: &str) -> Option<Vec<u8>> {
    let mut rest = text;
    // The outermost parentheses may be missing.
    let encoded = match text.starts_with('(') {
        true => group(&mut rest, 0)?,
        false => item(std::mem::take(&mut rest))?,
    };
    rest.is_empty().then_some(encoded)
}

/// Something in parentheses.
fn group(rest: &mut &str, depth: usize) -> Option<Vec<u8>> {
    if depth > LDAP_FILTER_DEPTH_MAX {
        return None;
    }
    *rest = rest.strip_prefix('(')?;
    let tag = match rest.chars().next()? {
        '&' => AND,
        '|' => OR,
        '!' => NOT,
        _ => {
            let (text, behind) = rest.split_once(')')?;
            *rest = behind;
            return item(text);
        }
    };
    *rest = rest.get(1..)?;
    let mut parts = Vec::new();
    while rest.starts_with('(') {
        parts.push(group(rest, depth + 1)?);
    }
    *rest = rest.strip_prefix(')')?;
    // RFC 4526 allows no parts of the others.
    (tag != NOT || parts.len() == 1).then(|| ber::values(tag, &parts))
}

fn item(text: &str) -> Option<Vec<u8>> {
    let (left, value) = text.split_once('=')?;
    if value.contains(['(', '\0']) {
        return None;
    }
    let (name, tag) = match left.chars().next_back()? {
        '~' => (left.strip_suffix('~')?, APPROXIMATE),
        '>' => (left.strip_suffix('>')?, GREATER),
        '<' => (left.strip_suffix('<')?, LESS),
        ':' => return extensible(left.strip_suffix(':')?, value),
        _ if value == "*" => return is_name(left).then(|| ber::value(PRESENT, left.as_bytes())),
        _ if value.contains('*') => return substrings(left, value),
        _ => (left, EQUAL),
    };
    let parts = [ber::value(OCTETS, name.as_bytes()), ber::value(OCTETS, &unescaped(value)?)];
    is_name(name).then(|| ber::values(tag, &parts))
}

fn substrings(name: &str, value: &str) -> Option<Vec<u8>> {
    let last = value.matches('*').count();
    let mut parts = Vec::new();
    for (at, part) in value.split('*').enumerate() {
        let tag = match at {
            0 => INITIAL,
            _ if at == last => FINAL,
            _ => ANY,
        };
        if !part.is_empty() {
            parts.push(ber::value(tag, &unescaped(part)?));
        }
    }
    let all = [ber::value(OCTETS, name.as_bytes()), ber::values(SEQUENCE, &parts)];
    (is_name(name) && !parts.is_empty()).then(|| ber::values(SUBSTRINGS, &all))
}

/// `name:dn:rule:=value`, in which one of name and rule may be missing, and `dn` too.
fn extensible(left: &str, value: &str) -> Option<Vec<u8>> {
    let mut words = left.split(':');
    let name = words.next()?;
    let mut words = words.peekable();
    let of_dn = words.next_if(|word| word.eq_ignore_ascii_case("dn")).is_some();
    let rule = words.next();
    let is_right = words.next().is_none()
        && (name.is_empty() || is_name(name))
        && rule.is_none_or(is_name)
        && !(name.is_empty() && rule.is_none());
    let mut parts = Vec::new();
    parts.extend(rule.map(|rule| ber::value(RULE, rule.as_bytes())));
    parts.extend((!name.is_empty()).then(|| ber::value(TYPE, name.as_bytes())));
    parts.push(ber::value(VALUE, &unescaped(value)?));
    parts.extend(of_dn.then(|| ber::value(OF_DN, &[0xff])));
    is_right.then(|| ber::values(EXTENSIBLE, &parts))
}

/// An attribute with its options, or a number with dots.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_;.".contains(&byte))
}

/// Puts bytes for `\XX`; also for what stands behind a backslash in filters of LDAP 2, as OpenLDAP does.
fn unescaped(value: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let first = bytes.next()?;
        match digit(first) {
            Some(high) => out.push(u8::try_from(high << 4 | digit(bytes.next()?)?).ok()?),
            None if b"*()\\".contains(&first) => out.push(first),
            None => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<&[u8]>) {
        assert_eq!(encode(text).as_deref(), expect, "{text}");
    }

    #[test]
    fn items() {
        check("(uid=joe)", Some(b"\xa3\x0a\x04\x03uid\x04\x03joe"));
        check("uid=joe", Some(b"\xa3\x0a\x04\x03uid\x04\x03joe"));
        check("(uid=)", Some(b"\xa3\x07\x04\x03uid\x04\0"));
        check("(a;x-b=\\2a\\29)", Some(b"\xa3\x0b\x04\x05a;x-b\x04\x02*)"));
        check("(a=b=c)", Some(b"\xa3\x08\x04\x01a\x04\x03b=c"));
        check("(uid=*)", Some(b"\x87\x03uid"));
        check("(n>=5)", Some(b"\xa5\x06\x04\x01n\x04\x015"));
        check("(n<=5)", Some(b"\xa6\x06\x04\x01n\x04\x015"));
        check("(n~=5)", Some(b"\xa8\x06\x04\x01n\x04\x015"));
        check("(n=a*)", Some(b"\xa4\x08\x04\x01n\x30\x03\x80\x01a"));
        check("(n=*a)", Some(b"\xa4\x08\x04\x01n\x30\x03\x82\x01a"));
        check("(n=a*b*c)", Some(b"\xa4\x0e\x04\x01n\x30\x09\x80\x01a\x81\x01b\x82\x01c"));
        check("(n=*b*)", Some(b"\xa4\x08\x04\x01n\x30\x03\x81\x01b"));
        check("(n:=v)", Some(b"\xa9\x06\x82\x01n\x83\x01v"));
        check("(n:dn:1.2:=v)", Some(b"\xa9\x0e\x81\x031.2\x82\x01n\x83\x01v\x84\x01\xff"));
        check("(:1.2:=v)", Some(b"\xa9\x08\x81\x031.2\x83\x01v"));
        check("(n=\u{fc})", Some(b"\xa3\x07\x04\x01n\x04\x02\xc3\xbc"));
    }

    #[test]
    fn groups() {
        check(
            "(&(a=b)(|(c=*)(!(d=e))))",
            Some(b"\xa0\x17\xa3\x06\x04\x01a\x04\x01b\xa1\x0d\x87\x01c\xa2\x08\xa3\x06\x04\x01d\x04\x01e"),
        );
        check("(&)", Some(b"\xa0\0"));
        for bad in [
            "",
            "(",
            ")",
            "()",
            "(uid)",
            "(uid=joe",
            "(uid=joe))",
            "(=joe)",
            "(!)",
            "(!(a=b)(c=d))",
            "(a=b)(c=d)",
            "(&(a=b)",
            "(a b=c)",
            "(a=\\2)",
            "(a=\\zz)",
            "(a=\\",
            "(a=(b)",
            "(a=**)",
            "(:=v)",
            "(:dn:=v)",
            "(a:b:c:d:=v)",
            "(&(a=b)x)",
        ] {
            check(bad, None);
        }
        let deep = |count| "(!".repeat(count) + "(a=b)" + &")".repeat(count);
        assert!(encode(&deep(LDAP_FILTER_DEPTH_MAX)).is_some());
        assert!(encode(&deep(1_000_000)).is_none());
    }
}
