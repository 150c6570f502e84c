//! Files say what they are, keep below the walls of size, and are finished.

use std::fs;
use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
/// Tables are as long as what they list.
const TABLES: &[&str] = &["crates/settings/src/decl/"];
/// Spelled in two halves, so that this file does not find itself.
const UNFINISHED: &[&str] = &[concat!("todo", "!("), concat!("unimpl", "emented!("), concat!("FIX", "ME")];

pub(super) fn check(root: &Path, findings: &mut Vec<String>) {
    let (crates, fuzz) = (super::files(&root.join("crates"), "rs"), super::files(&root.join("fuzz"), "rs"));
    for path in crates.into_iter().chain(fuzz) {
        let shown = super::shown(root, &path).to_string();
        match fs::read_to_string(&path) {
            Ok(text) => File { shown: &shown, text: &text }.check(findings),
            Err(error) => findings.push(format!("{shown}: {error}")),
        }
    }
}

struct File<'a> {
    shown: &'a str,
    text: &'a str,
}

impl File<'_> {
    fn check(&self, findings: &mut Vec<String>) {
        let shown = self.shown;
        if !self.text.starts_with("//!") && !self.is_test() {
            findings.push(format!("{shown}:1: no //! that says what the file is"));
        }
        let lines = self.text.lines().count();
        if lines > FILE_LINES_MAX && !TABLES.iter().any(|table| shown.starts_with(table)) {
            findings.push(format!("{shown}: {lines} lines; {FILE_LINES_MAX} is the wall"));
        }
        for (number, line) in (1..).zip(self.text.lines()) {
            if let Some(word) = UNFINISHED.iter().find(|word| line.contains(**word)) {
                findings.push(format!("{shown}:{number}: {word} stands for unfinished work"));
            }
        }
        match syn::parse_file(self.text) {
            Ok(file) => Functions { file: self, findings }.visit_file(&file),
            Err(error) => findings.push(format!("{shown}: {error}")),
        }
    }

    fn is_test(&self) -> bool {
        self.shown.contains("/tests/") || self.shown.ends_with("/tests.rs")
    }
}

struct Functions<'a> {
    file: &'a File<'a>,
    findings: &'a mut Vec<String>,
}

impl Functions<'_> {
    fn function(&mut self, name: &syn::Ident, block: &syn::Block) {
        let first = name.span().start().line;
        let last = block.span().end().line;
        let lines = last.saturating_sub(first) + 1;
        if lines > FUNCTION_LINES_MAX && !self.file.is_test() {
            let shown = self.file.shown;
            self.findings
                .push(format!("{shown}:{first}: {name} has {lines} lines; {FUNCTION_LINES_MAX} is the wall"));
        }
    }

    fn attributes(&mut self, attributes: &[syn::Attribute]) {
        for attribute in attributes {
            let line = attribute.span().start().line;
            let shown = self.file.shown;
            if attribute.path().is_ident("ignore") {
                self.findings.push(format!("{shown}:{line}: a test that does not run"));
            }
            let lint = matches!(&attribute.meta, syn::Meta::List(list)
                if !list.path.is_ident("deny") && list.tokens.to_string().contains("unsafe_code"));
            if lint && !shown.starts_with("crates/sys/") {
                self.findings.push(format!("{shown}:{line}: unsafe code lives in crates/sys only"));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_file(&mut self, file: &'ast syn::File) {
        self.attributes(&file.attrs);
        visit::visit_file(self, file);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.attributes(&item.attrs);
        self.function(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.attributes(&item.attrs);
        self.function(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.attributes(&item.attrs);
        visit::visit_item_mod(self, item);
    }
}
