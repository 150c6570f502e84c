//! A namespace: a prefix and separator over a storage (RFC 2342).

use std::sync::Arc;

use storage::Storage;

use crate::input::{NamespaceSettings, NamespaceType};

/// One namespace of a user.
#[derive(Clone)]
pub struct Namespace {
    pub(crate) settings: Arc<NamespaceSettings>,
    pub(crate) separator: char,
    pub(crate) storage: Arc<dyn Storage>,
}

impl Namespace {
    /// The block it comes from.
    pub fn settings(&self) -> &NamespaceSettings {
        &self.settings
    }

    /// Its prefix with the separator at the end, or empty.
    pub fn prefix(&self) -> &str {
        &self.settings.prefix
    }

    /// Its separator.
    pub fn separator(&self) -> char {
        self.separator
    }

    /// Its type.
    pub fn kind(&self) -> NamespaceType {
        self.settings.kind
    }

    /// What is below it.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }
}
