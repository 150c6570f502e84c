//! Sizes of messages whose file names have none: where they are kept, and found again without reading a
//! message. Which lines real Dovecot writes for the same is compared.

#[path = "support/real.rs"]
mod real;
mod support;

use std::sync::Arc;

use base::{Logger, Uid};
use real::Real;
use storage::{Error, Location, MailSettings, Mailbox, MaildirStorage, OpenMode, Storage, SyncMode, Wanted};
use support::{Home, save};

const NAMES: [&str; 4] = ["1.M1P1.h", "2.M1P1.h", "3.M1P1.h,S=15,W=18", "4.M1P1.h,S=15"];

/// A Maildir that other programs have delivered to.
fn delivered() -> Home {
    let home = Home::new();
    for sub in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(home.root().join(sub)).unwrap();
    }
    for name in NAMES {
        std::fs::write(home.root().join("cur").join(format!("{name}:2,")), "A: b\n\ntext text").unwrap();
    }
    home
}

fn inbox(home: &Home, always: &str) -> Box<dyn Mailbox> {
    let location = Location::parse(&format!("maildir:{}", home.root().display()), None).unwrap();
    let mut settings = MailSettings { hostname: "host".to_owned(), ..MailSettings::default() };
    settings.mail_cache.always_fields = always.to_owned();
    let storage = MaildirStorage::new(location, Arc::new(settings), true, Logger::new("test: "));
    let mut inbox = storage.open("INBOX", OpenMode::ReadWrite).unwrap();
    inbox.sync(SyncMode::Quick).unwrap();
    inbox
}

/// The sizes of all messages; of those that would have to be read, nothing where that is not wanted.
fn sizes(inbox: &mut dyn Mailbox, how: Wanted) -> Vec<Option<u64>> {
    let uids: Vec<Uid> = inbox.view().records().map(|record| record.uid).collect();
    let size = |uid| match inbox.fetch_facts(uid, Wanted::SIZE_VIRTUAL | how) {
        Ok(facts) => facts.size_virtual,
        Err(Error::TooSlow(_)) => None,
        Err(error) => panic!("{error}"),
    };
    uids.into_iter().map(size).collect()
}

/// The uidlist's lines of messages.
fn lines(home: &Home) -> Vec<String> {
    home.uidlist().lines().skip(1).map(str::to_owned).collect()
}

fn lose_the_index(home: &Home) {
    for entry in std::fs::read_dir(home.root()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("dovecot.index") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn plain_lines() -> Vec<String> {
    NAMES.iter().enumerate().map(|(at, name)| format!("{} :{name}", at + 1)).collect()
}

/// `W17` where the name has no `W=`.
fn lines_with_sizes() -> Vec<String> {
    let field = |name: &str| if name.contains(",W=") { "" } else { " W17" };
    NAMES.iter().enumerate().map(|(at, name)| format!("{}{} :{name}", at + 1, field(name))).collect()
}

#[test]
fn a_lost_index_costs_pop3_no_reading() {
    let home = delivered();
    assert_eq!(sizes(&mut *inbox(&home, ""), Wanted::LASTING), [Some(17), Some(17), Some(18), Some(17)]);
    assert_eq!(lines(&home), lines_with_sizes());
    lose_the_index(&home);
    let mut again = inbox(&home, "");
    assert_eq!(sizes(&mut *again, Wanted::AT_HAND), [Some(17), Some(17), Some(18), Some(17)]);
    // New messages leave the others' lines alone.
    save(&mut *again, "A: b\n\nx\n", storage::Flags::NONE, &[]).unwrap();
    assert_eq!(lines(&home)[..4], lines_with_sizes());
}

#[test]
fn what_is_wanted_for_a_while_is_in_the_cache_only() {
    let home = delivered();
    sizes(&mut *inbox(&home, ""), Wanted::NONE);
    assert_eq!(lines(&home), plain_lines());
    assert_eq!(sizes(&mut *inbox(&home, ""), Wanted::AT_HAND)[0], Some(17));
    lose_the_index(&home);
    assert_eq!(sizes(&mut *inbox(&home, ""), Wanted::AT_HAND), [None, None, Some(18), None]);
}

#[test]
fn sizes_survive_a_list_that_somebody_else_writes_meanwhile() {
    let home = delivered();
    let mut first = inbox(&home, "");
    sizes(&mut *first, Wanted::LASTING);
    let path = home.root().join("dovecot-uidlist");
    let text = std::fs::read_to_string(&path).unwrap();
    let other = home.root().join("other");
    std::fs::write(&other, text.replace("2 :", "2 P7 :").replace(" W17", "")).unwrap();
    std::fs::rename(&other, &path).unwrap();
    drop(first);
    assert_eq!(lines(&home)[0], "1 W17 :1.M1P1.h");
    assert_eq!(lines(&home)[1], "2 P7 W17 :2.M1P1.h");
}

#[test]
fn both_write_the_same() {
    for (settings, args, always) in [
        ("", ["fetch", "size.virtual", "all"], ""),
        ("mail_always_cache_fields = size.virtual\n", ["fetch", "size.virtual", "all"], "size.virtual"),
    ] {
        let (ours, theirs) = (delivered(), delivered());
        let location = format!("maildir:{}", theirs.root().display());
        let Some(real) = Real::new(theirs.dir.path(), &location, settings) else { return };
        real.run(&args, b"");
        sizes(&mut *inbox(&ours, always), Wanted::NONE);
        assert_eq!(lines(&ours), lines(&theirs));
        let expected = if always.is_empty() { plain_lines() } else { lines_with_sizes() };
        assert_eq!(lines(&ours), expected);
    }
}

#[test]
fn sizes_that_dovecot_has_put_into_the_index_are_found() {
    let home = delivered();
    let location = format!("maildir:{}", home.root().display());
    let Some(real) = Real::new(home.dir.path(), &location, "") else { return };
    real.run(&["mailbox", "status", "vsize", "INBOX"], b"");
    std::fs::remove_file(home.root().join("dovecot.index.cache")).ok();
    assert_eq!(lines(&home), plain_lines());
    assert_eq!(sizes(&mut *inbox(&home, ""), Wanted::AT_HAND), [Some(17), Some(17), Some(18), Some(17)]);
}
