//! The base header of an index file (`docs/formats/index.md`).

/// Bytes of the base header that this version knows.
pub const HEADER_SIZE: usize = DAY_FIRST_UID + 8 * 4;
/// What a base header has at least.
pub const HEADER_SIZE_MIN: usize = 120;
/// Bytes of a message's record without extensions.
pub const RECORD_SIZE: usize = 8;
/// Bytes of it that are used: extensions may begin after them.
pub const RECORD_SIZE_MIN: usize = 5;

/// `major_version`
pub const MAJOR_VERSION: u8 = 7;
/// `minor_version`
pub const MINOR_VERSION: u8 = 3;
/// `compat_flags` of a little-endian file.
pub const COMPAT_LITTLE_ENDIAN: u8 = 0x01;

/// Header flag: somebody marked the file as damaged. Never on disk.
pub const FLAG_CORRUPTED: u32 = 0x0001;
/// Header flag: some message has [`Record::DIRTY`](crate::Record::DIRTY).
pub const FLAG_HAVE_DIRTY: u32 = 0x0002;
/// Header flag: the file was mended; the driver may want to compare it with the mail store.
pub const FLAG_FSCKD: u32 = 0x0004;

// Offsets of the fields, each from the one before.
const MAJOR: usize = 0;
const MINOR: usize = MAJOR + 1;
const BASE_HEADER_SIZE: usize = MINOR + 1;
const HEADER_SIZE_FIELD: usize = BASE_HEADER_SIZE + 2;
const RECORD_SIZE_FIELD: usize = HEADER_SIZE_FIELD + 4;
const COMPAT_FLAGS: usize = RECORD_SIZE_FIELD + 4;
const INDEX_ID: usize = COMPAT_FLAGS + 4;
/// Offset of the flags.
pub const FLAGS: usize = INDEX_ID + 4;
/// Offset of UIDVALIDITY.
pub const UID_VALIDITY: usize = FLAGS + 4;
/// Offset of UIDNEXT.
pub const NEXT_UID: usize = UID_VALIDITY + 4;
const MESSAGES_COUNT: usize = NEXT_UID + 4;
const OLD_RECENT_COUNT: usize = MESSAGES_COUNT + 4;
const SEEN_COUNT: usize = OLD_RECENT_COUNT + 4;
const DELETED_COUNT: usize = SEEN_COUNT + 4;
/// Offset of the first UID with `\Recent`.
pub const FIRST_RECENT_UID: usize = DELETED_COUNT + 4;
const FIRST_UNSEEN: usize = FIRST_RECENT_UID + 4;
const FIRST_DELETED: usize = FIRST_UNSEEN + 4;
const LOG_FILE_SEQ: usize = FIRST_DELETED + 4;
/// Offset of the log's tail position.
pub const LOG_TAIL_OFFSET: usize = LOG_FILE_SEQ + 4;
const LOG_HEAD_OFFSET: usize = LOG_TAIL_OFFSET + 4;
const OLD_SYNC_SIZE: usize = LOG_HEAD_OFFSET + 4;
/// Offset of when the log was last rotated.
pub const LOG2_ROTATE_TIME: usize = OLD_SYNC_SIZE + 4;
/// Offset of when the driver last looked for leftover files.
pub const LAST_TEMP_FILE_SCAN: usize = LOG2_ROTATE_TIME + 4;
/// Offset of the day on which messages were last added.
pub const DAY_STAMP: usize = LAST_TEMP_FILE_SCAN + 4;
/// Offset of the first UIDs of the last eight days.
pub const DAY_FIRST_UID: usize = DAY_STAMP + 4;

/// The base header. Times are in seconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// 7; other versions are not read.
    pub major_version: u8,
    /// 3 where we write it.
    pub minor_version: u8,
    /// Bytes of the base header in the file.
    pub base_header_size: u16,
    /// Bytes of base header and extension headers.
    pub header_size: u32,
    /// Bytes of each message's record with extensions.
    pub record_size: u32,
    /// Byte order.
    pub compat_flags: u8,
    /// What index, log and cache have in common.
    pub index_id: u32,
    /// [`FLAG_HAVE_DIRTY`] and its like.
    pub flags: u32,
    /// UIDVALIDITY; 0 in an index that the driver has not initialised yet.
    pub uid_validity: u32,
    /// UIDNEXT.
    pub next_uid: u32,
    /// How many messages there are.
    pub messages_count: u32,
    /// Unused, written as 0.
    pub old_recent_count: u32,
    /// How many have `\Seen`.
    pub seen_count: u32,
    /// How many have `\Deleted`.
    pub deleted_count: u32,
    /// Messages from this UID on are `\Recent`.
    pub first_recent_uid: u32,
    /// All messages below this UID have `\Seen`.
    pub first_unseen_uid: u32,
    /// No message below this UID has `\Deleted`.
    pub first_deleted_uid: u32,
    /// The log that the next two are positions in.
    pub log_file_seq: u32,
    /// Up to here requests of sessions have been carried out on the mail store.
    pub log_file_tail_offset: u32,
    /// Up to here the log is part of this file.
    pub log_file_head_offset: u32,
    /// Unused, written as 0.
    pub old_sync_size: u32,
    /// When the log was rotated; 0 if that is not known, `u32::MAX` if there is no older log.
    pub log2_rotate_time: u32,
    /// When the driver last looked for files that a crash left behind.
    pub last_temp_file_scan: u32,
    /// The beginning of the local day on which messages were last added.
    pub day_stamp: u32,
    /// The first UID of that day and of the seven before.
    pub day_first_uid: [u32; 8],
}

