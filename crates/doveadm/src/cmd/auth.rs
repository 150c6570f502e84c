//! `doveadm auth test|login|lookup|cache flush|cache status`: asks the auth process as servers do.

use sasl::Secret;

use crate::args::Args;
use crate::askpass::ask;
use crate::authclient::{Answer, AuthClient, AuthMaster, Found, Info, Verdict};
use crate::context::{Context, Failure, Outcome, status};
use crate::print::{Format, column};
use crate::{commands, usage};

pub(crate) fn test(cx: &mut Context, args: &Args) -> Outcome {
    let path = match args.text("socket-path") {
        Some(path) => path.to_owned(),
        None => cx.in_base_dir("auth-client")?,
    };
    let (info, user) = (info(cx, args)?, user(args, "auth test")?);
    let password = password(args)?;
    let answer = authenticate(cx, &path, user, args.text("master-user"), &password, &info);
    if !answer.is_some_and(|(_, answer)| answer.verdict == Verdict::Ok) {
        cx.status = status::NO_PERMISSION;
    }
    Ok(())
}

pub(crate) fn login(cx: &mut Context, args: &Args) -> Outcome {
    let path = |cx: &mut Context, option: &str, name: &str| match args.text(option) {
        Some(path) => Ok(path.to_owned()),
        None => cx.in_base_dir(name),
    };
    let login_path = path(cx, "auth-login-socket-path", "auth-login")?;
    let master_path = path(cx, "auth-master-socket-path", "auth-master")?;
    let (info, user) = (info(cx, args)?, user(args, "auth login")?);
    let password = password(args)?;
    let answer = authenticate(cx, &login_path, user, args.text("master-user"), &password, &info);
    let redeemed = match answer {
        Some((client, answer)) if answer.verdict == Verdict::Ok => {
            redeem(cx, &client, answer.id, &master_path)
        }
        _ => false,
    };
    if !redeemed {
        cx.status = status::NO_PERMISSION;
    }
    Ok(())
}

pub(crate) fn lookup(cx: &mut Context, args: &Args) -> Outcome {
    let path = userdb_path(cx, args)?;
    let info = info(cx, args)?;
    let users = args.list("user");
    if users.is_empty() {
        return Err(help("auth lookup"));
    }
    let mut master = AuthMaster::new(&path);
    for (at, user) in users.iter().enumerate() {
        if at > 0 {
            cx.output.plain("\n");
        }
        let found = master.pass(user, &info);
        show(cx, Db::Pass, user, found, args.text("field"));
    }
    Ok(())
}

pub(crate) fn cache_flush(cx: &mut Context, args: &Args) -> Outcome {
    let path = match args.text("socket-path") {
        Some(path) => path.to_owned(),
        None => cx.in_base_dir("auth-master")?,
    };
    match AuthMaster::new(&path).flush_cache(args.list("user")) {
        Ok(Some(count)) => cx.output.line(&format!("{count} cache entries flushed")),
        Ok(None) => cx.error("Cache flush failed", status::TEMPFAIL),
        Err(error) => {
            eprintln!("Error: auth-master: auth cache flush: {error}");
            cx.error("Cache flush failed", status::TEMPFAIL);
        }
    }
    Ok(())
}

/// Ours: 2.3 writes these figures to the log on SIGUSR2.
pub(crate) fn cache_status(cx: &mut Context, args: &Args) -> Outcome {
    let path = match args.text("socket-path") {
        Some(path) => path.to_owned(),
        None => cx.in_base_dir("auth-master")?,
    };
    let fields = match AuthMaster::new(&path).cache_status() {
        Ok(Some(fields)) => fields,
        Ok(None) => {
            cx.error("Cache status failed", status::TEMPFAIL);
            return Ok(());
        }
        Err(error) => {
            eprintln!("Error: auth-master: auth cache status: {error}");
            cx.error("Cache status failed", status::TEMPFAIL);
            return Ok(());
        }
    };
    if fields.is_empty() {
        cx.output.line("There is no cache (auth_cache_size = 0)");
        return Ok(());
    }
    let mut table = cx.table(Format::Tab, &["figure", "value"].map(column))?;
    for field in &fields {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        table.row(&[name, value], &mut cx.output);
    }
    table.end(&mut cx.output);
    Ok(())
}

/// Which databases are asked, for the texts.
#[derive(Clone, Copy)]
pub(crate) enum Db {
    Pass,
    User,
}

impl Db {
    /// Its name, and that in the protocol.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Pass => ("passdb", "PASS"),
            Self::User => ("userdb", "USER"),
        }
    }
}

