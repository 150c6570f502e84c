//! Compiled settings, as children read them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use settings::{Filter, Snapshot};

fuzz_target!(|data: &[u8]| {
    if let Ok(snapshot) = Snapshot::from_bytes(data) {
        let _ = snapshot.view(&Filter::default());
        let _ = snapshot.local_names();
        let _ = snapshot.to_bytes();
    }
});
