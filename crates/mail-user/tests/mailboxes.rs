//! Namespaces, LIST and automatic mailboxes over Maildirs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Logger;
use mail_user::input::Auto;
use mail_user::input::NamespaceList;
use mail_user::{
    ListOptions, MailUser, MailUserInput, MailboxSettings, NamespaceSettings, NamespaceType, Node,
    UserSettings,
};
use storage::{Error, MailboxState, OpenMode, SyncMode};

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn open(&self, namespaces: Vec<NamespaceSettings>) -> storage::Result<Arc<MailUser>> {
        let settings = UserSettings {
            mail_location: "maildir:~/Maildir".to_owned(),
            namespaces,
            ..UserSettings::default()
        };
        self.open_with(settings)
    }

    fn open_with(&self, settings: UserSettings) -> storage::Result<Arc<MailUser>> {
        MailUser::open(MailUserInput {
            username: "u".to_owned(),
            service: "test".to_owned(),
            session_id: String::new(),
            home: Some(self.dir.path().to_path_buf()),
            settings,
            logger: Logger::new("test: "),
        })
    }
}

fn inbox(prefix: &str, separator: &str) -> NamespaceSettings {
    let mailbox = |name: &str, auto, special_use: &str| MailboxSettings {
        name: name.to_owned(),
        auto,
        special_use: vec![special_use.to_owned()],
        ..MailboxSettings::default()
    };
    NamespaceSettings {
        inbox: true,
        prefix: prefix.to_owned(),
        separator: separator.to_owned(),
        mailboxes: vec![
            mailbox("Drafts", Auto::Subscribe, "\\Drafts"),
            mailbox("Trash", Auto::No, "\\Trash"),
        ],
        ..NamespaceSettings::default()
    }
}

/// `name(attributes)` of each.
fn list(user: &MailUser, pattern: &str, options: ListOptions) -> String {
    let one = |entry: mail_user::ListEntry| {
        let mut words = Vec::new();
        words.extend(match entry.node {
            Node::Selectable => None,
            Node::NoSelect => Some("noselect"),
            Node::NonExistent => Some("nonexistent"),
        });
        words.extend(entry.children.filter(|&has| has).map(|_| "children"));
        words.extend(entry.subscribed.then_some("sub"));
        words.extend(entry.child_subscribed.then_some("childsub"));
        words.extend(entry.special_use.iter().map(String::as_str));
        format!("{}({})", entry.name, words.join(" "))
    };
    user.list("", &[pattern], &options).unwrap().into_iter().map(one).collect::<Vec<_>>().join(" ")
}

const PLAIN: ListOptions = ListOptions {
    select_subscribed: false,
    select_special_use: false,
    recursive_match: false,
    lsub: false,
    unseen: false,
    existing_only: false,
    return_children: true,
    return_subscribed: false,
    return_status: None,
};

#[test]
fn one_namespace_with_automatic_mailboxes() {
    let fixture = Fixture::new();
    let user = fixture.open(vec![inbox("", "/")]).unwrap();
    assert_eq!(list(&user, "*", PLAIN), "INBOX() Drafts(sub \\Drafts)");
    assert!(!fixture.dir.path().join("Maildir").exists());
    user.create("a/b/c").unwrap();
    user.create("Trash").unwrap();
    assert_eq!(
        list(&user, "%", PLAIN),
        "INBOX() Drafts(sub \\Drafts) Trash(\\Trash) a(nonexistent children)"
    );
    assert_eq!(list(&user, "a/%", PLAIN), "a/b(nonexistent children)");
    assert_eq!(list(&user, "a*", PLAIN), "a(nonexistent children) a/b(nonexistent children) a/b/c()");
    assert_eq!(list(&user, "iNboX", PLAIN), "INBOX()");
    user.open_mailbox("Drafts", OpenMode::ReadWrite).unwrap().sync(SyncMode::Quick).unwrap();
    assert_eq!(
        std::fs::read_to_string(fixture.dir.path().join("Maildir/subscriptions")).unwrap(),
        "V\t2\n\nDrafts\n"
    );
    assert_eq!(user.mailbox_state("nothing").unwrap(), MailboxState::Missing);
    assert!(
        matches!(user.open_mailbox("nothing", OpenMode::ReadOnly), Err(Error::NotFound(name)) if name == "nothing")
    );
    let refused = user.create("x.y").unwrap_err();
    assert_eq!(refused.client_text(), "Character not allowed in mailbox name: '.'");
    assert_eq!(
        user.create("x//y").unwrap_err().client_text(),
        "Invalid mailbox name: Has adjacent hierarchy separators"
    );
    assert!(matches!(user.create("INBOX"), Err(Error::Exists(_))));
    user.rename("a/b", "z").unwrap();
    user.delete("z/c").unwrap();
    assert_eq!(list(&user, "*", PLAIN), "INBOX() Drafts(sub \\Drafts) Trash(\\Trash)");
}

