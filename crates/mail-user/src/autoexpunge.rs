//! `autoexpunge` and `autoexpunge_max_mails`: when a session ends, mail goes that has been in a mailbox for
//! long, or that is too much.

use std::time::{Duration, SystemTime};

use base::UidSet;
use storage::{Error, Mailbox, OpenMode, Result, StatusItems, SyncMode, UserLock, Wanted};

use crate::input::MailboxSettings;
use crate::list::{ListOptions, Node};
use crate::namespace::Namespace;
use crate::user::MailUser;

impl MailUser {
    /// Removes what the configuration says of the mailboxes, and gives the number of messages. May take long.
    /// What fails is logged. While somebody else does it for the same user, nothing is done.
    pub fn autoexpunge(&self) -> u64 {
        let namespaces = self.namespaces().iter().filter(|ns| ns.settings().alias_for.is_none());
        let wanted =
            |mailbox: &&MailboxSettings| mailbox.autoexpunge_secs != 0 || mailbox.autoexpunge_max_mails != 0;
        let mut lock = None;
        let mut count = 0;
        for namespace in namespaces {
            for mailbox in namespace.settings().mailboxes.iter().filter(wanted) {
                if lock.is_none() {
                    lock = self.lock_autoexpunge();
                }
                match lock {
                    Some(Held::Others) => return count,
                    _ => count += self.autoexpunge_like(namespace, mailbox),
                }
            }
        }
        count
    }

    fn lock_autoexpunge(&self) -> Option<Held> {
        let inbox = self.namespaces().iter().find(|ns| ns.settings().inbox);
        let volatile = inbox.and_then(|inbox| inbox.storage().volatile_dir());
        let failed = |why: &dyn std::fmt::Display| {
            self.logger().error(format_args!("autoexpunge: Couldn't create {LOCK_NAME} lock: {why}"));
        };
        let Some(dir) = volatile.or(self.home()) else {
            failed(&"User has no home directory");
            return Some(Held::Nobody);
        };
        match UserLock::attempt(dir, LOCK_NAME, &self.settings().mail, self.logger()) {
            Ok(Some(lock)) => Some(Held::Us { _lock: lock }),
            Ok(None) => Some(Held::Others),
            Err(error) => {
                failed(&base::chain(&error));
                Some(Held::Nobody)
            }
        }
    }

    /// The name in the settings may stand for several mailboxes.
    fn autoexpunge_like(&self, namespace: &Namespace, settings: &MailboxSettings) -> u64 {
        let (separator, prefix) = (namespace.separator(), namespace.prefix());
        let name = match settings.name.as_str() {
            "" => prefix.strip_suffix(separator).unwrap_or(prefix).to_owned(),
            name if namespace.settings().inbox && name.eq_ignore_ascii_case("INBOX") => "INBOX".to_owned(),
            name => format!("{prefix}{name}"),
        };
        let names = if settings.name.contains(['*', '?']) { self.existing(&name) } else { vec![name] };
        names.iter().map(|name| self.autoexpunge_one(name, settings)).sum()
    }

    fn existing(&self, pattern: &str) -> Vec<String> {
        let options = ListOptions { existing_only: true, ..ListOptions::default() };
        match self.list("", &[pattern], &options) {
            Ok(found) => {
                let selectable = found.into_iter().filter(|entry| entry.node == Node::Selectable);
                selectable.map(|entry| entry.name).collect()
            }
            Err(error) => {
                let why = base::chain(&error);
                self.logger()
                    .error(format_args!("Failed to iterate autoexpunge mailboxes '{pattern}': {why}"));
                Vec::new()
            }
        }
    }

    fn autoexpunge_one(&self, name: &str, settings: &MailboxSettings) -> u64 {
        match self.old_mail(name, settings) {
            Ok(count) => count,
            // One that makes itself has not yet.
            Err(Error::NotFound(_) | Error::NotSelectable(_)) => 0,
            Err(error) => {
                let why = base::chain(&error);
                self.logger().error(format_args!("Mailbox {name}: Failed to autoexpunge: {why}"));
                0
            }
        }
    }

    fn old_mail(&self, name: &str, settings: &MailboxSettings) -> Result<u64> {
        let (namespace, below) = self.resolve(name)?;
        // Most often the list knows that there is nothing to do.
        let listed = namespace.storage().status(&below, StatusItems::MESSAGES);
        let enough = if settings.autoexpunge_secs == 0 { settings.autoexpunge_max_mails } else { 0 };
        if listed.is_some_and(|status| u64::from(status.messages) <= enough) {
            return Ok(0);
        }
        let mut mailbox = namespace.storage().open(&below, OpenMode::Append)?;
        expunge(&mut *mailbox, settings)
    }
}

/// Who does it.
enum Held {
    Us {
        _lock: UserLock,
    },
    Others,
    /// There is no lock, which is for speed only.
    Nobody,
}

/// Removes the oldest messages, up to the first one that may stay.
fn expunge(mailbox: &mut dyn Mailbox, settings: &MailboxSettings) -> Result<u64> {
    let view = mailbox.sync(SyncMode::Quick)?;
    let now = SystemTime::now();
    let before = now.checked_sub(Duration::from_secs(settings.autoexpunge_secs));
    // A time to come is damage.
    let renamed = mailbox.renamed_at().filter(|&at| at <= now + Duration::from_secs(60));
    let max = settings.autoexpunge_max_mails;
    let too_many = if max == 0 { 0 } else { u64::from(view.len()).saturating_sub(max) };
    let mut gone = UidSet::new();
    for (index, record) in (0u64..).zip(view.records()) {
        if index >= too_many {
            if settings.autoexpunge_secs == 0 {
                break;
            }
            let saved = match mailbox.fetch_facts(record.uid, Wanted::SAVE_DATE) {
                Err(Error::Expunged(_)) => continue,
                facts => facts?.save_date,
            };
            let since = saved.max(renamed);
            if since.is_none() || since > before {
                break;
            }
        }
        gone.insert(record.uid);
    }
    let count = gone.iter().count();
    if count > 0 {
        mailbox.expunge(&gone)?;
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// 2.3's AUTOEXPUNGE_LOCK_FNAME.
const LOCK_NAME: &str = "dovecot.autoexpunge.lock";
