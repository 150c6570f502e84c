//! FETCH (RFC 3501 §6.4.5). Messages are answered one after the other and long texts piece by
//! piece, so that neither large mailboxes nor large messages are ever held.

use std::time::SystemTime;

use base::{Seq, Uid, UidSet};
use message::section::FieldNames;
use proto::imap::command::{Fetch, FetchItem, SectionText};
use proto::imap::date::DateTime;
use storage::{Error, Facts, FlagChange, FlagMode, Flags, Record, Wanted};

use super::section::{self, LastPlace, MessageCache, SectionError, Text};
use crate::context::{Context, NO_MAILBOX};
use crate::job::{Job, Start, Step, Walk};
use crate::limits::STEP_MESSAGES_MAX;
use crate::out::OutBuf;
use crate::reply::{Answer, Sync};
use crate::selected::Selected;
use crate::settings::FetchFailure;

pub(super) fn start(context: &mut Context, name: &str, uid: bool, fetch: Fetch) -> Start {
    let uids = match context.resolve(name, &fetch.messages, uid) {
        Ok(uids) => uids,
        Err(refused) => return refused.into(),
    };
    let Some(selected) = &mut context.selected else { return Answer::bad(NO_MAILBOX).into() };
    let mut items = fetch.items;
    if uid && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    let marks_seen = !selected.is_readonly()
        && items.iter().any(|item| matches!(item, FetchItem::Section(section) if !section.is_peek));
    let wanted = wanted(&items);
    if wanted != Wanted::NONE || items.iter().any(|item| matches!(item, FetchItem::Section(_))) {
        let uids: Vec<Uid> = selected.view.records_in(&uids).map(|(_, record)| record.uid).collect();
        selected.mailbox.will_fetch(&uids);
    }
    let fields = items.iter().map(|item| match item {
        FetchItem::Section(section) => section::fields_of(section),
        _ => FieldNames::default(),
    });
    Start::Job(Box::new(FetchJob {
        fields: fields.collect(),
        todo: Walk::new(&selected.view.seqs_of(&uids)),
        wanted,
        items,
        uid,
        marks_seen,
        seen: UidSet::new(),
        message: None,
        last_place: None,
        has_expunged: false,
        failure: None,
    }))
}

fn wanted(items: &[FetchItem]) -> Wanted {
    let mut wanted = Wanted::NONE;
    for item in items {
        wanted |= match item {
            FetchItem::InternalDate => Wanted::INTERNAL_DATE,
            FetchItem::Rfc822Size => Wanted::SIZE_VIRTUAL,
            FetchItem::Envelope => Wanted::ENVELOPE,
            FetchItem::Body => Wanted::BODY,
            FetchItem::BodyStructure => Wanted::BODYSTRUCTURE,
            FetchItem::Flags | FetchItem::Uid | FetchItem::Section(_) => Wanted::NONE,
        };
    }
    wanted
}

struct FetchJob {
    todo: Walk,
    items: Vec<FetchItem>,
    /// The header fields that each item names, if it does.
    fields: Vec<FieldNames>,
    wanted: Wanted,
    uid: bool,
    marks_seen: bool,
    /// Messages that become `\Seen` by this.
    seen: UidSet,
    message: Option<Message>,
    last_place: Option<LastPlace>,
    has_expunged: bool,
    /// Why a message could not be answered in full, for the end.
    failure: Option<String>,
}

/// A message that is being answered.
struct Message {
    record: Record,
    uid: Uid,
    facts: Facts,
    next_item: usize,
    is_first: bool,
    becomes_seen: bool,
    cache: MessageCache,
    text: Option<Text>,
}

impl Job for FetchJob {
    fn step(&mut self, context: &mut Context, _input: &mut &[u8], out: &mut OutBuf) -> Step {
        for _ in 0..STEP_MESSAGES_MAX {
            if out.is_full() {
                return Step::More;
            }
            let result = match self.message.take() {
                Some(message) => self.go_on(context, message, out),
                None => match self.todo.next().and_then(Seq::new) {
                    Some(seq) => self.begin(context, seq, out),
                    None => return self.finish(context),
                },
            };
            if let Err(bye) = result {
                self.store_seen(context);
                return Step::Bye(bye);
            }
        }
        Step::More
    }
}

