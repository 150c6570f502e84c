//! Imports between crates follow the table in ARCHITECTURE.md, and a dependency from outside has
//! one owner unless the workspace shares it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Crates that nothing installed may import, and that may import anything.
const DEVELOPMENT: &[&str] = &["harness", "bench", "fuzzing", "xtask"];

struct Manifest {
    name: String,
    imports: Vec<String>,
    takes_lints: bool,
}

pub(super) fn check(root: &Path, findings: &mut Vec<String>) {
    let allowed = match table(root) {
        Ok(allowed) => allowed,
        Err(why) => return findings.push(why),
    };
    let manifests = match manifests(root) {
        Ok(manifests) => manifests,
        Err(why) => return findings.push(why),
    };
    let ours: BTreeSet<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    let shared = shared(root);
    let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for manifest in &manifests {
        let name = manifest.name.as_str();
        if !manifest.takes_lints {
            findings.push(format!("crates/{name}/Cargo.toml: [lints] workspace = true is missing"));
        }
        for import in &manifest.imports {
            if !ours.contains(import.as_str()) {
                if !shared.contains(import) && !DEVELOPMENT.contains(&name) {
                    owners.entry(import).or_default().push(name);
                }
            } else if let Some(why) = forbidden(name, import, &allowed) {
                findings.push(why);
            }
        }
    }
    for (dependency, owners) in owners.iter().filter(|(_, owners)| owners.len() > 1) {
        let owners = owners.join(", ");
        findings.push(format!(
            "{dependency}: used by {owners}; give it one owner, or share it in [workspace.dependencies]"
        ));
    }
}

fn forbidden(name: &str, import: &str, allowed: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    if DEVELOPMENT.contains(&name) {
        return None;
    }
    let Some(allowed) = allowed.get(name) else {
        return Some(format!("crates/{name}: the table in ARCHITECTURE.md has no line for it"));
    };
    let fine = allowed.contains(import) || (import == "base" && name != "base");
    (!fine).then(|| format!("crates/{name} imports {import}, which the table in ARCHITECTURE.md forbids"))
}

/// The lines `| crate | may import |` between the markers in ARCHITECTURE.md.
fn table(root: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let text = fs::read_to_string(root.join("ARCHITECTURE.md"))
        .map_err(|error| format!("ARCHITECTURE.md: {error}"))?;
    let marked = text
        .split_once("<!-- imports -->")
        .and_then(|(_, rest)| rest.split_once("<!-- /imports -->"))
        .ok_or("ARCHITECTURE.md: no table between <!-- imports --> and <!-- /imports -->")?
        .0;
    let rows = marked.lines().filter(|line| line.starts_with('|')).skip(2);
    Ok(rows
        .filter_map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(str::trim);
            let name = cells.next()?.to_owned();
            let imports = cells.next()?.split_whitespace().filter(|word| *word != "–");
            Some((name, imports.map(str::to_owned).collect()))
        })
        .collect())
}

fn manifests(root: &Path) -> Result<Vec<Manifest>, String> {
    let mut manifests = Vec::new();
    for path in super::files(&root.join("crates"), "toml") {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let table: toml::Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
        let Some(name) =
            table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str)
        else {
            continue;
        };
        let imports = table.get("dependencies").and_then(toml::Value::as_table);
        manifests.push(Manifest {
            name: name.to_owned(),
            imports: imports.map(|imports| imports.keys().cloned().collect()).unwrap_or_default(),
            takes_lints: table.get("lints").and_then(|lints| lints.get("workspace")).is_some(),
        });
    }
    Ok(manifests)
}

/// What the workspace shares: dependencies that every crate may use in the same version.
fn shared(root: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let shared = table.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    shared.and_then(toml::Value::as_table).map(|table| table.keys().cloned().collect()).unwrap_or_default()
}
