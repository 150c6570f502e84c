//! What commands work on: the user, the settings, the selected mailbox, the counters.

use std::sync::Arc;

use base::{Logger, UidSet};
use mail_user::MailUser;
use proto::imap::{MailboxName, SequenceSet};

use crate::reply::Answer;
use crate::selected::Selected;
use crate::session::Clock;
use crate::settings::ImapSettings;
use crate::stats::Stats;

/// The part of a session that commands see.
pub struct Context {
    /// Who is logged in.
    pub user: Arc<MailUser>,
    /// The settings that apply.
    pub settings: Arc<ImapSettings>,
    /// Where log lines go.
    pub log: Logger,
    /// What CAPABILITY says.
    pub capability: Arc<str>,
    /// The selected mailbox.
    pub selected: Option<Selected>,
    /// Where the last APPEND went, for the next one: clients upload many messages one by one. It is let
    /// go as soon as they do something else, or nothing for a moment.
    pub destination: Option<(String, Box<dyn storage::Mailbox>)>,
    /// The tag of the command at hand.
    pub tag: Box<str>,
    /// Tells the time.
    pub clock: Clock,
    /// The counters.
    pub stats: Stats,
    /// Messages whose flag changes the client knows already; emptied by the next announcement.
    pub quiet: UidSet,
}

/// `BAD`, when a command needs a mailbox and none is selected.
pub const NO_MAILBOX: &str = "No mailbox selected";

impl Context {
    /// The selected mailbox. The session refuses commands that need one before they get here.
    pub fn selected(&mut self) -> Result<&mut Selected, Answer> {
        self.selected.as_mut().ok_or_else(|| Answer::bad(NO_MAILBOX))
    }

    /// The UIDs that a set means in the client's view.
    pub fn resolve(&self, command: &str, set: &SequenceSet, uid: bool) -> Result<UidSet, Answer> {
        let selected = self.selected.as_ref().ok_or_else(|| Answer::bad(NO_MAILBOX))?;
        let view = &selected.view;
        if set.is_saved_result() {
            return Ok(selected.saved_result.clone());
        }
        if uid {
            return Ok(set.resolve_uids(view.last_uid()));
        }
        let seqs = set.resolve_seqs(view.len()).map_err(|_| invalid(command, "Invalid messageset"))?;
        Ok(view.uids_of(&seqs))
    }

    /// A mailbox name as the workarounds want it.
    pub fn name(&self, name: &MailboxName) -> String {
        let name = name.as_str();
        if self.settings.workarounds.tb_extra_mailbox_sep {
            let separator = self.user.namespace_of(name).map_or('/', |namespace| namespace.separator());
            if let Some(short) = name.strip_suffix(separator) {
                return short.to_owned();
            }
        }
        name.to_owned()
    }

    /// Whether `name` is the selected mailbox.
    pub fn is_selected(&self, name: &str) -> bool {
        self.selected.as_ref().is_some_and(|selected| {
            selected.name == name
                || selected.name.eq_ignore_ascii_case("INBOX") && name.eq_ignore_ascii_case("INBOX")
        })
    }

    /// Logs an error that the administrator should see, and gives what the client is told.
    pub fn failed(&self, error: &storage::Error, answer: fn(&storage::Error) -> Answer) -> Answer {
        if error.is_internal() {
            self.log.error(base::chain(error));
        }
        answer(error)
    }
}

/// `BAD Error in IMAP command NAME: text`.
pub fn invalid(command: &str, text: impl std::fmt::Display) -> Answer {
    Answer::bad(format!("Error in IMAP command {command}: {text}"))
}
