//! Facts about messages, from the cheapest source: the index's cache, the driver, and where nothing
//! else will do the message itself, of which the cache then keeps what its decisions ask for.

use base::{Guid, Uid};
use message::Parts;

use crate::error::{Error, Result};
use crate::facts::{Facts, Wanted};
use crate::view::View;

use super::cached::Asked;
use super::shared::Work;
use super::{Driver, Shared, content, lasting_size};

impl<D: Driver> Shared<D> {
    /// What is `wanted` of a message, and its header fields of `names`.
    pub(crate) fn fetch(&self, view: &View, uid: Uid, wanted: Wanted, names: &[&str]) -> Result<Facts> {
        let mut looked = self.look(view, uid, wanted, names);
        self.read(view, &mut looked, wanted, names)?;
        self.keep(looked)
    }

    /// Asks the cache.
    pub(super) fn look(&self, view: &View, uid: Uid, wanted: Wanted, names: &[&str]) -> Looked {
        let mut facts = Facts::default();
        if wanted.has(Wanted::SIZE_VIRTUAL) {
            facts.size_virtual = lasting_size::in_index(view, uid);
        }
        let in_index = facts.size_virtual.is_some();
        let asked = self.cached.lookup(view, uid, wanted, names, &mut facts);
        let from_driver = wanted.0 & DRIVER_FACTS.0 & !present(&facts).0;
        let is_enough = from_driver == 0 && unknown(&facts, wanted, names) == Wanted::NONE;
        let state = if is_enough { State::Enough } else { State::Open };
        let lasts = match wanted.has(Wanted::LASTING) || lasting_size::is_in_index(view) {
            true => Lasts::Always,
            false => Lasts::IfDecided { alone: names.is_empty() && wanted.0 & !POP3_FACTS.0 == 0 },
        };
        Looked { uid, facts, asked, parts: None, state, lasts, in_index, is_counted: false }
    }

    /// Asks the driver what the cache did not know, and reads the message for the rest.
    pub(super) fn read(
        &self,
        view: &View,
        looked: &mut Looked,
        wanted: Wanted,
        names: &[&str],
    ) -> Result<()> {
        if looked.state == State::Enough {
            return Ok(());
        }
        let facts = &mut looked.facts;
        let has_to_read = unknown(facts, Wanted(wanted.0 & !DRIVER_FACTS.0), names) != Wanted::NONE;
        let from_driver = wanted.0 & DRIVER_FACTS.0 & !present(facts).0;
        facts.was_slow = has_to_read || from_driver & self.driver.slow_facts().0 != 0;
        let too_slow = |facts: &Facts| facts.was_slow && wanted.has(Wanted::AT_HAND);
        if too_slow(facts) {
            return Err(Error::TooSlow(looked.uid));
        }
        let mut opened = None;
        if has_to_read {
            // It must be read anyway, and whoever has opened it knows more.
            let mut message = self.driver.open(self, view, looked.uid)?;
            facts.learn(std::mem::take(&mut message.facts));
            opened = Some(message);
        }
        if wanted.0 & DRIVER_FACTS.0 & !present(facts).0 != 0 {
            self.driver.facts(self, view, looked.uid, wanted, facts)?;
        }
        let missing = unknown(facts, wanted, names);
        if missing != Wanted::NONE {
            facts.was_slow = true;
            if too_slow(facts) {
                return Err(Error::TooSlow(looked.uid));
            }
            let opened = match opened {
                Some(opened) => opened,
                None => self.driver.open(self, view, looked.uid)?,
            };
            let is_sized = facts.size_virtual.is_some();
            looked.parts = content::read(opened, missing, facts)?;
            looked.is_counted = !is_sized && facts.size_virtual.is_some();
            facts.fill_from_header(wanted, names);
        }
        if let Some(parts) = &looked.parts {
            self.note_parts(view, looked.uid, parts);
        }
        // Made here, since it takes its time and here others may go on meanwhile.
        looked.asked.keep(facts, looked.parts.as_ref());
        looked.state = State::Read;
        Ok(())
    }

    /// Gives what was found, of which the cache keeps what its decisions ask for.
    pub(super) fn keep(&self, mut looked: Looked) -> Result<Facts> {
        let in_store = self.lasting(&looked).is_some_and(|size| self.driver.keep_size(looked.uid, size));
        if in_store || looked.in_index {
            looked.asked.leave_out_size();
        }
        if self.cached.add(looked.uid, looked.asked) {
            self.flush_cache()?;
        }
        Ok(looked.facts)
    }

    /// The size that the mail store is to keep, by the rules of 2.3's `maildir_get_pop3_state()`: clients
    /// of POP3, or such as want it of all messages, do without the cache then.
    fn lasting(&self, looked: &Looked) -> Option<u64> {
        let is_wanted = match looked.lasts {
            Lasts::Always => looked.state == State::Read,
            Lasts::IfDecided { alone } => looked.is_counted && self.cached.size_is_for_good(alone),
        };
        looked.facts.size_virtual.filter(|_| is_wanted)
    }

