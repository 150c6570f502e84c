//! Where a mailbox lies and under which name it is known: the same word with most layouts, a GUID and a name
//! with `LAYOUT=index`.

use std::path::PathBuf;
use std::sync::Arc;

use base::{Guid, UidValidity};

use crate::api::{Listed, Mailbox, OpenMode, PathKind, Storage};
use crate::error::Result;
use crate::fs::Fs;
use crate::list_index::{IsSame, ListIndex};
use crate::location::Location;
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
