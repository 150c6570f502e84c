//! From a name to that user's mailboxes: the userdb, the settings and the rights.

use std::path::Path;
use std::sync::Arc;

use base::Logger;
use mail_user::{Login, MailUser};
use service::authmaster::blocking::Client;
use service::authmaster::{AuthError, Facts, Lookup, User};
use storage::MailSettings;

use super::failure::Told;
use crate::context::{Context, Outcome};

/// 2.3's words for what only the log explains.
const INTERNAL: &str = "Internal error occurred. Refer to server log for more information.";

/// Asks the userdb for a user, or takes who runs the program. `None` if there is no such user; the
/// inner error is why it cannot be told.
pub(super) fn look_up(cx: &mut Context, name: &str, userdb: bool) -> Outcome<Result<Option<User>, String>> {
    if !userdb {
        let home = std::env::var("HOME").ok().filter(|home| !home.is_empty());
        let fields = home.map(|home| ("home".to_owned(), home)).into_iter().collect();
        return Ok(Ok(Some(User { name: name.to_owned(), fields })));
    }
    let socket = cx.config()?.auth_socket_path();
    let facts = facts(cx)?;
    let asked = Client::connect(Path::new(&socket)).and_then(|mut client| client.user(name, &facts));
    let prefix = format!("doveadm({name})<{}><>: ", std::process::id());
    let log = Logger::new(prefix);
    let failed = |why: &str, told: &str| {
        log.error(format_args!("auth-master: userdb lookup({name}): {why}"));
        Err(format!("User lookup failed: {told}"))
    };
    Ok(match asked {
        Ok(Lookup::Found(user)) => Ok(Some(user)),
        Ok(Lookup::NotFound) | Err(AuthError::BadName) => Ok(None),
        Ok(Lookup::Failed { reason, .. }) => {
            failed("Auth USER lookup failed", reason.as_deref().unwrap_or(INTERNAL))
        }
        Err(error) => failed(&explained(&error), INTERNAL),
    })
}

/// All users that the userdb lists and `mask` fits; the flag is false if it could not list all.
pub(super) fn list(cx: &mut Context, mask: &str) -> Outcome<Result<(Vec<String>, bool), String>> {
    let socket = cx.config()?.auth_socket_path();
    let facts = facts(cx)?;
    let listed = Client::connect(Path::new(&socket)).and_then(|mut client| client.list(mask, &facts));
    Ok(listed.map_err(|error| explained(&error)))
}

pub(super) fn facts(cx: &mut Context) -> Outcome<Facts> {
    Ok(Facts { service: "doveadm".to_owned(), debug: cx.config()?.mail_debug(), ..Facts::default() })
}

/// Without the number that Rust adds to the system's words.
fn explained(error: &AuthError) -> String {
    match error {
        AuthError::Connect { source, .. } => format!("{error}: {}", base::reason(source)),
        error => base::chain(error).to_string(),
    }
}

/// A user's mailboxes.
pub(super) struct Opened {
    pub(super) user: Arc<MailUser>,
}

impl Opened {
    /// Opens the mailboxes of `user`; the inner error is why that cannot be.
    pub(super) fn of(cx: &mut Context, user: User, log: &Logger) -> Outcome<Result<Self, String>> {
        let overrides = cx.globals.overrides.clone();
        // What stands on the command line wins over the userdb.
        let on_top = overrides.iter().filter_map(|field| field.split_once('='));
        let on_top = on_top.filter(|(name, _)| !name.ends_with('+'));
        let on_top = on_top.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let login = Login {
            service: "doveadm".to_owned(),
            username: user.name,
            fields: user.fields.into_iter().chain(on_top).collect(),
            hostname: mail_user::host_name(),
            ..Login::default()
        };
        let settings = cx.config()?.mail_settings();
        let opened = login.prepare(&settings, log).and_then(|logged_in| logged_in.open());
        Ok(match opened {
            Ok(user) => Ok(Self { user }),
            Err(error) => Err(Told(&error).to_string()),
        })
    }
}

/// The mailboxes of a place outside the user's namespaces: `doveadm import`.
pub(crate) fn open_location(
    user: &MailUser,
    username: &str,
    home: Option<std::path::PathBuf>,
    location: &str,
) -> storage::Result<Arc<MailUser>> {
    let settings = mail_user::UserSettings {
        mail_location: location.to_owned(),
        mail: MailSettings { ..user.settings().mail.clone() },
        namespaces: Vec::new(),
    };
    MailUser::open(mail_user::MailUserInput {
        username: username.to_owned(),
        service: "doveadm".to_owned(),
        session_id: String::new(),
        home,
        settings,
        logger: user.logger().clone(),
    })
}

/// The name of who runs the program, which 2.3 takes from the environment.
pub(super) fn own_name() -> Option<String> {
    std::env::var("USER").ok().filter(|name| !name.is_empty())
}