impl FetchJob {
    fn begin(&mut self, context: &mut Context, seq: Seq, out: &mut OutBuf) -> Result<(), String> {
        let Some(selected) = &mut context.selected else { return Ok(()) };
        let view = selected.view.clone();
        let Some(record) = view.record_at(seq) else { return Ok(()) };
        let facts = match self.wanted == Wanted::NONE {
            true => Facts::default(),
            false => match selected.mailbox.fetch_facts(record.uid, self.wanted) {
                Ok(facts) => facts,
                Err(error) => return self.failed(context, record.uid, &SectionError::Storage(error), false),
            },
        };
        let becomes_seen = self.marks_seen && !record.flags.has(Flags::SEEN);
        out.put(b"* ");
        out.number(seq.get().into());
        out.put(b" FETCH (");
        let mut message = Message {
            record: record.clone(),
            uid: record.uid,
            facts,
            next_item: 0,
            is_first: true,
            becomes_seen,
            cache: MessageCache::default(),
            text: None,
        };
        if becomes_seen && !self.items.contains(&FetchItem::Flags) {
            message.space(out);
            put_flags(selected, &message, out);
        }
        self.message = Some(message);
        Ok(())
    }

    /// Answers items up to the end or until the output is full.
    fn go_on(&mut self, context: &mut Context, mut message: Message, out: &mut OutBuf) -> Result<(), String> {
        loop {
            if let Some(text) = &mut message.text {
                while text.size > 0 {
                    if out.is_full() {
                        self.message = Some(message);
                        return Ok(());
                    }
                    let room = out.room();
                    if let Err(error) = text.copy(room, out.raw()) {
                        return self.failed(context, message.uid, &SectionError::Read(error), true);
                    }
                }
                if let Some(Err(error)) = message.text.take().map(Text::end) {
                    return self.failed(context, message.uid, &SectionError::Read(error), true);
                }
            }
            let Some(item) = self.items.get(message.next_item) else { break };
            message.next_item += 1;
            message.space(out);
            let Some(selected) = &mut context.selected else { return Ok(()) };
            let FetchItem::Section(section) = item else {
                put_item(selected, &message, item, out);
                continue;
            };
            section.write_label(out.raw());
            let opened = section::open(
                &mut *selected.mailbox,
                message.uid,
                section,
                self.fields.get(message.next_item - 1).unwrap_or(&FieldNames::default()),
                &mut message.cache,
                &mut self.last_place,
            );
            match opened {
                Ok(text) => {
                    if let Some(complaint) = &text.complaint {
                        let (name, uid) = (&selected.name, message.uid);
                        context.log.error(format_args!("Mailbox {name}: UID={uid}: {complaint}"));
                    }
                    let is_header = matches!(
                        section.text,
                        SectionText::Header | SectionText::HeaderFields { .. } | SectionText::Mime
                    );
                    count(context, is_header, text.size);
                    out.format(format_args!(" {{{}}}\r\n", text.size));
                    message.text = Some(text);
                }
                Err(error) => {
                    out.put(b" NIL");
                    self.failed(context, message.uid, &error, false)?;
                }
            }
        }
        out.put(b")\r\n");
        if message.becomes_seen {
            self.seen.insert(message.uid);
        }
        Ok(())
    }

    /// Notes that a message cannot be read, or says that the connection must end.
    fn failed(
        &mut self,
        context: &Context,
        uid: Uid,
        error: &SectionError,
        in_literal: bool,
    ) -> Result<(), String> {
        if let SectionError::Storage(Error::Expunged(_)) = error
            && !in_literal
        {
            self.has_expunged = true;
            return Ok(());
        }
        context.log.error(format_args!("FETCH of UID {uid} failed: {}", base::chain(error)));
        let text = match error {
            SectionError::Storage(error) => error.client_text(),
            SectionError::Read(_) => "Message could not be read".to_owned(),
        };
        // Within a literal nothing but the end of the connection can tell the client.
        if in_literal || context.settings.fetch_failure == FetchFailure::DisconnectImmediately {
            return Err(format!("FETCH failed: {text}"));
        }
        self.failure = Some(text);
        Ok(())
    }