/// Prints what a lookup found, or only the value of `field`.
pub(crate) fn show(
    cx: &mut Context,
    db: Db,
    user: &str,
    found: Result<Found, crate::authclient::AuthError>,
    field: Option<&str>,
) {
    let (db, word) = db.names();
    let is_answer = found.is_ok();
    let found = found.unwrap_or_else(|error| {
        eprintln!("Error: auth-master: {db} lookup({user}): {error}");
        Found::Failed(None)
    });
    match (found, field) {
        (Found::Failed(reason), _) => {
            if reason.is_none() && is_answer {
                eprintln!("Error: auth-master: {db} lookup({user}): Auth {word} lookup failed");
            }
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            cx.error(format_args!("{db} lookup failed for {user}{reason}"), status::TEMPFAIL);
        }
        (Found::No, field) => {
            let text = format!("{db} lookup: user {user} doesn't exist");
            match field {
                None => cx.output.line(&text),
                Some(_) => eprintln!("{text}"),
            }
            cx.status = status::NO_USER;
        }
        (Found::Yes { fields, .. }, Some(wanted)) => {
            for value in fields.iter().filter_map(|field| field.strip_prefix(wanted)?.strip_prefix('=')) {
                cx.output.line(value);
            }
        }
        (Found::Yes { username, fields }, None) => show_fields(cx, db, user, &username, &fields),
    }
}

fn show_fields(cx: &mut Context, db: &str, user: &str, username: &str, fields: &[String]) {
    cx.output.line(&format!("{db}: {user}"));
    if !username.is_empty() {
        cx.output.line(&format!("  {:<10}: {username}", "user"));
    }
    for field in fields {
        match field.split_once('=') {
            Some((key, value)) => cx.output.line(&format!("  {key:<10}: {value}")),
            None => cx.output.line(&format!("  {field:<10}")),
        }
    }
}

/// What `-x` says about the client.
pub(crate) fn info(cx: &mut Context, args: &Args) -> Outcome<Info> {
    let mut info = Info::new(cx.config()?.auth_debug());
    for argument in args.list("auth-info") {
        info.add(argument).map_err(Failure::fatal)?;
    }
    Ok(info)
}

/// Where to look users up: `-a` or `auth_socket_path`.
pub(crate) fn userdb_path(cx: &mut Context, args: &Args) -> Outcome<String> {
    match args.text("socket-path") {
        Some(path) => Ok(path.to_owned()),
        None => Ok(cx.config()?.auth_socket_path()),
    }
}

/// A command's own usage, where an argument is missing.
pub(crate) fn help(name: &str) -> Failure {
    let usage = commands::all().find(|(known, _)| *known == name).map_or("", |(_, usage)| usage);
    usage::of_command(name, usage)
}

fn user<'a>(args: &'a Args, command: &str) -> Outcome<&'a str> {
    args.text("user").ok_or_else(|| help(command))
}

fn password(args: &Args) -> Outcome<Secret> {
    match args.text("password") {
        Some(password) => Ok(Secret::new(password)),
        None => ask("Password: "),
    }
}

fn authenticate(
    cx: &mut Context,
    path: &str,
    user: &str,
    master_user: Option<&str>,
    password: &Secret,
    info: &Info,
) -> Option<(AuthClient, Answer)> {
    let asked = AuthClient::connect(path).and_then(|mut client| {
        let answer = client.plain(user, master_user, password, info)?;
        Ok((client, answer))
    });
    let (client, answer) = match asked {
        Ok(asked) => asked,
        Err(error) => {
            cx.error(format_args!("auth-client: conn unix:{path}: {error}"), status::NO_PERMISSION);
            return None;
        }
    };
    let verdict = match answer.verdict {
        Verdict::Ok => "succeeded",
        Verdict::Failed => "failed",
        Verdict::Continue => "unexpectedly requested continuation",
    };
    cx.output.line(&format!("passdb: {user} auth {verdict}"));
    if !answer.fields.is_empty() {
        cx.output.line("extra fields:");
        for field in &answer.fields {
            cx.output.line(&format!("  {field}"));
        }
    }
    Some((client, answer))
}

/// What clients of 2.3 read when the reason is in the server's log.
const INTERNAL_FAILURE: &str = "Internal error occurred. Refer to server log for more information.";

