//! `passwd-file`: users in a text file, `user:password:uid:gid:gecos:home:shell:extra fields`, kept
//! in memory and read again when the file changes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::time::{Instant, SystemTime};

use ipc::auth_worker::{PassdbResult, UserdbResult};

use crate::limits::{PASSWD_FILE_CHECK, PASSWD_FILES_MAX};
use crate::request::fields::{numeric_gid, numeric_uid};
use crate::request::{Request, Scope};
use crate::vars;

/// `scheme=… username_format=… /path`
pub(super) struct Args {
    pub(super) scheme: Option<String>,
    pub(super) username_format: String,
    pub(super) path: String,
}

impl Args {
    pub(super) fn parse(kind: &str, args: &str) -> Result<Self, String> {
        let mut parsed = Self { scheme: None, username_format: "%u".into(), path: String::new() };
        let mut rest = args;
        while !rest.is_empty() && !rest.starts_with('/') {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "" => {}
                "scheme" if kind == "passdb" => parsed.scheme = Some(value.to_owned()),
                "username_format" => parsed.username_format = value.to_owned(),
                _ => return Err(format!("{kind} passwd-file: Unknown setting: {key}")),
            }
            rest = after;
        }
        if rest.is_empty() {
            return Err(format!("{kind} passwd-file: Missing args"));
        }
        parsed.path = rest.to_owned();
        Ok(parsed)
    }
}

/// A passwd-file, or a family of them whose path has variables.
pub(crate) struct PasswdFile {
    path: String,
    has_vars: bool,
    is_userdb: Cell<bool>,
    warn_missing: Cell<bool>,
    files: RefCell<HashMap<String, Loaded>>,
    scope: Scope,
}

struct Loaded {
    checked: Instant,
    stamp: Option<(SystemTime, u64)>,
    users: HashMap<Box<str>, Entry>,
}

#[derive(Clone)]
struct Entry {
    password: Option<Box<str>>,
    uid: Id,
    gid: Id,
    home: Option<Box<str>>,
    extra: Box<[Box<str>]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Id {
    /// The line ends before it: not a user of the userdb.
    Absent,
    Empty,
    Some(u32),
}

/// What a lookup found out before the user.
enum Sync {
    Fresh,
    Missing,
    Failed,
}

impl PasswdFile {
    pub(super) fn new(path: &str, scope: Scope) -> Self {
        Self {
            path: path.to_owned(),
            has_vars: path.contains('%'),
            is_userdb: Cell::new(false),
            warn_missing: Cell::new(false),
            files: RefCell::default(),
            scope,
        }
    }

    pub(super) fn use_as_userdb(&self, is_only: bool) {
        self.is_userdb.set(true);
        self.warn_missing.set(is_only);
    }

    /// Reads the file at start, if it is just one.
    pub(super) fn load(&self) {
        if self.has_vars {
            return;
        }
        if let Err(error) = self.read(&self.path) {
            self.log_error(&self.path, &format!("open({}) failed: {}", self.path, base::reason(&error)));
        }
    }

    pub(super) fn passdb(&self, request: &mut Request, format: &str, scheme: &str) -> PassdbResult {
        let entry = match self.find(request, format) {
            Ok(Some(entry)) => entry,
            Ok(None) => return PassdbResult::UserUnknown,
            Err(()) => return PassdbResult::InternalFailure,
        };
        let password = entry.password.as_deref().unwrap_or_default();
        match sasl::scheme::split_prefix(password) {
            (Some(scheme), hash) => request.set_field("password", &format!("{{{scheme}}}{hash}"), scheme),
            (None, hash) => request.set_field("password_noscheme", hash, scheme),
        }
        for field in &entry.extra {
            match expand_field(request, field) {
                Ok((key, value)) => request.set_field(&key, &value, scheme),
                Err(()) => return PassdbResult::InternalFailure,
            }
        }
        PassdbResult::Ok
    }

    pub(super) fn userdb(&self, request: &mut Request, format: &str) -> UserdbResult {
        let entry = match self.find(request, format) {
            Ok(Some(entry)) if entry.uid != Id::Absent => entry,
            Ok(_) => return UserdbResult::UserUnknown,
            Err(()) => return UserdbResult::InternalFailure,
        };
        for (name, id) in [("uid", entry.uid), ("gid", entry.gid)] {
            if let Id::Some(id) = id {
                request.set_userdb_field(name, &id.to_string());
            }
        }
        if let Some(home) = &entry.home {
            request.set_userdb_field("home", home);
        }
        for field in entry.extra.iter().filter_map(|field| field.strip_prefix("userdb_")) {
            match expand_field(request, field) {
                Ok((key, value)) => request.set_userdb_field(&key, &value),
                Err(()) => return UserdbResult::InternalFailure,
            }
        }
        UserdbResult::Ok
    }

