//! UIDVALIDITY and UIDNEXT out of files that are otherwise of no use: without them every client would
//! have to fetch everything again.

use super::Index;
use crate::error::Result;
use crate::header::{HEADER_SIZE, HEADER_SIZE_MIN, Header, NEXT_UID, UID_VALIDITY, number};
use crate::limits::LOG_SIZE_MAX;
use crate::log::header::{LOG_HEADER_SIZE_MIN, LOG_MAJOR_VERSION};
use crate::log::record::{Next, RawRecord};
use crate::log::{Kind, LogHeader};
use crate::transaction::{Origin, Transaction};

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rescued {
    uid_validity: u32,
    next_uid: u32,
}

impl Rescued {
    /// From an index file that cannot be used.
    pub(super) fn from_index(bytes: &[u8]) -> Self {
        let header = Header::parse(bytes);
        let plausible = bytes.len() >= HEADER_SIZE_MIN
            && header.major_version == crate::header::MAJOR_VERSION
            && header.messages_count < header.next_uid;
        match plausible {
            true => Self { uid_validity: header.uid_validity, next_uid: header.next_uid },
            false => Self::default(),
        }
    }

    /// From a log, as far as its records can be told apart.
    fn from_log(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        let header = LogHeader::parse(bytes);
        if header.major_version != LOG_MAJOR_VERSION || usize::from(header.hdr_size) < LOG_HEADER_SIZE_MIN {
            return found;
        }
        let mut offset = u64::from(header.hdr_size);
        while let Next::Record(record) = RawRecord::at(bytes, 0, offset) {
            found.read(&record);
            offset = record.end();
        }
        found
    }

    fn read(&mut self, record: &RawRecord<'_>) {
        if record.check().is_err() {
            return;
        }
        match record.what() {
            Some(Kind::HeaderUpdate) => {
                for (offset, bytes) in record.header_updates().flatten() {
                    let field = |at: usize| number(bytes, at.checked_sub(offset as usize)?);
                    self.uid_validity = field(UID_VALIDITY).unwrap_or(self.uid_validity);
                    self.next_uid = field(NEXT_UID).unwrap_or(0).max(self.next_uid);
                }
            }
            Some(Kind::Append) => {
                let last = record.appends().map(|(uid, _)| uid).max().unwrap_or(0);
                self.next_uid = last.saturating_add(1).max(self.next_uid);
            }
            _ => {}
        }
    }

    /// Whether it has another UIDVALIDITY than this one.
    pub(super) fn contradicts(self, uid_validity: u32) -> bool {
        self.uid_validity != 0 && self.uid_validity != uid_validity
    }

    pub(super) fn or(self, other: Self) -> Self {
        match self.uid_validity {
            0 => Self { next_uid: self.next_uid.max(other.next_uid), ..other },
            _ => self,
        }
    }
}

impl Index {
    /// Looks into the logs, although they cannot be used or do not begin with an empty index.
    pub(super) fn rescue_from_logs(&mut self) {
        for suffix in [".log.2", ".log"] {
            let path = self.beside(suffix);
            let Ok(file) = self.fs.open(&path) else { continue };
            let size = self.fs.stamp_of_file(Some(&file)).map_or(0, |stamp| stamp.size);
            let mut bytes = vec![0; usize::try_from(size.min(LOG_SIZE_MAX)).unwrap_or(0)];
            let read = self.fs.read_at(&file, &mut bytes, 0).unwrap_or(0);
            bytes.truncate(read);
            self.rescued = Rescued::from_log(&bytes).or(self.rescued);
        }
    }

    /// From the copy of the index file that some drivers keep.
    pub(super) fn rescue_from_backup(&self) -> Rescued {
        let mut bytes = [0; HEADER_SIZE];
        let read =
            self.fs.open(&self.beside(".backup")).and_then(|file| self.fs.read_at(&file, &mut bytes, 0));
        Rescued::from_index(bytes.get(..read.unwrap_or(0)).unwrap_or_default())
    }

    /// Uses what was found where the index knows nothing better.
    pub(super) fn use_rescued(&mut self) {
        let Rescued { uid_validity, next_uid } = self.rescued;
        if uid_validity != 0 && self.map.header.uid_validity == 0 {
            self.map.header.uid_validity = uid_validity;
            self.map.header.next_uid = self.map.header.next_uid.max(next_uid);
        }
    }

    /// Writes it into the log, which is locked, so that others know, too.
    pub(super) fn keep_rescued(&mut self) -> Result<()> {
        let Rescued { uid_validity, next_uid } = std::mem::take(&mut self.rescued);
        let header = &self.map.header;
        if uid_validity == 0 || (header.uid_validity != 0 && header.uid_validity != uid_validity) {
            return Ok(());
        }
        let mut transaction = Transaction::new();
        transaction.set_header(UID_VALIDITY, &uid_validity.to_le_bytes(), true);
        if next_uid >= header.next_uid {
            transaction.set_header(NEXT_UID, &next_uid.to_le_bytes(), false);
        }
        self.write_transaction(&transaction, Origin::External)
    }
}