#[test]
fn what_is_deleted_is_noted_by_its_guid() {
    let fixture = Fixture::new();
    let user = fixture.open(vec![inbox("", "/")]).unwrap();
    let log = fixture.dir.path().join("Maildir/dovecot.mailbox.log");
    let noted = |guid: Option<base::Guid>| {
        let before = std::fs::read(&log).unwrap_or_default().len();
        user.delete("a").unwrap();
        let bytes = std::fs::read(&log).unwrap();
        let new = bytes.get(before..).unwrap_or_default();
        (guid.is_some_and(|guid| new.windows(16).any(|part| part == guid.0)), new.len())
    };
    user.create("a").unwrap();
    // Nobody knows it, and it is not opened for that. Each record has 24 bytes.
    assert_eq!(noted(None), (false, 48));
    user.create("a").unwrap();
    let guid = user.open_mailbox("a", OpenMode::ReadOnly).unwrap().guid().unwrap();
    assert_eq!(noted(Some(guid)), (true, 48));
}

#[test]
fn subscriptions() {
    let fixture = Fixture::new();
    let user = fixture.open(vec![inbox("", "/")]).unwrap();
    user.create("p/q/r").unwrap();
    user.subscribe("p/q/r").unwrap();
    user.subscribe("INBOX").unwrap();
    assert!(matches!(user.subscribe("none"), Err(Error::NotFound(_))));
    let lsub = ListOptions { select_subscribed: true, lsub: true, ..ListOptions::default() };
    assert_eq!(list(&user, "*", lsub), "INBOX(sub) Drafts(sub \\Drafts) p/q/r(sub)");
    assert_eq!(list(&user, "%", lsub), "INBOX(sub) Drafts(sub \\Drafts) p(noselect childsub)");
    // Without a look at what there is.
    let unseen = ListOptions { unseen: true, ..lsub };
    assert_eq!(
        list(&user, "*", unseen),
        "INBOX(nonexistent sub) Drafts(sub \\Drafts) p/q/r(nonexistent sub)"
    );
    assert_eq!(list(&user, "%", unseen), "INBOX(nonexistent sub) Drafts(sub \\Drafts) p(noselect childsub)");
    let extended = ListOptions { select_subscribed: true, recursive_match: true, ..ListOptions::default() };
    assert_eq!(list(&user, "p%", extended), "p(nonexistent childsub)");
    user.delete("p/q/r").unwrap();
    assert_eq!(
        list(&user, "p*", ListOptions { recursive_match: false, ..extended }),
        "p/q/r(nonexistent sub)"
    );
    user.unsubscribe("p/q/r").unwrap();
    assert_eq!(list(&user, "p*", lsub), "");
}

