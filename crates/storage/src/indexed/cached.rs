//! The cache of one mailbox between the sessions and `index::cache`: facts become fields and back.
//! What was found out waits until there is enough for one write.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use base::{Uid, UidSet};
use index::cache::value::{self, RecordFlags};
use index::cache::{
    Added, Addition, Cache, CachePlace, Field as CachedField, FieldId, FieldType, Found, IndexFacts,
    Occasion, PurgeIf, Purged, Want,
};
use index::{ExtSpec, Index, Locked, Origin, Transaction};
use message::Parts;
use message::header::{Field, Fields};

use crate::api::{CacheDecision, CacheField, CachedField as CachedName};
use crate::error::{Error, Result};
use crate::facts::{Facts, NumberFact, Wanted};
use crate::view::View;

use super::{Context, content};

/// See the module.
pub(crate) struct Cached {
    // `None` where there is no index on disk, or the settings want no cache.
    inner: Option<Mutex<Inner>>,
}

struct Inner {
    cache: Cache,
    found: Found,
    index: IndexFacts,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    plan: Plan,
    /// Somebody looked for something: decisions may have changed.
    asked: bool,
}

/// A message, and fields of it that are to be written.
type Waiting = (Uid, Vec<(FieldId, Vec<u8>)>);

/// What is looked for, which is the same for many messages in a row.
#[derive(Default)]
struct Plan {
    wanted: Wanted,
    names: Vec<String>,
    /// All fields that may answer.
    ids: Vec<FieldId>,
    /// What answers where it is there, and which nobody asks the cache for.
    also: Vec<FieldId>,
    /// Those of ENVELOPE, if it is wanted.
    envelope: Vec<(FieldId, Arc<str>)>,
    /// Those that are wanted as such.
    headers: Vec<(FieldId, Arc<str>)>,
}

impl Plan {
    fn new(cache: &mut Cache, wanted: Wanted, names: &[&str]) -> Self {
        let mut known = |names: &[&str]| -> Vec<(FieldId, Arc<str>)> {
            names.iter().filter_map(|name| Some((cache.header_field(name)?, Arc::from(*name)))).collect()
        };
        let envelope = if wanted.has(Wanted::ENVELOPE) { known(&ENVELOPE_FIELDS) } else { Vec::new() };
        let headers = known(names);
        let mut ids: Vec<FieldId> = fields_of(wanted).collect();
        ids.extend(envelope.iter().chain(&headers).map(|(id, _)| *id));
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let also = [(Wanted::SIZE_PHYSICAL, FieldId::SIZE_PHYSICAL), (Wanted::GUID, FieldId::GUID)];
        let also = also.into_iter().filter(|(bit, _)| wanted.has(*bit)).map(|(_, id)| id).collect();
        Self { wanted, names, ids, also, envelope, headers }
    }

    fn is_for(&self, wanted: Wanted, names: &[&str]) -> bool {
        self.wanted == wanted && self.names == names
    }

    /// Whether nothing is left to find out.
    fn is_answered(&self, facts: &Facts) -> bool {
        let dates = self.wanted.has(Wanted::INTERNAL_DATE) && facts.internal_date.is_none()
            || self.wanted.has(Wanted::SAVE_DATE) && facts.save_date.is_none();
        let missing = content::missing(facts, self.wanted);
        !dates && missing == Wanted::NONE && (self.names.is_empty() || facts.fields.is_some())
    }
}

/// What the cache would like to know of a message that is about to be read.
#[derive(Default)]
pub(super) struct Asked {
    fields: Vec<(FieldId, Option<Arc<str>>)>,
    found: Vec<(FieldId, Vec<u8>)>,
}

