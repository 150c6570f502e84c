//! Randomness of the operating system.

/// Fills `bytes`.
///
/// # Panics
/// If the kernel has no randomness, which leaves no safe way to go on.
pub(crate) fn fill(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).expect("getrandom");
    }
}

/// A number below `limit`, nearly evenly spread; 0 for 0.
pub(crate) fn below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes).checked_rem(limit).unwrap_or(0)
}
