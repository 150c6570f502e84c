//! `dovecot-lda`, also called `deliver`: delivers one message from standard input, run by a mail
//! transfer agent. Command line, exit statuses and log lines are those of Dovecot 2.3.
//!
//! Run as root it becomes the user for good before it reads a byte of the message.

mod args;
mod config;
mod exit;
mod from_line;
mod session;
mod user;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ::message::header;
use base::Logger;
use mail_user::LoggedIn;
use settings::key;

use self::args::Options;
use self::exit::{Exit, Status};
use crate::deliver::{
    Address, Delivery, DeliverySettings, Envelope, Environment, Failure, Message, Sender, reject, summary,
};
use crate::limits::CHUNK_BYTES;

/// Runs the program with the command line `words`, its name first, and returns the exit status.
pub fn main(words: &[OsString]) -> i32 {
    match run(words) {
        Ok(()) => 0,
        Err(exit) => exit.finish(),
    }
}

fn run(words: &[OsString]) -> Result<(), Exit> {
    let began = Instant::now();
    // Lines before the configuration is known begin with the user that the environment names.
    let prefix = match std::env::var("USER") {
        Ok(user) if !user.is_empty() => format!("lda({user})"),
        _ => "lda".to_owned(),
    };
    let options = Options::parse(words, &prefix)?;
    let own_name = match &options.user {
        Some(_) => None,
        None => Some(user::own_name(&prefix)?),
    };
    let path = options.path.as_deref().map(std::path::absolute).transpose();
    let path = path.map_err(|error| Exit::said(format!("{prefix}: Fatal: {error}"), Status::TempFail))?;
    let overrides = config::overrides(&options.overrides)?;
    let settings = config::read(options.config_path.as_deref(), &overrides)?;
    service::programlog::open(&settings).map_err(|error| Exit::said(error.line(), Status::TempFail))?;
    let environment = match options.keep_environment {
        true => Environment::Kept,
        // As in 2.3, the user's name stays visible, too.
        false => Environment::imported(&format!("{} USER", settings.get(key::IMPORT_ENVIRONMENT))),
    };
    let mut who = match (&options.user, own_name) {
        (Some(name), _) => {
            user::look_up(name, &settings, &user::session_log(name, "", &settings, &environment))?
        }
        (None, own_name) => user::own(own_name.unwrap_or_default()),
    };
    if options.user.is_some() {
        user::become_it(&mut who, &settings)?;
    }
    let session_id = session::new_id();
    let log = user::session_log(&who.name, &session_id, &settings, &environment);
    let logged_in = user::prepare(&who, &settings, &overrides, &session_id, &environment, &log)?;
    let run = Run { options: &options, path, logged_in, environment, log, began };
    run.deliver()
}

/// A user is known; now for the message.
struct Run<'a> {
    options: &'a Options,
    /// `-p`, absolute.
    path: Option<PathBuf>,
    logged_in: LoggedIn,
    environment: Environment,
    log: Logger,
    began: Instant,
}

