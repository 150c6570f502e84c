//! Dovecot's own dsync at the other end. What goes one way only can be done with it: this is a side that is
//! read from (we run `backup -R` or `sync -1 -R`, or it runs `backup` or `sync -1`), [`export`] gives mail to
//! it (the other way round), [`serve`] is our `dsync-server`. Whoever runs the command names a mailbox; its
//! source then tells all messages, the other says which it wants, and these are sent.

pub(crate) mod both;
pub(crate) mod export;
mod line;
mod merge;
pub(crate) mod serve;
mod since;
pub(crate) mod state;
mod trees;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{Cursor, Read, Seek, Write};

use base::Guid;
use storage::{Error, Flags, Result};

use self::line::{ATTRIBUTE, CHANGE, HANDSHAKE, MAIL, MAILBOX, REQUEST, STATE, Values};
pub(crate) use self::line::{Line, VERSION, greeting};
pub(crate) use self::since::Base;
use self::since::Common;
use self::state::{State, States};
use super::local::short_guid;
use super::remote::broken;
use super::side::{Attribute, Changed, Filter, Flagged, Identity, Levels, Message, Meta, Opened, Side, Tree};
use crate::cmd::save::unnamed_file;
use crate::limits::DSYNC_MEMORY_BYTES;

/// How names of the other side become names here, and what both agree on.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) hostname: String,
    /// The separator here, which may be a letter there.
    pub(crate) separator: char,
    /// `dsync_alt_char`: takes its place.
    pub(crate) alt_char: char,
    /// `-N`
    pub(crate) all_namespaces: bool,
    /// `-n`
    pub(crate) namespaces: Vec<String>,
    pub(crate) filter: Filter,
    /// `-a`
    pub(crate) virtual_all: Option<String>,
}

impl Terms {
    /// What a handshake says of them.
    fn values(&self) -> Vec<(&'static str, String)> {
        let filter = &self.filter;
        let mut values = vec![
            ("hostname", self.hostname.clone()),
            ("sync_type", "f".to_owned()),
            ("send_mail_requests", String::new()),
            ("alt_char", self.alt_char.to_string()),
            ("hashed_headers", "Date\tMessage-ID\t".to_owned()),
        ];
        if self.all_namespaces {
            values.push(("sync_visible_namespaces", String::new()));
        }
        if !self.namespaces.is_empty() {
            values.push(("sync_ns_prefix", self.namespaces.join("\n")));
        }
        // With these the source tells times and sizes.
        values.extend(filter.since.map(|time| ("sync_since_timestamp", time.to_string())));
        values.extend(filter.until.map(|time| ("sync_until_timestamp", time.to_string())));
        values.extend(filter.size_max.map(|size| ("sync_max_size", size.to_string())));
        values.extend(self.virtual_all.clone().map(|name| ("virtual_all_box", name)));
        values
    }
}

/// Who names the mailboxes.
enum Turns {
    /// We do; what the filter leaves out is not wanted.
    Ours(Filter),
    /// The other side does; this one is open next.
    Theirs(Option<Told>),
}

/// A mailbox that the other side has named.
struct Told {
    levels: Levels,
    told: Values,
    /// What it had the last time; then only what has changed since follows.
    common: Option<Opened>,
}

/// See the module.
pub(crate) struct Original<R: Read, W: Write> {
    line: Line<R, W>,
    turns: Turns,
    tree: Tree,
    known: trees::Known,
    current: Option<Current>,
    /// With a state of the last time only what has changed since is told.
    base: Option<Base>,
    /// A mailbox could not be synchronized because of its state.
    needs_all: bool,
    /// Mailboxes that are the same now, and up to where.
    settled: Vec<(Levels, Guid, State)>,
    /// Why something may have to be done again.
    desyncs: Vec<String>,
}

/// The mailbox whose turn it is.
struct Current {
    levels: Levels,
    opened: Opened,
    attributes: Vec<Attribute>,
    /// As the sender has them, by UID: they may be longer than those that are compared.
    guids: HashMap<u32, String>,
    asked: bool,
    /// The other side of [`run`](crate::sync::run) has the same.
    is_synced: bool,
    /// All that was asked for has come.
    ended: bool,
    /// What came before it was wanted, by UID.
    early: HashMap<u32, (Meta, Body)>,
}

