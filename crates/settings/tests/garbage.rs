//! The parser against texts that proptest makes: an answer each time, never a panic, and in a time that does not
//! grow faster than the text.

use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use settings::vars::Expander;
use settings::{Config, MemoryFiles, ParseOptions, ext};

/// Far beyond what the slowest and busiest machine takes, and far below what the longest texts here would
/// take if the time grew with the square of their length.
const HUNG: Duration = Duration::from_secs(600);

/// Reads a text in every way there is; files include one another in circles.
fn read(text: &str) {
    let begun = Instant::now();
    let files = MemoryFiles::one("/a.conf", text)
        .with("/b.conf", "!include a.conf\n!include b.conf\n")
        .with("/c.conf", "!include_try *.conf\nmail_debug = yes\n");
    for expand in [true, false] {
        let options = ParseOptions { expand, ..ParseOptions::default() };
        if let Ok(config) = Config::parse(&files, Path::new("/a.conf"), &options) {
            let _ = config.check();
            let _ = config.snapshot();
        }
    }
    let _ = ext::parse_sections(&files, Path::new("/a.conf"));
    let _ = Expander::of(&[('u', "user", Some("me@example.com"))]).expand_all(text);
    assert!(begun.elapsed() < HUNG, "{:?} for {} bytes", begun.elapsed(), text.len());
}

/// Lines that are nearly right.
fn line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "mail_location",
        "ssl",
        "listen",
        "auth_cache_size",
        "mail_plugins",
        "service",
        "service/imap/user",
        "plugin/a",
        "passdb",
        "namespace/x/inbox",
        "protocols",
        "login_greeting",
        "log_debug",
        "bogus",
    ]);
    let head = prop::sample::select(vec![
        "service imap",
        "passdb",
        "namespace x",
        "mailbox \"a b\"",
        "protocol imap",
        "protocol !pop3",
        "local 10.0.0.0/8",
        "local_name *.x",
        "remote ::1/64",
        "plugin",
        "dict",
        "metric m",
        "unix_listener a/b",
        "inet_listener i",
        "server",
        "auth default",
        "socket listen",
    ]);
    prop_oneof![
        4 => (name, "[ -~\t\\\\$<\"'#%{}]{0,40}").prop_map(|(name, value)| format!("{name} = {value}\n")),
        3 => head.prop_map(|head| format!("{head} {{\n")),
        3 => Just("}\n".to_owned()),
        1 => prop::sample::select(vec!["!include b.conf\n", "!include_try c.conf\n", "!include *.conf\n"])
            .prop_map(str::to_owned),
        1 => "\\PC{0,30}\n",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn any_lines(lines in prop::collection::vec(line(), 0..40)) {
        read(&lines.concat());
    }

    #[test]
    fn variables(text in "(%[-0-9.]{0,6}[LUEXRTNHMDu]?(\\{[a-z0-9;:,=%\\\\{}]{0,20}\\}?)?){0,20}") {
        read(&text);
    }
}

proptest! {
    // Large inputs, which take their time in an unoptimised build.
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn deep(head in prop::sample::select(vec!["local 10.0.0.0/8 {\n", "service x {\n", "namespace {\n", "a b {\n", "{"]),
            depth in 0usize..20_000) {
        read(&head.repeat(depth));
    }

    #[test]
    fn nested_variables(open in prop::sample::select(vec!["%{if;", "%{sha1;salt=%{", "%{", "%{if;%u;"]), depth in 0usize..5_000) {
        read(&open.repeat(depth));
        read(&(open.repeat(depth) + &"}".repeat(depth)));
    }

    #[test]
    fn long_lines(piece in prop::sample::select(vec!["x", "\"", "\\", "#", "$mail_plugins ", " ", "\\\n", "=", "\0"]),
                  count in 0usize..2_000_000) {
        read(&format!("mail_plugins = {}\n", piece.repeat(count)));
        read(&piece.repeat(count));
    }
}
