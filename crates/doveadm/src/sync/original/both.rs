//! Both ways at once with Dovecot's dsync at the other end, whoever of the two began. Each side tells all it
//! has, decides by the same rules what it lacks ([`merge`](super::merge), `sync::tree`), asks for that, and
//! sends what the other asks for. With a state of the last time only what has changed since is told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read, Write};

use base::Guid;
use storage::{Error, Result};

use super::line::{ATTRIBUTE, CHANGE, HANDSHAKE, Line, MAILBOX, REQUEST, STATE, Values};
use super::merge::{Merged, Told, merge};
use super::state::{State, States};
use super::{Current, Terms, export, message, since, trees};
use crate::sync::local::{Local, short_guid};
use crate::sync::plan::{Source, Way};
use crate::sync::side::{Attribute, Identity, Levels, Meta, Node, Opened, Side, Tree};
use crate::sync::tree::{self, Step};
use crate::sync::{Choice, Report, Sender, TURNS_MAX, apply_to, arrive, finish, prepare};

/// What is to be synchronized with whom.
pub(crate) struct Both<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) choice: &'a Choice,
    /// We began: of what cannot be decided otherwise ours counts.
    pub(crate) is_first: bool,
    /// Mailboxes that have the same numbers on both sides are passed over.
    pub(crate) only_changed: bool,
    /// How things stood the last time.
    pub(crate) states: Option<States>,
}