    pub(super) fn list(&self, request: &Request, each: &mut dyn FnMut(&str)) -> bool {
        if self.has_vars {
            request.error("passwd-file: User iteration isn't currently supported with %variable paths");
            return false;
        }
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) => {
                request.error(format_args!("open({}) failed: {}", self.path, base::reason(&error)));
                return false;
            }
        };
        for line in String::from_utf8_lossy(&text).lines() {
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default();
            // With other userdbs beside it, lines of name and password are for the passdb only.
            let is_passdb_only = fields.nth(1).is_none() && !self.warn_missing.get();
            if !name.is_empty() && !name.starts_with('#') && !is_passdb_only {
                each(name);
            }
        }
        true
    }

    /// Puts the hash `new` in the place of `old`, both with their `{SCHEME}`; gives whether it did.
    pub(super) fn replace_password(
        &self,
        request: &Request,
        format: &str,
        default_scheme: &str,
        old: &str,
        new: &str,
    ) -> Result<bool, String> {
        let path = match self.has_vars {
            false => self.path.clone(),
            true => vars::expand(&self.path, request, path_part)?,
        };
        let user = vars::expand(format, request, vars::quoted)?;
        let is_old = |password: &str| {
            let password = libpam_pwdfile(password);
            match sasl::scheme::split_prefix(&password) {
                (Some(scheme), hash) => format!("{{{scheme}}}{hash}") == old,
                (None, hash) => format!("{{{default_scheme}}}{hash}") == old,
            }
        };
        let (fs, log) = (index::fs::Fs::default(), &self.scope.log);
        credentials::passwd_file::replace_password(&fs, path.as_ref(), &user, &is_old, new, log)
            .map_err(|error| base::chain(&error).to_string())
    }

    /// The entry; `Ok(None)` for unknown users, which are logged.
    fn find(&self, request: &Request, format: &str) -> Result<Option<Entry>, ()> {
        let path = match self.has_vars {
            false => self.path.clone(),
            true => vars::expand(&self.path, request, path_part).map_err(|error| {
                request.error(format_args!("Failed to expand passwd-file path {}: {error}", self.path));
            })?,
        };
        match self.sync(request, &path) {
            Sync::Fresh => {}
            Sync::Missing => return Ok(None),
            Sync::Failed => return Err(()),
        }
        let name = vars::expand(format, request, vars::quoted).map_err(|error| {
            request.error(format_args!("Failed to expand username_format={format}: {error}"));
        })?;
        request.debug(format_args!("lookup: user={name} file={path}"));
        let files = self.files.borrow();
        let entry = files.get(&path).and_then(|file| file.users.get(name.as_str()));
        if entry.is_none() {
            request.log_unknown_user();
        }
        Ok(entry.cloned())
    }

    /// Reads the file again if it has changed.
    fn sync(&self, request: &Request, path: &str) -> Sync {
        let known = self.files.borrow().get(path).map(|file| (file.checked, file.stamp));
        if known.is_some_and(|(checked, _)| checked.elapsed() < PASSWD_FILE_CHECK) {
            return Sync::Fresh;
        }
        let result = match std::fs::metadata(path) {
            Ok(found) if known.is_some_and(|(_, stamp)| stamp == stamp_of(&found)) => {
                if let Some(file) = self.files.borrow_mut().get_mut(path) {
                    file.checked = Instant::now();
                }
                return Sync::Fresh;
            }
            Ok(_) => self.read(path).map_err(|error| ("open", error)),
            Err(error) => Err(("stat", error)),
        };
        match result {
            Ok(()) => Sync::Fresh,
            // A file for each domain, say: there need not be one for this user. The only file has to
            // be there, or losing it would let in whom it denies.
            Err((_, error)) if error.kind() == io::ErrorKind::NotFound && self.has_vars => {
                self.files.borrow_mut().remove(path);
                request.info(format_args!("missing passwd file: {path}"));
                Sync::Missing
            }
            Err((call, error)) => {
                request.error(format_args!("{call}({path}) failed: {}", base::reason(&error)));
                Sync::Failed
            }
        }
    }

    fn read(&self, path: &str) -> io::Result<()> {
        let stamp = stamp_of(&std::fs::metadata(path)?);
        let text = std::fs::read(path)?;
        let mut users = HashMap::new();
        for line in String::from_utf8_lossy(&text).lines() {
            if line.is_empty() || line.starts_with([':', '#']) {
                continue;
            }
            self.add(path, line, &mut users);
        }
        if self.scope.debug {
            let count = users.len();
            let log = self.scope.log.clone().with_debug(true);
            log.debug(format_args!("passwd-file {path}:Read {count} users in 0 secs"));
        }
        let mut files = self.files.borrow_mut();
        if files.len() >= PASSWD_FILES_MAX && !files.contains_key(path) {
            files.clear();
        }
        files.insert(path.to_owned(), Loaded { checked: Instant::now(), stamp, users });
        Ok(())
    }

    fn add(&self, path: &str, line: &str, users: &mut HashMap<Box<str>, Entry>) {
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        if users.contains_key(name) {
            return self.log_error(path, &format!("User {name} exists more than once"));
        }
        let password = fields.next().map(libpam_pwdfile);
        let mut id = |kind: &str, numeric: fn(&str) -> Option<u32>| match fields.next() {
            None => Ok(Id::Absent),
            Some(text) if text.is_empty() || !self.is_userdb.get() => Ok(Id::Empty),
            Some(text) => match numeric(text) {
                Some(id) if id != 0 && id != u32::MAX => Ok(Id::Some(id)),
                id => {
                    if id.is_none() {
                        self.scope.log.error(format_args!("Invalid {kind} value '{text}'"));
                    }
                    Err(format!("User {name} has invalid {kind} '{text}'"))
                }
            },
        };
        let (uid, gid) = match (id("UID", numeric_uid), id("GID", numeric_gid)) {
            (Err(error), _) | (_, Err(error)) => return self.log_error(path, &error),
            (Ok(_), Ok(Id::Absent)) => {
                if self.warn_missing.get() {
                    self.log_error(path, &format!("User {name} is missing userdb info"));
                }
                (Id::Absent, Id::Absent)
            }
            (Ok(uid), Ok(gid)) => (uid, gid),
        };
        let home = fields.nth(1).filter(|home| !home.is_empty()).map(Into::into);
        let extra: Vec<&str> = fields.skip(1).collect();
        let extra = match extra.split_first() {
            // The old format has an empty field here, and the mail location after it, which is for
            // userdbs only.
            Some((&"", mail))
                if self.is_userdb.get() && mail.first().is_some_and(|mail| !mail.is_empty()) =>
            {
                format!("userdb_mail={}", mail.join(":"))
            }
            Some((&"", _)) | None => String::new(),
            Some(_) => extra.join(":"),
        };
        let extra = extra.split(' ').filter(|field| !field.is_empty()).map(Into::into).collect();
        users.insert(name.into(), Entry { password, uid, gid, home, extra });
    }

    fn log_error(&self, path: &str, text: &str) {
        self.scope.log.error(format_args!("passwd-file {path}:{text}"));
    }
}

