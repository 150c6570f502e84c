//! ID (RFC 2971).

use proto::imap::command::IdParams;
use proto::imap::response::put_string;

use crate::context::Context;
use crate::out::OutBuf;
use crate::reply::Answer;

const NAME: &str = "Dovecot";

pub(super) fn run(context: &mut Context, params: &IdParams, out: &mut OutBuf) -> Answer {
    if let Some(line) = log_line(&context.settings.id_log, params) {
        context.log.info(format_args!("ID sent: {line}"));
    }
    out.put(b"* ID ");
    put_reply(&context.settings.id_send, out);
    out.put(b"\r\n");
    Answer::ok("ID completed")
}

/// What `imap_id_send` says: pairs of field and value, where `*` stands for our own value.
fn put_reply(setting: &str, out: &mut OutBuf) {
    let words: Vec<&str> = setting.split_whitespace().collect();
    if words.is_empty() {
        return out.put(b"NIL");
    }
    out.put(b"(");
    for (index, pair) in words.chunks(2).enumerate() {
        if index > 0 {
            out.put(b" ");
        }
        let (name, value) = (pair.first().copied().unwrap_or_default(), pair.get(1).copied());
        put_string(out.raw(), name.as_bytes());
        out.put(b" ");
        match value {
            Some("*") | None => match own_value(name) {
                Some(value) => put_string(out.raw(), value.as_bytes()),
                None => out.put(b"NIL"),
            },
            Some(value) => put_string(out.raw(), value.as_bytes()),
        }
    }
    out.put(b")");
}

fn own_value(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "name" => Some(NAME),
        "version" => Some(env!("CARGO_PKG_VERSION")),
        "os" => Some("Linux"),
        "support-url" => Some("https://github.com/culver-mail/culver"),
        _ => None,
    }
}

/// The fields that `imap_id_log` wants (`*` for all), as `name=value, …`.
fn log_line(setting: &str, params: &IdParams) -> Option<String> {
    let wanted: Vec<&str> = setting.split_whitespace().collect();
    let is_wanted =
        |name: &str| wanted.iter().any(|wanted| *wanted == "*" || wanted.eq_ignore_ascii_case(name));
    let clean = |text: &str| text.replace(|c: char| c.is_control(), "?");
    let fields = params.0.iter().filter(|(name, _)| is_wanted(name));
    let fields =
        fields.map(|(name, value)| format!("{}={}", clean(name), clean(value.as_deref().unwrap_or("NIL"))));
    let line = fields.collect::<Vec<_>>().join(", ");
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(setting: &str, expected: &str) {
        let mut out = OutBuf::default();
        put_reply(setting, &mut out);
        assert_eq!(String::from_utf8_lossy(out.bytes()), expected);
    }

    #[test]
    fn replies() {
        check("name *", "(\"name\" \"Dovecot\")");
        check("", "NIL");
        check("name x vendor *", "(\"name\" \"x\" \"vendor\" NIL)");
    }
}
