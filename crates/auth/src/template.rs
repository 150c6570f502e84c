//! `key=value` words with variables: `default_fields`, `override_fields` and the arguments of the
//! `static` databases.

use crate::request::Request;
use crate::vars;

/// Fields to set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Template(Vec<(String, Option<String>)>);

impl Template {
    /// # Errors
    /// A word without a key.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let word = |word: &str| match word.split_once('=') {
            Some(("", _)) => Err(format!("Invalid template {text} - key must not be empty")),
            Some((key, value)) => Ok((key.to_owned(), Some(value.to_owned()))),
            None => Ok((word.to_owned(), None)),
        };
        text.split(' ').filter(|part| !part.is_empty()).map(word).collect::<Result<_, _>>().map(Self)
    }

    /// Takes a field out, to be treated otherwise.
    pub(crate) fn take(&mut self, key: &str) -> Option<Option<String>> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(at).1)
    }

    /// The value of a field that is the same for everybody.
    pub(crate) fn constant(&self, key: &str) -> Option<&str> {
        let value = self.0.iter().find(|(name, _)| name == key)?.1.as_deref()?;
        (!value.contains('%')).then_some(value)
    }

    /// Sets the fields of a passdb.
    ///
    /// # Errors
    /// A template that cannot be expanded.
    pub(crate) fn apply_to_passdb(&self, request: &mut Request) -> Result<(), String> {
        for (key, value) in &self.0 {
            let value = vars::expand(value.as_deref().unwrap_or_default(), request, vars::plain)?;
            request.set_field(key, &value, "PLAIN");
        }
        Ok(())
    }

    /// Sets the fields of a passdb, where `%$` is what `own` says of the field's name, and with more
    /// functions.
    ///
    /// # Errors
    /// A template that cannot be expanded.
    pub(crate) fn apply_to_passdb_with(
        &self,
        request: &mut Request,
        own: &dyn Fn(&str) -> Option<String>,
        functions: &dyn Fn(&str, &str) -> Option<String>,
    ) -> Result<(), String> {
        for (key, value) in &self.0 {
            let template = value.as_deref().unwrap_or_default();
            let dollar = own(key).unwrap_or_default();
            let user = request.user().to_owned();
            let value = vars::expand_more(template, request, &user, vars::plain, Some(&dollar), functions)
                .map_err(|error| format!("var_expand({template}) failed: {error}"))?;
            request.set_field(key, &value, "PLAIN");
        }
        Ok(())
    }

    /// Sets the fields of a userdb.
    ///
    /// # Errors
    /// A template that cannot be expanded.
    pub(crate) fn apply_to_userdb(&self, request: &mut Request) -> Result<(), String> {
        for (key, value) in &self.0 {
            let value = vars::expand(value.as_deref().unwrap_or_default(), request, vars::plain)?;
            request.set_userdb_field(key, &value);
        }
        Ok(())
    }
}
