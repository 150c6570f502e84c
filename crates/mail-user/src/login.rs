//! From what a login process and auth say of a user to that user's mailboxes: the settings with the
//! userdb's fields over them, the `%` variables, the home. All mail processes begin here.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base::Logger;
use settings::vars::{Expander, Variable};
use settings::{Settings, key};
use storage::{Error, Result};

use crate::input::{MailUserInput, UserSettings};
use crate::user::MailUser;

/// Who has logged in.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// `imap`, `pop3`, …
    pub service: String,
    /// The user name.
    pub username: String,
    /// The userdb's fields, each with its value.
    pub fields: Vec<(String, String)>,
    /// The session id of log lines.
    pub session_id: String,
    /// The address that the client connected to.
    pub local_ip: Option<IpAddr>,
    /// The client's address.
    pub remote_ip: Option<IpAddr>,
    /// See [`host_name`].
    pub hostname: String,
}

/// A user with everything that depends on who it is.
pub struct LoggedIn {
    /// The settings that apply, as the userdb changed them.
    pub settings: Settings,
    /// What `%` variables are worth.
    pub variables: Variables,
    input: MailUserInput,
}

impl Login {
    /// Puts the userdb's fields over `settings`, which are those for the client and the service, and
    /// expands variables. `log` writes with the session's prefix.
    ///
    /// # Errors
    /// A field or a setting that makes no sense.
    pub fn prepare(self, settings: &Settings, log: &Logger) -> Result<LoggedIn> {
        self.prepare_showing(settings, log, None)
    }

    /// The same for a program whose environment is a stranger's: `%{env:NAME}` shows only those
    /// variables that `environment` names, or all without it.
    ///
    /// # Errors
    /// As [`Login::prepare`].
    pub fn prepare_showing(
        self,
        settings: &Settings,
        log: &Logger,
        environment: Option<Vec<String>>,
    ) -> Result<LoggedIn> {
        let changes = self.fields.iter().filter(|(name, _)| !is_about_the_user(name));
        let changes = changes.map(|(name, value)| (name.as_str(), value.as_str()));
        let settings = settings.with_overrides(changes).map_err(|error| {
            Error::Unsupported(format!("Invalid settings in userdb: {}", base::chain(&error)))
        })?;
        let mut variables = Variables::of(&self, &settings, environment);
        let expanding = |error| Error::Unsupported(format!("Failed to expand settings: {error}"));
        let home = match variables.value("home") {
            Some(home) => Some(home.to_owned()),
            None => match settings.get(key::MAIL_HOME) {
                "" => None,
                home => Some(variables.expander(&[], |it| it.expand(home)).map_err(expanding)?),
            },
        };
        variables.set("home", home.clone());
        let user =
            variables.expander(&[], |it| UserSettings::from_settings(&settings, it, &self.hostname, log))?;
        let input = MailUserInput {
            username: self.username,
            service: self.service,
            session_id: self.session_id,
            home: home.map(PathBuf::from),
            settings: user,
            logger: log.clone(),
        };
        Ok(LoggedIn { settings, variables, input })
    }
}

impl LoggedIn {
    /// Whether [`open`](Self::open) looks for the mail on disk, since no setting says where it is.
    pub fn detects_location(&self) -> bool {
        self.input.settings.mail_location.is_empty()
    }

    /// The user's mailboxes. Nothing is created on disk.
    ///
    /// # Errors
    /// As [`MailUser::open`].
    pub fn open(&self) -> Result<Arc<MailUser>> {
        MailUser::open(self.input.clone())
    }
}

/// This host's name as Dovecot writes it into lock files and the names of messages.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Fields that are no settings: 2.3's `auth_user_reply` and what its mail processes look for.
fn is_about_the_user(field: &str) -> bool {
    const NAMES: [&str; 11] = [
        "uid",
        "gid",
        "home",
        "chroot",
        "system_groups_user",
        "chdir",
        "nice",
        "admin",
        "anonymous",
        "master",
        "proxy",
    ];
    NAMES.contains(&field) || field.starts_with("auth_")
}

/// The `%` variables of a user: 2.3's `mail_user_var_expand_table`.
#[derive(Clone, Debug)]
pub struct Variables {
    values: Vec<(char, &'static str, Option<String>)>,
    fields: Vec<(String, String)>,
    environment: Option<Vec<String>>,
}

impl Variables {
    fn of(login: &Login, settings: &Settings, environment: Option<Vec<String>>) -> Self {
        let field =
            |name: &str| login.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let ip = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string());
        let auth_user = field("auth_user").unwrap_or_else(|| login.username.clone());
        let (name, domain) = parts(&login.username);
        let (auth_name, auth_domain) = parts(&auth_user);
        let hostname = match settings.get(key::HOSTNAME) {
            "" => login.hostname.clone(),
            hostname => hostname.to_owned(),
        };
        let values = vec![
            ('u', "user", Some(login.username.clone())),
            ('n', "username", Some(name)),
            ('d', "domain", domain),
            ('s', "service", Some(login.service.clone())),
            ('h', "home", field("home")),
            ('l', "lip", ip(login.local_ip)),
            ('r', "rip", ip(login.remote_ip)),
            ('p', "pid", Some(std::process::id().to_string())),
            ('i', "uid", field("uid")),
            ('\0', "gid", field("gid")),
            ('\0', "session", Some(login.session_id.clone())),
            ('\0', "auth_user", Some(auth_user)),
            ('\0', "auth_username", Some(auth_name)),
            ('\0', "auth_domain", auth_domain),
            ('\0', "hostname", Some(hostname)),
            ('\0', "local_ip", ip(login.local_ip)),
            ('\0', "remote_ip", ip(login.remote_ip)),
        ];
        Self { values, fields: login.fields.clone(), environment }
    }

