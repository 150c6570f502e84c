//! `LAYOUT=index`: names are in the list alone. A list that is damaged or lost loses no mail, and names as
//! far as anything still has them.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use base::{Logger, Uid};
use index::list_index::{LIST, ListRecord};
use index::{ExtSpec, Index, Origin, Place, Transaction};
use storage::api::PathKind;
use storage::{
    Error, Flags, GuidStorage, Location, MailSettings, MailboxState, OpenMode, StatusItems, Storage, SyncMode,
};

const DRIVERS: [&str; 3] = ["maildir", "sdbox", "mdbox"];

fn storage(driver: &str, dir: &Path, more: &str) -> GuidStorage {
    let mut location =
        Location::parse(&format!("{driver}:{}/mail:LAYOUT=index{more}", dir.display()), None).unwrap();
    location.names.separator = Some('/');
    let settings = MailSettings { hostname: "host".to_owned(), ..MailSettings::default() };
    GuidStorage::new(location, Arc::new(settings), true, Logger::new("test: ")).unwrap()
}

fn names(storage: &dyn Storage) -> BTreeSet<String> {
    let listed = storage.list().unwrap().into_iter();
    listed.map(|one| if one.selectable { one.name } else { format!("({})", one.name) }).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn messages(storage: &dyn Storage, name: &str) -> u32 {
    storage.open(name, OpenMode::ReadOnly).unwrap().status(StatusItems::MESSAGES).unwrap().messages
}

fn save(storage: &dyn Storage, name: &str) {
    let mut mailbox = storage.open(name, OpenMode::Append).unwrap();
    support::save(&mut *mailbox, "Subject: x\n\nx\n", Flags::NONE, &[]).unwrap();
}

/// Writes to the list what no program would.
fn damage(dir: &Path, record: impl Fn(u32, ListRecord) -> ListRecord) {
    let place = Place::new(Some(dir.join("mail")), "dovecot.list.index");
    let mut index = Index::open(place, Arc::default(), Default::default(), Logger::new("test: ")).unwrap();
    let mut tx = Transaction::new();
    tx.ext(&ExtSpec::new(LIST.name, LIST.header_size, LIST.record_size, LIST.record_align), 0);
    let view = index.view().clone();
    let column = view.columns().named(LIST.name).unwrap().id;
    for (one, bytes) in view.records_with(column) {
        let old = ListRecord::decode(bytes).unwrap();
        let new = record(one.uid.get(), old);
        tx.ext_record(LIST.name, Uid::new(one.uid.get()).unwrap(), &new.encode());
    }
    index.commit(&tx, Origin::External).unwrap();
}

#[test]
fn names_come_go_and_move_without_their_directories() {
    for driver in DRIVERS {
        let dir = tempfile::tempdir().unwrap();
        let one = storage(driver, dir.path(), "");
        one.create("a/b/c", false).unwrap();
        one.create("a", false).unwrap();
        save(&one, "a/b/c");
        assert!(matches!(one.create("a", false), Err(Error::Exists(_))));
        assert_eq!(names(&one), set(&["INBOX", "a", "(a/b)", "a/b/c"]), "{driver}");
        let place = one.path("a/b/c", PathKind::Mailbox).unwrap();
        one.rename("a/b", "x/y").unwrap();
        assert_eq!(one.path("x/y/c", PathKind::Mailbox).unwrap(), place);
        assert_eq!(names(&one), set(&["INBOX", "a", "(x)", "(x/y)", "x/y/c"]), "{driver}");
        assert_eq!(messages(&one, "x/y/c"), 1);
        assert!(matches!(one.rename("a", "x"), Err(Error::Exists(_))));
        assert!(matches!(one.rename("x", "x/z"), Err(Error::Unsupported(_))));
        assert!(matches!(one.delete("x/y"), Err(Error::Unsupported(_))));
        one.delete("x/y/c").unwrap();
        assert!(!place.exists());
        one.delete("x/y").unwrap();
        assert_eq!(one.state("x/y").unwrap(), MailboxState::Missing);
        // Another session of another process sees the same.
        drop(one);
        assert_eq!(names(&storage(driver, dir.path(), "")), set(&["INBOX", "a", "(x)"]), "{driver}");
    }
}

#[test]
fn a_session_keeps_its_mailbox_when_that_is_renamed() {
    for driver in DRIVERS {
        let dir = tempfile::tempdir().unwrap();
        let one = storage(driver, dir.path(), "");
        one.create("old", false).unwrap();
        let mut open = one.open("old", OpenMode::ReadWrite).unwrap();
        one.rename("old", "new").unwrap();
        save(&one, "new");
        assert_eq!(open.sync(SyncMode::Quick).unwrap().len(), 1, "{driver}");
        assert!(open.is_in_place());
    }
}

#[test]
fn a_list_that_is_lost_is_made_from_the_directories() {
    for (driver, more) in [("maildir", ""), ("sdbox", ""), ("mdbox", ""), ("sdbox", ":INDEX=INDEXES")] {
        let dir = tempfile::tempdir().unwrap();
        let indexes = dir.path().join("indexes");
        let more = more.replace("INDEXES", &indexes.display().to_string());
        let one = storage(driver, dir.path(), &more);
        for name in ["a", "b/c", "w^2fx", "Entw\u{fc}rfe", "nameless"] {
            one.create(name, false).unwrap();
        }
        one.open("INBOX", OpenMode::ReadWrite).unwrap();
        save(&one, "b/c");
        let (nameless, guid) = {
            let mut mailbox = one.open("nameless", OpenMode::ReadOnly).unwrap();
            (one.path("nameless", PathKind::Index).unwrap(), mailbox.guid().unwrap())
        };
        drop(one);
        let root = if more.is_empty() { dir.path().join("mail") } else { indexes };
        for file in ["dovecot.list.index", "dovecot.list.index.log"] {
            let _ = std::fs::remove_file(root.join(file));
        }
        for file in std::fs::read_dir(&nameless).unwrap().flatten() {
            if file.file_name().to_string_lossy().starts_with("dovecot.index") {
                std::fs::remove_file(file.path()).unwrap();
            }
        }
        let one = storage(driver, dir.path(), &more);
        let made_up = format!("recovered-lost-folder-{guid}");
        let expected = ["INBOX", "a", "(b)", "b/c", "w^2fx", "Entw\u{fc}rfe", &made_up];
        assert_eq!(names(&one), set(&expected), "{driver}{more}");
        assert_eq!(messages(&one, "b/c"), 1, "{driver}{more}");
        // The directory still says what the mailbox's GUID is.
        assert_eq!(one.open(&made_up, OpenMode::ReadOnly).unwrap().guid().unwrap(), guid);
        one.rename(&made_up, "again").unwrap();
        assert!(names(&one).contains("again"));
    }
}

#[test]
fn damage_of_the_list_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let make = || storage("sdbox", dir.path(), "");
    let guid = |name: &str| make().open(name, OpenMode::ReadOnly).unwrap().guid().unwrap();
    for name in ["a", "b", "c/d", "e"] {
        make().create(name, false).unwrap();
    }
    make().open("INBOX", OpenMode::ReadWrite).unwrap();
    let uids = |wanted: &str| {
        let all = ["a", "b", "c", "d", "e", "INBOX"];
        all.iter().position(|name| *name == wanted).unwrap() as u32 + 1
    };
    // A name that the header does not have.
    let lost = guid("a");
    damage(dir.path(), |uid, old| if uid == uids("a") { ListRecord { name: 99, ..old } } else { old });
    let found = names(&make());
    assert_eq!(found.len(), 6, "{found:?}");
    assert_eq!(names(&make()), found);
    let unknown = found.iter().find(|name| name.starts_with("unknown-")).unwrap();
    assert_eq!(guid(unknown), lost);
    make().rename(unknown, "a").unwrap();
    // A name twice, and one below itself.
    let copied = guid("b");
    damage(dir.path(), |uid, old| match uid {
        uid if uid == uids("b") => ListRecord { name: 5, ..old },
        uid if uid == uids("c") => ListRecord { parent_uid: uids("d"), ..old },
        _ => old,
    });
    let found = names(&make());
    let renamed = found.iter().find(|name| name.contains("-duplicate-")).unwrap();
    assert!(guid(renamed) == copied || guid("e") == copied);
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(found.iter().any(|name| name == "d" || name == "c/d"), "{found:?}");
    // A mailbox without a GUID is found under the name that its own index has.
    let lost = guid("a");
    damage(dir.path(), |uid, old| match uid {
        uid if uid == uids("a") => ListRecord { guid: Default::default(), ..old },
        _ => old,
    });
    let found = names(&make());
    let again = found.iter().find(|name| !name.starts_with('(') && guid(name) == lost);
    assert!(again.is_some(), "{found:?}");
    // Nothing is left to mend.
    assert_eq!(names(&make()), found);
}