impl Asked {
    /// What has to be found out for it.
    pub(super) fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::NONE;
        for (id, name) in &self.fields {
            wanted |= match *id {
                _ if name.is_some() => Wanted::HEADER,
                FieldId::SIZE_VIRTUAL => Wanted::SIZE_VIRTUAL,
                FieldId::SIZE_PHYSICAL => Wanted::SIZE_PHYSICAL,
                FieldId::DATE_RECEIVED => Wanted::INTERNAL_DATE,
                FieldId::DATE_SAVE => Wanted::SAVE_DATE,
                FieldId::DATE_SENT => Wanted::SENT_DATE,
                FieldId::IMAP_BODY => Wanted::BODY,
                FieldId::IMAP_BODYSTRUCTURE | FieldId::MIME_PARTS | FieldId::FLAGS => Wanted::BODYSTRUCTURE,
                FieldId::IMAP_ENVELOPE => Wanted::ENVELOPE,
                FieldId::GUID => Wanted::GUID,
                _ => Wanted::NONE,
            };
        }
        wanted
    }

    /// Takes what the facts have of it.
    pub(super) fn keep(&mut self, facts: &Facts, parts: Option<&Parts>) {
        let header = facts.header.as_deref().map(numbered);
        let plain = parts.is_some_and(message::bodystructure::is_plain_7bit);
        for (id, name) in std::mem::take(&mut self.fields) {
            let value = match name {
                Some(name) => header.as_ref().map(|header| header_value(header, &name)),
                None => value_of(id, facts, parts, plain),
            };
            if let Some(value) = value {
                self.found.push((id, value));
            }
        }
    }

    /// Leaves out `flags`, for which alone the whole message would be read.
    pub(super) fn without_lone_flags(mut self) -> Self {
        let structure = [FieldId::IMAP_BODY, FieldId::IMAP_BODYSTRUCTURE, FieldId::MIME_PARTS];
        if !self.fields.iter().any(|(id, _)| structure.contains(id)) {
            self.fields.retain(|(id, _)| *id != FieldId::FLAGS);
        }
        self
    }

    /// What was taken over from another mailbox's cache.
    pub(super) fn of_values(found: Vec<(FieldId, Vec<u8>)>) -> Self {
        Self { fields: Vec::new(), found }
    }

    /// The size is kept elsewhere.
    pub(super) fn leave_out_size(&mut self) {
        self.found.retain(|(id, _)| *id != FieldId::SIZE_VIRTUAL);
    }
}

impl Cached {
    pub(super) fn new(context: &Context) -> Self {
        let settings = context.settings.cache_settings();
        let Some(dir) = context.index_dir.as_ref().filter(|_| !settings.is_disabled()) else {
            return Self { inner: None };
        };
        let dir = context.cache_dir.as_ref().unwrap_or(dir);
        let place = CachePlace {
            about: String::new(),
            path: dir.join("dovecot.index.cache"),
            permissions: index::fs::Permissions::of_dir(dir),
            readonly: false,
        };
        let cache = Cache::new(context.fs.clone(), place, settings, context.logger.clone());
        let (found, index, waiting) = (Found::default(), IndexFacts::default(), Vec::new());
        let plan = Plan::default();
        let inner = Inner { cache, found, index, waiting, waiting_bytes: 0, plan, asked: false };
        Self { inner: Some(Mutex::new(inner)) }
    }

