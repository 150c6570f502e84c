//! The same cache used by us and by real Dovecot 2.3: we read every value it wrote, and it serves what we
//! wrote, without a word of complaint.

mod real;

use std::borrow::Cow;

use base::Uid;
use index::cache::value::{
    BinaryPart, Header, RecordFlags, SentDate, Snippet, decode_size, decode_u32, join_headers,
};
use index::cache::{
    Added, Addition, Cache, CacheSettings, FieldId, Found, IndexFacts, Occasion, PurgeIf, Purged, dump,
};
use real::{Dump, Message, Real};

const MULTIPART: &str = "Received: from a\n\tby b\nFrom: A <a@example.org>\nTo: b@example.org\n\
    Date: Tue, 3 Feb 2026 10:00:00 +0530\nReceived: from c\nSubject: one\n two\nMIME-Version: 1.0\n\
    Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain\n\nhello\n--x\n\
    Content-Type: message/rfc822\n\nSubject: inner\n\nbody\n--x\nContent-Transfer-Encoding: base64\n\n\
    aGVsbG8=\n--x--\n";
const PLAIN: &str = "From: A <a@example.org>\nSubject: plain\n\nhello\n";
const CRLF: &str = "From: C <c@example.org>\r\nDate: Mon, 1 Jan 2024 00:00:00 -0330\r\n\r\nbody\r\n";

const ALL: &str = "uid imap.envelope imap.body imap.bodystructure date.sent.unixtime date.received.unixtime \
    date.saved.unixtime size.physical size.virtual body.snippet hdr.subject hdr.received hdr.x-none";

const KEEP_ALL: &str = "mail_never_cache_fields =\nmail_always_cache_fields = size.virtual mime.parts";

/// A mailbox whose cache real Dovecot has filled.
fn filled() -> Option<Real> {
    let real = Real::new(KEEP_ALL)?;
    real.deliver(&[MULTIPART, PLAIN, CRLF]);
    real.run(&["fetch", ALL, "mailbox", "INBOX", "all"]);
    real.imap(
        "a SELECT INBOX\nb FETCH 1:* (BINARY.SIZE[1] ENVELOPE BODY BODYSTRUCTURE SAVEDATE)\nc LOGOUT\n",
    );
    Some(real)
}

/// What we read of a message, in the form of `doveadm dump`.
fn as_dumped(cache: &mut Cache, message: &Message, index: &IndexFacts) -> Vec<String> {
    let mut found = Found::default();
    cache.lookup(message.offset, index, &mut found).unwrap();
    let mut lines = Vec::new();
    for (record, fields) in dump::records(&found) {
        let (offset, size, previous) = (record.offset, record.size, record.previous);
        lines.push(format!(" - cache offset={offset} size={size}, prev_offset = {previous}"));
        for (id, value) in fields {
            let field = cache.registry().field(id);
            let text = dump::value(&field.name, field.kind, value);
            let line = format!("    - {}: {}", field.name, String::from_utf8_lossy(&text));
            lines.extend(line.split('\n').map(str::to_owned));
        }
    }
    lines
}

/// Without what only crate `message` can say.
fn theirs(message: &Message) -> Vec<String> {
    let cut = |line: &String| match line.split_once(") (pos=") {
        Some((bytes, _)) => format!("{bytes})"),
        None => line.clone(),
    };
    message.cached.iter().map(cut).collect()
}

fn check_all(cache: &mut Cache, dumped: &Dump) {
    let index = dumped.facts();
    for message in &dumped.messages {
        assert_eq!(as_dumped(cache, message, &index), theirs(message));
    }
    let fields: Vec<String> = (0..)
        .zip(cache.registry().in_file())
        .map(|(number, (_, field)): (u32, _)| {
            let (kind, decision) = (dump::type_word(field.kind), dump::decision_word(field.decision));
            let size = field.kind.fixed_size().map_or("-".to_owned(), |size| size.to_string());
            format!("{number}: {} {kind} {size} {decision}", field.name)
        })
        .collect();
    // What is forced is forced by each side's own settings, which here are not the same.
    let plain = |fields: &[String]| fields.iter().map(|field| field.replace('!', "")).collect::<Vec<_>>();
    assert_eq!(plain(&fields), plain(&dumped.fields));
}

fn lookup(cache: &mut Cache, offset: u32, index: &IndexFacts) -> Found {
    let mut found = Found::default();
    cache.lookup(offset, index, &mut found).unwrap();
    found
}

