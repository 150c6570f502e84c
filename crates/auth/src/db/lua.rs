//! `lua`: a script of the administrator's. It runs in workers only, with limits on time and memory;
//! all it gets is the request, and nothing of the server.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use ipc::auth_worker::{PassdbResult, UserdbResult};
use mlua::{Error, Function, HookTriggers, Lua, MultiValue, Table, Value, VmState};
use sasl::scheme::{self, Params};

use crate::cache;
use crate::limits::{LUA_INSTRUCTIONS, LUA_MEMORY_BYTES_MAX, LUA_TIMEOUT};
use crate::request::Request;
use crate::{tab, vars};

const PASSDB_LOOKUP: &str = "auth_passdb_lookup";
const PASSWORD_VERIFY: &str = "auth_password_verify";
const USERDB_LOOKUP: &str = "auth_userdb_lookup";
const USERDB_ITERATE: &str = "auth_userdb_iterate";

/// `dovecot.auth.*`
const CONSTANTS: [(&str, i64); 11] = [
    ("PASSDB_RESULT_INTERNAL_FAILURE", -1),
    ("PASSDB_RESULT_SCHEME_NOT_AVAILABLE", -2),
    ("PASSDB_RESULT_USER_UNKNOWN", -3),
    ("PASSDB_RESULT_USER_DISABLED", -4),
    ("PASSDB_RESULT_PASS_EXPIRED", -5),
    ("PASSDB_RESULT_NEXT", -6),
    ("PASSDB_RESULT_PASSWORD_MISMATCH", 0),
    ("PASSDB_RESULT_OK", 1),
    ("USERDB_RESULT_INTERNAL_FAILURE", -1),
    ("USERDB_RESULT_USER_UNKNOWN", -2),
    ("USERDB_RESULT_OK", 1),
];

/// What `args` say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LuaArgs {
    pub(super) file: String,
    pub(super) scheme: String,
    pub(super) cache_key: Option<String>,
}

impl LuaArgs {
    pub(super) fn parse(kind: &str, args: &str) -> Result<Self, String> {
        let mut parsed =
            Self { file: String::new(), scheme: "PLAIN".into(), cache_key: Some(cache::key_of("%u")) };
        for word in args.split(' ').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                Some(("file", path)) => parsed.file = path.to_owned(),
                // It never holds up the auth process, whatever is said here.
                Some(("blocking", "yes" | "no")) => {}
                Some(("blocking", value)) => {
                    return Err(format!("Invalid value {value}. Field blocking must be yes or no"));
                }
                Some(("cache_key", "")) => parsed.cache_key = None,
                Some(("cache_key", key)) => parsed.cache_key = Some(cache::key_of(key)),
                Some(("scheme", name)) if kind == "passdb" => parsed.scheme = name.to_owned(),
                _ => return Err(format!("Unsupported parameter {word}")),
            }
        }
        match parsed.file.is_empty() {
            true => Err(format!("{kind}-lua: Missing mandatory file= parameter")),
            false => Ok(parsed),
        }
    }
}

/// A script that is loaded.
pub(crate) struct Script {
    lua: Lua,
    /// When the present call has to be done.
    deadline: Rc<Cell<Option<Instant>>>,
}

impl Script {
    /// Loads the script without running it, to see whether it can be.
    pub(super) fn check(path: &str, text: &str) -> Result<(), String> {
        let function = Lua::new().load(text).set_name(format!("@{path}")).into_function();
        function.map(drop).map_err(|error| format!("lua: initialization failed: {error}"))
    }

    /// Loads and runs the script, and its `script_init`.
    pub(super) fn load(path: &str, text: &str) -> Result<Self, String> {
        let script = Self { lua: Lua::new(), deadline: Rc::default() };
        script.start(path, text).map_err(|error| format!("lua: initialization failed: {error}"))?;
        Ok(script)
    }

    fn start(&self, path: &str, text: &str) -> Result<(), Error> {
        let lua = &self.lua;
        lua.set_memory_limit(LUA_MEMORY_BYTES_MAX)?;
        let deadline = self.deadline.clone();
        lua.set_hook(
            HookTriggers::new().every_nth_instruction(LUA_INSTRUCTIONS),
            move |_, _| match deadline.get().is_some_and(|deadline| Instant::now() >= deadline) {
                true => Err(Error::runtime("the script takes too long")),
                false => Ok(VmState::Continue),
            },
        )?;
        let auth = lua.create_table()?;
        for (name, value) in CONSTANTS {
            auth.set(name, value)?;
        }
        let dovecot = lua.create_table()?;
        dovecot.set("auth", auth)?;
        lua.globals().set("dovecot", dovecot)?;
        self.timed(|| {
            lua.load(text).set_name(format!("@{path}")).exec()?;
            match lua.globals().get::<Option<Function>>("script_init")? {
                Some(init) => match init.call::<i64>(())? {
                    0 => Ok(()),
                    status => Err(Error::runtime(format!("script_init() returned {status}"))),
                },
                None => Ok(()),
            }
        })
    }