    fn inner(&self) -> Option<MutexGuard<'_, Inner>> {
        let inner = self.inner.as_ref()?;
        Some(inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Notes how the index is now.
    pub(super) fn note(&self, index: &Index) {
        if let Some(mut inner) = self.inner() {
            inner.index = facts_of(index);
        }
    }

    /// Fills in what the cache has, and says what it would like to be told.
    pub(super) fn lookup(
        &self,
        view: &View,
        uid: Uid,
        wanted: Wanted,
        names: &[&str],
        facts: &mut Facts,
    ) -> Asked {
        let Some(mut inner) = self.inner() else { return Asked::default() };
        inner.lookup(view, uid, wanted, names, facts)
    }

    /// Fills in those numbers of these messages that the cache has and nobody has yet.
    pub(super) fn numbers(&self, view: &View, fact: NumberFact, uids: &[Uid], numbers: &mut [Option<i64>]) {
        let Some(mut inner) = self.inner() else { return };
        for (&uid, number) in uids.iter().zip(numbers) {
            match number {
                Some(_) => inner.note_read(fact, uid),
                None => *number = inner.number(view, fact, uid),
            }
        }
    }

    /// What decisions want of a message that is not there yet.
    pub(super) fn wanted_of(&self, view: &View, uid: Uid) -> Asked {
        let Some(mut inner) = self.inner() else { return Asked::default() };
        let inner = &mut *inner;
        let (offset, index) = inner.place_of(view, uid);
        match inner.cache.lookup(offset, &index, &mut inner.found) {
            Ok(()) => {
                inner.plan = Plan::default();
                inner.asked_of(uid, Wanted::NONE, &index)
            }
            Err(_) => Asked::default(),
        }
    }

    /// Whether decisions want anything of new messages but `flags`, which they do of all mailboxes: that alone
    /// is not worth a look at each message.
    pub(super) fn wants_more_than_flags(&self, view: &View) -> bool {
        let Some(mut inner) = self.inner() else { return false };
        if view.columns().named(EXT).is_none_or(|column| column.reset_id == 0) {
            return false;
        }
        let index = inner.index;
        let is_wanted = |(id, field): (FieldId, &CachedField)| {
            id != FieldId::FLAGS
                && field.decision.want != Want::No
                && (KEPT.contains(&id) || field.name.starts_with("hdr."))
        };
        inner.cache.open(&index).unwrap_or(false) && inner.cache.registry().iter().any(is_wanted)
    }

    /// The fields of which decisions want the values for new messages.
    pub(super) fn wanted_fields(&self) -> Vec<(FieldId, CachedName)> {
        let Some(inner) = self.inner() else { return Vec::new() };
        let fields = inner.cache.registry().iter();
        let wanted = fields.filter(|(_, field)| field.decision.want != Want::No);
        wanted.map(|(id, field)| (id, CachedName { name: field.name.clone(), kind: field.kind })).collect()
    }

    /// What is known of a message in these fields, as it is in the file or will be.
    pub(super) fn values(&self, view: &View, uid: Uid, fields: &[CachedName]) -> Vec<Option<Vec<u8>>> {
        let none = || vec![None; fields.len()];
        let Some(mut inner) = self.inner() else { return none() };
        let inner = &mut *inner;
        let (offset, index) = inner.place_of(view, uid);
        if inner.cache.lookup(offset, &index, &mut inner.found).is_err() {
            return none();
        }
        let waiting = inner.waiting.iter().rev().find(|(known, _)| *known == uid);
        let waiting = waiting.map_or(&[][..], |(_, fields)| fields);
        let (registry, found) = (inner.cache.registry(), &inner.found);
        let value = |wanted: &CachedName| {
            let id = registry.find(&wanted.name)?;
            if registry.field(id).kind != wanted.kind {
                return None;
            }
            let value = match wanted.kind {
                FieldType::Bitmask(4) => found.bits(id).map(|bits| bits.to_ne_bytes().to_vec()),
                FieldType::Bitmask(_) => return None,
                _ => found.get(id).map(<[u8]>::to_vec),
            };
            value.or_else(|| Some(waiting.iter().find(|(known, _)| *known == id)?.1.clone()))
        };
        fields.iter().map(value).collect()
    }

    /// All fields and what is decided about them.
    pub(super) fn fields(&self, index: &Index) -> Result<Vec<CacheField>> {
        let mut inner = self.inner().ok_or_else(unusable)?;
        let facts = facts_of(index);
        if !inner.cache.open(&facts)? {
            return Err(unusable());
        }
        let all = inner.cache.registry().iter();
        Ok(all
            .map(|(_, field)| CacheField {
                name: field.name.clone(),
                decision: match field.decision.want {
                    Want::No => CacheDecision::No,
                    Want::Temp => CacheDecision::Temp,
                    Want::Yes => CacheDecision::Yes,
                },
                last_used: field.last_used.into(),
            })
            .collect())
    }

    /// Changes decisions.
    pub(super) fn set_fields(&self, index: &mut Index, fields: &[CacheField]) -> Result<()> {
        let mut inner = self.inner().ok_or_else(unusable)?;
        let mut locked = index.lock()?;
        let facts = facts_of(&locked);
        if !inner.cache.open(&facts)? {
            inner.purge(&mut locked, PurgeIf::Missing, "creating cache")?;
        }
        let facts = facts_of(&locked);
        for field in fields {
            let want = match field.decision {
                CacheDecision::No => Want::No,
                CacheDecision::Temp => Want::Temp,
                CacheDecision::Yes => Want::Yes,
            };
            let last_used = u32::try_from(field.last_used).unwrap_or(u32::MAX);
            inner.cache.decide(&field.name, want, last_used);
        }
        Ok(inner.cache.flush_decisions(&facts)?)
    }

    /// Whether the size of each message is wanted for good; with `alone` also where nothing else is wanted
    /// of any message, not even for a while.
    pub(super) fn size_is_for_good(&self, alone: bool) -> bool {
        let Some(inner) = self.inner() else { return false };
        let sizes = [FieldId::SIZE_VIRTUAL, FieldId::SIZE_PHYSICAL];
        let mut fields = inner.cache.registry().iter();
        let only_sizes =
            |(id, field): (FieldId, &CachedField)| sizes.contains(&id) || field.decision.want == Want::No;
        inner.cache.registry().field(FieldId::SIZE_VIRTUAL).decision.want == Want::Yes
            || alone && fields.all(only_sizes)
    }

    /// Keeps what is to be written; `true` if it is time to.
    pub(super) fn add(&self, uid: Uid, asked: Asked) -> bool {
        let Some(mut inner) = self.inner() else { return false };
        let inner = &mut *inner;
        let bytes: usize = asked.found.iter().map(|(_, value)| value.len() + 16).sum();
        if bytes == 0 {
            return false;
        }
        match inner.waiting.iter_mut().rev().take(RECENT).find(|(known, _)| *known == uid) {
            Some((_, fields)) => {
                for (id, value) in asked.found {
                    if !fields.iter().any(|(known, _)| *known == id) {
                        fields.push((id, value));
                    }
                }
            }
            None => inner.waiting.push((uid, asked.found)),
        }
        inner.waiting_bytes += bytes;
        inner.waiting.len() >= WAITING_MAX || inner.waiting_bytes >= WAITING_BYTES_MAX
    }

    pub(super) fn has_work(&self) -> bool {
        self.inner().is_some_and(|inner| !inner.waiting.is_empty() || inner.asked)
    }

    /// Messages with cached facts are gone.
    pub(super) fn note_expunged(&self, view: &View, uids: &UidSet) {
        let Some(mut inner) = self.inner() else { return };
        let Some(column) = view.columns().named("cache").map(|column| column.id) else { return };
        let cached =
            |uid: &Uid| view.ext(*uid, column).is_some_and(|bytes| bytes.iter().any(|&byte| byte != 0));
        let count = uids.iter().filter(cached).count();
        let index = inner.index;
        let _ = inner.cache.note_expunged(u32::try_from(count).unwrap_or(u32::MAX), &index);
    }

    /// Writes what waits, and decisions.
    pub(super) fn flush(&self, index: &mut Index) -> Result<()> {
        let Some(mut inner) = self.inner() else { return Ok(()) };
        inner.asked = false;
        if inner.waiting.is_empty() {
            let facts = facts_of(index);
            return Ok(inner.cache.flush_decisions(&facts)?);
        }
        let mut locked = index.lock()?;
        if locked.is_in_memory() {
            inner.forget_waiting();
            return Ok(());
        }
        inner.write(&mut locked)
    }

    /// Gives up what waits: it cannot be written.
    pub(super) fn forget_waiting(&self) {
        if let Some(mut inner) = self.inner() {
            inner.forget_waiting();
        }
    }

    /// Whether [`purge_if_due`](Self::purge_if_due) has something to do.
    pub(super) fn is_purge_due(&self) -> bool {
        self.inner().is_some_and(|inner| inner.cache.purge_due().is_some())
    }

    /// Writes the file anew if too much of it is waste, as 2.3 does when a mailbox is synchronized.
    pub(super) fn purge_if_due(&self, index: &mut Locked<'_>) -> Result<()> {
        let Some(mut inner) = self.inner() else { return Ok(()) };
        let due = inner.cache.purge_due().map(|(condition, reason)| (condition, reason.to_owned()));
        let Some((condition, reason)) = due.filter(|_| !index.is_in_memory()) else { return Ok(()) };
        inner.purge(index, condition, &reason)
    }

    /// Writes the file anew.
    pub(super) fn purge(&self, index: &mut Index) -> Result<()> {
        let Some(mut inner) = self.inner() else { return Ok(()) };
        let mut locked = index.lock()?;
        if locked.is_in_memory() { Ok(()) } else { inner.purge(&mut locked, PurgeIf::Always, "doveadm") }
    }
}

impl Inner {
    fn lookup(&mut self, view: &View, uid: Uid, wanted: Wanted, names: &[&str], facts: &mut Facts) -> Asked {
        let (offset, index) = self.place_of(view, uid);
        if !self.plan.is_for(wanted, names) {
            self.plan = Plan::new(&mut self.cache, wanted, names);
        }
        self.asked = true;
        let fields = (&*self.plan.ids, &*self.plan.also);
        let done = self.cache.lookup_fields(offset, uid, fields, &index, &mut self.found);
        if done.is_err() {
            return Asked::default();
        }
        self.fill(wanted, facts);
        if self.plan.is_answered(facts) {
            return Asked::default();
        }
        // What is asked for depends on all that is known.
        let is_known = !self.found.is_partial() || self.cache.lookup(offset, &index, &mut self.found).is_ok();
        if is_known { self.asked_of(uid, wanted, &index) } else { Asked::default() }
    }

