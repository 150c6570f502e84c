//! Tells the sender that a message was not wanted: a delivery status notification (RFC 3464) with
//! the header of the message.

use base::Logger;
use jiff::Zoned;
use message::address::{self, Missing};
use message::header::{self, Fields};
use settings::vars::Expander;

use super::submit::{SubmitError, Submitter};
use super::{DeliverySettings, Envelope, Message, Sender, Summary};

/// Sends the rejection of `message` to its sender, unless there is none or it is a machine; the log
/// says so then.
///
/// # Errors
/// The rejection could not be sent; the message should be tried again later.
pub fn send(
    message: &Message,
    envelope: &Envelope,
    reason: &str,
    settings: &DeliverySettings,
    log: &Logger,
) -> Result<(), SubmitError> {
    let summary = Summary::of(message.header());
    let id = summary.message_id.as_deref().unwrap_or(super::status::UNSPECIFIED);
    if is_automatic(message.header()) {
        log.info(format_args!("msgid={id}: Auto-submitted message discarded: {reason}"));
        return Ok(());
    }
    let Sender::Address(sender) = &envelope.sender else {
        log.info(format_args!("msgid={id}: Return-Path missing, rejection reason: {reason}"));
        return Ok(());
    };
    let notice = Notice { header: message.header(), summary: &summary, envelope, reason, settings };
    let text = notice.text(&sender.to_string(), &Zoned::now());
    let sent = Submitter::new(settings).send(sender, &text);
    sent.inspect_err(|error| {
        log.error(format_args!("msgid={id}: Temporarily failed to send rejection: {}", base::chain(error)));
    })
}

/// RFC 3834 §5: any value but `no`.
fn is_automatic(header: &[u8]) -> bool {
    header::first(header, b"Auto-Submitted").is_some_and(|field| {
        let value = field.value_oneline();
        let word =
            value.split(|byte| matches!(byte, b' ' | b'\t' | b';' | b'(')).find(|word| !word.is_empty());
        word.is_none_or(|word| !word.eq_ignore_ascii_case(b"no"))
    })
}

struct Notice<'a> {
    header: &'a [u8],
    summary: &'a Summary,
    envelope: &'a Envelope,
    reason: &'a str,
    settings: &'a DeliverySettings,
}

