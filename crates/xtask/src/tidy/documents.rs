//! Links between documents lead somewhere.

use std::fs;
use std::path::Path;

pub(super) fn check(root: &Path, findings: &mut Vec<String>) {
    for path in super::files(root, "md") {
        let shown = super::shown(root, &path).to_string();
        let Ok(text) = fs::read_to_string(&path) else {
            findings.push(format!("{shown}: not readable as UTF-8"));
            continue;
        };
        let folder = path.parent().unwrap_or(root);
        for (number, line) in (1..).zip(text.lines()) {
            for target in links(line) {
                let file = target.split('#').next().unwrap_or_default();
                if !file.is_empty() && !file.contains("://") && !folder.join(file).exists() {
                    findings.push(format!("{shown}:{number}: the link to {file} leads nowhere"));
                }
            }
        }
    }
}

/// The targets of `[text](target)` in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}
