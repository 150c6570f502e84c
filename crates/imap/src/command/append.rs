//! APPEND (RFC 3501 §6.3.11, RFC 3502): messages go to the storage as they come, whatever their
//! size, and become visible all together when the command is complete.

use std::time::{Duration, SystemTime};

use proto::imap::MessageHead;
use proto::imap::command::AppendMessage;
use proto::imap::error::ArgsError;
use storage::{Mailbox, OpenMode, SaveBatch, SaveMeta};

use super::copy::in_order;
use super::store::{check_keywords, flags};
use crate::context::{Context, invalid};
use crate::reply::{Answer, Sync};

/// An APPEND whose first message was announced.
pub struct Append {
    batch: Box<dyn SaveBatch>,
    messages: u64,
    /// Kept open until the batch is done, and its name.
    mailbox: Box<dyn Mailbox>,
    name: String,
}

impl Append {
    /// Opens the mailbox and begins the first message.
    ///
    /// # Errors
    /// The answer, if the message is not wanted.
    pub fn begin(context: &mut Context, head: &MessageHead) -> Result<Self, Answer> {
        let message = AppendMessage::parse(head).map_err(refused)?;
        let Some(name) = &message.mailbox else { return Err(invalid("APPEND", "Invalid arguments")) };
        let name = context.name(name);
        let kept = context.destination.take();
        let kept = kept.filter(|(known, mailbox)| *known == name && mailbox.is_in_place());
        let mut mailbox = match kept {
            Some((_, mailbox)) => mailbox,
            None => {
                let opened = context.user.open_mailbox(&name, OpenMode::Append);
                opened.map_err(|error| context.failed(&error, Answer::of_destination_error))?
            }
        };
        let batch = mailbox.begin_save().map_err(|error| context.failed(&error, Answer::of_error))?;
        let mut append = Self { batch, messages: 0, mailbox, name };
        append.begin_message(context, &message, head.size_bytes)?;
        Ok(append)
    }

    /// Begins a further message.
    ///
    /// # Errors
    /// The answer, if the message is not wanted; then none of them is kept.
    pub fn next(&mut self, context: &mut Context, head: &MessageHead) -> Result<(), Answer> {
        let message = AppendMessage::parse(head).map_err(refused)?;
        self.begin_message(context, &message, head.size_bytes)
    }

    fn begin_message(
        &mut self,
        context: &mut Context,
        message: &AppendMessage,
        size: u64,
    ) -> Result<(), Answer> {
        check_keywords(context, &message.flags)?;
        let moment = |secs: i64| match u64::try_from(secs) {
            Ok(after) => SystemTime::UNIX_EPOCH + Duration::from_secs(after),
            Err(_) => SystemTime::UNIX_EPOCH - Duration::from_secs(secs.unsigned_abs()),
        };
        let meta = SaveMeta {
            flags: flags(message.flags.system),
            keywords: message.flags.keywords.iter().map(|keyword| keyword.to_string()).collect(),
            internal_date: message.date.map(|date| moment(date.unix_secs)),
            size_hint: Some(size),
            ..SaveMeta::default()
        };
        self.messages += 1;
        self.batch.begin(meta).map_err(|error| context.failed(&error, Answer::of_error))
    }

    /// Adds bytes to the message.
    ///
    /// # Errors
    /// The answer, if they cannot be stored.
    pub fn write(&mut self, context: &mut Context, bytes: &[u8]) -> Result<(), Answer> {
        self.batch.write(bytes).map_err(|error| context.failed(&error, Answer::of_error))
    }

    /// Ends the message.
    ///
    /// # Errors
    /// The answer, if it cannot be stored.
    pub fn end_message(&mut self, context: &mut Context) -> Result<(), Answer> {
        self.batch.end().map_err(|error| context.failed(&error, Answer::of_error))
    }

    /// Makes the messages visible, and gives the answer.
    pub fn commit(self, context: &mut Context) -> Answer {
        match self.batch.commit() {
            Ok(saved) => {
                context.stats.appended += self.messages;
                context.destination = Some((self.name, self.mailbox));
                Answer::ok("Append completed")
                    .code(format!("APPENDUID {} {}", saved.uid_validity, in_order(&saved.uids)))
                    .sync(Sync::All { uid: false, mode: storage::SyncMode::Quick, newmail: true })
            }
            Err(error) => context.failed(&error, Answer::of_error),
        }
    }
}

/// The answer to arguments that make no sense.
pub fn refused(error: ArgsError) -> Answer {
    of_args_error("APPEND", error)
}

/// The answer to arguments of `command` that make no sense.
pub fn of_args_error(command: &str, error: ArgsError) -> Answer {
    match error {
        ArgsError::Bad(text) => invalid(command, text),
        ArgsError::No { code: Some(code), text } => Answer::no(text).code(code),
        ArgsError::No { code: None, text } => Answer::no(text),
    }
}
