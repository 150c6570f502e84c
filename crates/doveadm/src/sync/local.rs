//! A side on this host.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::{Guid, ModSeq, Uid, UidSet, UidValidity};
use mail_user::input::NamespaceList;
use mail_user::{ListOptions, MailUser, Namespace, Node as Listed};
use storage::api::{PathKind, SaveMeta};
use storage::attributes::Scope as AttributeScope;
use storage::{
    Error, FlagChange, FlagMode, Flags, Mailbox, MailboxUpdate, OpenMode, Result, SaveBatch, StatusItems,
    SyncMode, View, Wanted,
};

use super::history::History;
use super::side::{
    Attribute, Filter, Flagged, Identity, Levels, Message, Meta, Node, Opened, Scope, Side, Tree,
};
use crate::limits::COPY_BYTES;

/// See the module.
pub(crate) struct Local {
    user: Arc<MailUser>,
    /// Never empty.
    namespaces: Vec<Namespace>,
    /// Names have the prefixes of their namespaces.
    whole: bool,
    open: Option<Open>,
}

struct Open {
    mailbox: Box<dyn Mailbox>,
    view: Arc<View>,
    name: String,
    batch: Option<Box<dyn SaveBatch>>,
}

impl Local {
    /// The mailboxes of `scope`.
    pub(crate) fn new(user: Arc<MailUser>, scope: &Scope) -> Result<Self> {
        let all = user.namespaces();
        let own = all.iter().filter(|namespace| namespace.settings().alias_for.is_none());
        let (namespaces, whole) = match scope {
            Scope::Inbox => {
                (own.filter(|namespace| namespace.settings().inbox).take(1).cloned().collect(), false)
            }
            Scope::Ours => {
                (own.filter(|namespace| namespace.settings().location.is_empty()).cloned().collect(), true)
            }
            Scope::Visible => (own.filter(|namespace| is_visible(namespace)).cloned().collect(), true),
            Scope::Prefixes(prefixes) => {
                let find = |prefix: &String| {
                    let found = all.iter().find(|namespace| namespace.prefix() == prefix).cloned();
                    found.ok_or_else(|| Error::BadRequest(format!("Namespace not found: '{prefix}'")))
                };
                (prefixes.iter().map(find).collect::<Result<Vec<_>>>()?, prefixes.len() > 1)
            }
        };
        if namespaces.is_empty() {
            return Err(Error::BadRequest("There is no namespace to synchronize".to_owned()));
        }
        Ok(Self { user, namespaces, whole, open: None })
    }

    /// The same with names that have the prefixes of their namespaces.
    pub(crate) fn with_whole_names(self) -> Self {
        Self { whole: true, ..self }
    }

    /// UIDVALIDITY and UIDNEXT of a mailbox.
    pub(crate) fn numbers(&self, levels: &Levels) -> Result<(u32, u32)> {
        let items = StatusItems::UID_VALIDITY | StatusItems::UID_NEXT;
        let status = self.user.status(&self.name(levels)?, items)?;
        Ok((status.uid_validity.get(), status.uid_next.get()))
    }

    /// The separator of names.
    pub(crate) fn separator(&self) -> char {
        self.namespaces.first().map_or('/', Namespace::separator)
    }

    fn prefix(&self) -> &str {
        match self.namespaces.first() {
            Some(namespace) if !self.whole => namespace.prefix(),
            _ => "",
        }
    }

    fn list(&self, options: &ListOptions) -> Result<Vec<(Levels, Listed, Vec<String>)>> {
        let entries = self.user.list("", &["*"], options)?.into_iter();
        let mut all: Vec<_> = entries
            .filter_map(|entry| Some((self.levels(&entry.name)?, entry.node, entry.special_use)))
            .collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(all)
    }

    /// `None` for a name of another namespace.
    fn levels(&self, name: &str) -> Option<Levels> {
        let owner = self.user.namespace_of(name)?;
        if !self.namespaces.iter().any(|namespace| namespace.prefix() == owner.prefix()) {
            return None;
        }
        let rest = if name == "INBOX" { name } else { name.strip_prefix(self.prefix())? };
        Some(rest.split(owner.separator()).map(str::to_owned).collect())
    }

    fn name(&self, levels: &Levels) -> Result<String> {
        name_of(levels, self.prefix(), self.separator())
    }

