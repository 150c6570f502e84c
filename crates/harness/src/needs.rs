//! What a test needs beyond Rust, and waiting with a bound.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long anything may take before a test calls it hung.
pub const HUNG: Duration = Duration::from_secs(60);

/// Whether all `programs` are installed. If not, says so and returns false, so that the test can
/// leave; under `REQUIRE=all` a missing one is a failure.
pub fn needs(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var("REQUIRE").as_deref() != Ok("all"), "REQUIRE=all, but not installed: {missing:?}");
    eprintln!("left out: not installed: {missing:?}");
    false
}

/// Where `program` is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// Waits until `condition` gives something. Panics with `what` when it hangs.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(began.elapsed() < HUNG, "hung: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
