//! `dict`: asked in workers only, since the drivers block.

use std::cell::RefCell;

use base::Logger;
use db::dict::{DictConfig, Flags, Format, Iteration, SHARED, Selection, json_fields};
use ipc::auth_worker::{PassdbResult, UserdbResult};

use crate::request::Request;
use crate::vars;

/// A `dovecot-dict-auth.conf.ext` and, in a worker, its dictionary.
pub(crate) struct Dict {
    pub(crate) config: DictConfig,
    dict: Option<RefCell<db::dict::Dict>>,
}

/// Names and values of fields. A value that is none leaves the field alone.
type Fields = Vec<(String, Option<String>)>;

/// What came of looking up all keys.
enum Found {
    /// The keys' values, in the order of the keys; `None` for those that were not needed.
    All(Vec<Option<String>>),
    Nobody,
    Failed,
}

impl Dict {
    /// With a log, that of a worker, it can be asked.
    pub(crate) fn new(config: DictConfig, log: Option<&Logger>) -> Self {
        let dict = log.map(|log| RefCell::new(db::dict::Dict::new(&config.uri, log)));
        Self { config, dict }
    }

    pub(crate) fn passdb(&self, request: &mut Request) -> PassdbResult {
        if self.config.passdb.is_empty() {
            request.error("No passdb_objects or passdb_fields specified");
            return PassdbResult::InternalFailure;
        }
        let fields = match self.fields(request, &self.config.passdb) {
            Ok(Some(fields)) => fields,
            Ok(None) => return PassdbResult::UserUnknown,
            Err(()) => return PassdbResult::InternalFailure,
        };
        for (name, value) in fields {
            if let Some(value) = value {
                request.set_field(&name, &value, &self.config.default_pass_scheme);
            }
        }
        if request.stored.is_none() && !request.fields.has("nopassword") {
            return request.password_missing();
        }
        PassdbResult::Ok
    }

    pub(crate) fn userdb(&self, request: &mut Request) -> UserdbResult {
        if self.config.userdb.is_empty() {
            request.error("No userdb_objects or userdb_fields specified");
            return UserdbResult::InternalFailure;
        }
        let fields = match self.fields(request, &self.config.userdb) {
            Ok(Some(fields)) => fields,
            Ok(None) => return UserdbResult::UserUnknown,
            Err(()) => return UserdbResult::InternalFailure,
        };
        for (name, value) in fields {
            if let Some(value) = value {
                request.set_userdb_field(&name, &value);
            }
        }
        UserdbResult::Ok
    }

    pub(crate) fn list(&self, request: &Request, each: &mut dyn FnMut(&str)) -> bool {
        let prefix = &self.config.iterate_prefix;
        if prefix.is_empty() {
            if !self.config.iterate_disable {
                request.error("iterate: iterate_prefix not set");
            }
            return self.config.iterate_disable;
        }
        let prefix = match vars::expand(prefix, request, vars::plain) {
            Ok(expanded) => format!("{SHARED}{expanded}"),
            Err(error) => {
                request.error(format_args!("Failed to expand iterate_prefix={prefix}: {error}"));
                return false;
            }
        };
        request.debug(format_args!("iterate: prefix={prefix}"));
        let Some(dict) = self.dict(request) else { return false };
        let flags = Flags { no_value: true, ..Flags::default() };
        let iteration = Iteration { user: request.user(), path: &prefix, flags, rows_max: 0 };
        let listed = dict.borrow_mut().iterate(&iteration, &mut |row| {
            each(row.key.strip_prefix(&prefix).unwrap_or(&row.key));
        });
        match listed {
            Ok(()) => true,
            Err(error) => {
                request.error(format_args!("dict_iterate({prefix}) failed: {error}"));
                false
            }
        }
    }

    /// The fields of a user; `None` if there is no such user.
    fn fields(&self, request: &mut Request, selection: &Selection) -> Result<Option<Fields>, ()> {
        let values = match self.lookup_keys(request, selection) {
            Found::All(values) => values,
            Found::Nobody => {
                request.log_unknown_user();
                return Ok(None);
            }
            Found::Failed => return Err(()),
        };
        self.combine(request, selection, &values).map(Some).map_err(|error| request.error(error))
    }

    /// Keys without a default come first: without them there is no such user.
    fn lookup_keys(&self, request: &Request, selection: &Selection) -> Found {
        let Some(dict) = self.dict(request) else { return Found::Failed };
        let keys = self.config.keys.iter().enumerate();
        let (mut wanted, optional): (Vec<_>, Vec<_>) =
            keys.filter(|(at, key)| selection.uses(*at, key)).partition(|(_, key)| key.default.is_none());
        wanted.extend(optional);
        let mut values = vec![None; self.config.keys.len()];
        for (at, key) in wanted {
            let path = match vars::expand(&key.key, request, vars::plain) {
                Ok(expanded) => format!("{SHARED}{expanded}"),
                Err(error) => {
                    request.error(format_args!("Failed to expand key {}: {error}", key.key));
                    return Found::Failed;
                }
            };
            let value = match dict.borrow_mut().lookup(request.user(), &path) {
                Ok(Some(value)) => {
                    request.debug(format_args!("Lookup: {path} = {value}"));
                    value
                }
                Ok(None) => match &key.default {
                    Some(default) => {
                        request
                            .debug(format_args!("Lookup: {path} not found, using default value {default}"));
                        default.clone()
                    }
                    None => return Found::Nobody,
                },
                Err(error) => {
                    request.error(format_args!("Failed to lookup key {path}: {error}"));
                    return Found::Failed;
                }
            };
            if let Some(place) = values.get_mut(at) {
                *place = Some(value);
            }
        }
        Found::All(values)
    }

    fn combine(
        &self,
        request: &Request,
        selection: &Selection,
        values: &[Option<String>],
    ) -> Result<Fields, String> {
        let parsed = |at: usize| values.get(at).and_then(Option::as_deref).map(json_fields);
        let of_key = |argument: &str| {
            let (name, field) = argument.split_once('.').map_or((argument, None), |(a, b)| (a, Some(b)));
            let at = self.config.keys.iter().position(|key| key.name == name)?;
            match (self.config.keys.get(at)?.format, field) {
                (Format::Value, None) => values.get(at)?.clone(),
                (Format::Json, Some(field)) => {
                    let fields = parsed(at)?.ok()?;
                    fields.into_iter().find(|(known, _)| known == field).and_then(|(_, value)| value)
                }
                _ => None,
            }
        };
        let mut fields = Fields::new();
        for (name, template) in &selection.fields {
            // A key or field that is not there is an empty text.
            let functions = |function: &str, argument: &str| {
                (function == "dict").then(|| of_key(argument).unwrap_or_default())
            };
            let value = vars::expand_more(template, request, request.user(), vars::plain, None, &functions)
                .map_err(|error| format!("Failed to expand {name}={template}: {error}"))?;
            fields.push((name.clone(), Some(value)));
        }
        for at in &selection.objects {
            fields.extend(parsed(*at).transpose()?.unwrap_or_default());
        }
        Ok(fields)
    }

    fn dict(&self, request: &Request) -> Option<&RefCell<db::dict::Dict>> {
        if self.dict.is_none() {
            request.error("dict lookup failed: not in a worker");
        }
        self.dict.as_ref()
    }
}