    /// Where a message is in the file, and in which file.
    fn place_of(&self, view: &View, uid: Uid) -> (u32, IndexFacts) {
        let column = view.columns().named(EXT);
        let offset = column.and_then(|column| view.ext(uid, column.id)).and_then(value::decode_u32);
        let index = IndexFacts { reset_id: column.map(|column| column.reset_id), ..self.index };
        (offset.unwrap_or(0), index)
    }

    fn forget_waiting(&mut self) {
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    fn note_read(&mut self, fact: NumberFact, uid: Uid) {
        self.asked = true;
        self.cache.note_read(number_field(fact), uid, &self.index);
    }

    fn number(&mut self, view: &View, fact: NumberFact, uid: Uid) -> Option<i64> {
        let column = view.columns().named(EXT)?;
        let mut index = self.index;
        index.reset_id = Some(column.reset_id);
        self.asked = true;
        let field = number_field(fact);
        let offset = view.ext(uid, column.id).and_then(value::decode_u32).filter(|&offset| offset != 0)?;
        self.cache.lookup_fields(offset, uid, (&[field], &[]), &index, &mut self.found).ok()?;
        decode_number(fact, self.found.get(field)?)
    }

    /// Facts from fields.
    fn fill(&mut self, wanted: Wanted, facts: &mut Facts) {
        let found = &self.found;
        if found.is_empty() {
            return;
        }
        let get = |bit, id| if wanted.has(bit) { found.get(id) } else { None };
        let text = |bytes: &[u8]| Arc::<str>::from(String::from_utf8_lossy(trim_nul(bytes)));
        let date = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(secs));
        let size = get(Wanted::SIZE_VIRTUAL, FieldId::SIZE_VIRTUAL).and_then(value::decode_size);
        facts.size_virtual = facts.size_virtual.or(size);
        facts.size_physical = get(Wanted::SIZE_PHYSICAL, FieldId::SIZE_PHYSICAL).and_then(value::decode_size);
        facts.internal_date =
            get(Wanted::INTERNAL_DATE, FieldId::DATE_RECEIVED).and_then(value::decode_u32).map(date);
        facts.save_date = get(Wanted::SAVE_DATE, FieldId::DATE_SAVE).and_then(value::decode_u32).map(date);
        facts.guid = get(Wanted::GUID, FieldId::GUID).map(text);
        facts.sent_date =
            get(Wanted::SENT_DATE, FieldId::DATE_SENT).and_then(value::SentDate::decode).map(|date| {
                message::date::SentDate { unix_secs: date.time.into(), zone_minutes: date.zone_minutes }
            });
        facts.body = get(Wanted::BODY, FieldId::IMAP_BODY).map(|bytes| trim_nul(bytes).into());
        facts.bodystructure =
            get(Wanted::BODYSTRUCTURE, FieldId::IMAP_BODYSTRUCTURE).map(|bytes| trim_nul(bytes).into());
        facts.envelope = get(Wanted::ENVELOPE, FieldId::IMAP_ENVELOPE).map(|bytes| trim_nul(bytes).into());
        self.fill_plain(wanted, facts);
        if wanted.has(Wanted::ENVELOPE) && facts.envelope.is_none() {
            let text = |(id, _): &(FieldId, Arc<str>)| value::header_text(found.get(*id)?);
            let has_all = self.plan.envelope.iter().all(|field| text(field).is_some());
            facts.envelope =
                has_all.then(|| content::envelope_of(self.plan.envelope.iter().filter_map(text)));
        }
        if !self.plan.headers.is_empty() {
            facts.fields = self.join().map(Into::into);
        }
    }

