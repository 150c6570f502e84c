//! The line that says what became of a message, shaped by `deliver_log_format`.

use std::time::Instant;

use base::Logger;
use settings::vars::Expander;

use super::{Envelope, Summary};

/// What the line is made of.
pub(super) struct Status<'a> {
    pub(super) text: &'a str,
    pub(super) summary: &'a Summary,
    /// As stored, and with every line ending in CRLF.
    pub(super) sizes: (u64, u64),
    pub(super) envelope: &'a Envelope,
    pub(super) began: Instant,
}

impl Status<'_> {
    /// Writes the line. `storage_id` costs something, so it is asked only where the format wants it.
    pub(super) fn write(
        &self,
        log: &Logger,
        format: &str,
        storage_id: Option<&mut dyn FnMut() -> Option<String>>,
    ) {
        let wanted = storage_id.filter(|_| format.contains("storage_id"));
        let id = wanted.and_then(|id| id()).unwrap_or_default();
        let (line, error) = self.expand(format, &id);
        if let Some(error) = error {
            log.error(format_args!("Failed to expand deliver_log_format={format}: {error}"));
        }
        log.info(line);
    }

    fn expand(&self, format: &str, storage_id: &str) -> (String, Option<settings::vars::VarError>) {
        let (size, virtual_size) = (self.sizes.0.to_string(), self.sizes.1.to_string());
        let (sender, recipient) = (self.envelope.sender.to_string(), self.envelope.recipient.to_string());
        let took_ms = self.began.elapsed().as_millis().to_string();
        let table = [
            ('$', "", Some(self.text)),
            ('m', "msgid", Some(self.summary.message_id.as_deref().unwrap_or(UNSPECIFIED))),
            ('s', "subject", Some(self.summary.subject.as_str())),
            ('f', "from", Some(self.summary.from.as_str())),
            ('e', "from_envelope", Some(sender.as_str())),
            ('p', "size", Some(size.as_str())),
            ('w', "vsize", Some(virtual_size.as_str())),
            ('\0', "delivery_time", Some(took_ms.as_str())),
            // Only protocols with a session of their own have one.
            ('\0', "session_time", Some("0")),
            ('\0', "to_envelope", Some(recipient.as_str())),
            ('\0', "storage_id", Some(storage_id)),
        ];
        Expander::of(&table).expand_all(format)
    }
}

/// 2.3's word for a message without an id.
pub(super) const UNSPECIFIED: &str = "unspecified";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::{Sender, test_envelope};

    #[test]
    fn formats() {
        let summary = Summary { message_id: None, from: "f@x".into(), subject: "s".into() };
        let envelope = test_envelope(Sender::Unknown);
        let status = Status {
            text: "saved mail to INBOX",
            summary: &summary,
            sizes: (8, 11),
            envelope: &envelope,
            began: Instant::now(),
        };
        let check = |format: &str, expected: &str, fine: bool| {
            let (line, error) = status.expand(format, "id");
            assert_eq!((line.as_str(), error.is_none()), (expected, fine), "{format}");
        };
        check("msgid=%m: %$", "msgid=unspecified: saved mail to INBOX", true);
        check("%f|%e|%p|%w|%s", "f@x|MAILER-DAEMON|8|11|s", true);
        check("%{from_envelope}|%{to_envelope}|%{storage_id}", "MAILER-DAEMON|user@example.org|id", true);
        check("%{vsize}|%{session_time}|%q", "11|0|UNSUPPORTED_VARIABLE_q", false);
    }
}