impl<R: Read, W: Write> Original<R, W> {
    /// Asks a server for mail, with a `base` for what has changed since only.
    pub(crate) fn ask(mut line: Line<R, W>, terms: Terms, mut base: Option<Base>) -> Result<Self> {
        line.greet()?;
        let mut values = terms.values();
        // It is the sender.
        values.push(("backup_send", String::new()));
        if let Some(base) = &mut base {
            // Of the others all is told.
            base.keep_usable()?;
            values.retain(|(name, _)| *name != "sync_type");
            values.push(("sync_type", "s".to_owned()));
        }
        line.send_all(HANDSHAKE, &values)?;
        line.expect(HANDSHAKE)?;
        base.as_ref().map_or(Ok(()), |base| since::send_states(&mut line, &base.states))?;
        let (tree, known) = trees::exchange(&mut line, None, &terms)?;
        Ok(Self::new(line, Turns::Ours(terms.filter), (tree, known), base))
    }

    /// Takes the mail that a client sends, whose tree is known.
    fn hear(line: Line<R, W>, tree: Tree, known: trees::Known, base: Option<Base>) -> Self {
        Self::new(line, Turns::Theirs(None), (tree, known), base)
    }

    fn new(line: Line<R, W>, turns: Turns, (tree, known): (Tree, trees::Known), base: Option<Base>) -> Self {
        let (settled, desyncs) = (Vec::new(), Vec::new());
        Self { line, turns, tree, known, current: None, base, needs_all: false, settled, desyncs }
    }

    /// Why something may have to be done again.
    pub(crate) fn desyncs(&self) -> &[String] {
        &self.desyncs
    }

    /// How things stand now: up to where the mailboxes of `own` have what the other side has told.
    ///
    /// # Errors
    /// What cannot be opened.
    pub(crate) fn states(&self, own: &mut dyn Side) -> Result<States> {
        let mut states = States::default();
        if self.needs_all {
            return Ok(states);
        }
        for (levels, guid, state) in &self.settled {
            let opened = own.open(levels, &Filter::default())?;
            let there = opened.messages.iter().filter(|message| message.uid <= state.common_uid).count();
            let messages = u32::try_from(there).unwrap_or(u32::MAX);
            if (opened.guid, opened.uid_validity) == (*guid, state.uid_validity) {
                states.put(*guid, State { messages, ..*state });
            }
        }
        Ok(states)
    }

    /// Begins with a mailbox that we name; `false` if it is passed over, which is to be reported.
    fn begin(&mut self, levels: &Levels) -> Result<bool> {
        self.leave()?;
        let (Turns::Ours(filter), Some(&(guid, uid_validity))) = (&self.turns, self.known.get(levels)) else {
            return Ok(true);
        };
        let filter = filter.clone();
        let common = match &mut self.base {
            Some(base) => base.common(levels, guid).unwrap_or(Common::Lost),
            None => Common::Nothing,
        };
        let common = match common {
            Common::Nothing => None,
            Common::Some(opened) if opened.uid_validity == uid_validity => Some(opened),
            // The other side would tell what has changed since a state that is none any more.
            Common::Some(_) | Common::Lost => {
                let name = levels.join("/");
                self.desyncs.push(format!("Incremental sync failed: {name} is not what it was"));
                self.needs_all = true;
                return Ok(false);
            }
        };
        self.current = self.read_mailbox(levels, (None, common), &filter)?;
        if self.current.is_none() {
            self.desyncs.push(format!("Remote lost mailbox GUID {guid} (maybe it was just deleted?)"));
        }
        Ok(self.current.is_some())
    }

