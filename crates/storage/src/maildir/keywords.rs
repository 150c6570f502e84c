//! `dovecot-keywords`: which letter in file names is which keyword. Read and changed under the lock of
//! the uidlist, replaced as a whole, with a modification time that always grows.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::fs::Stamp;
use crate::view::{KeywordSet, View};
use index::dotlock::Dotlock;

use super::driver::Place;
use super::filename::KEYWORDS_MAX;

/// The letters' names as the file has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Letters {
    names: Vec<Option<String>>,
    stamp: Option<Stamp>,
    changed: bool,
}

impl Letters {
    /// Reads the file if it has changed.
    pub(super) fn refresh(&mut self, place: &Place) -> Result<()> {
        let path = place.control_file("dovecot-keywords");
        place.fs.renew_mail_name(&path);
        let stamp = place.fs.stamp(&path).map_err(|error| Error::io("stat", path.clone(), error))?;
        if stamp == self.stamp && !self.changed {
            return Ok(());
        }
        let text = match stamp {
            Some(_) => place.read(&path)?.unwrap_or_default(),
            None => Vec::new(),
        };
        *self = Self { names: parse(&text), stamp, changed: false };
        Ok(())
    }

    /// The name of a letter; one that the file does not know gets a name of its own, as in 2.3.
    pub(super) fn name(&mut self, letter: usize) -> String {
        if let Some(Some(name)) = self.names.get(letter) {
            return name.clone();
        }
        let mut name = format!("unknown-{letter}");
        while self.find(&name).is_some() {
            name.push('?');
        }
        self.set(letter, name.clone());
        name
    }

    /// The letter of a keyword.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.names
            .iter()
            .position(|known| known.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name)))
    }

    /// The letter of a keyword, a free one if it has none yet; `None` when all are taken.
    pub(super) fn find_or_add(&mut self, name: &str) -> Option<usize> {
        if let Some(letter) = self.find(name) {
            return Some(letter);
        }
        let free = self.names.iter().position(Option::is_none).unwrap_or(self.names.len());
        if free >= KEYWORDS_MAX {
            return None;
        }
        self.set(free, name.to_owned());
        Some(free)
    }

    /// The letter of each of a view's keywords, where it has one.
    pub(super) fn of_view(&self, view: &View) -> Vec<Option<usize>> {
        view.keywords().iter().map(|name| self.find(name)).collect()
    }

    /// The letters of a message's keywords as bits. Those beyond the letters stand in the index only.
    pub(super) fn bits(&self, view: &View, set: &KeywordSet) -> u32 {
        let letters = view.keyword_names(set).filter_map(|name| self.find(name));
        letters.fold(0, |bits, letter| bits | 1 << letter)
    }

    /// All letters that have a name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        self.names.iter().enumerate().filter_map(|(letter, name)| Some((letter, name.as_deref()?)))
    }

    /// Writes the file if names were added. The uidlist or the index must be locked.
    pub(super) fn commit(&mut self, place: &Place) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let path = place.control_file("dovecot-keywords");
        let mut lock_path = path.clone().into_os_string();
        lock_path.push(".lock");
        // The caller's lock protects the file; a lock file that lies here is left from a crash.
        let _ = place.fs.unlink(Path::new(&lock_path));
        let settings = place.dotlock_settings();
        let lock = Dotlock::open(&place.fs, &path, &place.permissions, &settings, &place.logger)?;
        let text: String = self.iter().map(|(letter, name)| format!("{letter} {name}\n")).collect();
        lock.write(text.as_bytes()).map_err(|error| Error::io("write", lock_path.clone(), error))?;
        self.advance_mtime(&lock);
        lock.replace(&path, place.syncs())?;
        place.sync_control();
        self.stamp = place.fs.stamp(&path).ok().flatten();
        self.changed = false;
        Ok(())
    }

    /// Others read the file again only if its whole seconds differ.
    fn advance_mtime(&self, lock: &Dotlock) {
        let (Some(file), Some(old)) = (lock.file(), self.stamp) else { return };
        let old = Duration::from_nanos(u64::try_from(old.mtime_ns).unwrap_or(0)).as_secs();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if now <= old {
            // Without it others see the new keyword a little later.
            let _ = file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(old + 1));
        }
    }

    fn set(&mut self, letter: usize, name: String) {
        if self.names.len() <= letter {
            self.names.resize(letter + 1, None);
        }
        if let Some(place) = self.names.get_mut(letter) {
            *place = Some(name);
            self.changed = true;
        }
    }
}

fn parse(text: &[u8]) -> Vec<Option<String>> {
    let mut names: Vec<Option<String>> = Vec::new();
    for line in String::from_utf8_lossy(text).lines() {
        let Some((index, name)) = line.split_once(' ') else { continue };
        let Some(index) = index.parse::<usize>().ok().filter(|&index| index < KEYWORDS_MAX) else { continue };
        if name.is_empty() || names.iter().flatten().any(|known| known.eq_ignore_ascii_case(name)) {
            continue;
        }
        if names.len() <= index {
            names.resize(index + 1, None);
        }
        if let Some(place) = names.get_mut(index) {
            *place = Some(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_others_wrote() {
        let names = parse(b"0 $Forwarded\nbad\n2 work\n3 WORK\n99 x\n1 \n");
        assert_eq!(names, [Some("$Forwarded".into()), None, Some("work".into())]);
    }

    #[test]
    fn letters_run_out() {
        let mut letters = Letters::default();
        for index in 0..KEYWORDS_MAX {
            assert_eq!(letters.find_or_add(&format!("k{index}")), Some(index));
        }
        assert_eq!(letters.find_or_add("one-more"), None);
        assert_eq!(letters.find_or_add("K7"), Some(7));
    }
}