#[test]
fn every_value_is_read() {
    let Some(real) = filled() else { return };
    let dumped = real.dump();
    let mut cache = real.cache();
    assert!(cache.open(&dumped.facts()).unwrap());
    check_all(&mut cache, &dumped);
}

#[test]
fn values_mean_what_dovecot_answers() {
    let Some(real) = filled() else { return };
    let dumped = real.dump();
    let index = dumped.facts();
    let mut cache = real.cache();
    for message in &dumped.messages {
        let found = lookup(&mut cache, message.offset, &index);
        let uid = message.uid.to_string();
        let answer = |field: &str| {
            let text = real.run(&["-f", "pager", "fetch", field, "mailbox", "INBOX", "uid", &uid]);
            let text = text.split_once(": ").unwrap().1;
            text.trim_end_matches(['\n', '\u{c}']).to_owned()
        };
        let string = |id| found.get(id).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let number = |id: FieldId| found.get(id).and_then(decode_u32).map(|number| number.to_string());
        let size = |id: FieldId| found.get(id).and_then(decode_size).map(|number| number.to_string());
        assert_eq!(string(FieldId::IMAP_ENVELOPE), Some(answer("imap.envelope")));
        assert_eq!(
            number(FieldId::DATE_RECEIVED).unwrap_or_else(|| answer("date.received.unixtime")),
            answer("date.received.unixtime")
        );
        assert_eq!(number(FieldId::DATE_SAVE), Some(answer("date.saved.unixtime")));
        let virtual_size = size(FieldId::SIZE_VIRTUAL).unwrap_or_else(|| answer("size.virtual"));
        assert_eq!(virtual_size, answer("size.virtual"));
        let sent = SentDate::decode(found.get(FieldId::DATE_SENT).unwrap()).unwrap();
        assert_eq!(sent.time.to_string(), answer("date.sent.unixtime"));
        let snippet = Snippet::decode(found.get(FieldId::BODY_SNIPPET).unwrap()).unwrap();
        assert_eq!(snippet.algorithm, Snippet::ALGORITHM_1);
        assert_eq!(String::from_utf8_lossy(&snippet.text), answer("body.snippet"));
        let flags = RecordFlags(found.bits(FieldId::FLAGS).unwrap());
        assert!(flags.contains(RecordFlags::HAS_NO_NULS) && !flags.contains(RecordFlags::HAS_NULS));
    }
    let found = |cache: &mut Cache, number: usize| lookup(cache, dumped.messages[number].offset, &index);
    let first = found(&mut cache, 0);
    let bodystructure = String::from_utf8_lossy(first.get(FieldId::IMAP_BODYSTRUCTURE).unwrap()).into_owned();
    assert!(bodystructure.starts_with("(\"text\" \"plain\""));
    let sent = SentDate::decode(first.get(FieldId::DATE_SENT).unwrap()).unwrap();
    assert_eq!(sent.zone_minutes, 330);
    let parts = BinaryPart::decode_all(first.get(FieldId::BINARY_PARTS).unwrap()).unwrap();
    assert_eq!((parts.len(), parts[0].body_size), (1, 5));
    let header = |name: &str| {
        let id = cache.registry().find(name).unwrap();
        Header::decode(first.get(id).unwrap()).unwrap()
    };
    let received = header("hdr.received");
    assert_eq!(received.lines, [1, 6]);
    assert_eq!(received.text, b"Received: from a\n\tby b\nReceived: from c\n");
    let subject = header("hdr.subject");
    assert_eq!(
        join_headers([&subject.encode()[..], &received.encode()]).unwrap(),
        b"Received: from a\n\tby b\nReceived: from c\nSubject: one\n two\n"
    );
    assert_eq!(header("hdr.x-none"), Header::default());
    let flags = |found: &Found| RecordFlags(found.bits(FieldId::FLAGS).unwrap());
    assert!(flags(&found(&mut cache, 1)).contains(RecordFlags::TEXT_PLAIN_7BIT_ASCII));
    let crlf = flags(&found(&mut cache, 2));
    assert!(crlf.contains(RecordFlags::BINARY_HEADER | RecordFlags::BINARY_BODY));
}

fn envelope(marker: &str) -> String {
    format!("\"{marker}\" NIL NIL NIL NIL NIL NIL NIL NIL NIL")
}

