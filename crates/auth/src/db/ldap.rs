//! `ldap`: asked in workers only, since the drivers block.

use std::cell::RefCell;

use base::Logger;
use db::ldap::{AttrField, AttrMap, Bound, Directory, Entry, LdapConfig, LdapFailure, escape};
use ipc::auth_worker::{PassdbResult, UserdbResult};

use crate::request::Request;
use crate::vars;

/// A `dovecot-ldap.conf.ext` and, in a worker, its directory.
pub(crate) struct Ldap {
    pub(crate) config: LdapConfig,
    directory: Option<RefCell<Directory>>,
}

/// What came of a search for one entry.
enum Found {
    One(Entry),
    Nobody,
    Failed,
}

impl Ldap {
    pub(crate) fn new(config: LdapConfig, log: Option<Logger>) -> Self {
        let directory = log.map(|log| RefCell::new(Directory::new(config.clone(), log)));
        Self { config, directory }
    }

    /// Looks the user up; the password, if the directory shows it, is verified by others.
    pub(crate) fn passdb(&self, request: &mut Request) -> PassdbResult {
        match self.find(
            request,
            ("pass search", "pass_filter"),
            &self.config.pass_filter,
            &self.config.pass_attrs,
        ) {
            Found::One(entry) => self.set_passdb_fields(request, &entry),
            Found::Nobody => {
                request.log_unknown_user();
                return PassdbResult::UserUnknown;
            }
            Found::Failed => return PassdbResult::InternalFailure,
        }
        // With auth_bind there is none, which is right for those who only ask for the fields.
        if request.stored.is_none() && !self.config.auth_bind && !request.fields.has("nopassword") {
            return request.password_missing();
        }
        PassdbResult::Ok
    }

    /// `auth_bind`: the directory verifies the password.
    pub(crate) fn bind(&self, request: &mut Request) -> PassdbResult {
        let dn = match &self.config.auth_bind_userdn {
            Some(template) => match vars::expand(template, request, escape) {
                Ok(dn) => dn,
                Err(error) => {
                    request.error(format_args!("Failed to expand auth_bind_userdn={template}: {error}"));
                    return PassdbResult::InternalFailure;
                }
            },
            None => {
                let (filter, attrs) = (&self.config.pass_filter, &self.config.pass_attrs);
                match self.find(request, ("bind search", "pass_filter"), filter, attrs) {
                    Found::One(entry) => {
                        self.set_passdb_fields(request, &entry);
                        entry.dn
                    }
                    Found::Nobody => {
                        request.log_unknown_user();
                        return PassdbResult::UserUnknown;
                    }
                    Found::Failed => return PassdbResult::InternalFailure,
                }
            }
        };
        if request.facts.skip_password_check {
            return PassdbResult::Ok;
        }
        self.bind_as(request, &dn)
    }

    fn bind_as(&self, request: &Request, dn: &str) -> PassdbResult {
        let password = request.password.as_ref().map(|password| password.expose_lossy()).unwrap_or_default();
        if password.is_empty() {
            // Such a bind succeeds, without having proved anything.
            request.info("Login attempt with empty password");
            return PassdbResult::PasswordMismatch;
        }
        let Some(directory) = self.directory(request) else { return PassdbResult::InternalFailure };
        match directory.borrow_mut().bind(dn, &password) {
            Ok(Bound::Yes) => PassdbResult::Ok,
            Ok(Bound::No) => {
                request.log_bind_mismatch();
                PassdbResult::PasswordMismatch
            }
            Ok(Bound::NoSuchObject) => {
                request.log_unknown_user();
                PassdbResult::UserUnknown
            }
            Err(error) => {
                request.error(format_args!("ldap_bind() failed: {error}"));
                PassdbResult::InternalFailure
            }
        }
    }

    pub(crate) fn userdb(&self, request: &mut Request) -> UserdbResult {
        let (filter, attrs) = (&self.config.user_filter, &self.config.user_attrs);
        match self.find(request, ("user search", "user_filter"), filter, attrs) {
            Found::One(entry) => {
                each_field(request, attrs, &entry, |request, name, values| {
                    if let Some(value) = values.first() {
                        warn_of_more(request, name, values);
                        request.set_userdb_field(name, value);
                    }
                });
                UserdbResult::Ok
            }
            Found::Nobody => {
                request.log_unknown_user();
                UserdbResult::UserUnknown
            }
            Found::Failed => UserdbResult::InternalFailure,
        }
    }

    pub(crate) fn list(&self, request: &mut Request, each: &mut dyn FnMut(&str)) -> bool {
        let (filter, attrs) = (&self.config.iterate_filter, &self.config.iterate_attrs);
        let Some((base, filter)) = self.expanded(request, "iterate_filter", filter) else { return false };
        request.debug(format_args!("ldap: iterate: {}", self.shown(&base, &filter, attrs)));
        let Some(directory) = self.directory(request) else { return false };
        let mut each_entry = |entry: Entry| {
            each_field(request, attrs, &entry, |request, name, values| match name {
                "user" => values.iter().for_each(|value| each(value)),
                _ => request.warning(format_args!("iterate: Ignoring field not named 'user': {name}")),
            });
            true
        };
        let done = directory.borrow_mut().search(&base, &filter, attrs, &mut each_entry);
        done.map_err(|error| self.log_search(request, &base, &filter, &error)).is_ok()
    }

    fn set_passdb_fields(&self, request: &mut Request, entry: &Entry) {
        each_field(request, &self.config.pass_attrs, entry, |request, name, values| match values.first() {
            Some(value) => {
                warn_of_more(request, name, values);
                request.set_field(name, value, &self.config.default_pass_scheme);
            }
            None => request.set_null_field(name),
        });
    }