fn stamp_of(file: &std::fs::Metadata) -> Option<(SystemTime, u64)> {
    Some((file.modified().ok()?, file.len()))
}

/// `password[type]` of libpam-pwdfile: 34 is MD5, 56 Digest-MD5, others are crypt(3).
fn libpam_pwdfile(password: &str) -> Box<str> {
    let typed = password.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
    match typed {
        Some((hash, number))
            if number.len() == 2 && !hash.is_empty() && !password.starts_with(['{', '$']) =>
        {
            match number {
                "34" => format!("{{PLAIN-MD5}}{hash}").into(),
                "56" => format!("{{DIGEST-MD5}}{hash}").into(),
                _ => format!("{{CRYPT}}{hash}").into(),
            }
        }
        _ => password.into(),
    }
}

/// A variable's value as part of a path: it never leads to another directory.
fn path_part(value: &str) -> String {
    let part = value.split('/').next().unwrap_or_default();
    if part == "." || part == ".." { String::new() } else { part.to_owned() }
}

fn expand_field(request: &Request, field: &str) -> Result<(String, String), ()> {
    let (key, value) = field.split_once('=').unwrap_or((field, ""));
    match vars::expand(value, request, vars::plain) {
        Ok(value) => Ok((key.to_owned(), value)),
        Err(error) => {
            request.error(format_args!("Failed to expand extra field {field}: {error}"));
            Err(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let check = |args: &str, expect: Result<(&str, &str, &str), &str>| {
            let result = Args::parse("passdb", args)
                .map(|args| (args.scheme.unwrap_or_default(), args.username_format, args.path));
            let expect = expect.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
            assert_eq!(result, expect.map_err(str::to_owned), "{args}");
        };
        check("/etc/users", Ok(("", "%u", "/etc/users")));
        check("scheme=SHA1 username_format=%n /a b/%d", Ok(("SHA1", "%n", "/a b/%d")));
        check("colour=red /x", Err("passdb passwd-file: Unknown setting: colour"));
        check("scheme=x", Err("passdb passwd-file: Missing args"));
    }

    #[test]
    fn variables_do_not_leave_the_directory() {
        for (value, part) in [("x.org", "x.org"), ("../etc", ""), ("..", ""), ("a/b", "a")] {
            assert_eq!(path_part(value), part);
        }
    }

    #[test]
    fn types_of_libpam_pwdfile() {
        for (given, expect) in [
            ("abc[34]", "{PLAIN-MD5}abc"),
            ("abc[13]", "{CRYPT}abc"),
            ("{PLAIN}a[34]", "{PLAIN}a[34]"),
            ("abc", "abc"),
        ] {
            assert_eq!(&*libpam_pwdfile(given), expect);
        }
    }
}
