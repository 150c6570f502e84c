//! Facts about messages, from the cheapest source: the index's cache, the driver, and where nothing
//! else will do the message itself, of which the cache then keeps what its decisions ask for.

use base::{Guid, Uid};

use crate::error::Result;
use crate::facts::{Facts, Wanted};
use crate::view::View;

use super::{Driver, Shared, content};

impl<D: Driver> Shared<D> {
    /// What is `wanted` of a message, and its header fields of `names`.
    pub(crate) fn fetch(&self, view: &View, uid: Uid, wanted: Wanted, names: &[&str]) -> Result<Facts> {
        let mut facts = Facts::default();
        let mut asked = self.cached.lookup(view, uid, wanted, names, &mut facts);
        let from_driver = wanted.0 & DRIVER_FACTS.0 & !present(&facts).0;
        if from_driver != 0 {
            self.driver.facts(self, view, uid, wanted, &mut facts)?;
        }
        let mut missing = content::missing(&facts, wanted);
        if !names.is_empty() && facts.fields.is_none() {
            missing |= Wanted::HEADER;
        }
        let mut parts = None;
        if missing != Wanted::NONE {
            let opened = self.driver.open(self, view, uid)?;
            parts = content::read(opened, missing, &mut facts)?;
            facts.fill_from_header(wanted, names);
        }
        if asked.is_wanted() {
            asked.keep(&facts, parts.as_ref());
            if self.cached.add(uid, asked) {
                self.flush_cache()?;
            }
        }
        Ok(facts)
    }

    pub(crate) fn mailbox_guid(&self) -> Result<Guid> {
        let mut work = self.work();
        let work = &mut *work;
        let mut index = work.index.lock()?;
        let guid = self.driver.mailbox_guid(&mut index, &mut work.driver);
        drop(index);
        self.publish(&work.index);
        guid
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
        // A cache that cannot be written costs time only.
        if let Err(error) = self.cached.flush(&mut work.index) {
            self.driver.context().logger.error(base::chain(&error));
        }
        self.publish(&work.index);
        Ok(())
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