    /// BODY and BODYSTRUCTURE of a message of which the cache says that it is plain text.
    fn fill_plain(&self, wanted: Wanted, facts: &mut Facts) {
        if !wanted.has(Wanted::BODY) && !wanted.has(Wanted::BODYSTRUCTURE) {
            return;
        }
        let bits = self.found.bits(FieldId::FLAGS).map(RecordFlags);
        if !bits.is_some_and(|bits| bits.contains(RecordFlags::TEXT_PLAIN_7BIT_ASCII)) {
            return;
        }
        let missing = content::missing(facts, wanted);
        let parts = self.found.get(FieldId::MIME_PARTS).and_then(|bytes| Parts::restore(bytes).ok());
        if let Some(parts) = parts
            && message::bodystructure::is_plain_7bit(&parts)
        {
            content::set_structure(&parts, missing, facts);
        }
    }

    /// The wanted header fields from the cache, if it knows all of them.
    fn join(&self) -> Option<Vec<u8>> {
        if self.plan.headers.len() < self.plan.names.len() {
            // A name that no cache can have.
            return None;
        }
        if let [(id, _)] = *self.plan.headers {
            return value::header_text(self.found.get(id)?).map(<[u8]>::to_vec);
        }
        let values: Option<Vec<&[u8]>> =
            self.plan.headers.iter().map(|(id, _)| self.found.get(*id)).collect();
        value::join_headers(values?)
    }