impl Both<'_> {
    /// Synchronizes with a server. Gives how things stand now.
    ///
    /// # Errors
    /// Without which nothing can be done, and what the other side says.
    pub(crate) fn begin<R: Read, W: Write>(
        &self,
        mut line: Line<R, W>,
        local: &mut Local,
        report: &mut dyn Report,
    ) -> Result<States> {
        line.greet()?;
        let mut values = self.terms.values();
        let kind = match (&self.states, self.only_changed) {
            (Some(_), _) => "s",
            (None, true) => "c",
            (None, false) => "f",
        };
        values.retain(|(name, _)| *name != "sync_type");
        values.push(("sync_type", kind.to_owned()));
        self.choice.tell(&mut values);
        line.send_all(HANDSHAKE, &values)?;
        line.expect(HANDSHAKE)?;
        self.states.as_ref().map_or(Ok(()), |states| since::send_states(&mut line, states))?;
        self.run(line, local, report)
    }

    /// Synchronizes all mailboxes, behind the handshakes. Gives how things stand now.
    pub(super) fn run<R: Read, W: Write>(
        &self,
        mut line: Line<R, W>,
        local: &mut Local,
        report: &mut dyn Report,
    ) -> Result<States> {
        let mut own = local.tree()?;
        own.mailboxes.retain(|node| self.choice.wants(node));
        let (other, known) = trees::exchange(&mut line, Some((&own, local)), self.terms)?;
        let named = self.level_trees(local, own, other, &known, report)?;
        let mut states = States::default();
        match self.is_first {
            true => self.lead(&mut line, local, &named, &mut states, report)?,
            false => self.follow(&mut line, local, &named, &mut states, report)?,
        }
        Ok(states)
    }

    /// Makes, deletes and renames mailboxes here; the other side does its part. Gives those that both have
    /// then.
    fn level_trees(
        &self,
        local: &mut Local,
        own: Tree,
        other: Tree,
        known: &trees::Known,
        report: &mut dyn Report,
    ) -> Result<Named> {
        let wanted = |node: &Node| self.choice.wants(node);
        let validities: HashMap<Guid, u32> = known.values().copied().collect();
        let mut both = Trees { own, other, replaced: BTreeMap::new(), joined: HashSet::new(), local, report };
        for _ in 0..TURNS_MAX {
            let steps = tree::moves(&both.own, &both.other, Way::Both, &wanted);
            if steps.iter().all(Vec::is_empty) || !both.apply(&steps) {
                break;
            }
        }
        both.join(&wanted)?;
        both.create(&wanted, &validities)?;
        let wants_name = |levels: &Levels| self.choice.guid.is_none() && self.choice.wants_name(levels);
        let steps = tree::nodes(&both.own, &both.other, Way::Both, &wants_name);
        both.apply(&steps);
        let steps = tree::subscriptions(&both.own, &both.other, Way::Both, &wants_name);
        both.apply(&steps);
        let (mut nodes, replaced, joined) = (both.own.mailboxes, both.replaced, both.joined);
        nodes.retain(wanted);
        nodes.sort_by(|one, other| one.levels.cmp(&other.levels));
        Ok(Named { nodes, replaced, joined })
    }

    /// Names one mailbox after the other.
    fn lead<R: Read, W: Write>(
        &self,
        line: &mut Line<R, W>,
        local: &mut Local,
        named: &Named,
        states: &mut States,
        report: &mut dyn Report,
    ) -> Result<()> {
        for node in &named.nodes {
            let mut opened = local.open(&node.levels, &self.choice.filter)?;
            let state = self.states.as_ref().and_then(|states| states.of(opened.guid));
            if let Some(state) = state.filter(|state| state.fits(&opened)) {
                states.put(opened.guid, *state);
                continue;
            }
            let is_joined = named.joined.contains(&node.levels);
            trees::send_mailbox(line, &opened, is_joined)?;
            let mut told = line.expect(MAILBOX)?;
            if let Some(&old) = named.replaced.get(&node.levels).filter(|_| told.has("mailbox_lost")) {
                // The other side has taken ours as we took its own.
                adopt(local, &node.levels, old, 0)?;
                opened = local.open(&node.levels, &self.choice.filter)?;
                trees::send_mailbox(line, &opened, is_joined)?;
                told = line.expect(MAILBOX)?;
            }
            if told.has("mailbox_lost") {
                let guid = node.guid;
                report.desync(format!("Remote lost mailbox GUID {guid} (maybe it was just deleted?)"));
            } else if !told.has("mailbox_ignore")
                && (is_joined || !self.only_changed || !trees::is_same(&told, &opened)?)
            {
                self.mailbox(line, local, &node.levels, opened, &told, states, report)?;
            }
        }
        line.send_end()?;
        if trees::hear_finish(line)? {
            *states = States::default();
        }
        Ok(())
    }

    /// Follows the other side from mailbox to mailbox.
    fn follow<R: Read, W: Write>(
        &self,
        line: &mut Line<R, W>,
        local: &mut Local,
        named: &Named,
        states: &mut States,
        report: &mut dyn Report,
    ) -> Result<()> {
        let by_guid: HashMap<Guid, Levels> =
            named.nodes.iter().cloned().map(|node| (node.guid, node.levels)).collect();
        let replaced: HashMap<Guid, Levels> =
            named.replaced.iter().map(|(levels, guid)| (*guid, levels.clone())).collect();
        while let Some(told) = line.next(MAILBOX)? {
            let guid: Guid = told.text("mailbox_guid").unwrap_or_default().parse().unwrap_or_default();
            // The other side may have taken ours as we took its own.
            let again = replaced.get(&guid);
            again.map_or(Ok(()), |levels| adopt(local, levels, guid, 0))?;
            let Some(levels) = by_guid.get(&guid).or(again) else {
                trees::send_no_mailbox(line, guid, "mailbox_lost")?;
                continue;
            };
            let opened = local.open(levels, &self.choice.filter)?;
            let is_joined = named.joined.contains(levels);
            trees::send_mailbox(line, &opened, is_joined)?;
            // Where all numbers are the same both go on at once.
            if is_joined || !self.only_changed || !trees::is_same(&told, &opened)? {
                self.mailbox(line, local, levels, opened, &told, states, report)?;
            }
        }
        trees::send_finish(line, None, false)
    }

    /// What follows once both have named a mailbox.
    #[expect(clippy::too_many_arguments, reason = "it is the middle of one long conversation")]
    fn mailbox<R: Read, W: Write>(
        &self,
        line: &mut Line<R, W>,
        local: &mut Local,
        levels: &Levels,
        mut opened: Opened,
        told: &Values,
        states: &mut States,
        report: &mut dyn Report,
    ) -> Result<()> {
        if !told.has("have_save_guids") {
            let why = "The other side's messages have no GUIDs: use backup or sync -1";
            return Err(Error::Unsupported(why.to_owned()));
        }
        self.settle_validity(local, &mut opened, told)?;
        let state = self.states.as_ref().and_then(|states| states.of(opened.guid)).copied();
        attributes(line, local, levels)?;
        since::send_changes(line, &opened, state.as_ref(), &self.choice.filter)?;
        let (heard, guids) = hear_changes(line, told, self)?;
        let common = state.map(|state| state.common_uid).filter(|uid| *uid != 0);
        let Merged { work, common_uid } = merge(&opened, &heard, self.is_first, common);
        for arrival in &work.arrive {
            if let Source::Other(uid) = arrival.from {
                line.send(REQUEST, &[("uid", &uid.to_string())])?;
            }
        }
        line.send_end()?;
        export::answer_requests(line, local, &opened)?;
        line.flush()?;
        prepare(local, &work, opened.uid_next)?;
        let mut other = Listening { current: current(levels, &opened, &heard, guids), line: &mut *line };
        if arrive(local, &mut other, &work)? {
            finish(local, &work)?;
        } else {
            // Nothing is lost: the next time it gets UIDs that are free.
            report.desync(format!("Mailbox {}: messages were saved meanwhile", levels.join("/")));
        }
        if !other.current.ended {
            while super::next_mail(line)?.is_some() {}
        }
        let now = self.raise(local, levels, told, common_uid)?;
        let own = State {
            uid_validity: now.uid_validity,
            common_uid,
            common_modseq: told.wanted("highest_modseq")?,
            messages: u32::try_from(now.messages.len()).unwrap_or(u32::MAX),
        };
        trees::send_common(line, now.guid, &own)?;
        states.put(now.guid, own.or_lower(&line.expect(STATE)?)?);
        Ok(())
    }

    /// The mailbox with more messages keeps its UIDVALIDITY, or the higher one counts.
    fn settle_validity(&self, local: &mut Local, opened: &mut Opened, told: &Values) -> Result<()> {
        let (theirs, count): (u32, usize) = (told.wanted("uid_validity")?, told.wanted("messages_count")?);
        let own = opened.messages.len();
        if theirs == opened.uid_validity || (count, theirs) < (own, opened.uid_validity) || theirs == 0 {
            return Ok(());
        }
        opened.uid_validity = theirs;
        local.identify(&Identity {
            guid: opened.guid,
            uid_validity: theirs,
            uid_next: opened.uid_next,
            first_recent: opened.first_recent,
            highest_modseq: opened.highest_modseq,
        })
    }

    /// Gives both the same UIDNEXT, first recent UID and HIGHESTMODSEQ, as far as numbers can go up.
    fn raise(&self, local: &mut Local, levels: &Levels, told: &Values, common_uid: u32) -> Result<Opened> {
        let now = local.open(levels, &self.choice.filter)?;
        let first_recent: u32 = told.wanted("first_recent_uid")?;
        let wanted = Identity {
            guid: now.guid,
            uid_validity: now.uid_validity,
            uid_next: now.uid_next.max(told.wanted("uid_next")?),
            first_recent: now.first_recent.max(first_recent.min(common_uid.saturating_add(1))),
            highest_modseq: now.highest_modseq.max(told.wanted("highest_modseq")?),
        };
        let numbers = (wanted.uid_next, wanted.first_recent, wanted.highest_modseq);
        if numbers == (now.uid_next, now.first_recent, now.highest_modseq) {
            return Ok(now);
        }
        local.identify(&wanted)?;
        let (uid_next, first_recent, highest_modseq) = numbers;
        Ok(Opened { uid_next, first_recent, highest_modseq, ..now })
    }
}

