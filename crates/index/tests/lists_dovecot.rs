//! The log of mailbox changes and the list of mailboxes, as real Dovecot 2.3 writes and reads them.

mod real;

use index::fs::{Fs, Permissions};
use index::list_index::{self, ListRecord, MaildirTimes, Messages, Names, VirtualSize};
use index::mailbox_log::{Action, FILE_NAME, MailboxLog, Record, iter, name_hash};
use real::Real;

#[test]
fn the_log_says_what_was_done() {
    let Some(real) = Real::new("") else { return };
    let path = real.root().join(FILE_NAME);
    let mut log =
        MailboxLog::new(Fs::default(), path.clone(), Permissions::default(), base::Logger::new("test: "));
    real.run(&["mailbox", "create", "Entwürfe"]);
    let guid = real.run(&["-f", "pager", "mailbox", "status", "guid", "Entwürfe"]);
    let guid = guid.lines().find_map(|line| line.strip_prefix("guid: ")).unwrap().parse().unwrap();
    real.run(&["mailbox", "subscribe", "Entwürfe"]);
    real.run(&["mailbox", "rename", "Entwürfe", "Ablage"]);
    real.run(&["mailbox", "unsubscribe", "Entwürfe"]);
    real.run(&["mailbox", "delete", "Ablage"]);
    let (old, new) = (name_hash("Entwürfe"), name_hash("Ablage"));
    let done = [
        (Action::Subscribe, old),
        (Action::Rename, new),
        (Action::Unsubscribe, old),
        (Action::DeleteMailbox, guid),
        (Action::DeleteDir, new),
    ];
    let records = log.records().unwrap();
    assert_eq!(records.iter().map(|record| (record.action, record.guid)).collect::<Vec<_>>(), done);
    // Ours is among theirs.
    let now = records[0].time;
    log.append(&Record { action: Action::Subscribe, guid: new, time: now }, now).unwrap();
    let dumped = real.run(&["dump", path.to_str().unwrap()]);
    let shown: Vec<String> =
        dumped.lines().skip(1).map(|line| line.split(" (").next().unwrap().to_owned()).collect();
    let bytes = std::fs::read(&path).unwrap();
    let ours: Vec<String> = iter(&bytes)
        .map(|found| {
            let record = found.record.unwrap();
            format!("#{}: {} {}", found.offset, record.action.word(), record.guid)
        })
        .collect();
    assert_eq!(ours, shown);
    assert_eq!(ours.len(), 6);
    // It goes on behind our record.
    real.run(&["mailbox", "subscribe", "x"]);
    assert_eq!(log.records().unwrap().len(), 7);
}

/// The bytes of a record or header, as `doveadm dump` shows them.
fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn names_and_records_of_the_list() {
    let Some(real) = Real::new("mailbox_list_index = yes\nmailbox_list_index_include_inbox = yes") else {
        return;
    };
    for name in ["Archive", "Archive.2024", "Entwürfe"] {
        real.run(&["mailbox", "create", name]);
    }
    real.deliver(&["Subject: x\n\nbody\n", "Subject: y\n\nbody\n"]);
    real.run(&["mailbox", "subscribe", "Archive"]);
    real.run(&["mailbox", "status", "messages unseen vsize uidnext highestmodseq", "*"]);
    // Sizes come into the list when the mailboxes are opened next.
    real.run(&["index", "*"]);
    let dump = real.run(&["dump", real.root().join("dovecot.list.index").to_str().unwrap()]);

    let hex = dump.split("name ........ = list\n").nth(1).unwrap();
    let hex = hex.lines().find_map(|line| line.strip_prefix("header ........ = ")).unwrap();
    let header = bytes(hex);
    let names = Names::decode(&header).unwrap();
    let shown: Vec<String> =
        names.names.iter().map(|(id, name)| format!(" - {id} : {}", String::from_utf8_lossy(name))).collect();
    assert!(dump.contains(&shown.join("\n")) && shown.len() == 4, "{shown:?}\n{dump}");
    let mut encoded = names.encode();
    assert_eq!(list_index::names_header_size(encoded.len()), header.len());
    encoded.resize(header.len(), 0);
    assert_eq!(encoded, header);

    let extensions = [
        list_index::LIST,
        list_index::SUBS,
        list_index::MSGS,
        list_index::HMODSEQ,
        list_index::VSIZE,
        list_index::MAILDIR,
    ];
    for extension in extensions {
        let part = dump.split(&format!("name ........ = {}\n", extension.name)).nth(1).expect(extension.name);
        let size = format!(
            "record_size . = {}\nrecord_align  = {}\n",
            extension.record_size, extension.record_align
        );
        let part = part.split("-- Extension").next().unwrap();
        // Where there are no records the alignment says nothing.
        assert!(part.contains(&size) || extension.record_size == 0, "{}: {part}", extension.name);
    }

    let mut seen = 0;
    for record in dump.split("RECORD: ").skip(1) {
        let field = |name: &str| {
            let line = record.lines().find(|line| line.split_whitespace().nth(3) == Some(name))?;
            Some(bytes(line.rsplit('(').next().unwrap().trim_end_matches(')')))
        };
        let list = ListRecord::decode(&field("list").unwrap()).unwrap();
        assert_eq!(list.encode().to_vec(), field("list").unwrap());
        let line = |label: &str, value: String| {
            let at = record.lines().find(|line| line.contains(&format!(": {label} "))).expect(label);
            assert_eq!(at.split("= ").nth(1), Some(&*value), "{label}");
        };
        line("name_id", list.name.to_string());
        line("parent_uid", list.parent_uid.to_string());
        line("guid", list.guid.to_string());
        line("uid_validity", list.uid_validity.to_string());
        let messages = Messages::decode(&field("msgs").unwrap()).unwrap();
        line("messages", messages.messages.to_string());
        line("unseen", messages.unseen.to_string());
        line("uidnext", messages.next_uid.to_string());
        let size = VirtualSize::decode(&field("vsize").unwrap()).unwrap();
        line("vsize", size.size.to_string());
        line("message_count", size.messages.to_string());
        // Zeros while the directories are so new that their times say nothing.
        let maildir = field("maildir").unwrap();
        assert_eq!(MaildirTimes::decode(&maildir).unwrap().encode(), maildir);
        if names.name(list.name) == Some(b"INBOX") {
            assert_eq!((messages.messages, size.messages), (2, 2));
        }
        seen += 1;
    }
    assert_eq!(seen, 4);
}
