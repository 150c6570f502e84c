//! The configuration as doveadm needs it: read from the files, as the calling user.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use settings::{Filter, ParseOptions, Settings, StdFiles, key};

use crate::context::{Failure, Outcome, status};
use crate::globals::Globals;

/// Where the configuration is unless `-c` or `CONFIG_FILE` say otherwise.
const PATH_DEFAULT: &str = "/etc/dovecot/dovecot.conf";

/// The configuration in use.
#[derive(Debug)]
pub(crate) struct Config {
    path: String,
    settings: Settings,
    mail_settings: Settings,
}

impl Config {
    /// Reads the file that the options name.
    pub(crate) fn read(globals: &Globals) -> Outcome<Self> {
        let path = path(globals);
        if globals.debug {
            eprintln!("Debug: Reading configuration from {path}");
        }
        let unreadable = |error: &io::Error| {
            Failure::fatal(format_args!(
                "Error reading configuration: stat({path}) failed: {}",
                base::reason(error)
            ))
        };
        std::fs::metadata(&path).map_err(|error| unreadable(&error))?;
        let options = ParseOptions { check_users: false, ..ParseOptions::default() };
        let parsed = settings::Config::parse(&StdFiles, Path::new(&path), &options);
        let snapshot = parsed.and_then(|config| config.snapshot()).map_err(|error| broken(&error))?;
        let settings = with_overrides(snapshot.root(), &globals.overrides)?;
        let mail = Filter { protocol: Some("doveadm"), service: Some("doveadm"), ..Filter::default() };
        let mail_settings = with_overrides(snapshot.view(&mail), &globals.overrides)?;
        Ok(Self { path, settings, mail_settings })
    }

    /// The settings of a process that the master started, for a client at these addresses.
    pub(crate) fn of_process(
        process: &service::Process,
        local: Option<IpAddr>,
        remote: Option<IpAddr>,
    ) -> Self {
        let snapshot = process.settings();
        let mail = Filter {
            protocol: Some("doveadm"),
            service: Some("doveadm"),
            local_ip: local,
            remote_ip: remote,
            ..Filter::default()
        };
        let mail_settings = snapshot.view(&mail);
        let path = process.birth().config_path.clone();
        Self { path, settings: snapshot.root(), mail_settings }
    }

    /// The file that was read.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// All settings.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings of `protocol doveadm`, for commands on mail.
    pub(crate) fn mail_settings(&self) -> Settings {
        self.mail_settings.clone()
    }

    pub(crate) fn base_dir(&self) -> &str {
        self.settings.get(key::BASE_DIR)
    }

    pub(crate) fn state_dir(&self) -> &str {
        self.settings.get(key::STATE_DIR)
    }

    pub(crate) fn libexec_dir(&self) -> &str {
        self.settings.get(key::LIBEXEC_DIR)
    }

    pub(crate) fn auth_debug(&self) -> bool {
        self.settings.get(key::AUTH_DEBUG)
    }

    /// `mail_debug`
    pub(crate) fn mail_debug(&self) -> bool {
        self.settings.get(key::MAIL_DEBUG)
    }

    /// `auth_socket_path`, below `base_dir` unless it is absolute.
    pub(crate) fn auth_socket_path(&self) -> String {
        Path::new(self.base_dir()).join(self.settings.get(key::AUTH_SOCKET_PATH)).display().to_string()
    }
}

/// The configuration file that the options, the environment or the default name.
pub(crate) fn path(globals: &Globals) -> String {
    let from_environment = || std::env::var("CONFIG_FILE").ok().filter(|path| !path.is_empty());
    globals.config_path.clone().or_else(from_environment).unwrap_or_else(|| PATH_DEFAULT.to_owned())
}

/// 2.3's message, and below it what helps to find the mistake.
fn broken(error: &settings::Diagnostic) -> Failure {
    let mut text = format!("doveconf: Fatal: {error}");
    for line in error.explain() {
        text.push('\n');
        text.push_str(&line);
    }
    Failure::Said(text, status::FATAL)
}

fn with_overrides(settings: Settings, overrides: &[String]) -> Outcome<Settings> {
    let refused = |text: String| Failure::fatal(format_args!("Error reading configuration: {text}"));
    let mut fields = Vec::new();
    for argument in overrides {
        match argument.split_once('=') {
            Some(field) => fields.push(field),
            None => return Err(refused(format!("Invalid -o parameter {argument}: Missing '='"))),
        }
    }
    settings.with_overrides(fields.into_iter()).map_err(|error| refused(base::chain(&error).to_string()))
}