    fn open_now(&mut self) -> Result<&mut Open> {
        self.open.as_mut().ok_or_else(|| Error::BadRequest("No mailbox is open".to_owned()))
    }
}

/// As the original decides with `-N`.
fn is_visible(namespace: &Namespace) -> bool {
    let settings = namespace.settings();
    !settings.hidden || settings.list != NamespaceList::No
}

/// A name on a side with this prefix and separator.
pub(super) fn name_of(levels: &Levels, prefix: &str, separator: char) -> Result<String> {
    if let Some(level) = levels.iter().find(|level| level.contains(separator)) {
        return Err(Error::BadRequest(format!("'{level}' has the separator '{separator}' in it")));
    }
    Ok(match levels.as_slice() {
        [only] if only == "INBOX" => only.clone(),
        levels => format!("{prefix}{}", levels.join(&separator.to_string())),
    })
}

/// A message's GUID as 128 bits: formats that have longer ones are converted to those that do not by
/// 2.3's rule, which this is.
pub(super) fn short_guid(text: &str) -> Guid {
    storage::dbox::names::guid_bits(text)
}

impl Side for Local {
    fn tree(&mut self) -> Result<Tree> {
        self.open = None;
        // Opening INBOX makes it.
        let exists = self.user.path("INBOX", PathKind::Mailbox).is_some_and(|path| path.exists());
        let existing = ListOptions { existing_only: true, ..ListOptions::default() };
        let (mut mailboxes, mut nodes) = (Vec::new(), Vec::new());
        for (levels, node, special_use) in self.list(&existing)? {
            match node {
                Listed::Selectable => {
                    let guid = self.user.open_mailbox(&self.name(&levels)?, OpenMode::Append)?.guid()?;
                    mailboxes.push(Node { levels, guid, special_use });
                }
                Listed::NoSelect => nodes.push(levels),
                Listed::NonExistent => {}
            }
        }
        let subscribed = ListOptions { select_subscribed: true, ..ListOptions::default() };
        let subscriptions = self.list(&subscribed)?.into_iter().map(|(levels, ..)| levels).collect();
        let mut log = Vec::new();
        for namespace in &self.namespaces {
            if let Some(own) = namespace.storage().mailbox_log() {
                log.extend(own.records()?);
            }
        }
        Ok(Tree {
            prefix: self.prefix().to_owned(),
            separator: self.separator(),
            exists,
            mailboxes,
            nodes,
            subscriptions,
            log: log.into_iter().map(|record| (record.action.encode(), record.guid, record.time)).collect(),
        })
    }

    fn create(&mut self, levels: &Levels, node: bool) -> Result<()> {
        let mut name = self.name(levels)?;
        if node {
            name.push(self.separator());
        }
        match self.user.create(&name) {
            Err(Error::Exists(_)) => Ok(()),
            made => made,
        }
    }

    fn delete(&mut self, levels: &Levels) -> Result<()> {
        self.open = None;
        self.user.delete(&self.name(levels)?)
    }

    fn rename(&mut self, from: &Levels, to: &Levels) -> Result<()> {
        self.open = None;
        self.user.rename(&self.name(from)?, &self.name(to)?)
    }

    fn subscribe(&mut self, levels: &Levels, subscribed: bool) -> Result<()> {
        self.user.set_subscribed(&self.name(levels)?, subscribed).map(drop)
    }

