//! Who gets the message: a user of the userdb (`-d`), whose identity the process takes on, or whoever
//! runs the program.

use std::path::Path;

use base::Logger;
use mail_user::{LoggedIn, Login};
use service::authmaster::blocking::Client;
use service::authmaster::{AuthError, Facts, Lookup, User};
use settings::vars::Expander;
use settings::{Settings, key};

use super::exit::{Exit, Status};
use crate::deliver::Environment;

/// 2.3's words for what only the log explains.
const INTERNAL: &str = "Internal error occurred. Refer to server log for more information.";

/// The name of who runs the program: `USER`, or what the system knows.
pub(super) fn own_name(prefix: &str) -> Result<String, Exit> {
    let uid = sys::privilege::effective_uid();
    if uid == 0 {
        let text = format!("{prefix}: Fatal: destination user parameter (-d user) not given");
        return Err(Exit::said(text, Status::Usage));
    }
    if let Ok(name) = std::env::var("USER")
        && !name.is_empty()
    {
        return Ok(name);
    }
    match sys::accounts::user_by_id(uid) {
        Ok(Some(account)) => Ok(account.name),
        Ok(None) => {
            let text = format!("{prefix}: Fatal: Couldn't lookup our username (uid={uid})");
            Err(Exit::said(text, Status::Usage))
        }
        Err(error) => {
            let text = format!("{prefix}: Fatal: getpwuid({uid}) failed: {}", base::reason(&error));
            Err(Exit::said(text, Status::TempFail))
        }
    }
}

/// Whoever runs the program, with its home from the environment.
pub(super) fn own(name: String) -> User {
    let home = std::env::var("HOME").ok().filter(|home| !home.is_empty());
    User { name, fields: home.map(|home| ("home".to_owned(), home)).into_iter().collect() }
}

/// Asks the userdb.
pub(super) fn look_up(name: &str, settings: &Settings, log: &Logger) -> Result<User, Exit> {
    let socket = Path::new(settings.get(key::BASE_DIR)).join(settings.get(key::AUTH_SOCKET_PATH));
    let facts = Facts { service: "lda".to_owned(), ..Facts::default() };
    let asked = Client::connect(&socket).and_then(|mut client| client.user(name, &facts));
    let failed = |why: &str, told: &str| {
        log.error(format_args!("auth-master: userdb lookup({name}): {why}"));
        fatal(told)
    };
    match asked {
        Ok(Lookup::Found(user)) => Ok(user),
        Ok(Lookup::NotFound) | Err(AuthError::BadName) => Err(Exit::quietly(Status::NoUser)),
        Ok(Lookup::Failed { reason, .. }) => {
            Err(failed("Auth USER lookup failed", reason.as_deref().unwrap_or(INTERNAL)))
        }
        Err(error) => Err(failed(&explained(&error), INTERNAL)),
    }
}

/// Without the number that Rust adds to the system's words.
fn explained(error: &AuthError) -> String {
    match error {
        AuthError::Connect { source, .. } => format!("{error}: {}", base::reason(source)),
        error => base::chain(error).to_string(),
    }
}

/// Takes on the user's identity for good and goes to its home.
pub(super) fn become_it(user: &mut User, settings: &Settings) -> Result<(), Exit> {
    service::identity::become_user(user, settings).map_err(|why| fatal(&why))?;
    let home = user.field("home").filter(|home| !home.is_empty());
    // A home that is not there yet is made by the delivery; the caller's directory may be secret.
    if home.is_none_or(|home| std::env::set_current_dir(home).is_err()) {
        let _ = std::env::set_current_dir("/");
    }
    Ok(())
}

/// The user with settings and variables.
pub(super) fn prepare(
    user: &User,
    settings: &Settings,
    overrides: &[(&str, &str)],
    session_id: &str,
    environment: &Environment,
    log: &Logger,
) -> Result<LoggedIn, Exit> {
    // What stands on the command line wins over the userdb.
    let on_top = overrides.iter().filter(|(name, _)| !name.ends_with('+') && !PERSONAL.contains(name));
    let on_top = on_top.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let login = Login {
        service: "lda".to_owned(),
        username: user.name.clone(),
        fields: user.fields.iter().cloned().chain(on_top).collect(),
        session_id: session_id.to_owned(),
        hostname: mail_user::host_name(),
        ..Login::default()
    };
    login
        .prepare_showing(settings, log, environment.names())
        .map_err(|error| fatal(&base::chain(&error).to_string()))
}

/// The logger of a session, with `mail_log_prefix`.
pub(super) fn session_log(
    username: &str,
    session_id: &str,
    settings: &Settings,
    environment: &Environment,
) -> Logger {
    let pid = std::process::id().to_string();
    let (name, domain) = username.split_once('@').unwrap_or((username, ""));
    let table = [
        ('u', "user", Some(username)),
        ('n', "username", Some(name)),
        ('d', "domain", Some(domain)),
        ('s', "service", Some("lda")),
        ('p', "pid", Some(pid.as_str())),
        ('r', "rip", None),
        ('l', "lip", None),
        ('\0', "session", Some(session_id)),
    ];
    let env = |name: &str| environment.get(name);
    let expander = Expander { table: &table, env: &env, dynamic: &|_, _| None };
    let (prefix, _) = expander.expand_all(settings.get(key::MAIL_LOG_PREFIX));
    Logger::new(prefix).with_debug(settings.get(key::MAIL_DEBUG))
}

/// Says in the log why the program ends; trying later may help.
pub(super) fn fatal(text: &str) -> Exit {
    Logger::new(format!("lda({}): ", std::process::id())).fatal(text);
    Exit::quietly(Status::TempFail)
}

/// Fields of a userdb that are no settings, which `-o` cannot change.
const PERSONAL: [&str; 8] = ["uid", "gid", "home", "chroot", "system_groups_user", "chdir", "nice", "master"];
