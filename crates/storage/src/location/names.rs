//! How the levels of mailbox names stand on disk: in modified UTF-7 or, with `UTF-8`, as they are; with
//! `BROKENCHAR=` also names that are neither can be shown, each byte that has no other form as that
//! character and two hexadecimal digits.

use std::borrow::Cow;

use base::mutf7;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// `UTF-8`: not in modified UTF-7.
    pub utf8: bool,
    /// `BROKENCHAR=`
    pub broken: Option<char>,
    /// The separator of the namespace, which no level of a user's name can hold but in this form.
    pub separator: Option<char>,
}

impl Names {
    /// As a name, of one or more levels, stands on disk. What comes of broken levels may be anything and
    /// is to be checked.
    pub fn encode(&self, name: &str) -> String {
        let Some(broken) = self.broken.filter(|&broken| name.contains(broken)) else {
            return self.encode_plain(name).into_owned();
        };
        let mut bytes = Vec::with_capacity(name.len());
        let mut rest = name;
        while let Some((before, after)) = rest.split_once(broken) {
            bytes.extend_from_slice(self.encode_plain(before).as_bytes());
            match hex(after) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend_from_slice(broken.to_string().as_bytes()),
            }
            rest = if hex(after).is_some() { after.get(2..).unwrap_or_default() } else { after };
        }
        bytes.extend_from_slice(self.encode_plain(rest).as_bytes());
        // Names on disk that are not UTF-8 have no place here: 2.3 renames them where it finds them.
        String::from_utf8(bytes).unwrap_or_else(|_| name.to_owned())
    }

    /// The name of what stands on disk; `None` if it cannot be shown.
    pub fn decode(&self, raw: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(raw).ok()?;
        let Some(broken) = self.broken else {
            let is_plain = self.utf8 || is_same(text);
            return if is_plain { Some(text.to_owned()) } else { mutf7::decode(text).ok() };
        };
        let mut name = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let after = rest.get(c.len_utf8()..).unwrap_or_default();
            if c == broken || Some(c) == self.separator || !self.utf8 && !(' '..='~').contains(&c) {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escape(broken, byte, &mut name));
                rest = after;
            } else if c == '&' && !self.utf8 {
                rest = take_run(rest, broken, &mut name);
            } else {
                name.push(c);
                rest = after;
            }
        }
        Some(name)
    }

    fn encode_plain<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.utf8 || is_same(name) { Cow::Borrowed(name) } else { Cow::Owned(mutf7::encode(name)) }
    }
}

/// Whether a name is the same in modified UTF-7, as most are.
fn is_same(name: &str) -> bool {
    name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'&')
}

/// Decodes what an `&` begins; if that is broken, only the `&` is taken, as a character like others.
fn take_run<'a>(text: &'a str, broken: char, name: &mut String) -> &'a str {
    let end = text.find('-').map_or(text.len(), |at| at + 1);
    let (run, after) = text.split_at_checked(end).unwrap_or((text, ""));
    // A second run right behind would have to be part of the first.
    let is_split = run != "&-" && after.starts_with('&') && !after.starts_with("&-");
    match mutf7::decode(run) {
        Ok(decoded) if !is_split => {
            name.push_str(&decoded);
            after
        }
        _ => {
            escape(broken, b'&', name);
            text.get(1..).unwrap_or_default()
        }
    }
}

fn escape(broken: char, byte: u8, name: &mut String) {
    name.push(broken);
    for digit in [byte >> 4, byte & 15] {
        name.extend(char::from_digit(digit.into(), 16));
    }
}

/// Two digits, which 2.3 takes in lower case only, so that each name has one form.
fn hex(text: &str) -> Option<u8> {
    let digits = text.get(..2)?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.bytes().all(is_digit) { u8::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: Names, disk: &str, name: &str) {
        assert_eq!(names.decode(disk.as_bytes()).as_deref(), Some(name));
        assert_eq!(names.encode(name), disk);
    }

    #[test]
    fn broken_names_have_one_form() {
        let names = Names { utf8: false, broken: Some('_'), separator: Some('.') };
        check(names, "plain", "plain");
        check(names, "&APw-b", "üb");
        check(names, "a&-b", "a&b");
        check(names, "a.b", "a_2eb");
        check(names, "a_b", "a_5fb");
        check(names, "&APwb", "_26APwb");
        check(names, "x&A-y", "x_26A-y");
        check(names, "ü", "_c3_bc");
        check(names, "&APw-&APw-", "_26APw-ü");
        assert_eq!(names.encode("a_zz_"), "a_zz_");
        assert_eq!(names.encode("a_2Eb"), "a_2Eb");
    }

    #[test]
    fn without_the_character_they_are_not_shown() {
        let names = Names::default();
        assert_eq!(names.decode(b"&APw"), None);
        assert_eq!(names.decode(b"a_b").as_deref(), Some("a_b"));
        let utf8 = Names { utf8: true, ..names };
        assert_eq!(utf8.decode("ü&".as_bytes()).as_deref(), Some("ü&"));
        check(Names { broken: Some('%'), separator: Some('/'), ..utf8 }, "ü%/", "ü%25%2f");
    }
}
