//! Makes an sdbox mailbox's index anew from the files, keeping what the old one still knows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::{Guid, Uid, UidValidity};
use index::{ExtSpec, Index, Locked, Origin, Transaction};

use crate::error::{Error, Result};
use crate::fs::{is_missing, join};
use crate::indexed::BOX_NAME;
use crate::view::{Record, View};

use super::Sdbox;
use super::attachments::attachments_in;
use crate::dbox::FileError;
use crate::dbox::file::DboxFile;
use crate::dbox::mailbox;
use crate::dbox::names;
use crate::dbox::records::{HAVE_POP3_ORDERS, HAVE_POP3_UIDLS, MailboxHeader, SDBOX_HEADER};

/// Whether there are message files.
pub(super) fn has_messages(sdbox: &Sdbox) -> Result<bool> {
    Ok(!list(sdbox, &sdbox.place.dir)?.is_empty())
}

/// The UIDs of the message files in a directory.
fn list(sdbox: &Sdbox, dir: &Path) -> Result<BTreeMap<u32, PathBuf>> {
    let mut found = BTreeMap::new();
    let read = sdbox.context().fs.read_dir(dir, |name, _| match names::number(name, b'u') {
        Some(Some(uid)) => drop(found.insert(uid, join(dir, name))),
        Some(None) if !name.ends_with(names::BROKEN_SUFFIX.as_bytes()) => {
            let (dir, name) = (dir.display(), String::from_utf8_lossy(name));
            let logger = &sdbox.context().logger;
            logger.warning(format_args!("sdbox {dir}: Ignoring invalid filename {name}"));
        }
        _ => {}
    });
    match read {
        Err(error) if is_missing(&error) => Ok(found),
        result => result.map(|()| found).map_err(|error| Error::io("opendir", dir, error)),
    }
}

/// What an index may have lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// Anything: all files are messages.
    Anything,
    /// The end of its log, if anything: of the UIDs that it has given, those that it does not know are
    /// expunged. Whoever did that died before their files were removed.
    Newest,
}

/// See the module.
pub(super) fn rebuild(sdbox: &Sdbox, index: &mut Locked<'_>, lost: Lost) -> Result<()> {
    let (dir, logger) = (sdbox.place.dir.display(), &sdbox.context().logger);
    logger.warning(format_args!("sdbox {dir}: Rebuilding index"));
    check_alt(sdbox)?;
    let mut files = list(sdbox, &sdbox.place.dir)?;
    let mut in_alt = BTreeMap::new();
    if let Some(alt) = &sdbox.place.alt {
        in_alt = list(sdbox, alt)?;
        in_alt.retain(|uid, _| !files.contains_key(uid));
        files.extend(in_alt.clone());
    }
    let backup = index.is_new().then(|| sdbox.place.backup()).flatten();
    let old = backup.as_ref().unwrap_or(index);
    let view = old.view().clone();
    let mut tx = Transaction::new();
    tx.reset();
    tx.fsync();
    let guid = set_headers(sdbox, old, &mut tx);
    // The cache of an index that is lost is lost with it.
    let kept: &[_] = if backup.is_none() { &[CACHE, SIZE] } else { &[SIZE] };
    let mut next = old.header().next_uid.max(1);
    declare(&mut tx, &view, kept);
    let first_lost = if lost == Lost::Newest { next } else { 1 };
    for (&uid, path) in &files {
        crate::progress::step();
        if uid < first_lost && Uid::new(uid).is_none_or(|uid| view.record(uid).is_none()) {
            continue;
        }
        let Some(uid) = Uid::new(uid).filter(|uid| uid.get() < u32::MAX) else { continue };
        if !is_readable(sdbox, path)? {
            logger.warning(format_args!("sdbox: Skipping unfixable file: {}", path.display()));
            continue;
        }
        adopt_attachments(sdbox, path, guid, uid);
        append(&mut tx, &view, uid, in_alt.contains_key(&uid.get()), kept);
        next = next.max(uid.get() + 1);
    }
    let recent = old.header().first_recent_uid;
    if let Some(next) = Uid::new(next) {
        tx.set_next_uid(next);
    }
    if let Some(recent) = Uid::new(recent.min(next)) {
        tx.set_first_recent_uid(recent);
    }
    Ok(index.commit(&tx, Origin::External)?)
}

