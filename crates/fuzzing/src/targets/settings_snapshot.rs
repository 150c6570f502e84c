//! Compiled settings, as children read them.

use settings::{Filter, Snapshot};

pub(crate) fn run(data: &[u8]) {
    if let Ok(snapshot) = Snapshot::from_bytes(data) {
        let _ = snapshot.view(&Filter::default());
        let _ = snapshot.local_names();
        let _ = snapshot.to_bytes();
    }
}
