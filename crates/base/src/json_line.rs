//! A log line as a JSON object (RFC 8259), for `log_format = json`.

use crate::log::Level;

/// One line without its end. `time` is given as text; `pid` is that of the writer, if it is known.
/// `prefix` is what 2.3 writes before the level: `imap(user)<pid><session>: `. Process, pid, user and
/// session are taken from it, or else the user and session from fields of the text, as login lines
/// and those of `auth` have them.
pub fn json_line(time: &str, level: Level, pid: Option<u32>, prefix: &str, text: &str) -> String {
    let parts = Parts::of(prefix);
    let user = parts.user.or_else(|| field(text, "user=<")).or_else(|| subject(text).map(|found| found.0));
    let session = parts.session.or_else(|| last_field(text, "session=<"));
    let session = session.or_else(|| subject(text).and_then(|found| found.1));
    let pid = parts.pid.or(pid);
    let mut line = String::with_capacity(128 + prefix.len() + text.len());
    line.push_str("{\"time\":");
    quote(&mut line, time);
    line.push_str(",\"level\":");
    quote(&mut line, &level.word().to_ascii_lowercase());
    line.push_str(",\"process\":");
    quote(&mut line, parts.process);
    if let Some(pid) = pid {
        line.push_str(&format!(",\"pid\":{pid}"));
    }
    for (name, value) in [("user", user), ("session", session)] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            line.push_str(&format!(",\"{name}\":"));
            quote(&mut line, value);
        }
    }
    line.push_str(",\"message\":");
    quote(&mut line, &format!("{}{text}", parts.rest));
    line.push('}');
    line
}

/// What a prefix is made of.
struct Parts<'a> {
    process: &'a str,
    user: Option<&'a str>,
    pid: Option<u32>,
    session: Option<&'a str>,
    /// What does not fit.
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(prefix: &'a str) -> Self {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let end = prefix.as_bytes().iter().position(|byte| !is_name(byte)).unwrap_or(prefix.len());
        let (process, mut rest) = prefix.split_at(end);
        let mut parts = Self { process, user: None, pid: None, session: None, rest };
        if let Some(inner) = rest.strip_prefix('(')
            // A name may have parentheses of its own; what follows it is ours.
            && let Some(end) = inner.rfind(")<").or_else(|| inner.rfind("): "))
        {
            let name = &inner[..end];
            match name.parse() {
                Ok(pid) => parts.pid = Some(pid),
                Err(_) => parts.user = Some(name),
            }
            rest = &inner[end + 1..];
        }
        let mut angles = Vec::new();
        while let Some(inner) = rest.strip_prefix('<')
            && let Some(end) = inner.find('>')
        {
            angles.push(&inner[..end]);
            rest = &inner[end + 1..];
        }
        let mut angles = angles.into_iter();
        let first = angles.next();
        parts.pid = parts.pid.or(first.and_then(|pid| pid.parse().ok()));
        parts.session = angles.next();
        parts.rest = rest.strip_prefix(": ").unwrap_or(rest);
        parts
    }
}

/// `user=<joe>` and the like.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (before, rest) = text.split_once(name)?;
    let begins_a_word = before.is_empty() || before.ends_with([' ', ',']);
    rest.split_once('>').filter(|_| begins_a_word).map(|(value, _)| value)
}

/// The same where a stranger may have put one into what stands before it.
fn last_field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.rfind(name).and_then(|at| field(&text[at..], name))
}

/// User and session of `passwd-file(joe,10.0.0.1,<session>): `.
fn subject(text: &str) -> Option<(&str, Option<&str>)> {
    let (name, rest) = text.split_once('(')?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
        return None;
    }
    let (inner, _) = rest.split_once("): ")?;
    let user = inner.split(',').next().filter(|user| *user != "?")?;
    let session = inner.rsplit(',').next().and_then(|last| last.strip_prefix('<')?.strip_suffix('>'));
    Some((user, session))
}

fn quote(line: &mut String, text: &str) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\u{0}'..'\u{20}' | '\u{7f}' | '\u{2028}' | '\u{2029}' => {
                line.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |pid, prefix: &str, text: &str, expect: &str| {
            let line = json_line("T", Level::Info, pid, prefix, text);
            assert_eq!(line, format!("{{\"time\":\"T\",\"level\":\"info\",{expect}}}"), "{prefix}{text}");
        };
        check(
            Some(7),
            "imap(u@d)<7><s>: ",
            "Logged out in=1 out=2",
            r#""process":"imap","pid":7,"user":"u@d","session":"s","message":"Logged out in=1 out=2""#,
        );
        check(
            Some(8),
            "imap-login: ",
            "Login: user=<u>, method=PLAIN, rip=1.2.3.4, session=<abc>",
            r#""process":"imap-login","pid":8,"user":"u","session":"abc","message":"Login: user=<u>, method=PLAIN, rip=1.2.3.4, session=<abc>""#,
        );
        check(
            Some(9),
            "auth: ",
            "passwd-file(u,1.2.3.4,<s>): Password mismatch",
            r#""process":"auth","pid":9,"user":"u","session":"s","message":"passwd-file(u,1.2.3.4,<s>): Password mismatch""#,
        );
        check(
            Some(9),
            "auth: ",
            "sql(?,1.2.3.4): x",
            r#""process":"auth","pid":9,"message":"sql(?,1.2.3.4): x""#,
        );
        check(Some(1), "auth-worker(12): ", "x", r#""process":"auth-worker","pid":12,"message":"x""#);
        check(
            None,
            "lda(u)<3><>: msgid=<x>: ",
            "y",
            r#""process":"lda","pid":3,"user":"u","message":"msgid=<x>: y""#,
        );
        check(None, "master: ", "a\"b\\c\u{1}", r#""process":"master","message":"a\"b\\c\u0001""#);
        check(None, "", "x", r#""process":"","message":"x""#);
        check(
            None,
            "imap(a(b)<7>c)<7><s>: ",
            "x",
            r#""process":"imap","pid":7,"user":"a(b)<7>c","session":"s","message":"x""#,
        );
    }
}
