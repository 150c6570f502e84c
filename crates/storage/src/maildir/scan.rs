//! Reads the directories of a mailbox, and moves what has arrived from new/ to cur/.

use std::io;
use std::time::SystemTime;

use rustix::fs::FileType;

use crate::error::{Error, Result};
use crate::fs::join;

use super::driver::Place;
use super::filename;
use super::state::DirSeen;

/// The message files that were found. Names lie in one buffer: there may be a million.
#[derive(Default)]
pub(crate) struct Listing {
    buffer: Vec<u8>,
    items: Vec<(usize, usize, bool)>,
    /// Base names of those that this scan moved out of new/.
    pub moved: Vec<Vec<u8>>,
    pub new: Option<DirSeen>,
    pub cur: Option<DirSeen>,
}

impl Listing {
    /// Name and whether it is in new/.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.items.iter().map(|&(start, end, new)| (self.buffer.get(start..end).unwrap_or_default(), new))
    }

    fn push(&mut self, name: &[u8], new: bool) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(name);
        self.items.push((start, self.buffer.len(), new));
    }
}

impl Place {
    /// Reads new/, and cur/ if `cur`. With `empty_new`, which needs the uidlist's lock, files are moved
    /// from new/ to cur/ first.
    pub(super) fn scan(&self, cur: bool, empty_new: bool) -> Result<Listing> {
        let mut listing = Listing::default();
        let mut move_new = empty_new;
        listing.new = Some(self.scan_dir("new", true, &mut listing, &mut move_new)?);
        if cur {
            // Read last: what was moved from new/ meanwhile, by anybody, is found here then.
            let seen = self.scan_dir("cur", false, &mut listing, &mut false)?;
            listing.cur = Some(seen);
        }
        Ok(listing)
    }

    fn scan_dir(&self, sub: &str, new: bool, listing: &mut Listing, move_new: &mut bool) -> Result<DirSeen> {
        let path = self.dir.join(sub);
        let at_ns = now_ns();
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut read = || {
            let stamp = self.fs.stamp(&path)?.ok_or(io::ErrorKind::NotFound)?;
            let moving = *move_new;
            self.fs.read_dir(&path, |name, kind| match name.first() {
                None | Some(b'.') => {}
                // Reading from a pipe would wait for ever.
                Some(_) if !may_be_message(kind) => {}
                // A name without a base name cannot be told from others, and one with a line end has no
                // place in the uidlist: they get another at once.
                Some(_) if filename::base(name).is_empty() || name.contains(&b'\n') => {
                    self.rename_broken(sub, name);
                }
                Some(_) if moving => names.push(name.to_vec()),
                Some(_) => listing.push(name, new),
            })?;
            Ok::<_, io::Error>(DirSeen { mtime_ns: stamp.mtime_ns, at_ns, own_change: false })
        };
        let seen = match read() {
            Err(error) if crate::fs::is_missing(&error) => {
                self.make_directories()?;
                read()
            }
            result => result,
        };
        let mut seen = seen.map_err(|error| Error::io("opendir", path.clone(), error))?;
        let any = !names.is_empty();
        for name in names {
            self.move_to_cur(&name, listing, move_new);
        }
        if any {
            let stamp = self.fs.stamp(&path).ok().flatten();
            seen.mtime_ns = stamp.map_or(seen.mtime_ns, |stamp| stamp.mtime_ns);
        }
        Ok(seen)
    }

    fn move_to_cur(&self, name: &[u8], listing: &mut Listing, move_new: &mut bool) {
        let mut target = name.to_vec();
        if memchr::memchr(b':', name).is_none() {
            target.extend_from_slice(b":2,");
        }
        let (from, to) = (join(&self.dir.join("new"), name), join(&self.dir.join("cur"), &target));
        let moved =
            if *move_new { self.fs.rename(&from, &to) } else { Err(io::ErrorKind::PermissionDenied.into()) };
        match moved {
            Ok(()) => {
                listing.moved.push(filename::base(name).to_vec());
                listing.push(&target, false);
            }
            // Somebody else moved it: cur/ tells.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let expected = matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied
                        | io::ErrorKind::StorageFull
                        | io::ErrorKind::QuotaExceeded
                        | io::ErrorKind::ReadOnlyFilesystem
                );
                if expected {
                    *move_new = false;
                } else {
                    let (from, to) = (from.display(), to.display());
                    self.logger.error(format_args!("rename({from}, {to}) failed: {error}"));
                }
                listing.push(name, true);
            }
        }
    }

    fn rename_broken(&self, sub: &str, name: &[u8]) {
        let from = join(&self.dir.join(sub), name);
        let fresh = filename::generate(&self.settings.hostname);
        match self.fs.rename(&from, &self.dir.join("new").join(&fresh)) {
            Ok(()) => {
                self.logger.warning(format_args!("Fixed broken filename: {} -> {fresh}", from.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let from = from.display();
                self.logger
                    .error(format_args!("Couldn't fix a broken filename: rename({from}) failed: {error}"));
            }
        }
    }
}

fn may_be_message(kind: FileType) -> bool {
    matches!(kind, FileType::RegularFile | FileType::Symlink | FileType::Unknown)
}

/// The clock in the unit of file stamps.
pub(crate) fn now_ns() -> i128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i128)
}