    /// What is worth keeping of this message, once it has been read.
    fn asked_of(&self, uid: Uid, wanted: Wanted, index: &IndexFacts) -> Asked {
        let mut asked = Asked::default();
        let mut add = |id: FieldId, asks: bool, name: &dyn Fn() -> Option<Arc<str>>| {
            let worth = if asks { self.cache.may_add(id, index) } else { self.cache.wants(id, uid, index) };
            if worth && self.found.get(id).is_none() && !asked.fields.iter().any(|(known, _)| *known == id) {
                asked.fields.push((id, name()));
            }
        };
        let headers = self.plan.envelope.iter().chain(&self.plan.headers);
        headers.for_each(|(id, name)| add(*id, true, &|| Some(name.clone())));
        fields_of(wanted).for_each(|id| add(id, true, &|| None));
        for (id, field) in self.cache.registry().iter() {
            let name = field.name.strip_prefix("hdr.");
            if name.is_some() || KEPT.contains(&id) {
                add(id, false, &|| name.map(Arc::from));
            }
        }
        asked
    }

    /// Adds what waits to the file, making one if there is none, and notes where it is.
    fn write(&mut self, index: &mut Locked<'_>) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        for round in 0..ROUNDS {
            let facts = facts_of(index);
            let additions = additions(&waiting, index.view());
            match self.cache.add(&additions, Occasion::Client, &facts)? {
                Added::Written(offsets) => return enter(index, &additions, &offsets, &facts),
                Added::Missing => self.purge(index, PurgeIf::Missing, "creating cache")?,
                Added::Full if round == 0 => self.purge(index, PurgeIf::Always, "cache is full")?,
                Added::Stale => self.cache.discard_mismatched(facts.reset_id.unwrap_or(0)),
                Added::Full | Added::Busy => return Ok(()),
            }
        }
        Ok(())
    }

    fn purge(&mut self, index: &mut Locked<'_>, condition: PurgeIf, reason: &str) -> Result<()> {
        let messages = offsets_of(index.view());
        let facts = facts_of(index);
        let Purged::Written { file_seq, offsets } = self.cache.purge(&messages, condition, reason, &facts)?
        else {
            return Ok(());
        };
        let mut tx = Transaction::new();
        tx.ext(&ext(), 0);
        tx.ext_reset(EXT, file_seq, false);
        for (&(uid, _), offset) in messages.iter().zip(offsets).filter(|(_, offset)| *offset != 0) {
            tx.ext_record(EXT, uid, &offset.to_le_bytes());
        }
        Ok(index.commit(&tx, Origin::External)?)
    }
}

