//! How new/ and cur/ were when they were last read, in memory and as the index's `maildir` extension
//! keeps it for others and for later (`docs/formats/index.md`).

use index::list_index::MaildirTimes;
use index::{ExtSpec, Index, Transaction};

use crate::error::{Error, Result};

use super::driver::Place;
use super::scan::now_ns;

/// How a directory was when it was read last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DirSeen {
    pub mtime_ns: i128,
    /// The clock when it was read.
    pub at_ns: i128,
    /// We have changed it since, or while we read it.
    pub own_change: bool,
}

/// Both directories.
#[derive(Default)]
pub(crate) struct Dirs {
    pub new: DirSeen,
    pub cur: DirSeen,
    /// The extension's header as it was read or written last.
    known: Option<[u8; HEADER_SIZE]>,
}

impl Dirs {
    /// Takes over what others, or an earlier session, have left in the index.
    pub(super) fn refresh(&mut self, index: &Index) {
        let Some(header) = index.ext_header(EXT).and_then(|header| header.get(..HEADER_SIZE)) else {
            return;
        };
        if self.known.is_some_and(|known| known == header) {
            return;
        }
        self.known = header.try_into().ok();
        let word = |at: usize| {
            let bytes = header.get(at * 4..at * 4 + 4).and_then(|bytes| bytes.try_into().ok());
            i128::from(u32::from_le_bytes(bytes.unwrap_or_default()))
        };
        let seen = |check: usize| DirSeen {
            mtime_ns: word(check + 1) * SECOND + word(check + 2),
            at_ns: word(check) * SECOND,
            own_change: false,
        };
        (self.new, self.cur) = (seen(0), seen(3));
    }

    /// Puts what is known now into the index, if that differs.
    pub(super) fn write(&mut self, index: &Index, tx: &mut Transaction) {
        let mut header = [0u8; HEADER_SIZE];
        if let Some(old) = index.ext_header(EXT).and_then(|old| old.get(..HEADER_SIZE)) {
            header.copy_from_slice(old);
        }
        for (at, seen) in [(0, &self.new), (3, &self.cur)] {
            let secs = seen.mtime_ns.div_euclid(SECOND);
            // A time of checking that is not later than the change makes others look again.
            let check = (seen.at_ns.div_euclid(SECOND)).max(secs);
            let words = [check, secs, seen.mtime_ns.rem_euclid(SECOND)];
            for (word, value) in header.chunks_exact_mut(4).skip(at).zip(words) {
                word.copy_from_slice(&u32::try_from(value).unwrap_or(0).to_le_bytes());
            }
        }
        if index.ext_header(EXT).and_then(|old| old.get(..HEADER_SIZE)) != Some(&header[..]) {
            tx.ext(&ExtSpec::new(EXT, HEADER_SIZE as u32, 0, 4), 0);
            tx.ext_header(EXT, 0, &header);
        }
        self.known = Some(header);
    }

    /// The directories' times for the list index, which knows whole seconds only: zeros while a change
    /// could still come that leaves the same time. `None` if nobody has looked at them here.
    pub(super) fn list_times(&mut self, place: &Place) -> Option<MaildirTimes> {
        self.known?;
        Some(match (self.new.settled(place, "new"), self.cur.settled(place, "cur")) {
            (Some(new_mtime), Some(cur_mtime)) => MaildirTimes { new_mtime, cur_mtime },
            _ => MaildirTimes::default(),
        })
    }

    /// The next look reads both directories.
    pub(super) fn forget(&mut self) {
        (self.new, self.cur) = (DirSeen::default(), DirSeen::default());
    }

    /// Called before a change of ours in the directories: which of them, new/ and cur/, are as they
    /// were read last. In one that is not, a change of ours must not hide what others did.
    pub(super) fn before_own_change(&self, place: &Place) -> [bool; 2] {
        let known = |sub: &str, seen: &DirSeen| {
            let stamp = place.fs.stamp(&place.dir.join(sub));
            stamp.is_ok_and(|stamp| stamp.is_some_and(|stamp| stamp.mtime_ns == seen.mtime_ns))
        };
        [known("new", &self.new), known("cur", &self.cur)]
    }

    /// Called right after the change, still under the index's lock: what we did ourselves need not be
    /// read again at once.
    pub(super) fn own_change(&mut self, place: &Place, known: [bool; 2]) {
        for ((sub, seen), known) in [("new", &mut self.new), ("cur", &mut self.cur)].into_iter().zip(known) {
            if known
                && let Ok(Some(stamp)) = place.fs.stamp(&place.dir.join(sub))
                && stamp.mtime_ns != seen.mtime_ns
            {
                (seen.mtime_ns, seen.own_change) = (stamp.mtime_ns, true);
            }
        }
    }

    /// Whether a directory has another time than when it was read.
    pub(super) fn has_other_time(&self, place: &Place, sub: &str, seen: &DirSeen) -> Result<bool> {
        let path = place.dir.join(sub);
        place.fs.renew_mail_name(&path);
        let stamp = place.fs.stamp(&path).map_err(|error| Error::io("stat", path.clone(), error))?;
        let Some(stamp) = stamp else {
            place.make_directories()?;
            return Ok(true);
        };
        Ok(stamp.mtime_ns != seen.mtime_ns)
    }

    /// Whether a directory may have changed since it was read.
    pub(super) fn changed(&self, place: &Place, sub: &str, seen: &DirSeen) -> Result<bool> {
        if self.has_other_time(place, sub, seen)? {
            return Ok(true);
        }
        // After a change of our own, which may hide another, we look again only when the last look is a
        // second ago, as 2.3 does.
        Ok(if seen.own_change { now_ns() - seen.at_ns > SECOND } else { seen.is_close() })
    }
}

impl DirSeen {
    /// Whether it was read so soon after it had changed that another change could have left the same
    /// time: those within the clock's grain do.
    fn is_close(&self) -> bool {
        let is_coarse = self.mtime_ns % SECOND == 0 || self.at_ns % SECOND == 0;
        self.at_ns - self.mtime_ns < if is_coarse { 2 * SECOND } else { GRAIN }
    }

    /// The time in seconds, if every change from now on leaves another.
    fn settled(&mut self, place: &Place, sub: &str) -> Option<u32> {
        if self.own_change || self.mtime_ns == 0 || self.is_close() {
            return None;
        }
        let secs = self.mtime_ns.div_euclid(SECOND);
        let settled = (secs + 2) * SECOND;
        if self.at_ns < settled {
            let now = now_ns();
            let stamp =
                if now < settled { None } else { place.fs.stamp(&place.dir.join(sub)).ok().flatten() };
            stamp.filter(|stamp| stamp.mtime_ns == self.mtime_ns)?;
            self.at_ns = now;
        }
        u32::try_from(secs).ok()
    }
}

const EXT: &str = "maildir";
/// Nine numbers of 32 bits: when new/ was read, its modification time and the nanoseconds of it, the
/// same for cur/, and 2.3's record of the uidlist, which is left as it is.
const HEADER_SIZE: usize = 9 * 4;
const SECOND: i128 = 1_000_000_000;
/// The kernel's clock for files advances in steps of at most 10 ms.
const GRAIN: i128 = SECOND / 50;
