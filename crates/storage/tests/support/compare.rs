//! A mailbox as real Dovecot sees it and as we do, in the same words.
#![allow(dead_code, unreachable_pub)]

use std::time::SystemTime;

use storage::{Mailbox, SyncMode, Wanted};

use crate::real::Real;

const FIELDS: &str = "uid flags size.virtual size.physical guid date.received.unixtime";

/// Flags sorted, without `\Recent`, which belongs to a session.
pub fn normal(line: &str) -> String {
    let mut fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
    let mut flags: Vec<&str> =
        fields[1].split(' ').filter(|flag| !flag.is_empty() && *flag != "\\Recent").collect();
    flags.sort_unstable();
    fields[1] = flags.join(" ");
    fields.join("\t")
}

/// Every message of a mailbox as Dovecot sees it.
pub fn theirs(real: &Real, mailbox: &str) -> Vec<String> {
    real.fields(mailbox, FIELDS).iter().map(|line| normal(line)).collect()
}

/// The same as we see it.
pub fn ours(mailbox: &mut dyn Mailbox) -> Vec<String> {
    let view = mailbox.sync(SyncMode::Quick).unwrap();
    let wanted = Wanted::SIZE_VIRTUAL | Wanted::SIZE_PHYSICAL | Wanted::GUID | Wanted::INTERNAL_DATE;
    let mut lines = Vec::new();
    for record in view.records() {
        let facts = mailbox.fetch_facts(record.uid, wanted).unwrap();
        let mut flags: Vec<&str> = record.flags.names().collect();
        flags.extend(view.keyword_names(&record.keywords));
        let date = facts.internal_date.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        lines.push(normal(&format!(
            "{}\t{}\t{}\t{}\t{}\t{date}",
            record.uid,
            flags.join(" "),
            facts.size_virtual.unwrap(),
            facts.size_physical.unwrap(),
            facts.guid.unwrap()
        )));
    }
    lines
}

/// A whole message as we see it.
pub fn text(mailbox: &mut dyn Mailbox, uid: u32) -> String {
    let mut reader = mailbox.open_message(base::Uid::new(uid).unwrap()).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    text
}

/// Both sides see the same: what that is.
pub fn agree(real: &Real, mailbox: &mut dyn Mailbox) -> Vec<String> {
    let seen = ours(mailbox);
    assert_eq!(theirs(real, mailbox.name()), seen);
    seen
}
