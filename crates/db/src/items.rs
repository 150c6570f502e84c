//! What a database's own configuration file says: keys and values, of which the last of a key counts.

/// The lines of a file.
#[derive(Clone, Copy)]
pub(crate) struct Items<'a>(&'a [(String, String)]);

impl<'a> Items<'a> {
    pub(crate) fn new(lines: &'a [(String, String)]) -> Self {
        Self(lines)
    }

    /// A key that is not among the `known` ones.
    pub(crate) fn unknown(self, known: &[&[&str]]) -> Option<&'a str> {
        let is_known = |key: &str| known.iter().any(|keys| keys.contains(&key));
        self.0.iter().map(|(key, _)| key.as_str()).find(|key| !is_known(key))
    }

    /// What stands behind a key; `None` if it is not there.
    pub(crate) fn value(self, wanted: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str())
    }

    /// The same, or a default.
    pub(crate) fn text(self, key: &str, default: &str) -> String {
        self.value(key).unwrap_or(default).to_owned()
    }

    /// The same; nothing is as good as no key.
    pub(crate) fn filled(self, key: &str) -> Option<&'a str> {
        self.value(key).filter(|value| !value.is_empty())
    }

    /// Whether it says `yes`.
    pub(crate) fn is(self, key: &str) -> bool {
        self.value(key).is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }
}