    fn timed<T>(&self, act: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        self.deadline.set(Some(Instant::now() + LUA_TIMEOUT));
        let done = act();
        self.deadline.set(None);
        done
    }

    /// Whether the script verifies passwords itself.
    pub(super) fn verifies(&self) -> bool {
        self.has(PASSWORD_VERIFY)
    }

    fn has(&self, name: &str) -> bool {
        self.lua.globals().get::<Option<Function>>(name).is_ok_and(|function| function.is_some())
    }

    /// Looks the user up.
    pub(super) fn passdb(&self, request: &mut Request, default_scheme: &str) -> PassdbResult {
        let Some((code, fields)) = self.call(request, PASSDB_LOOKUP, None) else {
            return PassdbResult::InternalFailure;
        };
        let result = set_passdb_fields(request, code, &fields, default_scheme);
        if result != PassdbResult::Ok || request.fields.has("nopassword") || request.stored.is_some() {
            return result;
        }
        request.password_missing()
    }

    /// Lets the script verify the password.
    pub(super) fn verify(&self, request: &mut Request, default_scheme: &str) -> PassdbResult {
        let password = request.password.clone().unwrap_or_default();
        let Some((code, fields)) = self.call(request, PASSWORD_VERIFY, Some(password.expose())) else {
            return PassdbResult::InternalFailure;
        };
        let result = set_passdb_fields(request, code, &fields, default_scheme);
        if result == PassdbResult::PasswordMismatch {
            request.log_password_mismatch();
        }
        result
    }

    pub(super) fn userdb(&self, request: &mut Request) -> UserdbResult {
        let Some((code, fields)) = self.call(request, USERDB_LOOKUP, None) else {
            return UserdbResult::InternalFailure;
        };
        match code {
            1 => {
                fields.iter().for_each(|(name, value)| request.set_userdb_field(name, value));
                UserdbResult::Ok
            }
            -2 => {
                request.log_unknown_user();
                UserdbResult::UserUnknown
            }
            _ => UserdbResult::InternalFailure,
        }
    }

    pub(super) fn list(&self, request: &Request, each: &mut dyn FnMut(&str)) -> bool {
        if !self.has(USERDB_ITERATE) {
            request.error("db-lua: auth_userdb_iterate is not a function");
            return false;
        }
        request.debug(format_args!("Calling {USERDB_ITERATE}"));
        let names = self.timed(|| {
            let function: Function = self.lua.globals().get(USERDB_ITERATE)?;
            let table: Table = function.call(())?;
            table.sequence_values::<String>().collect::<Result<Vec<_>, _>>()
        });
        match names {
            Ok(names) => names.iter().for_each(|name| each(name)),
            Err(error) => {
                request.error(format_args!("db-lua: {USERDB_ITERATE} failed: {error}"));
                return false;
            }
        }
        true
    }

    /// Calls a function with the request; gives the code and the fields that it returns.
    fn call(
        &self,
        request: &Request,
        name: &str,
        password: Option<&[u8]>,
    ) -> Option<(i64, Vec<(String, String)>)> {
        request.debug(format_args!("Calling {name}"));
        if !self.has(name) {
            request.error(format_args!("db-lua: {name} is not a function"));
            return None;
        }
        let called = self.timed(|| {
            self.lua.scope(|scope| {
                let table = request_table(&self.lua, scope, request)?;
                let function: Function = self.lua.globals().get(name)?;
                match password {
                    Some(password) => function.call::<MultiValue>((table, self.lua.create_string(password)?)),
                    None => function.call::<MultiValue>(table),
                }
            })
        });
        let returned = called
            .map_err(|error| request.error(format_args!("db-lua: {name}(req) failed: {error}")))
            .ok()?;
        let mut values = returned.into_iter();
        let (code, more) = (values.next().unwrap_or(Value::Nil), values.next().unwrap_or(Value::Nil));
        let wrong = |expected: &str, got: &Value| {
            request.error(format_args!(
                "db-lua: {name}(req) invalid return value (expected {expected} got {})",
                got.type_name()
            ));
        };
        let Some(code) = code.as_i64() else {
            wrong("number", &code);
            return None;
        };
        match more {
            // With a failure there may be a text that says why.
            Value::String(text) if code < 0 => {
                request.info(format_args!("db-lua: {}", text.to_string_lossy()));
                Some((code, Vec::new()))
            }
            Value::String(text) => Some((code, words(&text.to_string_lossy()))),
            Value::Table(table) => Some((code, pairs(request, &table))),
            Value::Nil => Some((code, Vec::new())),
            other => {
                wrong("string or table", &other);
                None
            }
        }
    }
}