    pub(crate) fn mailbox_guid(&self) -> Result<Guid> {
        let mut work = self.work();
        let work = &mut *work;
        let guid = self.guid_of(work);
        self.publish(&work.index);
        guid
    }

    pub(super) fn guid_of(&self, work: &mut Work<D::Work>) -> Result<Guid> {
        let guard = self.guard_if(self.driver.guards_guid()?)?;
        let mut index = work.index.lock()?;
        self.driver.mailbox_guid(&mut index, &mut work.driver, guard.as_ref())
    }

    pub(crate) fn save_pop3_uidls(&self, uidls: &[(Uid, String)]) -> Result<()> {
        let mut work = self.work();
        let work = &mut *work;
        let guard = self.driver.guard()?;
        let mut index = work.index.lock()?;
        self.driver.save_pop3_uidls(&mut index, &mut work.driver, &guard, uidls)
    }

    /// Writes what was found out to the cache, and what clients want to its decisions.
    pub(crate) fn flush_cache(&self) -> Result<()> {
        if !self.cached.has_work() {
            return Ok(());
        }
        let mut work = self.work();
        // A cache that cannot be written costs time only, and of a mailbox that has gone not even that.
        if let Err(error) = self.cached.flush(&mut work.index) {
            if matches!(error, Error::NoPermission(_) | Error::Denied(_)) {
                self.cached.forget_waiting();
            }
            if self.is_in_place() && self.is_news(&error) {
                self.driver.context().logger.error(base::chain(&error));
            }
        }
        self.publish(&work.index);
        Ok(())
    }
}

/// What is being found out of a message.
pub(super) struct Looked {
    pub(super) uid: Uid,
    facts: Facts,
    asked: Asked,
    parts: Option<Parts>,
    state: State,
    lasts: Lasts,
    /// The size comes from the index.
    in_index: bool,
    /// The size had to be counted.
    is_counted: bool,
}

/// Whether the mail store is to keep the size.
#[derive(Clone, Copy)]
enum Lasts {
    /// It is.
    Always,
    /// If the cache's decisions say so; with `alone` nothing was asked that POP3 does not ask.
    IfDecided { alone: bool },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The cache knew everything.
    Enough,
    /// Something is open.
    Open,
    /// The driver and the message have been asked.
    Read,
    /// So they have, without success.
    Failed,
}

impl Looked {
    /// Whether nothing has to be read.
    pub(super) fn is_enough(&self) -> bool {
        self.state == State::Enough
    }

    /// Whether the driver cannot answer without the message itself.
    pub(super) fn needs_message(&self, wanted: Wanted, names: &[&str]) -> bool {
        let by_driver = DRIVER_FACTS.0 & !Wanted::SIZE_VIRTUAL.0;
        unknown(&self.facts, Wanted(wanted.0 & !by_driver), names) != Wanted::NONE
    }

    /// Whether something has to be read still.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Notes that it could not be read.
    pub(super) fn fail(&mut self) {
        self.state = State::Failed;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state == State::Failed
    }
}

/// What only the message itself tells.
fn unknown(facts: &Facts, wanted: Wanted, names: &[&str]) -> Wanted {
    let missing = content::missing(facts, wanted);
    match names.is_empty() || facts.fields.is_some() {
        true => missing,
        false => missing | Wanted::HEADER,
    }
}

/// What drivers may know without reading the message.
const DRIVER_FACTS: Wanted = Wanted(
    Wanted::SIZE_PHYSICAL.0
        | Wanted::SIZE_VIRTUAL.0
        | Wanted::INTERNAL_DATE.0
        | Wanted::SAVE_DATE.0
        | Wanted::GUID.0
        | Wanted::FILE_NAME.0
        | Wanted::POP3_UIDL.0
        | Wanted::POP3_ORDER.0,
);

/// What POP3 asks for, as 2.3 has it.
const POP3_FACTS: Wanted =
    Wanted(Wanted::SIZE_VIRTUAL.0 | Wanted::FILE_NAME.0 | Wanted::AT_HAND.0 | Wanted::LASTING.0);

fn present(facts: &Facts) -> Wanted {
    let mut present = Wanted::NONE;
    for (bit, known) in [
        (Wanted::SIZE_PHYSICAL, facts.size_physical.is_some()),
        (Wanted::SIZE_VIRTUAL, facts.size_virtual.is_some()),
        (Wanted::INTERNAL_DATE, facts.internal_date.is_some()),
        (Wanted::SAVE_DATE, facts.save_date.is_some()),
        (Wanted::GUID, facts.guid.is_some()),
    ] {
        if known {
            present |= bit;
        }
    }
    present
}