    /// Says which mailbox is wanted next, if the other side has not told that, and hears of its messages:
    /// all, or what has changed since both had something in common. `None` if it is not there any more.
    fn read_mailbox(
        &mut self,
        levels: &Levels,
        (told, common): (Option<Values>, Option<Opened>),
        filter: &Filter,
    ) -> Result<Option<Current>> {
        let unknown = || Error::NotFound(levels.join("/"));
        let (guid, uid_validity) = *self.known.get(levels).ok_or_else(unknown)?;
        let uid_validity = match &told {
            Some(told) => told.wanted("uid_validity")?,
            None => uid_validity,
        };
        // An empty one: of it the other side changes nothing to fit it, and tells everything. Without a UIDNEXT
        // it can't be the same as that of the other side, which would pass it over.
        trees::send_mailbox(&mut self.line, &Opened { guid, uid_validity, ..Opened::default() }, false)?;
        let told = match told {
            Some(told) => told,
            None => self.line.expect(MAILBOX)?,
        };
        if told.has("mailbox_lost") || told.has("mailbox_ignore") {
            return Ok(None);
        }
        // Of attributes, too, only those come that have changed.
        let mut attributes = match self.base.as_mut().filter(|_| common.is_some()) {
            Some(base) => base.local.attributes(levels)?.unwrap_or_default(),
            None => Vec::new(),
        };
        while self.line.minor >= 1
            && let Some(values) = self.line.next(ATTRIBUTE)?
        {
            let Some(told) = attribute(&mut self.line, &values)? else { continue };
            let is_it = |known: &Attribute| (known.shared, &known.name) == (told.shared, &told.name);
            attributes.retain(|known| !is_it(known));
            attributes.extend((!values.has("deleted")).then_some(told));
        }
        let mut opened = Opened {
            guid,
            uid_validity: told.wanted("uid_validity")?,
            uid_next: told.wanted("uid_next")?,
            first_recent: told.wanted("first_recent_uid")?,
            highest_modseq: told.wanted("highest_modseq")?,
            messages: common.map(|common| common.messages).unwrap_or_default(),
            ..Opened::default()
        };
        let (mut guids, mut gone) = (HashMap::new(), HashSet::new());
        while let Some(values) = self.line.next(CHANGE)? {
            let uid = values.wanted("uid")?;
            let text = values.text("guid").filter(|guid| !guid.is_empty());
            let guid = text.map(short_guid).unwrap_or_default();
            guids.extend(text.map(|guid| (uid, guid.to_owned())));
            match values.text("type") {
                Some("s") => opened.messages.push(message(&values, uid, guid, filter)?),
                Some("e") => {
                    opened.expunged.push((uid, guid));
                    gone.insert(uid);
                }
                // Without a state in common there is nothing that we could have.
                _ => since::change(&mut opened.messages, message(&values, uid, guid, filter)?),
            }
        }
        opened.messages.retain(|message| !gone.contains(&message.uid));
        opened.messages.sort_by_key(|message| message.uid);
        opened.expunged.sort_unstable();
        let (levels, early) = (levels.clone(), HashMap::new());
        let (asked, is_synced, ended) = (false, false, false);
        Ok(Some(Current { levels, opened, attributes, guids, asked, is_synced, ended, early }))
    }

    /// Comes to an end with the mailbox whose turn it is.
    fn leave(&mut self) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        if !current.asked {
            self.line.send_end()?;
        }
        if !current.ended {
            while next_mail(&mut self.line)?.is_some() {}
        }
        let told = self.line.expect(STATE)?;
        if current.is_synced {
            let state = State::of_opened(&current.opened).or_lower(&told)?;
            self.settled.push((current.levels, current.opened.guid, state));
        }
        trees::send_state(&mut self.line, &current.opened)
    }

    fn current(&mut self) -> Result<&mut Current> {
        self.current.as_mut().ok_or_else(no_mailbox)
    }
}

fn no_mailbox() -> Error {
    broken("No mailbox is open")
}

