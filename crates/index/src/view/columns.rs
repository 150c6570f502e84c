//! What extensions of the index (`cache`, `dbox-hdr`, `hdr-pop3-uidl` …) hold for each message: a few bytes
//! beside each record, in the same chunks.

use std::sync::Arc;

/// Names an extension. It stays the same while an [`Index`](crate::Index) is open, even where the
/// extension comes or goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExtId(pub(crate) u32);

/// An extension with bytes for each message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Which extension.
    pub id: ExtId,
    /// Its name.
    pub name: Arc<str>,
    /// If it differs from what the user of the extension expects, the bytes mean nothing to it.
    pub reset_id: u32,
    pub(crate) offset: usize,
    pub(crate) size: usize,
}

impl Column {
    /// Bytes for each message.
    pub fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn of<'a>(&self, bytes: &'a [u8], at: usize, stride: usize) -> Option<&'a [u8]> {
        let start = at.checked_mul(stride)?.checked_add(self.offset)?;
        bytes.get(start..start.checked_add(self.size)?)
    }

    pub(crate) fn of_mut<'a>(&self, bytes: &'a mut [u8], at: usize, stride: usize) -> Option<&'a mut [u8]> {
        let start = at.checked_mul(stride)?.checked_add(self.offset)?;
        bytes.get_mut(start..start.checked_add(self.size)?)
    }
}

/// The extensions of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    list: Vec<Column>,
    stride: usize,
}

impl Columns {
    /// Lays out extensions one after the other.
    pub(crate) fn new(exts: impl IntoIterator<Item = (ExtId, Arc<str>, u32, usize)>) -> Self {
        let mut columns = Self::default();
        for (id, name, reset_id, size) in exts {
            columns.list.push(Column { id, name, reset_id, offset: columns.stride, size });
            columns.stride += size;
        }
        columns
    }

    /// The extension `id`, if it is there.
    pub fn get(&self, id: ExtId) -> Option<&Column> {
        self.list.iter().find(|column| column.id == id)
    }

    /// The extension with a name, if it is there.
    pub fn named(&self, name: &str) -> Option<&Column> {
        self.list.iter().find(|column| &*column.name == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Column> + '_ {
        self.list.iter()
    }

    /// Bytes for each message, of all extensions.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Copies one message's bytes as `old` has them laid out to where they belong here.
    pub(crate) fn convert(&self, old: &Self, from: &[u8], to: &mut [u8]) {
        for column in &self.list {
            let Some(source) = old.get(column.id) else { continue };
            let size = source.size.min(column.size);
            if let (Some(from), Some(to)) = (
                from.get(source.offset..source.offset + size),
                to.get_mut(column.offset..column.offset + size),
            ) {
                to.copy_from_slice(from);
            }
        }
    }
}
