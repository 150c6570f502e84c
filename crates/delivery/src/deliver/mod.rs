//! Puts a message into a mailbox of a user, or says why not. Knows nothing of where the message came
//! from; front ends bring a [`Message`], an [`Envelope`] and a user.

pub mod address;
pub mod environment;
pub mod message;
pub mod reject;
mod settings;
mod status;
pub mod submit;
pub mod summary;

use std::io;
use std::time::Instant;

use base::Logger;
use mail_user::MailUser;
use storage::{Error, ErrorKind, FileFormat, Mailbox, OpenMode, SaveMeta, SyncMode};

pub use address::Address;
pub use environment::Environment;
pub use message::Message;
pub use settings::DeliverySettings;
pub use summary::Summary;

/// Whom a message is from and for.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The sender.
    pub sender: Sender,
    /// The recipient as it was before any alias: what the log shows.
    pub recipient: Address,
    /// The recipient that the transfer agent made of it: what rejections show.
    pub final_recipient: Address,
}

/// Where answers to a message would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// An address.
    Address(Address),
    /// The null path: nobody wants an answer.
    Null,
    /// The transfer agent did not say. Shown as 2.3 shows it.
    Unknown,
}

impl std::fmt::Display for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Null => Ok(()),
            Self::Unknown => f.write_str("MAILER-DAEMON"),
        }
    }
}

/// Why a message was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Trying later may help. Holds what others may be told.
    #[error("{0}")]
    Temporary(String),
    /// The user's mailbox is full. Holds what the sender may be told.
    #[error("{0}")]
    Quota(String),
}

/// Delivers one message to one user.
pub struct Delivery<'a> {
    /// Whose mailboxes.
    pub user: &'a MailUser,
    /// The settings that apply.
    pub settings: &'a DeliverySettings,
    /// Where to and from.
    pub envelope: &'a Envelope,
    /// Writes lines with the session's prefix.
    pub log: Logger,
    /// When the delivery began.
    pub began: Instant,
}

/// How an attempt ended that did not save the message.
enum Attempt {
    /// There is no such mailbox and cannot be: another one may do.
    NoMailbox,
    Failed(Failure),
}

impl Delivery<'_> {
    /// Saves the message to `mailbox`, or to INBOX if there is no such mailbox, and logs it.
    ///
    /// # Errors
    /// Nothing was saved.
    pub fn deliver(&self, message: &mut Message, mailbox: &str) -> Result<(), Failure> {
        let summary = Summary::of(message.header());
        match self.attempt(message, &summary, mailbox) {
            Ok(()) => Ok(()),
            Err(Attempt::Failed(failure)) => Err(failure),
            Err(Attempt::NoMailbox) => match self.attempt(message, &summary, INBOX) {
                Ok(()) => Ok(()),
                Err(Attempt::Failed(failure)) => Err(failure),
                Err(Attempt::NoMailbox) => Err(Failure::Temporary("Mailbox doesn't exist: INBOX".to_owned())),
            },
        }
    }

    fn attempt(&self, message: &mut Message, summary: &Summary, name: &str) -> Result<(), Attempt> {
        let opened = self.open(name);
        let mut mailbox = opened.map_err(|error| {
            let why = self.explain(name, &error);
            self.log_status(message, summary, None, &format!("save failed to open mailbox {name}: {why}"));
            let is_inbox = name.eq_ignore_ascii_case(INBOX);
            if is_about_the_name(&error) && !is_inbox { Attempt::NoMailbox } else { failed(&error) }
        })?;
        match save(&mut *mailbox, message) {
            Ok(uid) => {
                let mut id = || storage_id(&mut *mailbox, uid);
                self.log_status(message, summary, Some(&mut id), &format!("saved mail to {name}"));
                Ok(())
            }
            Err(SaveError::Mailbox(error)) => {
                let why = self.explain(name, &error);
                self.log_status(message, summary, None, &format!("save failed to {name}: {why}"));
                Err(failed(&error))
            }
            Err(SaveError::Message(error)) => {
                let why = format!("read(message) failed: {}", base::reason(&error));
                self.log.error(&why);
                self.log_status(message, summary, None, &format!("save failed to {name}: {why}"));
                Err(Attempt::Failed(Failure::Temporary(why)))
            }
        }
    }

    /// The mailbox, made first if it is missing and the settings want it.
    fn open(&self, name: &str) -> Result<Box<dyn Mailbox>, Error> {
        let name = self.real_name(name);
        match self.user.open_mailbox(name, OpenMode::Append) {
            Err(Error::NotFound(_)) if self.settings.mailbox_autocreate => {
                match self.user.create(name) {
                    Err(Error::Exists(_)) => {}
                    result => result?,
                }
                if self.settings.mailbox_autosubscribe
                    && let Err(error) = self.user.subscribe(name)
                {
                    self.log.error(format_args!(
                        "Mailbox {name}: Failed to autosubscribe: {}",
                        base::chain(&error)
                    ));
                }
                self.user.open_mailbox(name, OpenMode::Append)
            }
            opened => opened,
        }
    }

    /// The bare prefix of INBOX's namespace means INBOX.
    fn real_name<'n>(&self, name: &'n str) -> &'n str {
        let mut namespaces = self.user.namespaces().iter().filter(|namespace| namespace.settings().inbox);
        let is_prefix = namespaces.any(|namespace| namespace.prefix() == name);
        if is_prefix { INBOX } else { name }
    }

    /// What the log's status line says of an error. What the administrator has to look at also gets a
    /// line of its own.
    fn explain(&self, name: &str, error: &Error) -> String {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotPossible | ErrorKind::Params => error.client_text(),
            ErrorKind::Quota if !error.is_internal() => error.client_text(),
            _ => {
                let text = format!("Mailbox {name}: {}", for_log(error));
                self.log.error(&text);
                text
            }
        }
    }

    fn log_status(
        &self,
        message: &Message,
        summary: &Summary,
        id: Option<&mut dyn FnMut() -> Option<String>>,
        text: &str,
    ) {
        let crlf = self.user.settings().mail.mail_save_crlf;
        status::Status {
            text,
            summary,
            sizes: (message.stored_size(crlf), message.virtual_size(crlf)),
            envelope: self.envelope,
            began: self.began,
        }
        .write(&self.log, &self.settings.log_format, id);
    }
}