    fn store_seen(&mut self, context: &mut Context) {
        let seen = std::mem::take(&mut self.seen);
        let Some(selected) = &mut context.selected else { return };
        if seen.is_empty() {
            return;
        }
        let change = FlagChange { mode: FlagMode::Add, flags: Flags::SEEN, keywords: Vec::new() };
        match selected.mailbox.store_flags(&seen, &change) {
            // The client was told within the FETCH response.
            Ok(_) => context.quiet = seen,
            Err(error) => context.log.error(base::chain(&error)),
        }
    }

    fn finish(&mut self, context: &mut Context) -> Step {
        self.store_seen(context);
        let sync = Sync::after_messages(self.uid);
        match (self.failure.take(), context.settings.fetch_failure) {
            (Some(text), FetchFailure::NoAfter) => {
                Step::Done(Answer::no(format!("FETCH failed: {text}")).code("SERVERBUG").sync(sync))
            }
            (Some(text), _) => Step::Bye(format!("FETCH failed: {text}")),
            (None, _) if self.has_expunged => {
                Step::Done(Answer::ok("Some messages were already expunged").code("EXPUNGEISSUED").sync(sync))
            }
            (None, _) => Step::Done(Answer::ok("Fetch completed").sync(sync)),
        }
    }
}

impl Message {
    fn space(&mut self, out: &mut OutBuf) {
        if !std::mem::replace(&mut self.is_first, false) {
            out.put(b" ");
        }
    }
}

fn count(context: &mut Context, is_header: bool, bytes: u64) {
    let stats = &mut context.stats;
    if is_header {
        stats.fetch_hdr_count += 1;
        stats.fetch_hdr_bytes += bytes;
    } else {
        stats.fetch_body_count += 1;
        stats.fetch_body_bytes += bytes;
    }
}

fn put_flags(selected: &Selected, message: &Message, out: &mut OutBuf) {
    out.put(b"FLAGS (");
    let added = if message.becomes_seen { Flags::SEEN } else { Flags::NONE };
    selected.put_flags(out.raw(), &selected.view, &message.record, added);
    out.put(b")");
}

fn put_item(selected: &Selected, message: &Message, item: &FetchItem, out: &mut OutBuf) {
    let mut structure = |name: &[u8], bytes: Option<&[u8]>| {
        out.put(name);
        out.put(b" (");
        out.put(bytes.unwrap_or_default());
        out.put(b")");
    };
    match item {
        FetchItem::Flags => put_flags(selected, message, out),
        FetchItem::Uid => {
            out.put(b"UID ");
            out.number(message.uid.get().into());
        }
        FetchItem::Rfc822Size => {
            out.put(b"RFC822.SIZE ");
            out.number(message.facts.size_virtual.unwrap_or(0));
        }
        FetchItem::InternalDate => {
            out.put(b"INTERNALDATE ");
            date_time(message.facts.internal_date).write(out.raw());
        }
        FetchItem::Envelope => structure(b"ENVELOPE", message.facts.envelope.as_deref()),
        FetchItem::Body => structure(b"BODY", message.facts.body.as_deref()),
        FetchItem::BodyStructure => structure(b"BODYSTRUCTURE", message.facts.bodystructure.as_deref()),
        FetchItem::Section(_) => {}
    }
}

/// A moment in the server's time zone.
fn date_time(moment: Option<SystemTime>) -> DateTime {
    let since = moment.and_then(|moment| moment.duration_since(SystemTime::UNIX_EPOCH).ok());
    let unix_secs = since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
    let offset = jiff::Timestamp::from_second(unix_secs)
        .map(|moment| jiff::tz::TimeZone::system().to_offset(moment).seconds() / 60)
        .unwrap_or(0);
    DateTime { unix_secs, offset_minutes: offset }
}
