//! Opening INBOX: which messages there are, and the size of each, in steps, since sizes may have to
//! be counted by reading the messages.

use std::time::Instant;

use base::Uid;
use mail_user::MailUser;
use storage::{Error, Flags, Mailbox, OpenMode, SyncMode, View, Wanted};

use crate::limits::{OPEN_TRIES_MAX, STEP_TIME};
use crate::maildrop::{Maildrop, Message};
use crate::session::Clock;
use crate::settings::Pop3Settings;

/// INBOX while it is being read.
pub struct Opening {
    mailbox: Box<dyn Mailbox>,
    deleted_flag: Option<String>,
    fast_sizes: bool,
    messages: Vec<Message>,
    /// Places that messages were given in the listing: the first so many of `messages`.
    orders: Vec<Option<u32>>,
    has_orders: bool,
    tries: u32,
    failed_uid: Option<Uid>,
}

/// Why INBOX cannot be used. `Display` is 2.3's log line, but for an error of the storage below it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened.
    #[error("Couldn't open INBOX")]
    Open(#[source] Error),
    /// It cannot be read.
    #[error("Couldn't init INBOX")]
    Read(#[source] Error),
    /// `pop3_deleted_flag` cannot be a keyword.
    #[error("Couldn't init INBOX: pop3_deleted_flags: Invalid keyword '{0}'")]
    Keyword(String),
    /// The size of a message cannot be found out.
    #[error("Couldn't init INBOX: Getting size of message UID={0} failed")]
    Size(Uid),
    /// Messages vanish faster than they can be looked at.
    #[error("Couldn't init INBOX: Can't sync mailbox: Messages keep getting expunged")]
    Vanishing,
}

impl Opening {
    /// Opens INBOX and looks which messages there are.
    ///
    /// # Errors
    /// An INBOX that cannot be opened or read.
    pub fn begin(user: &MailUser, settings: &Pop3Settings) -> Result<Self, OpenError> {
        // The other mode leaves \Recent and new/ to others.
        let mode = if settings.no_flag_updates { OpenMode::Append } else { OpenMode::ReadWrite };
        let mailbox = user.open_mailbox("INBOX", mode).map_err(OpenError::Open)?;
        let keyword_bytes_max = user.settings().mail.mail_max_keyword_length;
        if let Some(flag) = &settings.deleted_flag
            && !is_keyword(flag, keyword_bytes_max)
        {
            return Err(OpenError::Keyword(flag.clone()));
        }
        let mut opening = Self {
            mailbox,
            deleted_flag: settings.deleted_flag.clone(),
            fast_sizes: settings.fast_size_lookups,
            messages: Vec::new(),
            orders: Vec::new(),
            has_orders: false,
            tries: 0,
            failed_uid: None,
        };
        opening.look(SyncMode::Quick)?;
        Ok(opening)
    }

    /// Finds out about more messages; the maildrop once all are known.
    ///
    /// # Errors
    /// A message that cannot be read, or messages that vanish again and again.
    pub fn step(mut self, clock: &Clock) -> Result<Result<Maildrop, Self>, OpenError> {
        let begun: Instant = clock();
        while let Some(uid) = self.messages.get(self.orders.len()).map(|message| message.uid) {
            match self.look_at(uid) {
                Ok(()) => {}
                Err(Error::Expunged(uid)) => self.again(uid)?,
                Err(error) => return Err(OpenError::Read(error)),
            }
            if clock().duration_since(begun) >= STEP_TIME {
                return Ok(Err(self));
            }
        }
        Ok(Ok(self.finish()))
    }

    fn look(&mut self, mode: SyncMode) -> Result<(), OpenError> {
        let view = self.mailbox.sync(mode).map_err(OpenError::Read)?;
        self.messages = messages(&view, self.deleted_flag.as_deref());
        self.orders = Vec::with_capacity(self.messages.len());
        self.has_orders = false;
        Ok(())
    }

    fn look_at(&mut self, uid: Uid) -> storage::Result<()> {
        let wanted = if self.fast_sizes { Wanted::NONE } else { Wanted::SIZE_VIRTUAL } | Wanted::LASTING;
        let facts = self.mailbox.fetch_facts(uid, wanted | Wanted::POP3_ORDER)?;
        // The size on disk serves where it is known without a look at the message, as in 2.3.
        let size = match facts.size_virtual.or(facts.size_physical) {
            Some(size) => size,
            None => {
                let wanted = Wanted::SIZE_VIRTUAL | Wanted::LASTING;
                self.mailbox.fetch_facts(uid, wanted)?.size_virtual.unwrap_or_default()
            }
        };
        if let Some(message) = self.messages.get_mut(self.orders.len()) {
            message.size = size;
        }
        self.has_orders |= facts.pop3_order.is_some();
        self.orders.push(facts.pop3_order);
        Ok(())
    }

    /// A message has vanished: looks which are left and begins again.
    fn again(&mut self, uid: Uid) -> Result<(), OpenError> {
        self.tries += 1;
        if self.tries >= OPEN_TRIES_MAX {
            return Err(match self.failed_uid {
                Some(failed) if failed == uid => OpenError::Size(uid),
                _ => OpenError::Vanishing,
            });
        }
        self.failed_uid = Some(uid);
        self.look(SyncMode::Full)
    }

    fn finish(mut self) -> Maildrop {
        if self.has_orders {
            // Those without a place come last, in the order of the mailbox.
            let mut placed: Vec<_> = self.orders.iter().zip(std::mem::take(&mut self.messages)).collect();
            placed.sort_by_key(|(order, _)| order.unwrap_or(u32::MAX));
            self.messages = placed.into_iter().map(|(_, message)| message).collect();
        }
        let last_seen = self.messages.iter().rposition(|message| message.is_seen).map_or(0, |at| at + 1);
        Maildrop {
            uid_validity: self.mailbox.view().uid_validity(),
            mailbox: self.mailbox,
            total_bytes: self.messages.iter().map(|message| message.size).sum(),
            messages: self.messages,
            deleted_count: 0,
            deleted_bytes: 0,
            to_be_seen: 0,
            last_seen: u32::try_from(last_seen).unwrap_or(u32::MAX),
            lowest_retrieved: None,
            highest_lost: None,
            is_updated: false,
            uidls: None,
        }
    }
}

/// All messages but those that were deleted by flag.
fn messages(view: &View, deleted_flag: Option<&str>) -> Vec<Message> {
    let deleted = deleted_flag.and_then(|flag| view.keyword_index(flag));
    let is_shown = |record: &&storage::Record| {
        !deleted.is_some_and(|deleted| record.keywords.iter().any(|index| index == deleted))
    };
    let message = |record: &storage::Record| Message {
        uid: record.uid,
        size: 0,
        is_deleted: false,
        is_seen: record.flags.has(Flags::SEEN),
        becomes_seen: false,
    };
    view.records().filter(is_shown).map(message).collect()
}

/// Whether IMAP could show it: an atom (RFC 3501 §9) that is not too long.
fn is_keyword(text: &str, bytes_max: usize) -> bool {
    let is_atom = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
    !text.is_empty() && text.len() <= bytes_max && text.bytes().all(is_atom)
}
