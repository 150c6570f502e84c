//! Mistakes in configurations, each in a file of `errors/` that ends in the words of Dovecot 2.3.

use std::io;
use std::path::{Path, PathBuf};

use settings::{Config, Files, MemoryFiles, ParseOptions};

/// The users of a system on which Dovecot is installed.
struct System(MemoryFiles);

impl Files for System {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read(path)
    }

    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        self.0.glob(pattern)
    }

    fn user_exists(&self, name: &str) -> Option<bool> {
        Some(matches!(name, "dovecot" | "dovenull"))
    }
}

fn result(text: &str) -> String {
    let main = Path::new("/test.conf");
    let files = System(MemoryFiles::one(main, text));
    let parsed = Config::parse(&files, main, &ParseOptions::default());
    match parsed.and_then(|config| config.snapshot()) {
        Ok(_) => "ok".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn mistakes_are_named_in_the_words_of_2_3() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    let mut checked = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected =
            text.lines().last().and_then(|line| line.strip_prefix("#= ")).expect("a last line with #=");
        assert_eq!(result(&text), expected, "{}", path.display());
        checked += 1;
    }
    assert!(checked >= 35, "only {checked} cases found");
}

#[test]
fn a_mistake_explains_itself() {
    for (text, expected) in [
        ("sll = no\n", vec!["    1 | sll = no", "      = did you mean ssl?"]),
        ("mail_locaton = x\n", vec!["    1 | mail_locaton = x", "      = did you mean mail_location?"]),
        (
            "service imap {\n  mail_location = x\n}\n",
            vec![
                "    2 |   mail_location = x",
                "      = mail_location belongs outside of any section: is a '}' missing?",
            ],
        ),
        (
            "client_limit = 5\n",
            vec!["    1 | client_limit = 5", "      = client_limit exists in sections of kind service"],
        ),
    ] {
        assert_eq!(Config::parse_text(text).unwrap_err().explain(), expected, "{text}");
    }
}

#[test]
fn a_missing_file_has_no_line() {
    let error = Config::parse(&MemoryFiles::default(), Path::new("/none.conf"), &ParseOptions::default())
        .unwrap_err();
    assert_eq!(error.to_string(), "open(/none.conf) failed: No such file or directory");
}

#[test]
fn what_has_no_effect_yet_is_told_once() {
    let text =
        "dsync_hashed_headers = a\nprotocol imap {\n  dsync_hashed_headers = b\n}\nmdbox_rotate_size = 10M\n";
    let warnings = Config::parse_text(text).unwrap().check().unwrap();
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["/dovecot.conf:1: dsync_hashed_headers is known, but has no effect in this version yet"]
    );
    let text = "mail_location = maildir:~/Maildir:INDEX=/var/index:CONTROL=/c:VOLATILEDIR=/v:ITERINDEX\n";
    assert!(Config::parse_text(text).unwrap().check().unwrap().is_empty());
}

#[test]
fn nothing_is_silently_ignored() {
    for (text, expected) in [
        ("plugin {\n  quota = x\n  sieve =\n}\n", vec![(2, "plugin { quota }"), (3, "plugin { sieve }")]),
        ("protocol imap {\n  plugin {\n    a = b\n  }\n}\n", vec![(3, "plugin { a }")]),
        ("plugin {\n  zlib_save = gz\n  zlib_save_level = 9\n}\n", vec![]),
        ("mail_plugins = zlib, quota\n", vec![(1, "quota in mail_plugins")]),
        ("dict {\n  quota = x\n}\n", vec![]),
        ("protocols = imap lmtp sieve pop3\n", vec![(1, "protocols = lmtp"), (1, "protocols = sieve")]),
        ("service lmtp {\n  unix_listener lmtp {\n  }\n}\n", vec![]),
        ("service dict {\n  unix_listener dict {\n    mode = 0600\n  }\n}\n", vec![]),
        ("service lmtp {\n  user = x\n}\n", vec![]),
        ("service imap {\n  process_limit = 3\n}\n", vec![]),
        ("mailbox_list_index = yes\nmail_plugins =\n", vec![]),
        (
            "namespace inbox {\n  inbox = yes\n  mailbox Trash {\n    driver = x\n  }\n}\n",
            vec![(4, "mailbox Trash { driver }")],
        ),
        (
            "namespace all {\n  type = shared\n  prefix = users/%%u/\n}\n",
            vec![(3, "namespace all { prefix }")],
        ),
        ("namespace all {\n  type = public\n  prefix = users/%%u/\n}\n", vec![]),
    ] {
        let expected: Vec<String> = expected
            .into_iter()
            .map(|(line, setting)| {
                format!("/dovecot.conf:{line}: {setting} is known, but has no effect in this version yet")
            })
            .collect();
        let warnings = Config::parse_text(text).unwrap().check().unwrap();
        assert_eq!(warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{text}");
    }
}