fn set_passdb_fields(
    request: &mut Request,
    code: i64,
    fields: &[(String, String)],
    default_scheme: &str,
) -> PassdbResult {
    let result = match code {
        1 => PassdbResult::Ok,
        0 => PassdbResult::PasswordMismatch,
        -2 => PassdbResult::SchemeNotAvailable,
        -3 => {
            request.log_unknown_user();
            PassdbResult::UserUnknown
        }
        -4 => PassdbResult::UserDisabled,
        -5 => PassdbResult::PassExpired,
        -6 => PassdbResult::Next,
        _ => PassdbResult::InternalFailure,
    };
    if matches!(result, PassdbResult::Ok | PassdbResult::Next) {
        for (name, value) in fields {
            request.set_field(name, value, default_scheme);
        }
    }
    result
}

fn words(text: &str) -> Vec<(String, String)> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(tab::pair).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The fields in a table, in the order of their names.
fn pairs(request: &Request, table: &Table) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for (name, value) in table.pairs::<String, Value>().flatten() {
        let value = match value {
            Value::String(text) => text.to_string_lossy(),
            Value::Boolean(yes) => if yes { "yes" } else { "no" }.to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Nil => String::new(),
            other => {
                let kind = other.type_name();
                request.warning(format_args!("db-lua: '{name}' has invalid value type {kind} - ignoring"));
                String::new()
            }
        };
        list.push((name, value));
    }
    list.sort();
    list
}

/// `req`: the variables of the request by their long names, its fields, and a few functions.
fn request_table<'s>(
    lua: &Lua,
    scope: &'s mlua::Scope<'s, '_>,
    request: &'s Request,
) -> Result<Table, Error> {
    let table = lua.create_table()?;
    let values = vars::Values::new(request, request.user(), vars::plain);
    for (_, name, value) in values.table() {
        if !name.is_empty() {
            table.set(name, value)?;
        }
    }
    table.set("skip_password_check", request.facts.skip_password_check)?;
    for (name, fields) in [("passdb", Some(&request.fields)), ("userdb", request.userdb.as_ref())] {
        let inner = lua.create_table()?;
        for field in fields.iter().flat_map(|fields| fields.list()) {
            inner.set(field.key.as_str(), field.value.as_deref().unwrap_or_default())?;
        }
        table.set(name, inner)?;
    }
    let log = |write: fn(&Request, String)| {
        scope.create_function(move |_, (_, text): (Value, String)| {
            write(request, format!("db-lua: {text}"));
            Ok(())
        })
    };
    table.set("log_debug", log(|request, text| request.debug(text))?)?;
    table.set("log_info", log(|request, text| request.info(text))?)?;
    table.set("log_warning", log(|request, text| request.warning(text))?)?;
    table.set("log_error", log(|request, text| request.error(text))?)?;
    let expand = move |template: &str| {
        vars::expand(template, request, vars::plain)
            .map_err(|error| Error::runtime(format!("var_expand({template}) failed: {error}")))
    };
    table.set("var_expand", scope.create_function(move |_, (_, text): (Value, String)| expand(&text))?)?;
    let from_template = move |lua: &Lua, (_, text): (Value, String)| {
        let fields = lua.create_table()?;
        for (name, value) in words(&text) {
            fields.set(name, expand(&value)?)?;
        }
        Ok(fields)
    };
    table.set("response_from_template", scope.create_function(from_template)?)?;
    let verify = move |_: &Lua, (_, stored, given): (Value, String, String)| {
        let user = request.facts.original_user.as_deref().unwrap_or_default();
        let params = Params { user, rounds: 0 };
        Ok(match scheme::verify_stored(given.as_bytes(), &params, "PLAIN", &stored) {
            Ok(verdict) => (i64::from(verdict), None),
            Err(error) => (-1, Some(error.to_string())),
        })
    };
    table.set("password_verify", scope.create_function(verify)?)?;
    Ok(table)
}

/// A script that is loaded when it is first needed, once for all who name it.
pub(crate) struct Scripts {
    loaded: RefCell<Vec<(String, Rc<Script>)>>,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { loaded: RefCell::default() }
    }

    pub(super) fn get(&self, path: &str, text: &str) -> Result<Rc<Script>, String> {
        let mut loaded = self.loaded.borrow_mut();
        if let Some((_, script)) = loaded.iter().find(|(known, _)| known == path) {
            return Ok(script.clone());
        }
        let script = Rc::new(Script::load(path, text)?);
        loaded.push((path.to_owned(), script.clone()));
        Ok(script)
    }
}

/// For tests: whether a script can be loaded.
#[cfg(test)]
pub(crate) fn check_script(path: &str, text: &str) -> Result<(), String> {
    Script::check(path, text)
}