fn enter(
    index: &mut Locked<'_>,
    additions: &[Addition<'_>],
    offsets: &[u32],
    facts: &IndexFacts,
) -> Result<()> {
    let mut tx = Transaction::new();
    tx.ext(&ext(), facts.reset_id.unwrap_or(0));
    for (addition, &offset) in additions.iter().zip(offsets).filter(|(_, offset)| **offset != 0) {
        tx.ext_record(EXT, addition.uid, &offset.to_le_bytes());
    }
    if tx.is_empty() { Ok(()) } else { Ok(index.commit(&tx, Origin::External)?) }
}

fn additions<'a>(waiting: &'a [Waiting], view: &View) -> Vec<Addition<'a>> {
    let column = view.columns().named(EXT).map(|column| column.id);
    let alive = waiting.iter().filter(|(uid, _)| view.record(*uid).is_some());
    let offset = |uid| column.and_then(|column| view.ext(uid, column)).and_then(value::decode_u32);
    alive
        .map(|(uid, fields)| Addition {
            uid: *uid,
            previous: offset(*uid).unwrap_or(0),
            fields: fields.iter().map(|(id, value)| (*id, Cow::Borrowed(value.as_slice()))).collect(),
        })
        .collect()
}

fn offsets_of(view: &View) -> Vec<(Uid, u32)> {
    match view.columns().named(EXT).map(|column| column.id) {
        Some(column) => view
            .records_with(column)
            .map(|(record, bytes)| (record.uid, value::decode_u32(bytes).unwrap_or(0)))
            .collect(),
        None => view.records().map(|record| (record.uid, 0)).collect(),
    }
}

fn facts_of(index: &Index) -> IndexFacts {
    let header = index.header();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    IndexFacts {
        indexid: header.index_id,
        reset_id: index.ext_reset_id(EXT),
        messages: index.view().len(),
        day_stamp: header.day_stamp,
        week_first_uid: header.day_first_uid[7],
        now: u32::try_from(now).unwrap_or(u32::MAX),
    }
}

/// The field that has a number.
fn number_field(fact: NumberFact) -> FieldId {
    match fact {
        NumberFact::Arrival => FieldId::DATE_RECEIVED,
        NumberFact::Sent => FieldId::DATE_SENT,
        NumberFact::Size => FieldId::SIZE_VIRTUAL,
    }
}

fn decode_number(fact: NumberFact, bytes: &[u8]) -> Option<i64> {
    match fact {
        NumberFact::Arrival => value::decode_u32(bytes).map(i64::from),
        NumberFact::Sent => value::SentDate::decode(bytes).map(|date| date.time.into()),
        NumberFact::Size => value::decode_size(bytes).and_then(|size| i64::try_from(size).ok()),
    }
}

/// The fields that answer a wish without header fields.
fn fields_of(wanted: Wanted) -> impl Iterator<Item = FieldId> {
    const PAIRS: [(Wanted, FieldId); 9] = [
        (Wanted::SIZE_VIRTUAL, FieldId::SIZE_VIRTUAL),
        (Wanted::INTERNAL_DATE, FieldId::DATE_RECEIVED),
        (Wanted::SAVE_DATE, FieldId::DATE_SAVE),
        (Wanted::SENT_DATE, FieldId::DATE_SENT),
        (Wanted::BODY, FieldId::IMAP_BODY),
        (Wanted::BODYSTRUCTURE, FieldId::IMAP_BODYSTRUCTURE),
        (Wanted::ENVELOPE, FieldId::IMAP_ENVELOPE),
        (Wanted(Wanted::BODY.0 | Wanted::BODYSTRUCTURE.0), FieldId::MIME_PARTS),
        (Wanted(Wanted::BODY.0 | Wanted::BODYSTRUCTURE.0), FieldId::FLAGS),
    ];
    PAIRS.into_iter().filter(move |(bits, _)| wanted.0 & bits.0 != 0).map(|(_, id)| id)
}