    /// Runs `work` with an expander that knows `first` and, after them, the user's variables and
    /// `%{userdb:field}`.
    pub fn expander<R>(&self, first: &[Variable<'_>], work: impl FnOnce(&Expander<'_>) -> R) -> R {
        let own = self.values.iter().map(|(short, long, value)| (*short, *long, value.as_deref()));
        let table: Vec<Variable<'_>> = first.iter().copied().chain(own).collect();
        let userdb = |function: &str, argument: &str| (function == "userdb").then(|| self.field(argument));
        let is_shown =
            |name: &str| self.environment.as_ref().is_none_or(|names| names.iter().any(|one| one == name));
        let env = |name: &str| std::env::var(name).ok().filter(|_| is_shown(name));
        work(&Expander { table: &table, env: &env, dynamic: &userdb })
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(_, long, _)| *long == name).and_then(|(_, _, value)| value.as_deref())
    }

    fn set(&mut self, name: &str, new: Option<String>) {
        if let Some((_, _, value)) = self.values.iter_mut().find(|(_, long, _)| *long == name) {
            *value = new;
        }
    }

    /// `%{userdb:name:default}`
    fn field(&self, argument: &str) -> String {
        let (name, default) = argument.split_once(':').unwrap_or((argument, ""));
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map_or(default, |(_, value)| value.as_str()).to_owned()
    }
}

fn parts(user: &str) -> (String, Option<String>) {
    match user.split_once('@') {
        Some((name, domain)) => (name.to_owned(), Some(domain.to_owned())),
        None => (user.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use storage::Compression;
    use storage::compress::Format;

    use super::*;

    fn login(fields: &[(&str, &str)]) -> Login {
        Login {
            service: "pop3".to_owned(),
            username: "me@example.com".to_owned(),
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            session_id: "s1".to_owned(),
            remote_ip: Some(IpAddr::from([192, 0, 2, 1])),
            hostname: "host".to_owned(),
            ..Login::default()
        }
    }

    fn check(config: &str, fields: &[(&str, &str)], location: &str, home: Option<&str>) {
        let settings = settings::Snapshot::from_text(config).expect("a configuration").root();
        let user = login(fields).prepare(&settings, &Logger::new("")).expect("a user");
        assert_eq!(user.input.settings.mail_location, location, "{config} {fields:?}");
        assert_eq!(user.input.home.as_deref(), home.map(std::path::Path::new), "{config} {fields:?}");
    }

    #[test]
    fn locations_and_homes() {
        check("mail_location = maildir:/m/%d/%n\n", &[], "maildir:/m/example.com/me", None);
        check("mail_location = maildir:~/M\nmail_home = /h/%n\n", &[], "maildir:~/M", Some("/h/me"));
        check("mail_location = maildir:%h/M\nmail_home = /h/%n\n", &[], "maildir:/h/me/M", Some("/h/me"));
        let fields =
            [("uid", "5"), ("home", "/x"), ("mail", "maildir:%h/%i/%{userdb:y:z}"), ("quota_rule", "*")];
        check("mail_home = /h/%n\n", &fields, "maildir:/x/5/z", Some("/x"));
    }

    #[test]
    fn compression() {
        let check = |config: &str, fields: &[(&str, &str)], expected: Compression| {
            let settings = settings::Snapshot::from_text(config).expect("a configuration").root();
            let user = login(fields).prepare(&settings, &Logger::new("")).expect("a user");
            assert_eq!(user.input.settings.mail.compression, expected, "{config} {fields:?}");
        };
        let on = |save| Compression { is_on: true, save };
        check("plugin {\n  zlib_save = gz\n}\n", &[], Compression::default());
        check("mail_plugins = zlib2\n", &[], Compression::default());
        check("mail_plugins = quota, zlib\n", &[], on(None));
        let config = "mail_plugins = zlib\nplugin {\n  zlib_save = gz\n  zlib_save_level = 9\n}\n";
        check(config, &[], on(Some((Format::Gz, 9))));
        check(config, &[("zlib_save", "zstd")], on(Some((Format::Zstd, 9))));
        check(config, &[("zlib_save", "none")], on(None));
        check(config, &[("mail_plugins", "")], Compression::default());
    }

    #[test]
    fn attachments() {
        let of = |config: &str| {
            let settings = settings::Snapshot::from_text(config).expect("a configuration").root();
            login(&[("home", "/h")]).prepare(&settings, &Logger::new("")).expect("a user").input.settings.mail
        };
        assert!(of("").attachments.is_none());
        assert!(of("mail_attachment_dir = /a\nmail_attachment_fs =\n").attachments.is_none());
        let found =
            of("mail_attachment_dir = ~/a/%n\nmail_fsync = never\n").attachments.expect("attachments");
        assert_eq!((found.dir.to_str(), found.fs.as_str()), (Some("/h/a/me"), "sis posix"));
        assert_eq!((found.min_size, found.temp_dir.to_str(), found.syncs), (128 * 1024, Some("/tmp"), false));
        assert!(of("mail_attachment_detection_options = add-flags\n").attachment_detection.on_save);
    }

    #[test]
    fn mistakes() {
        let check = |config: &str, fields: &[(&str, &str)], expected: &str| {
            let settings = settings::Snapshot::from_text(config).expect("a configuration").root();
            let error = login(fields).prepare(&settings, &Logger::new("")).err().expect("an error");
            assert!(error.to_string().contains(expected), "{error}");
        };
        check("", &[("mail_max_lock_timeout", "x")], "Invalid settings in userdb");
        check("mail_home = /%{nothing}\n", &[], "Failed to expand settings");
    }
}
