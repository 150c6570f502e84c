//! `doveadm auth app-password add|list|remove`: the passwords that a user has for single programs, in
//! the files of the passdb `app-password`. 2.3 has nothing like it.

use std::time::{SystemTime, UNIX_EPOCH};

use base::Logger;
use credentials::app_password::{File, Wish};
use index::fs::Fs;
use settings::key::{self, passdb};
use settings::vars::Expander;
use settings::{SectionKind, Settings, value};

use super::auth::help;
use super::pw::random;
use crate::args::Args;
use crate::context::{Context, Failure, Outcome, status};
use crate::localtime;
use crate::print::{Format, column};

pub(crate) fn add(cx: &mut Context, args: &Args) -> Outcome {
    let (Some(user), Some(name)) = (args.text("user"), args.text("name")) else {
        return Err(help("auth app-password add"));
    };
    let now_s = now_s();
    let expires_s = match args.text("expires") {
        None => None,
        Some(text) => Some(end(text, now_s).map_err(Failure::fatal)?),
    };
    let scopes = args.list("scope").iter().flat_map(|scopes| scopes.split([',', ' ']));
    let scopes = scopes.filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    let wish = Wish { name: name.to_owned(), scopes, expires_s };
    let file = file(cx, user)?;
    let password = file
        .add(&wish, now_s, &mut random, &Logger::new(""))
        .map_err(|error| Failure::fatal(base::chain(&error)))?;
    // It is nowhere else.
    cx.output.line(&password.expose_lossy());
    Ok(())
}

pub(crate) fn list(cx: &mut Context, args: &Args) -> Outcome {
    let Some(user) = args.text("user") else { return Err(help("auth app-password list")) };
    let found = file(cx, user)?.list().map_err(|error| Failure::fatal(base::chain(&error)))?;
    let columns = ["name", "scopes", "created", "expires", "last_use"];
    let mut table = cx.table(Format::Table, &columns.map(column))?;
    let date = |time: Option<u64>| time.map_or_else(|| "never".to_owned(), localtime::date);
    for known in found.unwrap_or_default() {
        let scopes = if known.scopes.is_empty() { "*".to_owned() } else { known.scopes.join(",") };
        let created = localtime::date(known.created_s);
        let (expires, used) = (date(known.expires_s), date(known.used_s));
        table.row(&[&known.name, &scopes, &created, &expires, &used], &mut cx.output);
    }
    table.end(&mut cx.output);
    Ok(())
}

pub(crate) fn remove(cx: &mut Context, args: &Args) -> Outcome {
    let (Some(user), names @ [_, ..]) = (args.text("user"), args.list("name")) else {
        return Err(help("auth app-password remove"));
    };
    let file = file(cx, user)?;
    for name in names {
        match file.remove(name, &Logger::new("")) {
            Ok(true) => {}
            Ok(false) => cx.error(format_args!("{user} has no app password '{name}'"), status::NOT_FOUND),
            Err(error) => return Err(Failure::fatal(base::chain(&error))),
        }
    }
    Ok(())
}

/// Where the passdb looks for a user's passwords.
fn file(cx: &mut Context, user: &str) -> Outcome<File> {
    let settings = cx.config()?.settings();
    let passdbs = settings.section_list(SectionKind::Passdb);
    let passdb = passdbs.iter().find(|passdb| passdb.get(passdb::DRIVER) == "app-password");
    let passdb = passdb
        .ok_or_else(|| Failure::fatal("There is no passdb { driver = app-password } in the configuration"))?;
    let user = auth_name(settings, user);
    let is_odd = |part: &str| matches!(part, "" | "." | "..");
    if user.contains('/') || is_odd(&user) || user.splitn(2, '@').any(is_odd) {
        return Err(Failure::fatal(format_args!("Invalid user name {user}")));
    }
    let path = expand(passdb.get(passdb::ARGS), &user).map_err(Failure::fatal)?;
    Ok(File::new(Fs::default(), path))
}

/// The name that a login with `name` has: `auth_username_format`.
fn auth_name(settings: &Settings, name: &str) -> String {
    let format = settings.get(key::AUTH_USERNAME_FORMAT);
    let name = match settings.get(key::AUTH_DEFAULT_REALM) {
        realm if !realm.is_empty() && !name.contains('@') => format!("{name}@{realm}"),
        _ => name.to_owned(),
    };
    if format.is_empty() {
        return name;
    }
    // Formats with the client's address and the like have no meaning here.
    expand(format, &name).unwrap_or(name)
}

fn expand(template: &str, user: &str) -> Result<String, String> {
    let (name, domain) = user.split_once('@').unwrap_or((user, ""));
    let table = [('u', "user", Some(user)), ('n', "username", Some(name)), ('d', "domain", Some(domain))];
    Expander::of(&table).expand(template).map_err(|error| format!("{template}: {error}"))
}

/// `2 weeks` from now, or the beginning of a day.
fn end(text: &str, now_s: u64) -> Result<u64, String> {
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        let zoned = day.to_zoned(jiff::tz::TimeZone::system()).map_err(|error| error.to_string())?;
        return u64::try_from(zoned.timestamp().as_second()).map_err(|_| format!("{text} is long past"));
    }
    match value::seconds(text) {
        Ok(seconds) => Ok(now_s.saturating_add(seconds)),
        Err(error) => Err(error.to_string()),
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    #[test]
    fn ends() {
        assert_eq!(end("2 weeks", 1000), Ok(1000 + 14 * 86_400));
        assert!(end("2026-12-24", 0).is_ok_and(|end| end > 1_798_000_000));
        assert!(end("tomorrow", 0).is_err() && end("10", 0).is_err());
    }

    #[test]
    fn passwords_need_their_passdb() {
        let doveadm = Doveadm::new();
        let missing = "There is no passdb { driver = app-password } in the configuration";
        assert_eq!(doveadm.run("auth app-password list u").1, Err(Failure::fatal(missing)));
    }

    #[test]
    fn names() {
        assert_eq!(expand("/x/%d/%n", "joe@example.org"), Ok("/x/example.org/joe".into()));
        assert_eq!(expand("/x/%Lu", "Joe"), Ok("/x/joe".into()));
    }
}