/// An attribute of the mailbox whose turn it is; one that was deleted has no text.
fn attribute<R: Read, W: Write>(line: &mut Line<R, W>, values: &Values) -> Result<Option<Attribute>> {
    let value = match values.text("value") {
        _ if values.has("stream") => {
            let mut bytes = Vec::new();
            line.stream(&mut bytes)?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        value => value.map(str::to_owned),
    };
    let value = value.or_else(|| values.has("deleted").then(String::new));
    let known = values.text("key").map(str::to_owned).zip(value);
    Ok(known.map(|(name, value)| Attribute { shared: values.text("type") == Some("s"), name, value }))
}

/// The next message that was asked for; `None` after the last.
fn next_mail<R: Read, W: Write>(line: &mut Line<R, W>) -> Result<Option<(u32, Meta, Body)>> {
    let Some(values) = line.next(MAIL)? else { return Ok(None) };
    let uid = values.wanted("uid")?;
    let meta = Meta {
        uid,
        received: values.number("received_date")?,
        guid: values.text("guid").map(str::to_owned),
        pop3_uidl: values.text("pop3_uidl").map(str::to_owned),
        pop3_order: values.number("pop3_order")?,
        ..Meta::default()
    };
    let mut body = Body::default();
    if values.has("stream") {
        line.stream(&mut body)?;
    }
    Ok(Some((uid, Meta { size: body.size, ..meta }, body)))
}

/// A message as the sender tells of it.
fn message(values: &Values, uid: u32, guid: Guid, filter: &Filter) -> Result<Message> {
    let flags = values.hex("final_flags")?.unwrap_or(0) & u64::from(Flags::ALL.0);
    // What begins with a minus was taken away, and only what begins with an equals sign was there before.
    let with = |signs: &'static [char]| {
        let changes = values.text("keyword_changes").unwrap_or_default().split('\t');
        let changes = changes.map(base::tab::unescape);
        let mut keywords: Vec<String> =
            changes.filter_map(|change| change.strip_prefix(signs).map(str::to_owned)).collect();
        keywords.sort();
        keywords.dedup();
        keywords
    };
    let keywords = with(&['+', '=', '&']);
    let bits = |name: &str| Ok::<_, Error>(values.hex(name)?.unwrap_or(0) & u64::from(Flags::ALL.0));
    let changed = bits("add_flags")? | bits("remove_flags")?;
    let changed = Changed { flags: u8::try_from(changed).unwrap_or(0), keywords: with(&['+', '&', '-']) };
    let mut message = Message {
        uid,
        guid,
        flags: u8::try_from(flags).unwrap_or(0),
        keywords,
        changed,
        modseq: values.number("modseq")?.unwrap_or(0),
        ..Message::default()
    };
    let received = values.hex("received_timestamp")?.and_then(|time| i64::try_from(time).ok());
    message.skip = !filter.is_none() && !filter.fits(&message, received, values.hex("virtual_size")?);
    Ok(message)
}

/// Nothing can be changed at the other end.
fn read_only<T>() -> Result<T> {
    let text = "Dovecot's dsync at the other end can only be read from: use backup -R or sync -1 -R";
    Err(Error::Unsupported(text.to_owned()))
}

impl<R: Read, W: Write> Side for Original<R, W> {
    /// The other side tells it once.
    fn tree(&mut self) -> Result<Tree> {
        Ok(self.tree.clone())
    }

    fn turn(&mut self, due: &mut VecDeque<Levels>) -> Result<Option<Levels>> {
        if matches!(self.turns, Turns::Ours(_)) {
            while let Some(levels) = due.pop_front() {
                if self.begin(&levels)? {
                    return Ok(Some(levels));
                }
            }
            return Ok(None);
        }
        self.leave()?;
        while let Some(told) = self.line.next(MAILBOX)? {
            let guid: Guid = told
                .text("mailbox_guid")
                .unwrap_or_default()
                .parse()
                .map_err(|_| broken("Invalid mailbox_guid"))?;
            let named =
                due.iter().position(|levels| self.known.get(levels).is_some_and(|(known, _)| *known == guid));
            let Some(levels) = named.and_then(|at| due.remove(at)) else {
                trees::send_no_mailbox(&mut self.line, guid, "mailbox_ignore")?;
                continue;
            };
            let common = match &mut self.base {
                Some(base) => base.common(&levels, guid)?,
                None => Common::Nothing,
            };
            let common = match common {
                Common::Nothing => None,
                Common::Some(opened) => Some(opened),
                Common::Lost => {
                    // The client is told to begin from nothing the next time.
                    trees::send_no_mailbox(&mut self.line, guid, "mailbox_lost")?;
                    self.needs_all = true;
                    continue;
                }
            };
            self.turns = Turns::Theirs(Some(Told { levels: levels.clone(), told, common }));
            return Ok(Some(levels));
        }
        Ok(None)
    }

    fn create(&mut self, _: &Levels, _: bool) -> Result<()> {
        read_only()
    }

    fn delete(&mut self, _: &Levels) -> Result<()> {
        read_only()
    }

    fn rename(&mut self, _: &Levels, _: &Levels) -> Result<()> {
        read_only()
    }

    fn subscribe(&mut self, _: &Levels, _: bool) -> Result<()> {
        read_only()
    }

