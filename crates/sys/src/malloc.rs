//! Keeps glibc's allocator small. Elsewhere these functions do nothing.

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
