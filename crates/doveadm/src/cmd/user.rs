//! `doveadm user`: what the userdbs know of a user, and what the configuration makes of it.

use base::filter::wildcard_match_icase;
use service::authmaster::User;
use settings::vars::{Expander, VarError};
use settings::{Settings, key};

use super::auth::{Db, help, info, show, userdb_path};
use crate::args::Args;
use crate::authclient::{AuthMaster, Found, Info};
use crate::context::{Context, Failure, Outcome, status};
use crate::print::{Format, Printer, column};

pub(crate) fn user(cx: &mut Context, args: &Args) -> Outcome {
    let path = userdb_path(cx, args)?;
    let info = info(cx, args)?;
    let masks = args.list("user-mask");
    if masks.is_empty() {
        return Err(help("user"));
    }
    let view = match (args.text("expand-field"), args.text("field"), args.flag("userdb-only")) {
        (Some(_), _, true) => return wrong(cx, "-e can't be used with -u"),
        (Some(_), Some(_), _) => return wrong(cx, "-e can't be used with -f"),
        (Some(text), None, false) => View::Expanded(text),
        (None, Some(field), _) => View::Field(field),
        (None, None, _) => View::All,
    };
    let mut master = AuthMaster::new(&path);
    if masks.iter().any(|mask| mask.contains(['*', '?'])) {
        return list(cx, &mut master, &info, masks);
    }
    if args.flag("userdb-only") {
        for (at, name) in masks.iter().enumerate() {
            if at > 0 {
                cx.output.plain("\n");
            }
            let found = master.user(name, &info);
            show(cx, Db::User, name, found, args.text("field"));
        }
        return Ok(());
    }
    show_mail_users(cx, &mut master, &info, masks, view)
}

/// What is to be seen of a user.
#[derive(Clone, Copy)]
enum View<'a> {
    All,
    Field(&'a str),
    Expanded(&'a str),
}

fn wrong(cx: &mut Context, text: &str) -> Outcome {
    cx.error(text, status::USAGE);
    Ok(())
}

fn list(cx: &mut Context, master: &mut AuthMaster, info: &Info, masks: &[String]) -> Outcome {
    // The server filters by one mask only.
    let asked = if let [only] = masks { only.as_str() } else { "*" };
    let output = &mut cx.output;
    let listed = master.list(asked, info, |user| {
        if masks.iter().any(|mask| wildcard_match_icase(user, mask)) {
            output.line(user);
        }
    });
    match listed {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::fatal("user listing failed")),
        Err(error) => {
            eprintln!("Error: auth-master: userdb list: {error}");
            Err(Failure::fatal("user listing failed"))
        }
    }
}

fn show_mail_users(
    cx: &mut Context,
    master: &mut AuthMaster,
    info: &Info,
    names: &[String],
    view: View<'_>,
) -> Outcome {
    let mut table = match view {
        View::All => Some(cx.table(Format::Tab, &["field", "value"].map(column))?),
        View::Field(_) | View::Expanded(_) => None,
    };
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            cx.output.plain("\n");
        }
        match master.user(name, info) {
            Ok(Found::Yes { username, fields }) => {
                let user = MailUser::new(cx.config()?.settings(), name, username, fields, info)?;
                match user.check() {
                    Err(reason) => failed(cx, name, &reason),
                    Ok(()) => user.show(cx, view, table.as_mut()),
                }
            }
            Ok(Found::No) => {
                let text = format!("\nuserdb lookup: user {name} doesn't exist");
                match view {
                    View::All => cx.output.line(&text),
                    View::Field(_) | View::Expanded(_) => eprintln!("{text}"),
                }
                cx.status = status::NO_USER;
            }
            Ok(Found::Failed(reason)) => {
                let why = || format!("auth-master: userdb lookup({name}): Auth USER lookup failed");
                let reason = reason.unwrap_or_else(why);
                failed(cx, name, &reason);
            }
            Err(error) => failed(cx, name, &format!("auth-master: userdb lookup({name}): {error}")),
        }
    }
    if let Some(mut table) = table {
        table.end(&mut cx.output);
    }
    Ok(())
}

fn failed(cx: &mut Context, name: &str, text: &str) {
    eprintln!("doveadm({name})<{}><>: Error: {text}", std::process::id());
    cx.status = status::TEMPFAIL;
}

/// A user with the settings that a mail process would have.
struct MailUser {
    asked: String,
    username: String,
    settings: Settings,
    fields: Vec<String>,
    addresses: (Option<std::net::IpAddr>, Option<std::net::IpAddr>),
}