fn add(cache: &mut Cache, dumped: &Dump, fields: &[(FieldId, &str)]) -> Vec<(Uid, u32)> {
    let additions: Vec<_> = dumped
        .messages
        .iter()
        .map(|message| Addition {
            uid: message.uid,
            previous: message.offset,
            fields: fields.iter().map(|(id, text)| (*id, Cow::Borrowed(text.as_bytes()))).collect(),
        })
        .collect();
    match cache.add(&additions, Occasion::Client, &dumped.facts()).unwrap() {
        Added::Written(offsets) => additions.iter().map(|addition| addition.uid).zip(offsets).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn dovecot_serves_what_we_add() {
    let Some(real) = Real::new(KEEP_ALL) else { return };
    real.deliver(&[MULTIPART, PLAIN, CRLF]);
    // Something is cached already, but none of what we add.
    real.run(&["fetch", "hdr.subject date.saved", "mailbox", "INBOX", "all"]);
    let before = real.dump();
    let mut cache = real.cache();
    let (marker, other) = (envelope("marker"), cache.header_field("X-Other").unwrap());
    let added = add(&mut cache, &before, &[(FieldId::IMAP_ENVELOPE, &marker), (other, "")]);
    real.write_offsets(&before, None, &added);
    let answers = real.run(&["fetch", "imap.envelope hdr.subject", "mailbox", "INBOX", "all"]);
    assert_eq!(answers.matches(&marker).count(), 3, "{answers}");
    assert!(answers.contains("hdr.subject: plain"));
    let after = real.dump();
    assert_eq!(after.offsets(), added);
    check_all(&mut cache, &after);
    // It adds to what we added, and we read that as well.
    real.run(&["fetch", "body.snippet hdr.to", "mailbox", "INBOX", "all"]);
    let later = real.dump();
    assert_ne!(later.offsets(), added);
    check_all(&mut cache, &later);
    check_all(&mut real.cache(), &later);
    real.run(&["force-resync", "INBOX"]);
}

#[test]
fn dovecot_goes_on_after_our_purge() {
    let Some(real) = filled() else { return };
    let before = real.dump();
    let mut cache = real.cache();
    let marker = envelope("purged");
    // All that is cached goes, so that the envelope must come from our file.
    let none: Vec<_> = before.messages.iter().map(|message| (message.uid, 0)).collect();
    let Purged::Written { file_seq, offsets } =
        cache.purge(&none, PurgeIf::FileSeq(before.reset_id.unwrap()), "test", &before.facts()).unwrap()
    else {
        panic!("not purged")
    };
    assert_eq!(offsets, [0, 0, 0]);
    real.write_offsets(&before, Some(file_seq), &none);
    let empty = real.dump();
    assert_eq!(empty.reset_id, Some(file_seq));
    let added = add(&mut cache, &empty, &[(FieldId::IMAP_ENVELOPE, &marker)]);
    real.write_offsets(&empty, None, &added);
    assert_eq!(real.run(&["fetch", "imap.envelope", "mailbox", "INBOX", "all"]).matches(&marker).count(), 3);
    // Dovecot links more to it; we make one record of both.
    real.run(&["fetch", "hdr.subject hdr.from", "mailbox", "INBOX", "all"]);
    let linked = real.dump();
    assert!(linked.text.contains("continued_record_count = 3"), "{}", linked.text);
    let Purged::Written { file_seq, offsets } =
        cache.purge(&linked.offsets(), PurgeIf::FileSeq(file_seq), "test", &linked.facts()).unwrap()
    else {
        panic!("not purged")
    };
    let offsets: Vec<_> = linked.messages.iter().map(|message| message.uid).zip(offsets).collect();
    real.write_offsets(&linked, Some(file_seq), &offsets);
    assert_eq!(real.run(&["fetch", "imap.envelope", "mailbox", "INBOX", "all"]).matches(&marker).count(), 3);
    let after = real.dump();
    assert!(after.text.contains("continued_record_count = 0"), "{}", after.text);
    assert!(after.messages.iter().all(|message| message.cached.join("").contains("hdr.subject: ")));
    check_all(&mut cache, &after);
}

/// Whoever makes the file, it is the same, but for when it was made.
#[test]
fn a_new_file_is_the_one_dovecot_makes() {
    let settings = "mail_cache_fields = flags hdr.date hdr.subject date.received";
    let Some(real) = Real::new(settings) else { return };
    real.deliver(&[PLAIN]);
    real.run(&["fetch", "hdr.subject", "mailbox", "INBOX", "all"]);
    let dumped = real.dump();
    let theirs = std::fs::read(real.root().join("dovecot.index.cache")).unwrap();
    std::fs::remove_file(real.root().join("dovecot.index.cache")).unwrap();
    let fields = settings.split_once("= ").unwrap().1.to_owned();
    let mut cache = real.cache_with(CacheSettings { fields, ..CacheSettings::default() });
    let facts = IndexFacts { reset_id: None, now: dumped.reset_id.unwrap(), ..dumped.facts() };
    cache.purge(&[], PurgeIf::Missing, "creating cache", &facts).unwrap();
    let ours = std::fs::read(real.root().join("dovecot.index.cache")).unwrap();
    // Up to the counts of records, and from the size on, without times and decisions.
    let names = |bytes: &[u8]| bytes[32 + 4..32 + 12].to_vec();
    assert_eq!(ours[..12], theirs[..12]);
    assert_eq!(ours[20..32], theirs[20..32]);
    assert_eq!(names(&ours), names(&theirs));
    let count = u32::from_ne_bytes(ours[40..44].try_into().unwrap()) as usize;
    let (sizes, decisions) = (44 + 4 * count, 44 + 9 * count);
    assert_eq!(ours[sizes..decisions], theirs[sizes..decisions]);
    assert_eq!(ours[decisions + count..], theirs[decisions + count..ours.len()]);
    // And Dovecot uses it.
    let reset = IndexFacts { reset_id: dumped.reset_id, ..facts };
    let marker = envelope("new");
    let addition = Addition {
        uid: Uid::ONE,
        previous: 0,
        fields: vec![(
            cache.header_field("Subject").unwrap(),
            Cow::Owned(Header { lines: vec![2], text: b"Subject: ours\n".to_vec() }.encode()),
        )],
    };
    let Added::Written(offsets) = cache.add(&[addition], Occasion::Client, &reset).unwrap() else {
        panic!("{marker}")
    };
    real.write_offsets(&dumped, None, &[(Uid::ONE, offsets[0])]);
    assert_eq!(real.run(&["fetch", "hdr.subject", "mailbox", "INBOX", "all"]).trim(), "hdr.subject: ours");
}

#[test]
fn what_clients_want_is_agreed_on() {
    let Some(real) = filled() else { return };
    let dumped = real.dump();
    let index = dumped.facts();
    let decision = |dumped: &Dump, name: &str| {
        let field = dumped.fields.iter().find(|field| field.split(' ').nth(1) == Some(name)).unwrap();
        field.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(decision(&dumped, "hdr.subject"), "tmp");
    let mut cache = real.cache();
    cache.open(&index).unwrap();
    let subject = cache.registry().find("hdr.subject").unwrap();
    // Backwards.
    let mut found = Found::default();
    for message in dumped.messages.iter().rev() {
        cache.lookup_fields(message.offset, message.uid, (&[subject], &[]), &index, &mut found).unwrap();
    }
    cache.flush_decisions(&index).unwrap();
    assert_eq!(decision(&real.dump(), "hdr.subject"), "yes");
    // Dovecot's session does the same with another field, and we see it.
    real.imap("a SELECT INBOX\nb FETCH 3 ENVELOPE\nc FETCH 1 ENVELOPE\nd LOGOUT\n");
    let after = real.dump();
    assert_eq!(decision(&after, "imap.envelope"), "yes");
    check_all(&mut real.cache(), &after);
}

#[test]
fn each_waits_for_the_other() {
    let Some(real) = Real::new(&format!("{KEEP_ALL}\nmail_max_lock_timeout = 1s")) else { return };
    real.deliver(&[PLAIN]);
    real.run(&["fetch", "hdr.subject", "mailbox", "INBOX", "all"]);
    let dumped = real.dump();
    let file = real.cache_file();
    let size = || file.metadata().unwrap().len();
    let before = size();
    sys::lock::lock(&file, sys::lock::LockKind::Exclusive).unwrap();
    // Dovecot answers, says nothing, and leaves the file alone.
    assert!(real.run(&["fetch", "imap.envelope", "mailbox", "INBOX", "all"]).contains("plain"));
    assert_eq!(size(), before);
    let quick =
        CacheSettings { lock_timeout: std::time::Duration::from_millis(50), ..CacheSettings::default() };
    let mut cache = real.cache_with(quick);
    let addition =
        Addition { uid: Uid::ONE, previous: 0, fields: vec![(FieldId::GUID, Cow::Borrowed(b"g"))] };
    assert_eq!(cache.add(&[addition], Occasion::Client, &dumped.facts()).unwrap(), Added::Busy);
    sys::lock::unlock(&file).unwrap();
    real.run(&["fetch", "imap.envelope", "mailbox", "INBOX", "all"]);
    assert!(size() > before);
}

/// Damage is found by both, told in the same words, and mended.
#[test]
fn damage_has_the_same_words() {
    let Some(real) = filled() else { return };
    let path = real.root().join("dovecot.index.cache");
    let check = |damage: &dyn Fn(&mut Vec<u8>, u32)| {
        let dumped = real.dump();
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes, dumped.messages[0].offset);
        std::fs::write(&path, &bytes).unwrap();
        let (_, log) = real.try_run(&["fetch", "imap.envelope", "mailbox", "INBOX", "all"]);
        let theirs: Vec<_> =
            log.lines().map(|line| line.split_once("Error: ").unwrap().1.to_owned()).collect();
        real.own();
        std::fs::write(&path, &bytes).unwrap();
        let ours = real::logged("damage: ", |logger| {
            let mut cache = real.cache_logging(CacheSettings::default(), logger);
            lookup(&mut cache, dumped.messages[0].offset, &dumped.facts());
        });
        assert_eq!(ours, theirs);
        assert!(!path.exists());
        // Dovecot makes a new one.
        real.try_run(&["fetch", "imap.envelope", "mailbox", "INBOX", "all"]);
    };
    check(&|bytes, _| bytes[0] = 9);
    check(&|bytes, _| bytes[1] = 4);
    check(&|bytes, record| bytes[record as usize + 4] ^= 1);
}

/// Both add to the file at the same time, new fields too. In the end all that Dovecot knows is right, and
/// nobody has complained.
#[test]
fn at_the_same_time() {
    let Some(real) = Real::new(KEEP_ALL) else { return };
    let messages: Vec<String> = (0..40)
        .map(|number| format!("Subject: {number}\nX-A: a\nX-B: b\nX-C: c\nX-D: d\n\nbody {number}\n"))
        .collect();
    real.deliver(&messages.iter().map(String::as_str).collect::<Vec<_>>());
    real.run(&["fetch", "hdr.subject", "mailbox", "INBOX", "all"]);
    let done = std::sync::atomic::AtomicBool::new(false);
    let is_done = || done.load(std::sync::atomic::Ordering::SeqCst);
    let ours = || {
        let (mut cache, mut dumped, mut written) = (real.cache(), real.dump(), 0);
        for round in 0.. {
            let field = cache.header_field(&format!("X-Ours-{}", round % 3)).unwrap();
            let fields =
                || vec![(field, Cow::Borrowed(&b""[..])), (FieldId::GUID, Cow::Borrowed(&b"guid"[..]))];
            let all = dumped.messages.iter();
            // The index is never told: these are messages that another writer was faster with.
            let additions: Vec<_> =
                all.map(|message| Addition { uid: message.uid, previous: 0, fields: fields() }).collect();
            match cache.add(&additions, Occasion::Client, &dumped.facts()).unwrap() {
                Added::Written(_) => written += 1,
                Added::Stale | Added::Missing => dumped = real.dump(),
                other => panic!("{other:?}"),
            }
            if is_done() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        written
    };
    let log = real::logged("test: ", |_| {
        std::thread::scope(|scope| {
            let writer = scope.spawn(ours);
            for field in
                ["hdr.x-a", "imap.envelope", "hdr.x-b", "date.saved", "hdr.x-c", "body.snippet", "hdr.x-d"]
            {
                let answers = real.try_run(&["fetch", field, "mailbox", "INBOX", "all"]);
                if !answers.1.is_empty() {
                    done.store(true, std::sync::atomic::Ordering::SeqCst);
                }
                assert_eq!(answers.1, "", "{field}");
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            assert!(writer.join().unwrap() > 1);
        });
    });
    assert_eq!(log, Vec::<String>::new());
    let dumped = real.dump();
    check_all(&mut real.cache(), &dumped);
    for name in ["hdr.x-a: 2: X-A: a", "hdr.x-d: 5: X-D: d", "imap.envelope: NIL \"7\""] {
        assert!(dumped.text.contains(name), "{name}");
    }
    assert!(dumped.text.contains("X-Ours-2"), "{}", dumped.text);
}
