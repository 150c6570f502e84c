//! Checks that the compiler does not make: which crate may import which, one owner for each
//! dependency, sizes and headers of files, unfinished code, links between documents.

mod dependencies;
mod documents;
mod effects;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints every finding; fails if there is one.
pub(crate) fn main(root: &Path) -> ExitCode {
    let mut findings = Vec::new();
    dependencies::check(root, &mut findings);
    sources::check(root, &mut findings);
    documents::check(root, &mut findings);
    effects::check(root, &mut findings);
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => ExitCode::SUCCESS,
        count => {
            eprintln!("tidy: {count} to mend");
            ExitCode::FAILURE
        }
    }
}

/// All files below `directory` with this extension, sorted, build output left out.
pub(crate) fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(directory, extension, &mut found);
    found.sort();
    found
}

fn collect(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            let name = entry.file_name();
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                collect(&path, extension, found);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

/// The path as it is shown: below the workspace.
fn shown<'a>(root: &Path, path: &'a Path) -> std::path::Display<'a> {
    path.strip_prefix(root).unwrap_or(path).display()
}