    /// Searches for one entry, and for those that it points to.
    fn find(&self, request: &Request, (what, key): (&str, &str), filter: &str, attrs: &AttrMap) -> Found {
        let Some((base, filter)) = self.expanded(request, key, filter) else { return Found::Failed };
        request.debug(format_args!("{what}: {}", self.shown(&base, &filter, attrs)));
        let Some(directory) = self.directory(request) else { return Found::Failed };
        let mut directory = directory.borrow_mut();
        let mut found = Vec::new();
        let mut each = |entry| {
            found.push(entry);
            found.len() < 2
        };
        if let Err(error) = directory.search(&base, &filter, attrs, &mut each) {
            self.log_search(request, &base, &filter, &error);
            return Found::Failed;
        }
        if found.len() > 1 {
            request.error(format_args!("{key} matched multiple objects, aborting"));
            return Found::Failed;
        }
        let Some(mut entry) = found.pop() else { return Found::Nobody };
        match follow(&mut directory, attrs, &mut entry) {
            Ok(()) => Found::One(entry),
            Err((dn, error)) => {
                request.error(format_args!("ldap_search(base={dn}) failed: {error}"));
                Found::Failed
            }
        }
    }

    fn expanded(&self, request: &Request, key: &str, filter: &str) -> Option<(String, String)> {
        let expand = |key: &str, template: &str| {
            vars::expand(template, request, escape)
                .map_err(|error| request.error(format_args!("Failed to expand {key}={template}: {error}")))
                .ok()
        };
        Some((expand("base", &self.config.base)?, expand(key, filter)?))
    }

    fn shown(&self, base: &str, filter: &str, attrs: &AttrMap) -> String {
        let fields = match attrs.attributes.is_empty() {
            true => "(all)".to_owned(),
            false => attrs.attributes.join(","),
        };
        format!("base={base} scope={} filter={filter} fields={fields}", self.config.scope_name)
    }

    fn directory(&self, request: &Request) -> Option<&RefCell<Directory>> {
        if self.directory.is_none() {
            request.error("LDAP lookup failed: not in a worker");
        }
        self.directory.as_ref()
    }

    fn log_search(&self, request: &Request, base: &str, filter: &str, error: &LdapFailure) {
        request.error(format_args!("ldap_search(base={base} filter={filter}) failed: {error}"));
    }
}

/// Reads the entries that `@name=attribute` points to; their attributes become `attribute@name`.
fn follow(
    directory: &mut Directory,
    attrs: &AttrMap,
    entry: &mut Entry,
) -> Result<(), (String, LdapFailure)> {
    for field in attrs.fields.iter().filter(|field| field.is_dn) {
        let Some(dn) = values(entry, &field.attribute).first().cloned() else { continue };
        let wanted = attrs.attributes_of(&field.name);
        let read = directory.read(&dn, &wanted).map_err(|error| (dn, error))?;
        let more = read.map(|found| found.attributes).unwrap_or_default();
        let named = more.into_iter().map(|(name, values)| (format!("{name}@{}", field.name), values));
        entry.attributes.extend(named);
    }
    Ok(())
}

fn values<'e>(entry: &'e Entry, attribute: &str) -> &'e [String] {
    let found = entry.attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute));
    found.map(|(_, values)| values.as_slice()).unwrap_or_default()
}

/// Calls `set` with each field and its values. They are expanded one after the other, since a field
/// may change the user that the next one is about.
fn each_field(
    request: &mut Request,
    attrs: &AttrMap,
    entry: &Entry,
    mut set: impl FnMut(&mut Request, &str, &[String]),
) {
    for field in attrs.fields.iter().filter(|field| !field.is_dn && !field.is_skipped) {
        let own = values(entry, &field.attribute);
        let name = match field.name.contains('%') {
            true => expand(request, &field.name, entry, None),
            false => field.name.clone(),
        };
        match &field.template {
            None => set(request, &name, own),
            // The attribute is what it is all about, and there is none.
            Some(_) if own.is_empty() && !field.attribute.is_empty() => set(request, &name, &[]),
            Some(template) => {
                warn_of_more(request, &name, own);
                let value = expand(request, template, entry, Some((field, own)));
                set(request, &name, &[value]);
            }
        }
    }
}

fn expand(request: &Request, template: &str, entry: &Entry, own: Option<(&AttrField, &[String])>) -> String {
    let find = |argument: &str| {
        let (name, default) = argument.split_once(':').unwrap_or((argument, ""));
        let found = values(entry, name);
        warn_of_more(request, name, found);
        found.first().cloned().unwrap_or_else(|| default.to_owned())
    };
    let functions = |function: &str, argument: &str| match function {
        "ldap" => Some(find(argument)),
        "ldap_ptr" => {
            let target = find(argument);
            let name = argument.split(':').next().unwrap_or_default();
            let query = name.find('@').and_then(|at| name.get(at..)).unwrap_or_default();
            Some(if target.is_empty() { target } else { find(&format!("{target}{query}")) })
        }
        "ldap_dn" => Some(entry.dn.clone()),
        _ => None,
    };
    let dollar = own.map(|(_, values)| values.first().map(String::as_str).unwrap_or_default());
    let user = request.user().to_owned();
    vars::expand_more(template, request, &user, vars::plain, dollar, &functions).unwrap_or_else(|error| {
        request.warning(format_args!("Failed to expand template {template}: {error}"));
        String::new()
    })
}

fn warn_of_more(request: &Request, name: &str, values: &[String]) {
    if let [first, _, ..] = values {
        request.warning(format_args!("Multiple values found for '{name}', using value '{first}'"));
    }
}