enum SaveError {
    Mailbox(Error),
    Message(io::Error),
}

impl From<Error> for SaveError {
    fn from(error: Error) -> Self {
        Self::Mailbox(error)
    }
}

impl From<io::Error> for SaveError {
    fn from(error: io::Error) -> Self {
        Self::Message(error)
    }
}

fn save(mailbox: &mut dyn Mailbox, message: &mut Message) -> Result<base::Uid, SaveError> {
    let mut batch = mailbox.begin_save()?;
    batch.begin(SaveMeta { size_hint: Some(message.size()), ..SaveMeta::default() })?;
    message.for_each_chunk(|chunk| batch.write(chunk).map_err(SaveError::from))?;
    batch.end()?;
    let saved = batch.commit()?;
    saved.uids.first().copied().ok_or_else(|| {
        SaveError::Mailbox(Error::Unsupported("The storage did not say where the message is".to_owned()))
    })
}

/// The name of a saved message in its storage: for Maildir, the file's without flags.
fn storage_id(mailbox: &mut dyn Mailbox, uid: base::Uid) -> Option<String> {
    mailbox.sync(SyncMode::Quick).ok()?;
    let file = mailbox.message_file(uid).filter(|file| file.format == FileFormat::Plain)?;
    let name = file.path.file_name()?.to_string_lossy().into_owned();
    Some(name.split(':').next().unwrap_or_default().to_owned())
}

/// 2.3 falls back to INBOX where no mailbox of this name exists or can exist.
fn is_about_the_name(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotPossible | ErrorKind::Params)
}

fn failed(error: &Error) -> Attempt {
    let text = match error {
        // A full disk is not the user's fault, so the message is not rejected.
        Error::NoSpace { .. } | Error::NoPermission(_) => internal_error(),
        error => error.client_text(),
    };
    Attempt::Failed(match error {
        Error::QuotaExceeded(_) => Failure::Quota(text),
        _ => Failure::Temporary(text),
    })
}

/// The error with its causes, in the system's words alone.
fn for_log(error: &Error) -> String {
    match error {
        Error::Temporary { source, .. } | Error::NoSpace { source, .. } => {
            format!("{error}: {}", base::reason(source))
        }
        error => base::chain(error).to_string(),
    }
}

/// 2.3's words for what only the log explains.
fn internal_error() -> String {
    let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    format!("Internal error occurred. Refer to server log for more information. [{now}]")
}

const INBOX: &str = "INBOX";

/// For tests of parts.
#[cfg(test)]
pub(crate) fn test_envelope(sender: Sender) -> Envelope {
    let recipient = Address::new("user", Some("example.org".to_owned()));
    Envelope { sender, final_recipient: recipient.clone(), recipient }
}