/// Asks for the fields of a user who has authenticated.
fn redeem(cx: &mut Context, client: &AuthClient, request: u32, path: &str) -> bool {
    let found = AuthMaster::new(path).login(client.server_pid(), request, client.cookie());
    match found {
        Ok(Found::Yes { username, fields }) => {
            cx.output.line("userdb extra fields:");
            for field in std::iter::once(&username).chain(&fields) {
                cx.output.line(&format!("  {field}"));
            }
            return true;
        }
        Ok(Found::No) => {
            eprintln!(
                "Error: auth-master: login: Authenticated user not found from userdb, auth lookup id={request}"
            );
        }
        Ok(Found::Failed(reason)) => {
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            eprintln!("Error: auth-master: login: Login auth request failed: Internal auth failure{reason}");
        }
        Err(error) => eprintln!("Error: auth-master: login: {error}"),
    }
    cx.error(format_args!("userdb lookup failed: {INTERNAL_FAILURE}"), status::NO_PERMISSION);
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    const HELLO: &str = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t77\nCUID\t1\nCOOKIE\t0123456789abcdef0123456789abcdef\nDONE\n";
    const MASTER_HELLO: &str = "VERSION\t1\t1\nSPID\t77\n";

    #[test]
    fn a_good_password() {
        let doveadm = Doveadm::new();
        let auth = doveadm.play_lines("auth-client", vec![(2, HELLO), (1, "OK\t1\tuser=u\t\n")]);
        let (output, status) = doveadm.run("auth test -x service=imap -x rip=10.0.0.1 u pass");
        assert_eq!(output, "passdb: u auth succeeded\nextra fields:\n  user=u\n  \n");
        assert_eq!(status, Ok(0));
        let heard = auth.join().unwrap();
        assert!(heard.starts_with("VERSION\t1\t2\nCPID\t"), "{heard}");
        assert!(
            heard.ends_with("AUTH\t1\tPLAIN\tservice=imap\trip=10.0.0.1\tresp=dQB1AHBhc3M=\n"),
            "{heard}"
        );
    }

    #[test]
    fn a_bad_password_and_nobody_there() {
        let doveadm = Doveadm::new();
        let _auth = doveadm.play_lines("auth-client", vec![(2, HELLO), (1, "FAIL\t1\tuser=u\n")]);
        let (output, status) = doveadm.run("auth test u bad");
        assert_eq!(output, "passdb: u auth failed\nextra fields:\n  user=u\n");
        assert_eq!(status, Ok(status::NO_PERMISSION));
        assert_eq!(doveadm.run("auth test -a /nonexistent u p").1, Ok(status::NO_PERMISSION));
        assert_eq!(doveadm.run("auth test -x rip=z u p").1, Err(Failure::fatal("rip: Invalid ip")));
    }

    #[test]
    fn a_login_is_redeemed() {
        let doveadm = Doveadm::new();
        let _auth = doveadm.play_lines("auth-login", vec![(2, HELLO), (1, "OK\t1\tuser=u\n")]);
        let master = doveadm.play_lines("auth-master", vec![(1, MASTER_HELLO), (1, "USER\t1\tu\tuid=1\n")]);
        let (output, status) = doveadm.run("auth login u pass");
        assert_eq!(
            output,
            "passdb: u auth succeeded\nextra fields:\n  user=u\nuserdb extra fields:\n  u\n  uid=1\n"
        );
        assert_eq!(status, Ok(0));
        let pid = std::process::id();
        let request = format!("REQUEST\t1\t{pid}\t1\t0123456789abcdef0123456789abcdef\tsession_pid={pid}\n");
        assert_eq!(master.join().unwrap(), format!("VERSION\t1\t1\n{request}"));
    }

    #[test]
    fn lookups() {
        let doveadm = Doveadm::new();
        let script = vec![
            (1, MASTER_HELLO),
            (1, "PASS\t1\tuser=u\tnologin\n"),
            (1, "NOTFOUND\t2\n"),
            (1, "FAIL\t3\treason=down\n"),
        ];
        let _auth = doveadm.play_lines("auth-userdb", script);
        let (output, status) = doveadm.run("auth lookup u v w");
        assert_eq!(
            output,
            "passdb: u\n  user      : u\n  nologin   \n\npassdb lookup: user v doesn't exist\n\n"
        );
        assert_eq!(status, Ok(status::TEMPFAIL));
    }

    #[test]
    fn a_cache_has_figures() {
        let doveadm = Doveadm::new();
        let _auth =
            doveadm.play_lines("auth-master", vec![(1, MASTER_HELLO), (1, "OK\t1\thits=5\tmisses=1\n")]);
        assert_eq!(doveadm.run("auth cache status").0, "figure\tvalue\nhits\t5\nmisses\t1\n");
    }

    #[test]
    fn a_cache_is_flushed() {
        let doveadm = Doveadm::new();
        let auth = doveadm.play_lines("auth-master", vec![(1, MASTER_HELLO), (1, "OK\t1\t5\n")]);
        assert_eq!(doveadm.run("auth cache flush u").0, "5 cache entries flushed\n");
        assert_eq!(auth.join().unwrap(), "VERSION\t1\t1\nCACHE-FLUSH\t1\tu\n");
    }
}