/// Fields that are settings of the user under another name.
const RENAMED: [(&str, &str); 4] =
    [("uid", "mail_uid"), ("gid", "mail_gid"), ("home", "mail_home"), ("mail", "mail_location")];

impl MailUser {
    fn new(
        settings: &Settings,
        asked: &str,
        username: String,
        fields: Vec<String>,
        info: &Info,
    ) -> Outcome<Self> {
        let renamed = |key: &str| RENAMED.iter().find(|(field, _)| *field == key).map(|(_, name)| *name);
        let overrides: Vec<(String, String)> = fields
            .iter()
            .filter_map(|field| field.split_once('='))
            .map(|(key, value)| (renamed(key).unwrap_or(key).to_owned(), value.to_owned()))
            .collect();
        let pairs = overrides.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let settings = settings
            .with_overrides(pairs)
            .map_err(|error| Failure::fatal(format_args!("{asked}: {}", base::chain(&error))))?;
        Ok(Self { asked: asked.to_owned(), username, settings, fields, addresses: info.addresses() })
    }

    /// Whether there can be mail sessions of this user.
    fn check(&self) -> Result<(), String> {
        let pair = |field: &String| {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            (key.to_owned(), value.to_owned())
        };
        let user = User { name: self.username.clone(), fields: self.fields.iter().map(pair).collect() };
        service::identity::check_user(user, &self.settings)?;
        let location = self.settings.get(key::MAIL_LOCATION);
        let has_home = !self.settings.get(key::MAIL_HOME).is_empty();
        match has_home || !(location.contains("%h") || location.contains("%{home}")) {
            true => Ok(()),
            false => Err("userdb didn't return a home directory, but mail_location used it (%h)".into()),
        }
    }

    fn show(&self, cx: &mut Context, view: View<'_>, table: Option<&mut Printer>) {
        if let View::Expanded(text) = view {
            match self.expand(text) {
                Ok(text) => cx.output.line(&text),
                Err(reason) => eprintln!("Error: Failed to expand {text}: {reason}"),
            }
            return;
        }
        let fields = self.all_fields();
        match (view, table) {
            (View::Field(wanted), _) => {
                for (_, value) in fields.iter().filter(|(key, _)| key == wanted) {
                    cx.output.line(value);
                }
            }
            (_, Some(table)) => {
                for (key, value) in &fields {
                    table.row(&[key, value], &mut cx.output);
                }
            }
            (_, None) => {}
        }
    }

    /// The user's own settings first, then whatever else the userdb said.
    fn all_fields(&self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        if self.asked != self.username {
            fields.push(("user".to_owned(), self.username.clone()));
        }
        let own = [
            ("uid", self.settings.get(key::MAIL_UID)),
            ("gid", self.settings.get(key::MAIL_GID)),
            ("home", self.settings.get(key::MAIL_HOME)),
            ("mail", self.settings.get(key::MAIL_LOCATION)),
        ];
        for (name, value) in own {
            // What cannot be expanded is shown as it stands.
            let value = self.expand(value).unwrap_or_else(|_| value.to_owned());
            fields.push((name.to_owned(), value));
        }
        for field in &self.fields {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            if !RENAMED.iter().any(|(known, _)| *known == key) {
                fields.push((key.to_owned(), value.to_owned()));
            }
        }
        fields
    }
}

/// `%` variables of the user, as mail processes of 2.3 know them.
impl MailUser {
    fn expand(&self, text: &str) -> Result<String, VarError> {
        let home = self.settings.get(key::MAIL_HOME);
        // The home itself may be made of variables, but not of itself.
        let home = self.expand_with("", home).unwrap_or_else(|_| home.to_owned());
        self.expand_with(&home, text)
    }

    fn expand_with(&self, home: &str, text: &str) -> Result<String, VarError> {
        let (name, domain) = self.username.split_once('@').unwrap_or((&self.username, ""));
        let (rip, lip) = self.addresses;
        let (rip, lip) = (rip.map(|ip| ip.to_string()), lip.map(|ip| ip.to_string()));
        let pid = std::process::id().to_string();
        let (uid, gid) = (self.settings.get(key::MAIL_UID), self.settings.get(key::MAIL_GID));
        let table = [
            ('u', "user", Some(&*self.username)),
            ('n', "username", Some(name)),
            ('d', "domain", Some(domain)),
            // Whatever service the userdb was asked for.
            ('s', "service", Some("doveadm")),
            ('h', "home", Some(home)),
            ('l', "lip", lip.as_deref()),
            ('r', "rip", rip.as_deref()),
            ('p', "pid", Some(&*pid)),
            ('i', "uid", Some(uid)),
            ('\0', "gid", Some(gid)),
            ('\0', "session", None),
            ('\0', "auth_user", Some(&*self.username)),
            ('\0', "auth_username", Some(name)),
            ('\0', "auth_domain", Some(domain)),
        ];
        let dynamic = |function: &str, argument: &str| match function {
            "userdb" => Some(self.userdb(argument)),
            "hostname" => Some(sys::accounts::host_name()),
            _ => None,
        };
        let expander = Expander { table: &table, env: &|name| std::env::var(name).ok(), dynamic: &dynamic };
        expander.expand(text)
    }

