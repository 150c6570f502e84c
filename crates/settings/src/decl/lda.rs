//! Local delivery and what goes out of it.

use super::flags::*;
use super::roots::*;
use crate::key::{Enum, Str, Time};

settings! { Root from super::pop3::END;
    /// Subject of rejections.
    REJECTION_SUBJECT: Str = "Rejected: %s", LDA;
    /// Text of rejections.
    REJECTION_REASON: Str = "Your message to <%t> was automatically rejected:%n%r", LDA;
    /// Shape of delivery log lines.
    DELIVER_LOG_FORMAT: Str = "msgid=%m: %$", LDA;
    /// Header that the original recipient is taken from.
    LDA_ORIGINAL_RECIPIENT_HEADER: Str = "", LDA;
    /// Tries again later when over quota.
    QUOTA_FULL_TEMPFAIL: bool = "no", LDA;
    /// Creates missing mailboxes.
    LDA_MAILBOX_AUTOCREATE: bool = "no", LDA;
    /// Subscribes to mailboxes that were created.
    LDA_MAILBOX_AUTOSUBSCRIBE: bool = "no", LDA;
    /// Server to send mail through.
    SUBMISSION_HOST: Str = "", SUBMIT, VARIABLES;
    /// Program to send mail with.
    SENDMAIL_PATH: Str = "/usr/sbin/sendmail", SUBMIT, VARIABLES;
    /// Longest wait for the submission server.
    SUBMISSION_TIMEOUT: Time = "30 secs", SUBMIT;
    /// TLS to the submission server.
    SUBMISSION_SSL: Enum = "no:smtps:submissions:starttls", SUBMIT, NO_EFFECT_YET;
}
