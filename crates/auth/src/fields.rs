//! The extra fields of a request, in the order in which they were set. A passdb that fails takes
//! back what it set: [`Fields::snapshot`] before it, [`Fields::rollback`] after it.

pub(crate) use ipc::auth_worker::Field;

use crate::tab;

/// A list of fields, each key once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    list: Vec<Field>,
    kept: Vec<Field>,
}

impl Fields {
    pub(crate) fn new(list: Vec<Field>) -> Self {
        Self { kept: list.clone(), list }
    }

    /// What another process made of the list; the snapshot stays.
    pub(crate) fn replace(&mut self, list: Vec<Field>) {
        self.list = list;
    }

    pub(crate) fn list(&self) -> &[Field] {
        &self.list
    }

    /// Sets a field that the client gets to see. An empty value is none.
    pub(crate) fn add(&mut self, key: &str, value: Option<&str>) {
        self.set(key, value, false);
    }

    /// Sets a field that it does not.
    pub(crate) fn add_hidden(&mut self, key: &str, value: Option<&str>) {
        self.set(key, value, true);
    }

    fn set(&mut self, key: &str, value: Option<&str>, hidden: bool) {
        let value = value.filter(|value| !value.is_empty()).map(str::to_owned);
        match self.list.iter_mut().find(|field| field.key == key) {
            Some(field) => (field.value, field.hidden, field.changed) = (value, hidden, true),
            None => self.list.push(Field { key: key.to_owned(), value, hidden, changed: true }),
        }
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.list.retain(|field| field.key != key);
    }

    /// The value; empty for a field without one.
    pub(crate) fn find(&self, key: &str) -> Option<&str> {
        let field = self.list.iter().find(|field| field.key == key)?;
        Some(field.value.as_deref().unwrap_or_default())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.list.iter().any(|field| field.key == key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes the value away: the mere presence counts.
    pub(crate) fn make_boolean(&mut self, key: &str) {
        if let Some(field) = self.list.iter_mut().find(|field| field.key == key) {
            field.value = None;
        }
    }

    /// What is there now survives [`Fields::rollback`]; what is set from now on counts as changed.
    pub(crate) fn snapshot(&mut self) {
        for field in &mut self.list {
            field.changed = false;
        }
        self.kept.clone_from(&self.list);
    }

    pub(crate) fn rollback(&mut self) {
        self.list.clone_from(&self.kept);
    }

    /// Appends the fields that a client may see, tab-separated.
    pub(crate) fn append_visible(&self, line: &mut String) {
        self.append(line, |field| !field.hidden);
    }

    /// Appends the fields set since the last snapshot, tab-separated.
    pub(crate) fn append_changed(&self, line: &mut String) {
        self.append(line, |field| field.changed);
    }

    fn append(&self, line: &mut String, wanted: impl Fn(&Field) -> bool) {
        for (at, field) in self.list.iter().filter(|field| wanted(field)).enumerate() {
            if at > 0 {
                line.push('\t');
            }
            // Names come from databases, and `forward_` ones from other servers.
            tab::push(line, &field.key);
            if let Some(value) = &field.value {
                line.push('=');
                tab::push(line, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fields: &Fields) -> String {
        let mut line = String::new();
        fields.append_visible(&mut line);
        line
    }

    #[test]
    fn a_failed_passdb_leaves_nothing() {
        let mut fields = Fields::default();
        fields.add("a", Some("1"));
        fields.snapshot();
        fields.add("a", Some("2"));
        fields.add("b", Some(""));
        fields.add_hidden("c", Some("x"));
        assert_eq!(shown(&fields), "a=2\tb");
        fields.rollback();
        assert_eq!(shown(&fields), "a=1");
        assert!(!fields.has("c"));
    }

    #[test]
    fn names_end_no_line() {
        let mut fields = Fields::default();
        fields.add("a\nOK\t2\0", Some("x"));
        assert_eq!(shown(&fields), "a\u{1}nOK\u{1}t2\u{1}0=x");
    }
}