    /// A field of the userdb's answer; what stands behind a colon is for when there is none.
    fn userdb(&self, argument: &str) -> String {
        let (wanted, default) = argument.split_once(':').unwrap_or((argument, ""));
        let mut pairs = self.fields.iter().map(|field| field.split_once('=').unwrap_or((field, "")));
        pairs.find(|(key, _)| *key == wanted).map_or(default, |(_, value)| value).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    const HELLO: &str = "VERSION\t1\t1\nSPID\t77\n";
    const USER: &str = "USER\t1\tu@d\tuid=5000\thome=/home/u\tquota=5M\tmail=maildir:%h/Mail\n";

    #[track_caller]
    fn check(line: &str, answer: &'static str, expected: &str, status: i32) {
        let doveadm = Doveadm::new();
        let _auth = doveadm.play_lines("auth-userdb", vec![(1, HELLO), (1, answer)]);
        let (output, ended) = doveadm.run(line);
        assert_eq!((output.as_str(), ended), (expected, Ok(status)), "{line}");
    }

    #[test]
    fn users_with_their_settings() {
        let all = "field\tvalue\nuid\t5000\ngid\t\nhome\t/home/u\nmail\tmaildir:/home/u/Mail\nquota\t5M\n";
        check("user u@d", USER, all, 0);
        check("user -f home u@d", USER, "/home/u\n", 0);
        check("user -e %n-%d-%h-%{userdb:quota}-%{userdb:x:y} u@d", USER, "u-d-/home/u-5M-y\n", 0);
        check(
            "user nosuch",
            "NOTFOUND\t1\n",
            "field\tvalue\n\nuserdb lookup: user nosuch doesn't exist\n",
            67,
        );
        check("user -x service=imap -e %s u@d", USER, "doveadm\n", 0);
        check("user nohome", "USER\t1\tnohome\tuid=5000\tmail=maildir:%h/Mail\n", "field\tvalue\n", 75);
        for (view, expected) in [("", "field\tvalue\n"), ("-f home ", ""), ("-e %u ", "")] {
            let line = format!("user {view}u@d");
            check(&line, "USER\t1\tu@d\tuid=5000\thome=relative\n", expected, 75);
            check(&line, "USER\t1\tu@d\tuid=5000\tchroot=/x\n", expected, 75);
            if sys::privilege::effective_uid() == 0 {
                check(&line, "USER\t1\tu@d\tuid=50\thome=/x\n", expected, 75);
                check(&line, "USER\t1\tu@d\tuid=5000\tfirst_valid_uid=5001\n", expected, 75);
            }
        }
        check("user broken", "FAIL\t1\n", "field\tvalue\n", 75);
    }

    #[test]
    fn what_the_userdbs_say() {
        let all = "userdb: u@d\n  user      : u@d\n  uid       : 5000\n  home      : /home/u\n  quota     : 5M\n  \
                   mail      : maildir:%h/Mail\n";
        check("user -u u@d", USER, all, 0);
        let low = "userdb: u@d\n  user      : u@d\n  uid       : 50\n";
        check("user -u u@d", "USER\t1\tu@d\tuid=50\n", low, 0);
        check("user -u nosuch", "NOTFOUND\t1\n", "userdb lookup: user nosuch doesn't exist\n", 67);
    }

    #[test]
    fn masks_are_listed() {
        let list = "LIST\t1\ta@d\nLIST\t1\tb@d\nLIST\t1\tc@e\nDONE\t1\t\n";
        check("user *@D", list, "a@d\nb@d\n", 0);
        check("user a* c*", list, "a@d\nc@e\n", 0);
    }

    #[test]
    fn contradictions() {
        let doveadm = Doveadm::new();
        assert_eq!(doveadm.run("user -e x -f y u"), (String::new(), Ok(status::USAGE)));
        assert_eq!(doveadm.run("user -e x -u u"), (String::new(), Ok(status::USAGE)));
    }
}