impl Header {
    /// That of an empty index.
    pub fn new(index_id: u32) -> Self {
        Self {
            compat_flags: COMPAT_LITTLE_ENDIAN,
            index_id,
            log_file_seq: 1,
            next_uid: 1,
            first_recent_uid: 1,
            major_version: MAJOR_VERSION,
            minor_version: MINOR_VERSION,
            base_header_size: HEADER_SIZE as u16,
            header_size: HEADER_SIZE as u32,
            record_size: RECORD_SIZE as u32,
            ..Self::parse(&[0; HEADER_SIZE])
        }
    }

    /// Reads the fields that `bytes` has; those beyond its end are 0.
    pub fn parse(bytes: &[u8]) -> Self {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let short = |at: usize| u16::from_le_bytes([byte(at), byte(at + 1)]);
        let long = |at: usize| number(bytes, at).unwrap_or(0);
        Self {
            major_version: byte(MAJOR),
            minor_version: byte(MINOR),
            base_header_size: short(BASE_HEADER_SIZE),
            header_size: long(HEADER_SIZE_FIELD),
            record_size: long(RECORD_SIZE_FIELD),
            compat_flags: byte(COMPAT_FLAGS),
            index_id: long(INDEX_ID),
            flags: long(FLAGS),
            uid_validity: long(UID_VALIDITY),
            next_uid: long(NEXT_UID),
            messages_count: long(MESSAGES_COUNT),
            old_recent_count: long(OLD_RECENT_COUNT),
            seen_count: long(SEEN_COUNT),
            deleted_count: long(DELETED_COUNT),
            first_recent_uid: long(FIRST_RECENT_UID),
            first_unseen_uid: long(FIRST_UNSEEN),
            first_deleted_uid: long(FIRST_DELETED),
            log_file_seq: long(LOG_FILE_SEQ),
            log_file_tail_offset: long(LOG_TAIL_OFFSET),
            log_file_head_offset: long(LOG_HEAD_OFFSET),
            old_sync_size: long(OLD_SYNC_SIZE),
            log2_rotate_time: long(LOG2_ROTATE_TIME),
            last_temp_file_scan: long(LAST_TEMP_FILE_SCAN),
            day_stamp: long(DAY_STAMP),
            day_first_uid: std::array::from_fn(|day| long(DAY_FIRST_UID + 4 * day)),
        }
    }

    /// The bytes in a file.
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let mut put = |at: usize, value: &[u8]| {
            if let Some(target) = bytes.get_mut(at..at + value.len()) {
                target.copy_from_slice(value);
            }
        };
        put(MAJOR, &[self.major_version, self.minor_version]);
        put(BASE_HEADER_SIZE, &self.base_header_size.to_le_bytes());
        put(COMPAT_FLAGS, &[self.compat_flags]);
        let numbers = [
            (HEADER_SIZE_FIELD, self.header_size),
            (RECORD_SIZE_FIELD, self.record_size),
            (INDEX_ID, self.index_id),
            (FLAGS, self.flags),
            (UID_VALIDITY, self.uid_validity),
            (NEXT_UID, self.next_uid),
            (MESSAGES_COUNT, self.messages_count),
            (OLD_RECENT_COUNT, self.old_recent_count),
            (SEEN_COUNT, self.seen_count),
            (DELETED_COUNT, self.deleted_count),
            (FIRST_RECENT_UID, self.first_recent_uid),
            (FIRST_UNSEEN, self.first_unseen_uid),
            (FIRST_DELETED, self.first_deleted_uid),
            (LOG_FILE_SEQ, self.log_file_seq),
            (LOG_TAIL_OFFSET, self.log_file_tail_offset),
            (LOG_HEAD_OFFSET, self.log_file_head_offset),
            (OLD_SYNC_SIZE, self.old_sync_size),
            (LOG2_ROTATE_TIME, self.log2_rotate_time),
            (LAST_TEMP_FILE_SCAN, self.last_temp_file_scan),
            (DAY_STAMP, self.day_stamp),
        ];
        numbers.into_iter().for_each(|(at, value)| put(at, &value.to_le_bytes()));
        for (day, value) in self.day_first_uid.iter().enumerate() {
            put(DAY_FIRST_UID + 4 * day, &value.to_le_bytes());
        }
        bytes
    }
}

/// The little-endian number of 32 bits at `at`.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The little-endian number of 16 bits at `at`.
pub(crate) fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// The little-endian number of 64 bits at `at`.
pub(crate) fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_place() {
        let mut bytes: [u8; HEADER_SIZE] = std::array::from_fn(|at| at as u8);
        // Three bytes after compat_flags are unused.
        bytes[13..16].fill(0);
        assert_eq!(Header::parse(&bytes).encode(), bytes);
        assert_eq!((HEADER_SIZE, LOG_TAIL_OFFSET, DAY_STAMP), (120, 64, 84));
    }
}