impl Run<'_> {
    fn deliver(self) -> Result<(), Exit> {
        let settings = &self.logged_in.settings;
        let delivery = DeliverySettings::new(settings, &self.logged_in.variables, self.environment.clone());
        let delivery =
            delivery.map_err(|error| user::fatal(&format!("Failed to expand settings: {error}")))?;
        let mail_user = self.logged_in.open();
        let mail_user = mail_user.map_err(|error| user::fatal(&base::chain(&error).to_string()))?;
        self.log.debug(format_args!(
            "Effective uid={}, gid={}, home={}",
            sys::privilege::effective_uid(),
            sys::privilege::effective_gid(),
            mail_user.home().unwrap_or(Path::new("")).display()
        ));
        let (mut message, line_sender) = self.message()?;
        let envelope = self.envelope(&message, line_sender.as_deref(), &delivery, mail_user.username());
        let mailbox = self.options.mailbox.as_deref().filter(|name| !name.is_empty()).unwrap_or("INBOX");
        let log = self.log.clone();
        let job =
            Delivery { user: &mail_user, settings: &delivery, envelope: &envelope, log, began: self.began };
        job.deliver(&mut message, mailbox)
            .or_else(|failure| self.refuse(&failure, &message, &envelope, &delivery))
    }

    /// Standard input without the line `From `, or the file of `-p` as it is.
    fn message(&self) -> Result<(Message, Option<String>), Exit> {
        if let Some(path) = &self.path {
            let opened = File::open(path).and_then(Message::from_file);
            let message = opened.map_err(|error| self.unreadable(&error))?;
            return Ok((message, None));
        }
        let temp_dir = self
            .logged_in
            .variables
            .expander(&[], |it| it.expand_all(self.logged_in.settings.get(key::MAIL_TEMP_DIR)).0);
        let input = BufReader::with_capacity(CHUNK_BYTES, io::stdin().lock());
        let read = from_line::take_off(input)
            .and_then(|(sender, rest)| Ok((Message::read(rest, Path::new(&temp_dir))?, sender)));
        read.map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &io::Error) -> Exit {
        let why = match (error.kind(), &self.path) {
            (io::ErrorKind::NotFound, Some(path)) => format!("Mailbox doesn't exist: {}", path.display()),
            _ => base::reason(error),
        };
        self.log.fatal(format_args!("Can't open delivery mail as raw: {why}"));
        Exit::quietly(Status::TempFail)
    }

    fn envelope(
        &self,
        message: &Message,
        line_sender: Option<&str>,
        settings: &DeliverySettings,
        username: &str,
    ) -> Envelope {
        let (recipient, source) = self.recipient(message, settings, username);
        self.log.debug(format_args!("Destination address: <{recipient}> (source: {source})"));
        let final_recipient = self.options.final_recipient.clone();
        Envelope {
            sender: self.sender(line_sender),
            final_recipient: final_recipient.unwrap_or_else(|| recipient.clone()),
            recipient,
        }
    }

    /// `-f`, or the line `From `. What is no address has no sender to answer to.
    fn sender(&self, line_sender: Option<&str>) -> Sender {
        if let Some(given) = &self.options.sender {
            return match Address::parse_path(given) {
                Ok(Some(address)) => Sender::Address(address),
                Ok(None) | Err(_) => Sender::Null,
            };
        }
        match line_sender.map(Address::parse_full) {
            Some(Ok(address)) => Sender::Address(address),
            Some(Err(error)) => {
                self.log.warning(format_args!("Failed to parse address from `From_'-line: {error}"));
                Sender::Unknown
            }
            None => Sender::Unknown,
        }
    }

    /// `-a`, or `lda_original_recipient_header`, or the user's name at this host; and where it is from.
    fn recipient(&self, message: &Message, settings: &DeliverySettings, username: &str) -> (Address, String) {
        if let Some(given) = &self.options.recipient {
            return (given.clone(), "-a parameter".to_owned());
        }
        let name = &settings.original_recipient_header;
        if !name.is_empty()
            && let Some(field) = header::first(message.header(), name.as_bytes())
            && let Some((local, domain)) = summary::first_address_parts(&field)
        {
            return (Address::new(local, Some(domain)), format!("{name} header"));
        }
        match username.rsplit_once('@') {
            Some((local, domain)) => (Address::new(local, Some(domain.to_owned())), "user".to_owned()),
            None => (Address::new(username, Some(settings.hostname.clone())), "user@hostname".to_owned()),
        }
    }

    /// A message that could not be delivered: the transfer agent keeps it, or its sender is told.
    fn refuse(
        &self,
        failure: &Failure,
        message: &Message,
        envelope: &Envelope,
        settings: &DeliverySettings,
    ) -> Result<(), Exit> {
        let text = if self.options.stderr_rejection { failure.to_string() } else { String::new() };
        let Failure::Quota(reason) = failure else { return Err(Exit::said(text, Status::TempFail)) };
        if settings.quota_full_tempfail {
            return Err(Exit::said(text, Status::TempFail));
        }
        let id = summary::Summary::of(message.header()).message_id;
        self.log.info(format_args!("msgid={}: rejected: {reason}", id.as_deref().unwrap_or("unspecified")));
        if self.options.stderr_rejection {
            return Err(Exit::said(text, Status::NoPerm));
        }
        reject::send(message, envelope, reason, settings, &self.log)
            .map_err(|_| Exit::quietly(Status::TempFail))
    }
}