/// The bytes of a field, as far as the facts have them.
fn value_of(id: FieldId, facts: &Facts, parts: Option<&Parts>, plain: bool) -> Option<Vec<u8>> {
    let secs = |moment: SystemTime| {
        let secs = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        value::encode_u32(u32::try_from(secs).unwrap_or(u32::MAX)).to_vec()
    };
    match id {
        FieldId::SIZE_VIRTUAL => facts.size_virtual.map(|size| value::encode_size(size).to_vec()),
        FieldId::SIZE_PHYSICAL => facts.size_physical.map(|size| value::encode_size(size).to_vec()),
        FieldId::DATE_RECEIVED => facts.internal_date.map(secs),
        FieldId::DATE_SAVE => facts.save_date.map(secs),
        FieldId::DATE_SENT => facts.sent_date.map(|date| {
            let time = u32::try_from(date.unix_secs).unwrap_or(0);
            value::SentDate { time, zone_minutes: date.zone_minutes }.encode().to_vec()
        }),
        FieldId::IMAP_BODY => facts.body.as_deref().filter(|_| !plain).map(<[u8]>::to_vec),
        FieldId::IMAP_BODYSTRUCTURE => facts.bodystructure.as_deref().filter(|_| !plain).map(<[u8]>::to_vec),
        FieldId::IMAP_ENVELOPE => facts.envelope.as_deref().map(<[u8]>::to_vec),
        FieldId::GUID => facts.guid.as_deref().map(|guid| guid.as_bytes().to_vec()),
        FieldId::MIME_PARTS => parts.map(Parts::store),
        FieldId::FLAGS => parts.map(|parts| flags_of(parts, plain).encode().to_vec()),
        _ => None,
    }
}

fn flags_of(parts: &Parts, plain: bool) -> RecordFlags {
    let mut flags = RecordFlags::default();
    let root = parts.root();
    let has_nuls = parts.iter().any(|(_, part)| part.flags.nuls);
    for (bit, set) in [
        (RecordFlags::BINARY_HEADER, root.header.is_crlf()),
        (RecordFlags::BINARY_BODY, root.body.is_crlf()),
        (RecordFlags::HAS_NULS, has_nuls),
        (RecordFlags::HAS_NO_NULS, !has_nuls),
        (RecordFlags::TEXT_PLAIN_7BIT_ASCII, plain),
    ] {
        if set {
            flags = flags | bit;
        }
    }
    flags
}

/// A header's fields with the numbers of their lines, counted from 1.
fn numbered(header: &[u8]) -> Vec<(u32, Field<'_>)> {
    let mut line = 1;
    let mut all = Vec::new();
    for field in Fields::new(header) {
        all.push((line, field));
        line += 1 + memchr::memchr_iter(b'\n', field.raw_value).count() as u32;
    }
    all
}

/// All fields of one name as the cache keeps them.
fn header_value(header: &[(u32, Field<'_>)], name: &str) -> Vec<u8> {
    let mut value = value::Header::default();
    for (line, field) in header.iter().filter(|(_, field)| field.is(name.as_bytes())) {
        value.lines.push(*line);
        for piece in [field.name, field.middle] {
            value.text.extend_from_slice(piece);
        }
        value.text.extend_from_slice(&field.value_lf());
        value.text.push(b'\n');
    }
    value.encode()
}

/// 2.3 writes strings with their NUL.
fn trim_nul(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\0").unwrap_or(bytes)
}

fn unusable() -> Error {
    Error::Unsupported("Cache is unusable".to_owned())
}

fn ext() -> ExtSpec {
    ExtSpec::new(EXT, 0, 4, 4)
}

pub(super) const EXT: &str = "cache";
/// The header fields that ENVELOPE is made of.
const ENVELOPE_FIELDS: [&str; 10] =
    ["Date", "Subject", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "In-Reply-To", "Message-ID"];
/// What is kept by the way where decisions want it.
const KEPT: [FieldId; 8] = [
    FieldId::SIZE_VIRTUAL,
    FieldId::DATE_RECEIVED,
    FieldId::DATE_SENT,
    FieldId::IMAP_BODY,
    FieldId::IMAP_BODYSTRUCTURE,
    FieldId::MIME_PARTS,
    FieldId::FLAGS,
    FieldId::DATE_SAVE,
];
/// So many messages, or bytes, are written together.
const WAITING_MAX: usize = 2000;
const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// The same message is asked for again at once, if at all.
const RECENT: usize = 8;
/// One for a missing file, one for a mismatched one, one for a full one.
const ROUNDS: usize = 4;