    fn open(&mut self, levels: &Levels, filter: &Filter) -> Result<Opened> {
        if let Some(current) = &self.current
            && current.levels == *levels
        {
            return Ok(current.opened.clone());
        }
        let unknown = || Error::NotFound(levels.join("/"));
        self.leave()?;
        let Turns::Theirs(next) = &mut self.turns else { return Err(unknown()) };
        let named = next.take().filter(|named| named.levels == *levels).ok_or_else(unknown)?;
        self.current = self.read_mailbox(levels, (Some(named.told), named.common), filter)?;
        Ok(self.current()?.opened.clone())
    }

    fn expunge(&mut self, _: &[u32]) -> Result<()> {
        read_only()
    }

    fn flag(&mut self, _: &[Flagged]) -> Result<()> {
        read_only()
    }

    fn identify(&mut self, _: &Identity) -> Result<()> {
        read_only()
    }

    fn attributes(&mut self, levels: &Levels) -> Result<Option<Vec<Attribute>>> {
        let current = self.current.as_ref().filter(|current| current.levels == *levels);
        Ok(current.map(|current| current.attributes.clone()))
    }

    fn set_attribute(&mut self, _: &Levels, _: &Attribute, _: bool) -> Result<()> {
        read_only()
    }

    fn want(&mut self, uids: &[u32]) -> Result<()> {
        if std::mem::replace(&mut self.current()?.asked, true) {
            return Err(broken("Messages can be asked for once only"));
        }
        for uid in uids {
            self.line.send(REQUEST, &[("uid", &uid.to_string())])?;
        }
        self.line.send_end()?;
        self.line.flush()
    }

    fn message(&mut self, uid: u32) -> Result<Option<(Meta, Box<dyn Read + '_>)>> {
        let current = self.current.as_mut().ok_or_else(no_mailbox)?;
        Ok(current.message(&mut self.line, uid)?.map(|(meta, body)| (meta, body as Box<dyn Read + '_>)))
    }

    fn save(&mut self, _: &Meta, _: &mut dyn Read) -> Result<()> {
        read_only()
    }

    fn copy(&mut self, _: u32, _: u32) -> Result<()> {
        read_only()
    }

    fn commit(&mut self) -> Result<Vec<u32>> {
        read_only()
    }

    fn purge(&mut self) -> Result<()> {
        read_only()
    }

    fn synced(&mut self) {
        if let Some(current) = &mut self.current {
            current.is_synced = true;
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.leave()?;
        match self.turns {
            Turns::Ours(_) => {
                self.line.send_end()?;
                self.needs_all |= trees::hear_finish(&mut self.line)?;
                Ok(())
            }
            Turns::Theirs(_) => trees::send_finish(&mut self.line, None, self.needs_all),
        }
    }
}

impl Current {
    /// A message that was asked for; `None` if it does not come.
    fn message<R: Read, W: Write>(
        &mut self,
        line: &mut Line<R, W>,
        uid: u32,
    ) -> Result<Option<(Meta, Box<dyn Read>)>> {
        loop {
            if let Some((meta, body)) = self.early.remove(&uid) {
                let meta = self.with_flags(meta);
                let body = body.reader().map_err(|error| Error::io("lseek", "dsync", error))?;
                return Ok(Some((meta, body)));
            }
            if self.ended {
                return Ok(None);
            }
            match next_mail(line)? {
                Some((uid, meta, body)) => drop(self.early.insert(uid, (meta, body))),
                None => self.ended = true,
            }
        }
    }

    /// Flags and GUIDs came with the list of messages.
    fn with_flags(&self, meta: Meta) -> Meta {
        let guid = self.guids.get(&meta.uid).cloned().or(meta.guid);
        let meta = Meta { guid, ..meta };
        let messages = &self.opened.messages;
        match messages.binary_search_by_key(&meta.uid, |message| message.uid).map(|at| messages.get(at)) {
            Ok(Some(message)) => Meta { flags: message.flags, keywords: message.keywords.clone(), ..meta },
            _ => meta,
        }
    }
}

/// A message's bytes, in a file where they are many.
#[derive(Default)]
struct Body {
    size: u64,
    memory: Vec<u8>,
    file: Option<File>,
}

impl Body {
    fn reader(self) -> std::io::Result<Box<dyn Read>> {
        match self.file {
            None => Ok(Box::new(Cursor::new(self.memory))),
            Some(mut file) => {
                file.rewind()?;
                Ok(Box::new(file))
            }
        }
    }
}

impl Write for Body {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.file.is_none() && self.memory.len() + bytes.len() > DSYNC_MEMORY_BYTES {
            let mut file = unnamed_file()?;
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