/// The other side while it sends what we asked for.
struct Listening<'a, R: Read, W: Write> {
    line: &'a mut Line<R, W>,
    current: Current,
}

impl<R: Read, W: Write> Sender for Listening<'_, R, W> {
    fn send(&mut self, uid: u32) -> Result<Option<(Meta, Box<dyn Read + '_>)>> {
        Ok(self.current.message(self.line, uid)?.map(|(meta, body)| (meta, body as Box<dyn Read + '_>)))
    }
}

fn current(levels: &Levels, opened: &Opened, heard: &Told, guids: HashMap<u32, String>) -> Current {
    Current {
        levels: levels.clone(),
        opened: Opened { guid: opened.guid, messages: heard.messages.clone(), ..Opened::default() },
        attributes: Vec::new(),
        guids,
        asked: true,
        is_synced: false,
        ended: false,
        early: HashMap::new(),
    }
}

/// The mailboxes that both have.
struct Named {
    nodes: Vec<Node>,
    /// GUIDs that mailboxes had here before.
    replaced: BTreeMap<Levels, Guid>,
    /// Whose numbers may be the same though the messages are not.
    joined: HashSet<Levels>,
}

/// Both trees as they will be, and the mailboxes here.
struct Trees<'a> {
    own: Tree,
    other: Tree,
    replaced: BTreeMap<Levels, Guid>,
    joined: HashSet<Levels>,
    local: &'a mut Local,
    report: &'a mut dyn Report,
}

impl Trees<'_> {
    /// Does what is to be done here; of the other side it is assumed. Whether all could be done.
    fn apply(&mut self, steps: &[Vec<Step>; 2]) -> bool {
        let [here, there] = steps;
        let done = apply_to(self.local, here, self.report);
        here.iter().for_each(|step| step.imagine(&mut self.own));
        there.iter().for_each(|step| step.imagine(&mut self.other));
        done
    }

    /// Mailboxes that both have made under one name become one: the higher GUID counts.
    fn join(&mut self, wanted: &dyn Fn(&Node) -> bool) -> Result<()> {
        let others: BTreeMap<&Levels, Guid> =
            self.other.mailboxes.iter().map(|node| (&node.levels, node.guid)).collect();
        for node in self.own.mailboxes.iter_mut().filter(|node| wanted(node)) {
            let Some(&theirs) = others.get(&node.levels).filter(|theirs| **theirs != node.guid) else {
                continue;
            };
            self.joined.insert(node.levels.clone());
            if theirs < node.guid {
                continue;
            }
            adopt(self.local, &node.levels, theirs, 0)?;
            self.replaced.insert(node.levels.clone(), node.guid);
            node.guid = theirs;
        }
        Ok(())
    }

    /// Makes the mailboxes that only the other side has.
    fn create(&mut self, wanted: &dyn Fn(&Node) -> bool, validities: &HashMap<Guid, u32>) -> Result<()> {
        let own: BTreeMap<&Levels, Guid> =
            self.own.mailboxes.iter().map(|node| (&node.levels, node.guid)).collect();
        let missing: Vec<Node> = self
            .other
            .mailboxes
            .iter()
            .filter(|node| wanted(node) && !own.contains_key(&node.levels))
            .cloned()
            .collect();
        for node in missing {
            self.local.create(&node.levels, false)?;
            adopt(self.local, &node.levels, node.guid, validities.get(&node.guid).copied().unwrap_or(0))?;
            self.own.nodes.retain(|levels| *levels != node.levels);
            self.own.mailboxes.push(node);
        }
        Ok(())
    }
}

