//! Keeps glibc's allocator small (elsewhere those functions do nothing), and ends a process that
//! gets no memory in a way that its parent understands.

use std::alloc::{GlobalAlloc, Layout, System};

/// 2.3's `FATAL_OUTOFMEM`, for which the master has words.
const STATUS_OUT_OF_MEMORY: i32 = 83;

/// The system's allocator, except that a process without memory exits with 2.3's status for that
/// instead of an abort, which would look like a crash.
#[derive(Debug)]
pub struct OrExit;

// SAFETY: the system's allocator does all the work; what it gives is passed on unless it is null.
unsafe impl GlobalAlloc for OrExit {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises that the trait asks for.
        there(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        there(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size_bytes: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        there(unsafe { System.realloc(block, layout, size_bytes) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

fn there(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        const TEXT: &[u8] = b"Fatal: Out of memory\n";
        // SAFETY: the text is as long as it says, and nothing of this process is used any more.
        unsafe {
            libc::write(libc::STDERR_FILENO, TEXT.as_ptr().cast(), TEXT.len());
            libc::_exit(STATUS_OUT_OF_MEMORY)
        }
    }
    block
}

/// Limits how many arenas threads spread over. One arena per core and more, glibc's default, costs
/// megabytes that idle sessions never give back.
pub fn limit_arenas(arenas_max: u16) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt only stores the number.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, i32::from(arenas_max));
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = arenas_max;
}

/// Gives freed memory back to the system.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim takes the allocator's own locks and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}