    fn open(&mut self, levels: &Levels, filter: &Filter) -> Result<Opened> {
        let name = self.name(levels)?;
        let mut mailbox = self.user.open_mailbox(&name, OpenMode::Append)?;
        let view = mailbox.sync(SyncMode::Full)?;
        let guid = mailbox.guid()?;
        let uids: Vec<u32> = view.records().map(|record| record.uid.get()).collect();
        let dir = self.user.path(&name, PathKind::Index);
        let mut history = dir.map(|dir| History::read(&dir, &uids)).unwrap_or_default();
        let mut messages = Vec::with_capacity(uids.len());
        let mut wanted = Wanted::GUID;
        let by_time = filter.since.is_some() || filter.until.is_some();
        if by_time {
            wanted |= Wanted::INTERNAL_DATE;
        }
        if filter.size_max.is_some() {
            wanted |= Wanted::SIZE_VIRTUAL;
        }
        for record in view.records() {
            let facts = match mailbox.fetch_facts(record.uid, wanted) {
                Err(Error::Expunged(_)) => continue,
                facts => facts?,
            };
            let (modseq, changed) = history.of(record.uid.get());
            let mut message = Message {
                uid: record.uid.get(),
                guid: facts.guid.as_deref().map(short_guid).unwrap_or_default(),
                long_guid: facts
                    .guid
                    .as_deref()
                    .filter(|guid| guid.parse::<Guid>().is_err())
                    .map(str::to_owned),
                flags: record.flags.0 & Flags::ALL.0,
                keywords: keywords(&view, record),
                modseq: modseq.max(record.modseq.0),
                changed,
                received: facts.internal_date.filter(|_| by_time).map(seconds),
                size: facts.size_virtual.filter(|_| filter.size_max.is_some()),
                skip: false,
            };
            message.skip = !filter.is_none() && !filter.fits(&message, message.received, message.size);
            messages.push(message);
        }
        let opened = Opened {
            guid,
            uid_validity: view.uid_validity().get(),
            uid_next: view.uid_next().get(),
            first_recent: mailbox.first_recent().get(),
            highest_modseq: view.highest_modseq().0,
            messages,
            expunged: history.expunged.into_iter().collect(),
        };
        self.open = Some(Open { mailbox, view, name, batch: None });
        Ok(opened)
    }

    fn expunge(&mut self, uids: &[u32]) -> Result<()> {
        let open = self.open_now()?;
        open.view = open.mailbox.expunge(&set(uids))?;
        Ok(())
    }

    fn flag(&mut self, changes: &[Flagged]) -> Result<()> {
        let open = self.open_now()?;
        for change in changes {
            let flags = Flags(change.flags & Flags::ALL.0);
            let wanted = FlagChange { mode: FlagMode::Replace, flags, keywords: change.keywords.clone() };
            open.view = open.mailbox.store_flags(&set(&change.uids), &wanted)?;
        }
        Ok(())
    }

    fn identify(&mut self, identity: &Identity) -> Result<()> {
        let name = self.open_now()?.name.clone();
        let update = MailboxUpdate {
            guid: Some(identity.guid).filter(|guid| *guid != Guid::default()),
            uid_validity: UidValidity::new(identity.uid_validity),
            min_next_uid: Uid::new(identity.uid_next),
            min_first_recent_uid: Uid::new(identity.first_recent.min(identity.uid_next)),
            min_highest_modseq: Some(ModSeq(identity.highest_modseq)),
            ..MailboxUpdate::default()
        };
        // The mailbox may get another place with its GUID.
        self.open = None;
        self.user.update_mailbox(&name, &update)?;
        let mut mailbox = self.user.open_mailbox(&name, OpenMode::Append)?;
        let view = mailbox.sync(SyncMode::Full)?;
        self.open = Some(Open { mailbox, view, name, batch: None });
        Ok(())
    }

    fn attributes(&mut self, levels: &Levels) -> Result<Option<Vec<Attribute>>> {
        if self.user.settings().mail.attribute_dict.is_empty() {
            return Ok(None);
        }
        let name = self.name(levels)?;
        let mut all = Vec::new();
        for scope in [AttributeScope::Private, AttributeScope::Shared] {
            let shared = scope == AttributeScope::Shared;
            let own = self.user.attributes(&name, scope)?.into_iter();
            all.extend(own.map(|(name, value)| Attribute { shared, name, value }));
        }
        Ok(Some(all))
    }

    fn set_attribute(&mut self, levels: &Levels, attribute: &Attribute, set: bool) -> Result<()> {
        let scope = if attribute.shared { AttributeScope::Shared } else { AttributeScope::Private };
        let value = set.then_some(attribute.value.as_str());
        self.user.set_attribute(&self.name(levels)?, scope, &attribute.name, value)
    }

