//! How much work one search may take at a time, and why.

/// Threads of one process that read messages for searches, all sessions together, besides the threads
/// of the sessions themselves. There are never more than the machine has cores.
pub const SEARCH_THREADS_MAX: usize = 16;

/// Messages of one search that are open and wait to be read: enough to keep the threads busy, and a
/// small part of the descriptors that a process may have.
pub const SEARCH_OPEN_MAX: usize = 64;

/// So many messages must wait before another thread is worth its start.
pub const SEARCH_WAITING_PER_THREAD: usize = 4;

/// Stack of such a thread. Queries nest no deeper than protocols let them, and nothing else recurses.
pub const SEARCH_STACK_BYTES: usize = 1 << 20;
