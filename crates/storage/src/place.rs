//! Where a mailbox lies and under which name it is known: the same word with most layouts, a GUID and a name
//! with `LAYOUT=index`.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Guid, UidValidity};

use crate::api::{Listed, Mailbox, OpenMode, PathKind, Storage};
use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::list_index::{IsSame, ListIndex};
use crate::location::{IndexPlace, Location};
use index::list_index::Extension;

/// A mailbox.
#[derive(Clone)]
pub(crate) struct At {
    /// What its directories are named by: a name, or a GUID.
    pub place: String,
    /// As sessions know it.
    pub name: String,
    /// The name as it stands on disk.
    pub stored: String,
    /// The list that is told of it, with what it is there.
    pub list: Option<(Arc<ListIndex>, String)>,
    /// It is the user's INBOX.
    pub is_inbox: bool,
    /// With `LAYOUT=index`.
    pub by_guid: Option<ByGuid>,
}

/// What only mailboxes have that are named by their GUIDs.
#[derive(Clone)]
pub(crate) struct ByGuid {
    /// The name, which the mailbox's index keeps for when the list is lost.
    pub box_name: Vec<u8>,
    /// Whether the mailbox may get another GUID: the caller moves its directory.
    pub may_move: bool,
}

impl At {
    /// A mailbox with a place that is its name.
    pub(crate) fn named(name: &str, stored: String, list: Option<Arc<ListIndex>>, is_inbox: bool) -> Self {
        let list = list.map(|list| (list, name.to_owned()));
        Self { place: name.to_owned(), name: name.to_owned(), stored, list, is_inbox, by_guid: None }
    }

    /// The GUID that the mailbox must have.
    pub(crate) fn guid(&self) -> Option<Guid> {
        self.by_guid.as_ref().and_then(|_| self.place.parse().ok())
    }

    /// Whether its GUID must stay as it is.
    pub(crate) fn keeps_guid(&self) -> bool {
        self.by_guid.as_ref().is_some_and(|by_guid| !by_guid.may_move)
    }
}

/// Hears what shows that the mail store is as the list says.
pub(crate) type CheckProof<'a> = &'a mut dyn FnMut(Option<(Extension, IsSame<'_>)>);

/// Gives the place of a mailbox by the name that messages' metadata have, and INBOX's without one.
pub(crate) type PlaceOf = Box<dyn Fn(Option<&str>) -> Result<String> + Send + Sync>;

/// Another storage of the same driver that mailboxes of `one` can be moved to as they are: the same
/// directories stand for the same things there.
pub(crate) fn same_kind<'a, S: Located>(one: &S, other: &'a dyn Storage) -> Result<&'a S> {
    let other = (other as &dyn Any).downcast_ref::<S>();
    other.filter(|other| is_same_shape(one.at_location(), other.at_location())).ok_or_else(across)
}

/// A storage that says where it is.
pub(crate) trait Located: Storage {
    fn at_location(&self) -> &Location;
}

fn is_same_shape(one: &Location, other: &Location) -> bool {
    let kept_apart = |location: &Location| {
        let index = location.index.as_ref().map(|index| *index == IndexPlace::Memory);
        (location.alt.is_some(), location.control.is_some(), location.index_cache.is_some(), index)
    };
    let on_disk = |location: &Location| {
        let names = (location.names.utf8, location.names.broken);
        (location.layout, location.full_dir_name, location.list_from_index, names)
    };
    one.driver == other.driver
        && one.dir_name == other.dir_name
        && on_disk(one) == on_disk(other)
        && kept_apart(one) == kept_apart(other)
}

/// Refuses to move between file systems, before anything has been moved. Each pair is where something is
/// and where it is to be.
pub(crate) fn check_devices<'a>(
    fs: &Fs,
    pairs: impl IntoIterator<Item = (&'a Path, &'a Path)>,
) -> Result<()> {
    let device = |path: &Path| path.ancestors().find_map(|path| fs.stamp(path).ok()?.map(|stamp| stamp.dev));
    match pairs.into_iter().all(|(old, new)| device(old) == device(new)) {
        true => Ok(()),
        false => Err(across()),
    }
}

pub(crate) fn across() -> Error {
    Error::Unsupported("Can't rename mailboxes across specified storages.".to_owned())
}

/// What a driver's storage does with mailboxes that somebody else has named. All other names in its
/// [`Storage`] are then places.
pub(crate) trait Placed: Storage {
    /// Where it is.
    fn location(&self) -> &Location;

    /// Its files.
    fn fs(&self) -> &Fs;

    /// Opens a mailbox that is there.
    fn open_at(&self, at: &At, mode: OpenMode) -> Result<Box<dyn Mailbox>>;

    /// Makes a mailbox, or what is missing of it, and gives its UIDVALIDITY, if there is one yet.
    fn make_at(&self, at: &At) -> Result<Option<UidValidity>>;

    /// Removes a mailbox with all its mail.
    fn remove_at(&self, at: &At) -> Result<()>;

    /// Gives a mailbox's directories another name.
    fn move_at(&self, from: &str, to: &str) -> Result<()>;

    /// All places that are there.
    fn places(&self) -> Result<Vec<Listed>>;

    /// Where something lies, for a place.
    fn path_at(&self, place: &str, kind: PathKind) -> Option<PathBuf>;

    /// What the list keeps of the mail store, and whether it still is so.
    fn store_proof(&self, place: &str, check: CheckProof<'_>);

    /// Tells the driver how to find the place of a mailbox by the name that messages have.
    fn name_places(&self, place_of: PlaceOf) {
        let _ = place_of;
    }
}
