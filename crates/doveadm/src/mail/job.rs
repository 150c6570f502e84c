//! One command at work on one user after the other: where it prints, and what it says when something
//! fails.

use std::fmt::Display;
use std::sync::Arc;

use base::Logger;
use mail_user::MailUser;
use storage::Error;

use super::failure::{Told, status_of};
use super::login::{self, Opened};
use crate::context::{Context, Failure, Outcome, status};
use crate::print::Printer;

/// See the module.
pub(crate) struct Job<'a> {
    pub(crate) cx: &'a mut Context,
    /// The table, for commands that have one.
    pub(crate) table: Option<Printer>,
    log: Logger,
    /// What the userdb says of the user.
    userdb: Vec<(String, String)>,
    /// 2.3's exit code: of the first error, but a temporary one wins.
    failed: i32,
}

impl<'a> Job<'a> {
    pub(super) fn new(cx: &'a mut Context, table: Option<Printer>) -> Self {
        let log = Logger::new("doveadm: ");
        Self { cx, table, log, userdb: Vec::new(), failed: 0 }
    }

    /// From now on lines are about this user.
    pub(super) fn begin(&mut self, user: &str) {
        let prefix = match self.cx.serving.as_ref().and_then(|serving| serving.remote) {
            Some(ip) => format!("doveadm({ip},{user}): "),
            None => format!("doveadm({user}): "),
        };
        self.log = Logger::new(prefix).with_debug(self.cx.globals.debug);
    }

    /// The user has been found: a server's lines do not name the client any more.
    pub(super) fn found(&mut self, user: &str) {
        self.log = self.log.with_prefix(format!("doveadm({user}): "));
    }

    /// What the userdb says of the user whose turn it is.
    pub(super) fn set_userdb(&mut self, fields: &[(String, String)]) {
        self.userdb = fields.to_vec();
    }

    /// The value of a field that the userdb has for the user.
    pub(crate) fn userdb_field(&self, name: &str) -> Option<&str> {
        self.userdb.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The users are through.
    pub(super) fn finish(mut self) -> Outcome {
        if let Some(mut table) = self.table.take() {
            table.end(&mut self.cx.output);
        }
        if self.failed != 0 {
            self.cx.status = self.failed;
        }
        Ok(())
    }

    /// Where lines about the user go.
    pub(crate) fn log(&self) -> &Logger {
        &self.log
    }

    /// Says what could not be done and why, and remembers the exit status.
    pub(crate) fn fail(&mut self, what: impl Display, error: &Error) {
        self.log.error(format_args!("{what}: {}", Told(error)));
        self.fail_as(status_of(error));
    }

    /// Remembers an exit status for an error that has been told.
    pub(crate) fn fail_as(&mut self, status: i32) {
        if self.failed == 0 || status == status::TEMPFAIL {
            self.failed = status;
        }
    }

    /// Ends the command at once.
    pub(crate) fn fatal(&self, text: impl Display, status: i32) -> Failure {
        Failure::Said(format!("{}Fatal: {text}", self.log.prefix()), status)
    }

    /// Another user's mailboxes, with the rights that the command has now.
    pub(crate) fn other_user(&mut self, name: &str) -> Outcome<Arc<MailUser>> {
        let refused = |job: &Self, why: &str| {
            job.fatal(format_args!("Couldn't lookup user {name}: {why}"), status::TEMPFAIL)
        };
        match login::look_up(self.cx, name, true)? {
            Ok(Some(user)) => match Opened::of(self.cx, user, &self.log)? {
                Ok(opened) => Ok(opened.user),
                Err(why) => Err(refused(self, &why)),
            },
            // As in 2.3 the reason is missing.
            Ok(None) => Err(refused(self, "")),
            Err(why) => Err(refused(self, &why)),
        }
    }

    /// Prints a value into the table.
    pub(crate) fn print(&mut self, value: impl Display) {
        if let Some(table) = &mut self.table {
            table.value(&value.to_string(), &mut self.cx.output);
        }
    }

    /// Prints a value that may be no text.
    pub(crate) fn print_bytes(&mut self, value: &[u8]) {
        if let Some(table) = &mut self.table {
            table.bytes(value, &mut self.cx.output);
        }
    }

    /// Prints a piece of a long value; an empty one ends it.
    pub(crate) fn print_piece(&mut self, piece: &[u8]) -> Outcome {
        let Some(table) = &mut self.table else { return Ok(()) };
        let printed = table.piece(piece, &mut self.cx.output);
        printed.map_err(|error| self.fatal(error, status::TEMPFAIL))
    }

    /// Whether whoever reads the table has gone.
    pub(crate) fn is_unread(&self) -> bool {
        self.table.as_ref().is_some_and(|table| table.is_unread(&self.cx.output))
    }
}