fn adopt(local: &mut Local, levels: &Levels, guid: Guid, uid_validity: u32) -> Result<()> {
    let opened = local.open(levels, &Default::default())?;
    let uid_validity = if uid_validity == 0 { opened.uid_validity } else { uid_validity };
    local.identify(&Identity {
        guid,
        uid_validity,
        uid_next: opened.uid_next,
        first_recent: opened.first_recent,
        highest_modseq: opened.highest_modseq,
    })
}

/// Tells ours, and takes over what we lack; of two values the greater one counts.
fn attributes<R: Read, W: Write>(line: &mut Line<R, W>, local: &mut Local, levels: &Levels) -> Result<()> {
    if line.minor < 1 {
        return Ok(());
    }
    let own = local.attributes(levels)?;
    export::send_attributes(line, own.as_deref().unwrap_or_default())?;
    while let Some(values) = line.next(ATTRIBUTE)? {
        let Some(theirs) = super::attribute(line, &values)?.filter(|_| !values.has("deleted")) else {
            continue;
        };
        let is_it = |one: &&Attribute| (one.shared, &one.name) == (theirs.shared, &theirs.name);
        let mine = own.as_ref().map(|own| own.iter().find(is_it));
        if mine.is_some_and(|mine| mine.is_none_or(|mine| mine.value < theirs.value)) {
            local.set_attribute(levels, &theirs, true)?;
        }
    }
    Ok(())
}

fn hear_changes<R: Read, W: Write>(
    line: &mut Line<R, W>,
    told: &Values,
    both: &Both<'_>,
) -> Result<(Told, HashMap<u32, String>)> {
    let mut heard = Told { uid_next: told.wanted("uid_next")?, ..Told::default() };
    let mut guids = HashMap::new();
    let filter = &both.choice.filter;
    while let Some(values) = line.next(CHANGE)? {
        let uid = values.wanted("uid")?;
        let text = values.text("guid").filter(|guid| !guid.is_empty());
        let guid = text.map(short_guid).unwrap_or_default();
        match values.text("type") {
            Some("s") => {
                let mut message = message(&values, uid, guid, filter)?;
                message.long_guid = text.filter(|text| text.parse::<Guid>().is_err()).map(str::to_owned);
                guids.extend(text.map(|text| (uid, text.to_owned())));
                heard.messages.push(message);
            }
            Some("f") => heard.changed.push(message(&values, uid, guid, filter)?),
            _ => heard.expunged.push((uid, guid)),
        }
    }
    heard.messages.sort_by_key(|message| message.uid);
    heard.expunged.sort_unstable();
    Ok((heard, guids))
}
