//! Configuration files, and the smaller ones of the same kind; variables.

use std::path::Path;

use settings::vars::{Expander, VarError};
use settings::{Config, Filter, MemoryFiles, ext};

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse_text(text) {
        Ok(config) => {
            let _ = config.check();
            let _ = config.errors(&Filter::default());
            let _ = config.merged(&Filter::default());
            if let Ok(snapshot) = config.snapshot() {
                let _ = snapshot.to_bytes();
            }
        }
        Err(diagnostic) => drop(diagnostic.explain()),
    }
    let files = MemoryFiles::one("/etc/file", data);
    let _ = ext::parse(&files, Path::new("/etc/file"), &|_, _| Ok(()));
    let _ = ext::parse_sections(&files, Path::new("/etc/file"));
    let _: (String, Option<VarError>) = Expander::of(&[]).expand_all(text);
}
