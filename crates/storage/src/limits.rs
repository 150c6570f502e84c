//! How much is taken, kept or done at once, with the reason for each number.

/// Bytes read at once from a mail file.
pub const READ_BYTES: usize = 64 * 1024;

/// Bytes of a dbox file's first line. 2.3 writes 20; other versions of the format have a few fields
/// more.
pub const DBOX_FILE_HEADER_BYTES_MAX: usize = 4096;

/// Bytes of a dbox message header. 30 are used; the rest is reserved for versions to come.
pub const DBOX_MESSAGE_HEADER_BYTES_MAX: u32 = 4096;

/// Bytes of one message's dbox metadata. Hundreds are usual; a message with thousands of attachments
/// outside has a line of some hundred kilobytes.
pub const DBOX_METADATA_BYTES_MAX: usize = 4 << 20;

/// Fewer bytes than this between two dbox messages are garbage, not a message without a header. 2.3's
/// number.
pub const DBOX_GARBAGE_BYTES_MAX: u64 = 256;

/// Bytes of an mbox message's header that are looked at for flags and UIDs and that can be rewritten.
/// A longer one is shown to clients but keeps its flags in the index only.
pub const MBOX_HEADER_BYTES_MAX: usize = 16 << 20;

/// Bytes of an mbox `From ` line that count.
pub const MBOX_FROM_BYTES_MAX: usize = 8192;

/// Plain bytes of a compressed mbox, which take room on disk as long as it is open.
pub const MBOX_PLAIN_BYTES_MAX: u64 = 4 << 30;

/// Keywords taken from one mbox header. Dovecot's index has room for more, but no client uses so many.
pub const MBOX_KEYWORDS_MAX: usize = 10_000;

/// Threads of one process that read messages for searches, all sessions together, besides the threads
/// of the sessions themselves. There are never more than the machine has cores.
pub const THREADS_MAX: usize = 16;

/// Messages of one search that are open and wait to be read: enough to keep the threads busy, and a
/// small part of the descriptors that a process may have.
pub const SEARCH_OPEN_MAX: usize = 64;

/// So many messages must wait before another thread is worth its start.
pub const SEARCH_WAITING_PER_THREAD: usize = 4;

/// Stack of such a thread. Queries nest no deeper than protocols let them, and nothing else recurses.
pub const SEARCH_STACK_BYTES: usize = 1 << 20;

/// Levels of hierarchy in `dovecot.list.index`: a name of 4096 bytes (2.3's limit) has no more.
pub const LIST_DEPTH_MAX: usize = 2048;

/// Messages that a search may find unreadable before it gives up: those that others expunge meanwhile.
pub const SEARCH_FAILED_MAX: usize = 100;

/// Bytes of a message above which nothing is put into the cache when it is saved: it would be read once more.
pub const CACHED_WHEN_SAVED_BYTES_MAX: u64 = 16 << 20;

/// What threads keep of one open mailbox: some hundred thousand subjects.
pub const MEMO_BYTES_MAX: usize = 16 << 20;

/// What is kept of all mailboxes of a process that nobody has open.
pub const MEMOS_CLOSED_BYTES_MAX: usize = 32 << 20;

/// For how long, if nobody opens one of them again.
pub const MEMOS_CLOSED_TIME: std::time::Duration = std::time::Duration::from_mins(10);

/// Messages in the threads that are kept from one question to the next.
pub const MEMO_FOREST_MAX: usize = 500_000;

/// Messages that are read ahead of the one that is asked for.
pub const AHEAD_MESSAGES_MAX: usize = 128;

/// The same where only their files are looked at, which takes less time than to start a thread.
pub const AHEAD_FACTS_MAX: usize = 2048;

/// How long a session may be kept by reading ahead; a message that was begun is read to its end.
pub const AHEAD_TIME: std::time::Duration = std::time::Duration::from_millis(20);

/// The stack of a thread that reads ahead.
pub const AHEAD_STACK_BYTES: usize = 512 * 1024;

/// Largest file of mailbox attributes that is read, in bytes. It is read whole at each look.
pub const ATTRIBUTE_FILE_BYTES_MAX: u64 = 64 << 20;

/// Directories of mailboxes that one session remembers the entries of, a few hundred bytes each: enough for
/// 10,000 mailboxes with what is above them. Beyond it all are forgotten.
pub const KNOWN_DIRS_MAX: usize = 20_000;

#[cfg(test)]
pub(crate) mod tests {
    /// Numbers that look random and are the same in every run.
    pub(crate) struct Random(u64);

    impl Random {
        pub(crate) fn new(seed: u64) -> Self {
            Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
        }

        pub(crate) fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % limit.max(1)
        }

        /// A copy with bytes changed, cut out, put in or doubled.
        pub(crate) fn damage(&mut self, whole: &[u8]) -> Vec<u8> {
            let mut bytes = whole.to_vec();
            for _ in 0..=self.below(4) {
                let at = self.below(bytes.len());
                let end = (at + self.below(40)).min(bytes.len());
                match self.below(5) {
                    0 => bytes.truncate(at),
                    1 => drop(bytes.drain(at..end)),
                    2 => drop(bytes.splice(at..at, whole[..self.below(whole.len())].to_vec())),
                    3 => bytes.insert(at, b"\n\x01\x02\x03 0NFX\r"[self.below(10)]),
                    _ => {
                        if let Some(byte) = bytes.get_mut(at) {
                            *byte = b"\n\x01\x02\x03 0NFX\xff"[self.below(10)];
                        }
                    }
                }
            }
            bytes
        }
    }
}
