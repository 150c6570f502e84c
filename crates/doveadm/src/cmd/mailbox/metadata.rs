//! `doveadm mailbox metadata set`, `unset`, `get` and `list`: the attributes of mailboxes, and with `-s` and
//! an empty name those of the server.

use mail_user::MailUser;
use mail_user::attributes::SERVER;
use storage::attributes::Scope;
use storage::{Error, OpenMode};

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Failure, Outcome, status};
use crate::mail::{Job, Whose};
use crate::print::{Format, untitled};

pub(crate) fn set(cx: &mut Context, args: &Args) -> Outcome {
    let value = args.text("value").ok_or_else(|| help("mailbox metadata set"))?.to_owned();
    change(cx, args, "mailbox metadata set", Some(&value))
}

pub(crate) fn unset(cx: &mut Context, args: &Args) -> Outcome {
    change(cx, args, "mailbox metadata unset", None)
}

fn change(cx: &mut Context, args: &Args, command: &str, value: Option<&str>) -> Outcome {
    let target = Target::parse(args, command, true)?;
    Whose::parse(cx, args)?.each(cx, &mut |job, user| {
        let Some(target) = target.named(job, "set attribute") else { return Ok(()) };
        if let Err(error) = user.open_mailbox(&target.mailbox, OpenMode::Append) {
            job.fail("Failed to open mailbox", &error);
        } else if let Err(error) = user.set_attribute(&target.mailbox, target.scope(), &target.name, value) {
            job.fail("Failed to set attribute", &error);
        }
        Ok(())
    })
}

pub(crate) fn get(cx: &mut Context, args: &Args) -> Outcome {
    let target = Target::parse(args, "mailbox metadata get", true)?;
    let whose = Whose::parse(cx, args)?;
    whose.each_printing(cx, Format::Flow, &[untitled("value", "value")], &mut |job, user| {
        let Some(target) = target.named(job, "get attribute") else { return Ok(()) };
        match user.attribute(&target.mailbox, target.scope(), &target.name) {
            Ok(value) => job.print(value.unwrap_or_default()),
            Err(error) => job.fail("Failed to get attribute", &error),
        }
        Ok(())
    })
}

pub(crate) fn list(cx: &mut Context, args: &Args) -> Outcome {
    let target = Target::parse(args, "mailbox metadata list", false)?;
    let with_prefix = args.flag("prepend-prefix");
    let whose = Whose::parse(cx, args)?;
    whose.each_printing(cx, Format::Flow, &[untitled("key", "key")], &mut |job, user| {
        let Some(target) = target.named(job, "list attribute") else { return Ok(()) };
        for scope in [Scope::Private, Scope::Shared] {
            if target.name.is_empty() || target.scope() == scope {
                list_scope(job, user, &target, scope, with_prefix);
            }
        }
        Ok(())
    })
}

fn list_scope(job: &mut Job<'_>, user: &MailUser, target: &Target, scope: Scope, with_prefix: bool) {
    match user.attribute_names(&target.mailbox, scope, &target.name) {
        Ok(names) => {
            let prefix = match (with_prefix, scope) {
                (false, _) => "",
                (true, Scope::Private) => "/private/",
                (true, Scope::Shared) => "/shared/",
            };
            names.iter().for_each(|name| job.print(format_args!("{prefix}{name}")));
        }
        Err(error) => {
            let what = format!("Mailbox {}: Failed to iterate mailbox attributes", target.mailbox);
            job.fail(what, &error);
        }
    }
}

/// An attribute, or where several begin.
struct Target {
    mailbox: String,
    /// `None` where no key was given.
    scope: Option<Scope>,
    name: String,
    /// `-s`
    may_be_server: bool,
}

impl Target {
    fn parse(args: &Args, command: &str, needs_key: bool) -> Outcome<Self> {
        let mailbox = args.text("mailbox").ok_or_else(|| help(command))?;
        let key = args.text(if needs_key { "key" } else { "key-prefix" });
        let (scope, name) = match key {
            Some(key) => {
                let (scope, name) = parse_key(key)?;
                (Some(scope), name)
            }
            None if needs_key => return Err(help(command)),
            None => (None, String::new()),
        };
        let may_be_server = args.flag("allow-empty-mailbox-name");
        Ok(Self { mailbox: mailbox.to_owned(), scope, name, may_be_server })
    }

    /// As 2.3 has it, a list without a key is one of private names.
    fn scope(&self) -> Scope {
        self.scope.unwrap_or(Scope::Private)
    }

    /// The same with the server's name resolved; `None` if there is no name.
    fn named(&self, job: &mut Job<'_>, what: &str) -> Option<Self> {
        let (mailbox, name) = match (self.mailbox.as_str(), self.may_be_server) {
            ("", true) => ("INBOX".to_owned(), format!("{SERVER}{}", self.name)),
            ("", false) => {
                let error = Error::BadRequest("mailbox name cannot be empty".to_owned());
                job.fail(format_args!("Failed to {what}"), &error);
                return None;
            }
            (mailbox, _) => (mailbox.to_owned(), self.name.clone()),
        };
        Some(Self { mailbox, name, scope: self.scope, may_be_server: self.may_be_server })
    }
}

/// `/private/name` or `/shared/name`; letters are small ones.
fn parse_key(key: &str) -> Outcome<(Scope, String)> {
    let key = key.to_ascii_lowercase();
    for (word, scope) in [("/private", Scope::Private), ("/shared", Scope::Shared)] {
        match key.strip_prefix(word) {
            Some("") => return Ok((scope, String::new())),
            Some(rest) if rest.starts_with('/') => {
                return Ok((scope, rest.trim_start_matches('/').to_owned()));
            }
            _ => {}
        }
    }
    let text = format!("Invalid metadata key '{key}': Must begin with /private or /shared");
    Err(Failure::Fatal(text, status::USAGE))
}