impl Notice<'_> {
    /// The whole notification, lines ending in LF.
    fn text(&self, sender: &str, now: &Zoned) -> Vec<u8> {
        let hostname = &self.settings.hostname;
        let (pid, second) = (std::process::id(), now.timestamp().as_second());
        let boundary = format!("{pid}/{hostname}");
        let recipient = self.envelope.final_recipient.to_string();
        let subject = self.expand(&self.settings.rejection_subject, " ");
        let reason = self.expand(&self.settings.rejection_reason, "\n");
        let date = now.strftime("%a, %d %b %Y %H:%M:%S %z");
        let (micros, host) = (now.timestamp().subsec_microsecond(), mail_user::host_name());
        let mut text = format!(
            "Message-ID: <dovecot-{second}-{micros}-0@{host}>\n\
             Date: {date}\n\
             From: {postmaster}\n\
             To: <{sender}>\n\
             MIME-Version: 1.0\n\
             Content-Type: multipart/report; report-type=delivery-status;\n\
             \tboundary=\"{boundary}\"\n\
             Subject: {subject}\n\
             Auto-Submitted: auto-replied (rejected)\n\
             Precedence: bulk\n\
             \n\
             This is a MIME-encapsulated message\n\
             \n\
             --{boundary}\n\
             Content-Type: text/plain; charset=utf-8\n\
             Content-Disposition: inline\n\
             Content-Transfer-Encoding: 8bit\n\
             \n\
             {reason}\n\
             --{boundary}\n\
             Content-Type: message/delivery-status\n\
             \n\
             Reporting-MTA: dns; {hostname}\n\
             Final-Recipient: rfc822; {recipient}\n\
             Action: failed\n\
             Status: 5.2.2\n\
             \n\
             --{boundary}\n\
             Content-Type: message/rfc822\n\
             \n",
            postmaster = self.postmaster(),
            subject = encoded(&subject),
        )
        .into_bytes();
        self.append_header(&mut text);
        text.extend_from_slice(format!("\n\n--{boundary}--\n").as_bytes());
        text
    }

    /// The message's header without what describes the body, which is not there.
    fn append_header(&self, text: &mut Vec<u8>) {
        for field in Fields::new(self.header) {
            if field.is(b"Content-Type") || field.name.is_empty() {
                continue;
            }
            for part in [field.name, field.middle, &field.value_lf()[..], b"\n"] {
                text.extend_from_slice(part);
            }
        }
    }

    /// `%s` subject, `%r` reason, `%t` recipient, `%n` a new line.
    fn expand(&self, template: &str, newline: &str) -> String {
        let recipient = self.envelope.final_recipient.to_string();
        let subject = one_line(&self.summary.subject);
        let table = [
            ('n', "crlf", Some(newline)),
            ('r', "reason", Some(self.reason)),
            ('s', "subject", Some(subject.as_str())),
            ('t', "to", Some(recipient.as_str())),
        ];
        Expander::of(&table).expand_all(template).0
    }

    /// The setting with a display name, if it has none.
    fn postmaster(&self) -> String {
        let setting = &self.settings.postmaster_address;
        let first =
            address::parse(setting.as_bytes(), Missing::Empty).into_iter().find(|one| !one.is_group_mark());
        let Some(mut first) = first else { return format!("Postmaster <{setting}>") };
        first.name.get_or_insert_with(|| b"Postmaster".to_vec());
        let mut text = Vec::new();
        address::write(&mut text, &[first]);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// A sender must not be able to add lines to our header.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Text for a header field: encoded words (RFC 2047) where it is not plain ASCII.
fn encoded(text: &str) -> String {
    let text = one_line(text);
    if text.is_ascii() {
        return text;
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        let mut buffer = [0; 4];
        let hex: String = c.encode_utf8(&mut buffer).bytes().map(|byte| format!("={byte:02X}")).collect();
        // RFC 2047 §2: a word has 75 characters at most, and no character is cut.
        if word.len() + hex.len() > 75 - "=?utf-8?q??=".len() {
            words.push(std::mem::take(&mut word));
        }
        word.push_str(if c.is_ascii_alphanumeric() { c.encode_utf8(&mut buffer) } else { &hex });
    }
    words.push(word);
    words.iter().map(|word| format!("=?utf-8?q?{word}?=")).collect::<Vec<_>>().join("\n ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::test_envelope;

    fn settings() -> DeliverySettings {
        DeliverySettings {
            rejection_subject: "Rejected: %s".into(),
            rejection_reason: "Your message to <%t> was automatically rejected:%n%r".into(),
            postmaster_address: "postmaster@mx.example".into(),
            hostname: "mx.example".into(),
            ..DeliverySettings::default()
        }
    }

    fn text_of(header: &str, settings: &DeliverySettings) -> String {
        let (envelope, summary) = (test_envelope(Sender::Null), Summary::of(header.as_bytes()));
        let notice = Notice {
            header: header.as_bytes(),
            summary: &summary,
            envelope: &envelope,
            reason: "Quota exceeded",
            settings,
        };
        let now = jiff::Timestamp::from_second(1_795_641_387).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        String::from_utf8(notice.text("s@t", &now)).unwrap()
    }

    /// The parts, lines and fields of 2.3.19's.
    #[test]
    fn notices() {
        let text = text_of(
            "Message-ID: <b@c>\r\nSubject: big\r\nContent-Type: text/plain\r\nX: y\r\n\r\n",
            &settings(),
        );
        let boundary = format!("{}/mx.example", std::process::id());
        let text = text.replace(&boundary, "BOUNDARY");
        let (id, rest) = text.split_once('\n').unwrap();
        assert!(id.starts_with("Message-ID: <dovecot-1795641387-0-0@"), "{id}");
        let expected = "Date: Wed, 25 Nov 2026 21:16:27 +0000\n\
            From: Postmaster <postmaster@mx.example>\n\
            To: <s@t>\n\
            MIME-Version: 1.0\n\
            Content-Type: multipart/report; report-type=delivery-status;\n\
            \tboundary=\"BOUNDARY\"\n\
            Subject: Rejected: big\n\
            Auto-Submitted: auto-replied (rejected)\n\
            Precedence: bulk\n\
            \n\
            This is a MIME-encapsulated message\n\
            \n\
            --BOUNDARY\n\
            Content-Type: text/plain; charset=utf-8\n\
            Content-Disposition: inline\n\
            Content-Transfer-Encoding: 8bit\n\
            \n\
            Your message to <user@example.org> was automatically rejected:\n\
            Quota exceeded\n\
            --BOUNDARY\n\
            Content-Type: message/delivery-status\n\
            \n\
            Reporting-MTA: dns; mx.example\n\
            Final-Recipient: rfc822; user@example.org\n\
            Action: failed\n\
            Status: 5.2.2\n\
            \n\
            --BOUNDARY\n\
            Content-Type: message/rfc822\n\
            \n\
            Message-ID: <b@c>\n\
            Subject: big\n\
            X: y\n\
            \n\
            \n\
            --BOUNDARY--\n";
        assert_eq!(rest, expected);
    }

    #[test]
    fn nobody_adds_lines_to_the_header() {
        let mut settings = settings();
        settings.rejection_subject = "%s%n%r".into();
        let text = text_of("Subject: =?utf-8?q?a=0ABcc:_x=40y?=\n\n", &settings);
        assert!(text.contains("\nSubject: a Bcc: x@y Quota exceeded\n"), "{text}");
    }

    #[test]
    fn subjects_are_encoded() {
        assert_eq!(encoded("plain"), "plain");
        assert_eq!(encoded("hü x"), "=?utf-8?q?h=C3=BC=20x?=");
        let long = encoded(&"ü".repeat(40));
        assert!(long.lines().all(|line| line.trim().len() <= 75), "{long}");
    }

    #[test]
    fn automatic_messages_get_no_answer() {
        let check = |value: &str, expected: bool| {
            assert_eq!(is_automatic(format!("{value}\n\n").as_bytes()), expected, "{value}");
        };
        check("Subject: x", false);
        check("Auto-Submitted: auto-replied", true);
        check("Auto-Submitted: no", false);
        check("Auto-Submitted: No (really)", false);
        check("Auto-Submitted:", true);
    }
}