    fn message(&mut self, uid: u32) -> Result<Option<(Meta, Box<dyn Read + '_>)>> {
        let open = self.open_now()?;
        match open.read(uid) {
            Ok((meta, reader)) => Ok(Some((meta, reader))),
            Err(Error::Expunged(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn save(&mut self, meta: &Meta, body: &mut dyn Read) -> Result<()> {
        let open = self.open_now()?;
        let batch = open.batch()?;
        batch.begin(save_meta(meta))?;
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            match body.read(&mut buffer) {
                Ok(0) => return batch.end(),
                Ok(count) => batch.write(buffer.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", format!("UID {}", meta.uid), error)),
            }
        }
    }

    fn copy(&mut self, uid: u32, to: u32) -> Result<()> {
        let open = self.open_now()?;
        let meta = match open.meta(uid) {
            Err(Error::Expunged(_)) => return Ok(()),
            meta => Meta { uid: to, ..meta? },
        };
        open.batch()?;
        let Open { mailbox, batch: Some(batch), .. } = open else { return Ok(()) };
        let uid = Uid::new(uid).ok_or(Error::BadRequest("UID 0".to_owned()))?;
        batch.copy(&mut **mailbox, uid, save_meta(&meta)).map(drop)
    }

    fn commit(&mut self) -> Result<Vec<u32>> {
        let open = self.open_now()?;
        let Some(batch) = open.batch.take() else { return Ok(Vec::new()) };
        let saved = batch.commit()?;
        open.view = open.mailbox.sync(SyncMode::Quick)?;
        Ok(saved.uids.into_iter().map(Uid::get).collect())
    }

    fn purge(&mut self) -> Result<()> {
        self.open = None;
        self.namespaces.iter().try_for_each(|namespace| namespace.storage().purge())
    }
}

impl Open {
    fn batch(&mut self) -> Result<&mut dyn SaveBatch> {
        if self.batch.is_none() {
            self.batch = Some(self.mailbox.begin_save()?);
        }
        match &mut self.batch {
            Some(batch) => Ok(&mut **batch),
            None => Err(Error::BadRequest("Nothing is being saved".to_owned())),
        }
    }

    fn read(&mut self, uid: u32) -> Result<(Meta, Box<dyn Read>)> {
        let meta = self.meta(uid)?;
        let number = Uid::new(uid).ok_or_else(|| Error::BadRequest("UID 0".to_owned()))?;
        let reader = self.mailbox.open_message(number)?;
        Ok((Meta { size: reader.size(), ..meta }, Box::new(reader)))
    }

    fn meta(&mut self, uid: u32) -> Result<Meta> {
        let number = Uid::new(uid).ok_or_else(|| Error::BadRequest("UID 0".to_owned()))?;
        let wanted = Wanted::INTERNAL_DATE | Wanted::GUID | Wanted::POP3_UIDL | Wanted::POP3_ORDER;
        let facts = self.mailbox.fetch_facts(number, wanted)?;
        let record = self.view.record(number).ok_or(Error::Expunged(number))?;
        Ok(Meta {
            uid,
            flags: record.flags.0 & Flags::ALL.0,
            keywords: keywords(&self.view, record),
            received: facts.internal_date.map(seconds),
            guid: facts.guid.map(|guid| guid.to_string()),
            pop3_uidl: facts.pop3_uidl.map(|uidl| uidl.to_string()),
            pop3_order: facts.pop3_order,
            size: 0,
        })
    }
}

fn save_meta(meta: &Meta) -> SaveMeta {
    SaveMeta {
        flags: Flags(meta.flags & Flags::ALL.0),
        keywords: meta.keywords.clone(),
        internal_date: meta.received.map(time),
        guid: meta.guid.clone(),
        pop3_uidl: meta.pop3_uidl.clone(),
        pop3_order: meta.pop3_order,
        // Where an index tracks none, a message that brings one looks like damage. Both sides get the
        // same highest one in the end, which is enough to tell what is newer.
        modseq: None,
        uid: Uid::new(meta.uid),
        size_hint: Some(meta.size).filter(|size| *size != 0),
    }
}

fn keywords(view: &View, record: &storage::Record) -> Vec<String> {
    let mut names: Vec<String> = view.keyword_names(&record.keywords).map(str::to_owned).collect();
    names.sort();
    names
}

fn set(uids: &[u32]) -> UidSet {
    uids.iter().filter_map(|&uid| Uid::new(uid)).collect()
}

fn seconds(time: SystemTime) -> i64 {
    let whole = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => -whole(before.duration()),
    }
}

fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    moved.unwrap_or(UNIX_EPOCH)
}