#[test]
fn prefixes_and_more_than_one_namespace() {
    let fixture = Fixture::new();
    let public = NamespaceSettings {
        kind: NamespaceType::Public,
        prefix: "Public/".to_owned(),
        separator: "/".to_owned(),
        location: format!("maildir:{}/public", fixture.dir.path().display()),
        subscriptions: false,
        list: NamespaceList::Children,
        ..NamespaceSettings::default()
    };
    let compat = NamespaceSettings {
        prefix: "old/".to_owned(),
        separator: "/".to_owned(),
        alias_for: Some("INBOX/".to_owned()),
        hidden: true,
        list: NamespaceList::No,
        ..NamespaceSettings::default()
    };
    let root = NamespaceSettings {
        prefix: String::new(),
        separator: "/".to_owned(),
        location: format!("maildir:{}/root", fixture.dir.path().display()),
        hidden: true,
        list: NamespaceList::No,
        ..NamespaceSettings::default()
    };
    let user = fixture.open(vec![public, compat, root, inbox("INBOX/", "/")]).unwrap();
    assert_eq!(list(&user, "*", PLAIN), "INBOX(children) INBOX/Drafts(sub \\Drafts)");
    user.create("INBOX/a").unwrap();
    user.create("inbox/b").unwrap();
    user.create("Public/news").unwrap();
    user.subscribe("Public/news").unwrap();
    assert!(
        fixture.dir.path().join("Maildir/.a/cur").is_dir() && fixture.dir.path().join("Maildir/.b").is_dir()
    );
    assert_eq!(
        std::fs::read_to_string(fixture.dir.path().join("root/subscriptions")).unwrap(),
        "V\t2\n\nPublic/news\n"
    );
    assert_eq!(
        list(&user, "*", PLAIN),
        "INBOX(children) INBOX/Drafts(sub \\Drafts) INBOX/a() INBOX/b() Public(nonexistent children) Public/news()"
    );
    assert_eq!(list(&user, "old/%", PLAIN), "old/a() old/b()");
    assert_eq!(user.mailbox_state("old/a").unwrap(), MailboxState::Selectable);
    assert!(matches!(user.rename("INBOX/a", "Public/a"), Err(Error::Unsupported(_))));
}

#[test]
fn what_cannot_be_says_so() {
    let fixture = Fixture::new();
    let location = |text: &str| NamespaceSettings {
        inbox: true,
        location: text.to_owned(),
        ..NamespaceSettings::default()
    };
    for (text, expected) in [
        ("imapc:~/mail", "Mail storage driver imapc isn't available yet: imapc:~/mail"),
        ("foo:~/mail", "Unknown mail storage driver foo"),
        ("maildir:~/x:LAYOUT=none", "LAYOUT=none isn't supported yet"),
    ] {
        let error = fixture.open(vec![location(text)]).err().unwrap();
        assert_eq!(error.to_string(), format!("Namespace '': {expected}"));
    }
    let other = |prefix: &str| NamespaceSettings {
        prefix: prefix.to_owned(),
        separator: "/".to_owned(),
        ..NamespaceSettings::default()
    };
    let unlisted = NamespaceSettings { list: NamespaceList::No, ..inbox("", "") };
    let hidden = NamespaceSettings { hidden: true, ..inbox("", "") };
    for (namespaces, expected) in [
        (vec![inbox("", ""), inbox("b.", ".")], "There can be only one namespace with inbox=yes"),
        (vec![other("b/")], "inbox=yes namespace missing"),
        (vec![inbox("", "/"), other("")], "Duplicate namespace prefix: \"\""),
        (vec![inbox("", "/"), other("b.")], "list=yes requires prefix=b. to end with separator /"),
        (vec![inbox("INBOX", "/")], "list=yes requires prefix=INBOX to end with separator /"),
        (vec![inbox("", "/"), other("/b/")], "list=yes requires prefix=/b/ not to start with separator"),
        (vec![unlisted], "list=yes namespace missing"),
        (vec![hidden], "hidden=no namespace missing"),
    ] {
        let error = fixture.open(namespaces).err().expect(expected);
        assert_eq!(error.to_string(), format!("namespace configuration error: {expected}"));
    }
}

#[test]
fn namespaces_of_other_users_are_left_out() {
    let fixture = Fixture::new();
    let others = NamespaceSettings {
        kind: NamespaceType::Shared,
        prefix: "users/%u/".to_owned(),
        separator: "/".to_owned(),
        ..NamespaceSettings::default()
    };
    let user = fixture.open(vec![inbox("", "/"), others]).unwrap();
    assert_eq!(user.namespaces().len(), 1);
}

