use super::*;

fn check(text: &str, expected: &str) {
    let shown = match Location::parse(text, Some(Path::new("/home/u"))) {
        Ok(l) => format!(
            "{} {} inbox={:?} control={:?} index={:?} {:?} {}{}",
            l.driver,
            l.root.display(),
            l.inbox,
            l.control,
            l.index,
            l.layout,
            l.dir_name,
            l.names.utf8
        ),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn locations() {
    check(
        "maildir:~/Maildir",
        "maildir /home/u/Maildir inbox=None control=None index=None MaildirPlusPlus false",
    );
    check(
        "maildir:/m/x/:INBOX=~/in:CONTROL=/c:INDEX=MEMORY:LAYOUT=fs:UTF-8:DIRNAME=dbox",
        "maildir /m/x inbox=Some(\"/home/u/in\") control=Some(\"/c\") index=Some(Memory) Fs dboxtrue",
    );
    check("maildir:/m::x", "maildir /m:x inbox=None control=None index=None MaildirPlusPlus false");
    check("maildir:/m:INDEX=/m:", "maildir /m inbox=None control=None index=None MaildirPlusPlus false");
    check("sdbox:/m", "sdbox /m inbox=None control=None index=None Fs dbox-Mailsfalse");
}

#[test]
fn mistakes_have_the_words_of_2_3() {
    check("maildir:/m:FOO=1", "Unknown setting: FOO");
    check("maildir:/m:index=/x", "Unknown setting: index");
    check("maildir:/m:STORAGENAMEESCAPECHAR=%", "Unknown setting: STORAGENAMEESCAPECHAR");
    check("maildir:", "Root mail directory not given");
    check("mbox:INBOX=/var/mail/u", "Mail root directory not given: INBOX=/var/mail/u");
    check("maildir:/m:ITERINDEX", "ITERINDEX requires INDEX to be explicitly set");
    check("maildir:/m:INDEX=MEMORY:ITERINDEX", "ITERINDEX requires INDEX to be explicitly set");
    check("maildir:/m:INDEX=MEMORY:LISTINDEX=a/b", "LISTINDEX directory is relative but INDEX=MEMORY");
    check("maildir:/m:BROKENCHAR=__", "BROKENCHAR value must be a single character");
    check("maildir:/m:LAYOUT=x", "Mailbox list driver x: Unknown driver name");
    check("maildir:/m:DIRNAME=x", "Mailbox list driver maildir++: maildir_name not supported by this driver");
    check("maildir:/m:ALT=/x", "Mailbox list driver maildir++: alt_dir not supported by this driver");
    let error = Location::parse("maildir:/m:INDEX=~/x", None).unwrap_err().to_string();
    let expected = "Home directory not set for user. Can't expand ~/ for INDEX in: /m:INDEX=~/x";
    assert_eq!(error, expected);
}

#[test]
fn all_words() {
    let text = "sdbox:/m:INDEX=/i:INDEXPVT=/p:VOLATILEDIR=~/v:ITERINDEX:NO-NOSELECT:FULLDIRNAME=x:BROKENCHAR=_:ALT=/a:ALTNOCHECK";
    let l = Location::parse(text, Some(Path::new("/home/u"))).unwrap();
    assert_eq!(l.index_private.as_deref(), Some(Path::new("/p")));
    assert_eq!(l.volatile.as_deref(), Some(Path::new("/home/u/v")));
    assert!(l.list_from_index && l.no_noselect && l.full_dir_name && l.alt_unchecked);
    assert_eq!((l.dir_name.as_str(), l.names.broken), ("x", Some('_')));
}

fn found(text: &str, home: &Path) -> Option<String> {
    let location = Location::parse(text, Some(home)).ok()?;
    let below = |path: &Path| path.strip_prefix(home).unwrap_or(path).display().to_string();
    let inbox = location.inbox.as_deref().map(below).unwrap_or_default();
    Some(format!("{} {} {inbox}", location.driver, below(&location.root)))
}

#[test]
fn detection() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let found = |text: &str| found(text, home);
    assert_eq!(found(""), None);
    let file = |name: &str| {
        std::fs::create_dir_all(home.join(name).parent().unwrap()).unwrap();
        std::fs::write(home.join(name), "").unwrap();
    };
    file("Mail/mbox");
    assert_eq!(found("").as_deref(), Some("mbox Mail "));
    std::fs::create_dir_all(home.join("mail/.imap")).unwrap();
    assert_eq!(found("").as_deref(), Some("mbox mail "));
    for (made, expected) in [
        ("Maildir/cur", "maildir Maildir "),
        ("mdbox/storage", "mdbox mdbox "),
        ("sdbox/mailboxes", "sdbox sdbox "),
    ] {
        std::fs::create_dir_all(home.join(made)).unwrap();
        assert_eq!(found("").as_deref(), Some(expected));
    }
    let location = Location::parse("", Some(home)).unwrap();
    assert_eq!((location.layout, location.mailbox_dir.as_str()), (Layout::Fs, "mailboxes"));
}

#[test]
fn detection_of_a_path() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let found = |text: &str| found(text, home);
    for dir in ["a/mailboxes", "b/storage", "b/mailboxes", "c/cur", "d/.imap", "f"] {
        std::fs::create_dir_all(home.join(dir)).unwrap();
    }
    std::fs::write(home.join("file"), "").unwrap();
    for (text, expected) in [
        ("~/a", Some("sdbox a ")),
        ("~/b:INDEX=/x", Some("mdbox b ")),
        ("~/c", Some("maildir c ")),
        ("auto:~/c", Some("maildir c ")),
        ("~/d:INBOX=~/in", Some("mbox d in")),
        ("~/f", None),
        // An INBOX alone, with no root to be found for the others.
        ("~/file", None),
    ] {
        assert_eq!(found(text).as_deref(), expected, "{text}");
    }
    std::fs::create_dir_all(home.join("mail")).unwrap();
    std::fs::write(home.join("mail/inbox"), "").unwrap();
    assert_eq!(found("~/file").as_deref(), Some("mbox mail file"));
    let error = Location::parse("~/f", Some(home)).unwrap_err().to_string();
    assert!(error.starts_with("Ambiguous mail location setting, don't know what to do with it: ~/f"));
    let error = Location::parse("auto:~/f", Some(home)).unwrap_err().to_string();
    assert!(error.starts_with("Autodetection failed for auto:~/f (home="), "{error}");
}
