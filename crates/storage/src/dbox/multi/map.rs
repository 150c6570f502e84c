//! mdbox's map: an index without a mailbox, whose messages are those of the `m.N` files. The UIDs in it
//! are what mailboxes' records point to.

use std::path::Path;

use base::{Logger, Uid, UidValidity};
use index::{ExtSpec, Index, Locked, Transaction};

use crate::error::Result;
use crate::fs::{Fs, Permissions};
use crate::settings::MailSettings;
use crate::view::View;

use crate::dbox::names::MAP_INDEX;
use crate::dbox::records::{MAP, MapHeader, MapRecord, REF};

/// A message of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub uid: Uid,
    pub place: MapRecord,
    /// How many records in mailboxes point to it.
    pub refcount: u16,
}

/// What the map has of a UID that is [set aside](super::reserve) instead of a place: a file that never is, in
/// which for 2.3 there is no room.
pub(crate) const RESERVED: MapRecord =
    MapRecord { file_id: u32::MAX, offset: i32::MAX as u32, size: i32::MAX as u32 };

/// Opens the map in `dir`, which need not be there yet.
pub(crate) fn open(
    dir: &Path,
    permissions: Permissions,
    settings: &MailSettings,
    fs: &Fs,
    logger: &Logger,
) -> Result<Index> {
    let place = index::Place {
        permissions,
        never_in_memory: true,
        ..index::Place::new(Some(dir.to_owned()), MAP_INDEX)
    };
    Ok(Index::open(place, settings.index_settings(), fs.clone(), logger.clone())?)
}

/// What the map's header says.
pub(crate) fn header(map: &Index) -> MapHeader {
    MapHeader::parse(map.ext_header(MAP).unwrap_or_default())
}

/// Whether nobody is, or died, in the midst of a change, and nothing had to be mended.
pub(crate) fn is_sound(map: &Index) -> bool {
    let (_, end) = map.log_position();
    !wants_rebuild(map) && u64::from(map.header().log_file_tail_offset) == end
}

/// Whether something had to be mended, or a rebuild is under way or was cut short.
pub(crate) fn wants_rebuild(map: &Index) -> bool {
    map.header().flags & index::header::FLAG_FSCKD != 0
}

/// One message, if it is there and has what it must have.
pub(crate) fn entry(view: &View, uid: Uid) -> Option<Entry> {
    let place = place(view, uid)?;
    let refs = view.columns().named(REF)?.id;
    let refcount = u16::from_le_bytes(view.ext(uid, refs)?.try_into().ok()?);
    (place.file_id != 0 && place != RESERVED).then_some(Entry { uid, place, refcount })
}

/// Whether a UID is set aside for a message to come.
pub(crate) fn is_reserved(view: &View, uid: Uid) -> bool {
    place(view, uid) == Some(RESERVED)
}

fn place(view: &View, uid: Uid) -> Option<MapRecord> {
    MapRecord::parse(view.ext(uid, view.columns().named(MAP)?.id)?)
}

/// All messages with their entries; `None` for damaged ones and for UIDs that are set aside.
pub(crate) fn entries(view: &View) -> impl Iterator<Item = (Uid, Option<Entry>)> + '_ {
    view.records().map(|record| (record.uid, entry(view, record.uid)))
}

/// Declares the extensions that a transaction is to change.
pub(crate) fn declare(tx: &mut Transaction) {
    tx.ext(&ExtSpec::new(MAP, MapHeader::BYTES as u32, MapRecord::BYTES as u16, 4), 0);
    tx.ext(&ExtSpec::new(REF, 0, 2, 2), 0);
}

/// Adds a message.
pub(crate) fn append(tx: &mut Transaction, uid: Uid, place: &MapRecord, refcount: u16) {
    tx.append(uid, crate::view::Flags::NONE, []);
    tx.ext_record(MAP, uid, &place.to_bytes());
    tx.ext_record(REF, uid, &refcount.to_le_bytes());
}

/// Gives a UID that was set aside to a message.
pub(crate) fn fill(tx: &mut Transaction, uid: Uid, place: &MapRecord) {
    tx.ext_record(MAP, uid, &place.to_bytes());
}

/// Makes a map that is new: its UIDVALIDITY tells it from others.
pub(crate) fn create(map: &mut Locked<'_>) -> Result<()> {
    let mut tx = Transaction::new();
    tx.set_uid_validity(UidValidity::new(crate::dbox::single::now()).unwrap_or(UidValidity::ONE));
    Ok(map.synced_with(&tx)?)
}