/// Where the alternative place is not mounted, half of the messages would seem to be lost.
fn check_alt(sdbox: &Sdbox) -> Result<()> {
    let Some(root) = &sdbox.place.alt_root else { return Ok(()) };
    let fs = &sdbox.context().fs;
    match fs.stamp(root) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => fs.mkdir_all(root, &sdbox.place.permissions).map_err(|error| {
            let logger = &sdbox.context().logger;
            logger.error(format_args!("sdbox: Alt storage not mounted, aborting index rebuild"));
            Error::io("mkdir", root.clone(), error)
        }),
        Err(error) => Err(Error::io("stat", root.clone(), error)),
    }
}

/// Gives the mailbox's GUID.
fn set_headers(sdbox: &Sdbox, old: &Index, tx: &mut Transaction) -> Guid {
    let value = match old.header().uid_validity {
        0 => sdbox.place.next_uid_validity(),
        known => known,
    };
    tx.set_uid_validity(UidValidity::new(value).unwrap_or(UidValidity::ONE));
    let known = mailbox::read_header(old, SDBOX_HEADER);
    let lost = || MailboxHeader {
        number: 0,
        guid: sdbox.place.context.new_guid(),
        // Nobody knows: whoever wants them has to look.
        flags: HAVE_POP3_UIDLS | HAVE_POP3_ORDERS,
    };
    let mut header = known.unwrap_or_else(lost);
    header.number = header.number.wrapping_add(1).max(1);
    mailbox::write_header(tx, SDBOX_HEADER, &header);
    if let Some(uid) = mailbox::pop3_uidl(old) {
        mailbox::write_pop3_uidl(tx, uid);
    }
    if let Some(name) = old.ext_header(BOX_NAME).filter(|name| !name.is_empty()) {
        tx.ext(&ExtSpec::new(BOX_NAME, u32::try_from(name.len()).unwrap_or(0), 0, 0), 0);
        tx.ext_header(BOX_NAME, 0, name);
    }
    header.guid
}

/// Has a message's attachments follow where the mailbox got another GUID.
fn adopt_attachments(sdbox: &Sdbox, path: &Path, guid: Guid, uid: Uid) {
    let Ok(refs) = attachments_in(&sdbox.context().fs, path) else { return };
    if let Err(error) = sdbox.adopt(&refs, guid, uid) {
        // They can be read by their old names.
        sdbox.context().logger.error(base::chain(&error));
    }
}

/// Whether a file has a message, if need be after mending.
fn is_readable(sdbox: &Sdbox, path: &Path) -> Result<bool> {
    let look = || {
        let file = sdbox.context().fs.open(path).map_err(FileError::Io)?;
        let dbox = DboxFile::open(file)?;
        let message = dbox.message(0)?;
        dbox.metadata(&message).map(drop)
    };
    match look() {
        Ok(()) => Ok(true),
        Err(FileError::Io(error)) if is_missing(&error) => Ok(false),
        Err(FileError::Io(error)) => Err(Error::io("read", path, error)),
        Err(error @ FileError::Damaged { .. }) => {
            sdbox.context().logger.error(format_args!("{}: {error}", path.display()));
            Ok(sdbox.repair().mend(path)? && look().is_ok())
        }
    }
}

/// A message with what the old index knew of it.
fn append(tx: &mut Transaction, view: &View, uid: Uid, in_alt: bool, kept: &[Kept]) {
    let bits = if in_alt { Record::BACKEND } else { 0 };
    match view.record(uid) {
        Some(record) => {
            tx.append_with_bits(uid, record.flags, bits, view.keyword_names(&record.keywords));
            if record.modseq.0 != 0 {
                tx.update_modseq(uid, record.modseq);
            }
        }
        None => tx.append_with_bits(uid, crate::view::Flags::NONE, bits, []),
    }
    for &(name, size) in kept {
        let column = view.columns().named(name).filter(|column| column.size() == usize::from(size));
        if let Some(bytes) = column.and_then(|column| view.ext(uid, column.id)) {
            tx.ext_record(name, uid, bytes);
        }
    }
}

/// Makes room for what is kept of messages.
fn declare(tx: &mut Transaction, view: &View, kept: &[Kept]) {
    for &(name, size) in kept {
        let Some(column) = view.columns().named(name).filter(|column| column.size() == usize::from(size))
        else {
            continue;
        };
        tx.ext(&ExtSpec::new(name, 0, size, size), 0);
        if column.reset_id != 0 {
            tx.ext_reset(name, column.reset_id, false);
        }
    }
}

/// An extension that an index made anew has as well, and the bytes it has for each message.
type Kept = (&'static str, u16);
/// Where the cache has a message.
const CACHE: Kept = ("cache", 4);
/// Its size.
const SIZE: Kept = ("vsize", 4);