#[test]
fn an_alias_has_the_inbox_too() {
    let fixture = Fixture::new();
    let alias = NamespaceSettings {
        prefix: "old/".to_owned(),
        separator: "/".to_owned(),
        alias_for: Some(String::new()),
        hidden: true,
        list: NamespaceList::No,
        ..NamespaceSettings::default()
    };
    let user = fixture.open(vec![inbox("", "/"), alias]).unwrap();
    fill(&user, "old/INBOX", 1);
    assert_eq!(count(&user, "INBOX"), 1);
}

#[test]
fn names_may_be_paths() {
    let fixture = Fixture::new();
    let mut settings = UserSettings {
        mail_location: "maildir:~/Maildir:LAYOUT=fs".to_owned(),
        namespaces: vec![inbox("", "/")],
        ..UserSettings::default()
    };
    let open = |settings: &UserSettings| fixture.open_with(settings.clone()).unwrap();
    for name in ["~/elsewhere", &fixture.dir.path().join("elsewhere").display().to_string()] {
        settings.mail.mail_full_filesystem_access = false;
        assert!(matches!(open(&settings).create(name), Err(Error::InvalidName { .. })), "{name}");
        settings.mail.mail_full_filesystem_access = true;
        let user = open(&settings);
        if name.starts_with('~') {
            user.create(name).unwrap();
        }
        fill(&user, name, 1);
    }
    assert_eq!(count(&open(&settings), "~/elsewhere"), 2);
    assert!(fixture.dir.path().join("elsewhere/cur").is_dir());
}

fn fill(user: &MailUser, name: &str, count: usize) {
    let mut mailbox = user.open_mailbox(name, OpenMode::Append).unwrap();
    for _ in 0..count {
        let mut batch = mailbox.begin_save().unwrap();
        batch.begin(storage::SaveMeta::default()).unwrap();
        batch.write(b"Subject: x\n\nx\n").unwrap();
        batch.end().unwrap();
        batch.commit().unwrap();
    }
}

fn count(user: &MailUser, name: &str) -> u32 {
    user.open_mailbox(name, OpenMode::ReadOnly).unwrap().sync(SyncMode::Quick).unwrap().len()
}

/// With `autoexpunge` of the mailbox `name`, and another mailbox for the same messages.
fn expiring(name: &str, secs: u64, max: u64) -> (Fixture, Arc<MailUser>) {
    let fixture = Fixture::new();
    let mailbox = MailboxSettings {
        name: name.to_owned(),
        autoexpunge_secs: secs,
        autoexpunge_max_mails: max,
        ..MailboxSettings::default()
    };
    let user = fixture.open(vec![NamespaceSettings { mailboxes: vec![mailbox], ..inbox("", "/") }]).unwrap();
    assert_eq!(user.autoexpunge(), 0);
    for name in ["Old/1", "Old/2", "New"] {
        user.create(name).unwrap();
        fill(&user, name, 3);
    }
    (fixture, user)
}

#[test]
fn too_much_mail_is_expunged() {
    let (_fixture, user) = expiring("Old/1", 0, 2);
    assert_eq!(user.autoexpunge(), 1);
    assert_eq!(["Old/1", "Old/2", "New"].map(|name| count(&user, name)), [2, 3, 3]);
    assert_eq!(user.autoexpunge(), 0);
    let (_fixture, user) = expiring("Old/*", 3600, 1);
    assert_eq!(user.autoexpunge(), 4);
    assert_eq!(["Old/1", "Old/2", "New"].map(|name| count(&user, name)), [1, 1, 3]);
}

#[test]
fn old_mail_is_expunged_and_a_new_name_makes_it_young() {
    let (_fixture, user) = expiring("Old/*", 3600, 0);
    assert_eq!(user.autoexpunge(), 0);
    let (fixture, user) = expiring("Old/*", 2, 0);
    let (begun, mut gone) = (Instant::now(), 0);
    while gone < 6 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
        gone += user.autoexpunge();
    }
    assert_eq!((gone, count(&user, "New")), (6, 3));
    // Its messages are as old, but have only now come to where they are too old.
    let begun = Instant::now();
    user.rename("New", "Old/3").unwrap();
    assert!(user.autoexpunge() == 0 || begun.elapsed() > Duration::from_secs(1));
    assert!(!fixture.dir.path().join("dovecot.autoexpunge.lock").exists());
}