#[test]
fn another_guid_moves_the_directory() {
    for driver in DRIVERS {
        let dir = tempfile::tempdir().unwrap();
        let one = storage(driver, dir.path(), "");
        one.create("a", false).unwrap();
        save(&one, "a");
        let guid = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let update = storage::api::MailboxUpdate { guid: Some(guid), ..Default::default() };
        let refused = one.open("a", OpenMode::ReadWrite).unwrap().update(&update);
        assert!(matches!(refused, Err(Error::Unsupported(_))));
        one.update("a", &update).unwrap();
        assert_eq!(one.open("a", OpenMode::ReadOnly).unwrap().guid().unwrap(), guid, "{driver}");
        assert!(one.path("a", PathKind::Mailbox).unwrap().ends_with(guid.to_string()));
        assert_eq!(messages(&one, "a"), 1, "{driver}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let check = |text: &str, settings: MailSettings, why: &str| {
        let location = Location::parse(text, None).unwrap();
        let made = GuidStorage::new(location, Arc::new(settings), true, Logger::new("test: "));
        assert_eq!(made.err().unwrap().to_string(), why);
    };
    let off = MailSettings { mailbox_list_index: false, ..MailSettings::default() };
    let why = "LAYOUT=index requires mailbox_list_index=yes";
    check("mdbox:/x:LAYOUT=index", off, why);
    check("mdbox:/x:LAYOUT=index:LISTINDEX=", MailSettings::default(), why);
    let why = "LAYOUT=index isn't possible with INDEX=MEMORY";
    check("maildir:/x:LAYOUT=index:INDEX=MEMORY", MailSettings::default(), why);
    let why = "mbox: LAYOUT=index isn't supported by this driver";
    check("mbox:/x:LAYOUT=index", MailSettings::default(), why);
}
