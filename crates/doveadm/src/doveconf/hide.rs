//! Values on their way to a screen: quoted where they must be, without their secrets.

/// What stands in place of a secret setting.
const HIDDEN: &str = "# hidden, use -P to show it";

/// What stands in place of a secret inside a value.
const HIDDEN_PART: &str = "#hidden_use-P_to_show#";

/// Words that secrets follow in values.
const WORDS: [&str; 6] = ["key", "secret", "pass", "http://", "https://", "ftp://"];

/// A value as a line shows it.
pub(super) fn shown(key: &str, value: &str, passwords: bool) -> String {
    if !passwords && let Some(hidden) = without_secrets(key, value) {
        return hidden;
    }
    if needs_quotes(value) { format!("\"{}\"", escape(value)) } else { value.to_owned() }
}

/// Where 2.3 puts quotes, and where reading the line back would give another value without them:
/// around quotes, whose outer pair would be lost, and before a backslash, which would continue the
/// line.
fn needs_quotes(value: &str) -> bool {
    let is_white = |c: char| c == ' ' || c == '\t';
    let is_quoted = |quote: char| value.starts_with(quote) && value.ends_with(quote);
    value.contains('#')
        || value.starts_with(is_white)
        || value.ends_with(is_white)
        || value.ends_with('\\')
        || is_quoted('"')
        || is_quoted('\'')
}

/// Puts backslashes before quotes and backslashes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The value with its secrets hidden; `None` if there are none.
fn without_secrets(key: &str, value: &str) -> Option<String> {
    let ends = |suffix: &str| key.len() > suffix.len() && key.ends_with(suffix);
    if !value.is_empty() && (ends("_password") || ends("_key") || ends("_nonce") || key.starts_with("ssl_dh"))
    {
        return Some(HIDDEN.into());
    }
    let quote = needs_quotes(value);
    let put = |out: &mut String, text: &str| match quote {
        true => out.push_str(&escape(text)),
        false => out.push_str(text),
    };
    let (mut out, mut done, mut at, mut found) = (String::new(), 0, 0, false);
    while let Some((start, word)) = next_word(value, at) {
        found = true;
        if word.ends_with("://") {
            let user = start + word.len();
            let end = user
                + value[user..]
                    .find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '@')
                    .unwrap_or(value.len() - user);
            put(&mut out, &value[done..user]);
            match value[end..].starts_with('@') && end != user {
                true => out.push_str(HIDDEN_PART),
                false => put(&mut out, &value[user..end]),
            }
            (done, at) = (end, end);
            continue;
        }
        if value[..start].ends_with(|c: char| c.is_ascii_alphanumeric()) {
            // "nopassword" is none.
            at = start + 1;
            continue;
        }
        let rest = &value[start..];
        let name_end = start + rest.find(|c: char| c == '=' || c.is_ascii_whitespace()).unwrap_or(rest.len());
        let spaces = value[name_end..].len()
            - value[name_end..].trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
        let mut end = name_end + spaces;
        put(&mut out, &value[done..end]);
        if value[end..].starts_with('=') {
            out.push('=');
            out.push_str(HIDDEN_PART);
            let secret = &value[end..];
            end += secret
                .find(|c: char| c.is_ascii_whitespace() || c == ';' || c == ':')
                .unwrap_or(secret.len());
        }
        (done, at) = (end, end.max(start + 1));
    }
    if !found {
        return None;
    }
    put(&mut out, value.get(done..).unwrap_or_default());
    Some(out)
}

/// The first of the words from `at` on.
fn next_word(value: &str, at: usize) -> Option<(usize, &'static str)> {
    let rest = value.get(at..)?;
    let found = WORDS.iter().filter_map(|word| rest.find(word).map(|start| (at + start, *word)));
    found.min_by_key(|(start, _)| *start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets() {
        for (key, value, expected) in [
            ("doveadm_password", "x", HIDDEN),
            ("doveadm_password", "", ""),
            ("ssl_key", "</etc/key", HIDDEN),
            ("ssl_cert", "</etc/cert", "</etc/cert"),
            ("quota", "mysql:pass=abc;user=x", "mysql:pass=#hidden_use-P_to_show#;user=x"),
            ("url", "http://me:pw@host/x", "http://#hidden_use-P_to_show#@host/x"),
            ("url", "http://host/x", "http://host/x"),
            ("args", "nopassword=y", "nopassword=y"),
            ("greeting", " hi # there", "\" hi # there\""),
            ("greeting", "\"hi\"", "\"\\\"hi\\\"\""),
            ("greeting", "'", "\"\\'\""),
            ("greeting", "hi\\", "\"hi\\\\\""),
        ] {
            assert_eq!(shown(key, value, false), expected, "{key} {value}");
        }
        assert_eq!(shown("doveadm_password", "x", true), "x");
    }
}
