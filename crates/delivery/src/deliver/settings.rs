//! The settings that deliveries obey, as values.

use std::time::Duration;

use mail_user::Variables;
use settings::vars::VarError;
use settings::{Settings, key};

use super::environment::Environment;

/// Named as in the configuration.
#[derive(Debug, Clone, Default)]
pub struct DeliverySettings {
    /// `deliver_log_format`, not expanded.
    pub log_format: String,
    /// `lda_mailbox_autocreate`
    pub mailbox_autocreate: bool,
    /// `lda_mailbox_autosubscribe`
    pub mailbox_autosubscribe: bool,
    /// `lda_original_recipient_header`; empty for none.
    pub original_recipient_header: String,
    /// `quota_full_tempfail`
    pub quota_full_tempfail: bool,
    /// `rejection_subject`, not expanded.
    pub rejection_subject: String,
    /// `rejection_reason`, not expanded.
    pub rejection_reason: String,
    /// `postmaster_address`, expanded.
    pub postmaster_address: String,
    /// `hostname`, or this host's with its domain.
    pub hostname: String,
    /// `submission_host`; empty means `sendmail_path`.
    pub submission_host: String,
    /// `submission_timeout`
    pub submission_timeout: Duration,
    /// `sendmail_path`, which may have arguments.
    pub sendmail_path: String,
    /// What `sendmail_path` gets to see of the environment.
    pub environment: Environment,
}

impl DeliverySettings {
    /// Takes them from the settings that apply to a user.
    ///
    /// # Errors
    /// A variable that does not exist.
    pub fn new(
        settings: &Settings,
        variables: &Variables,
        environment: Environment,
    ) -> Result<Self, VarError> {
        let text = |key: key::Key<key::Str>| settings.get(key).to_owned();
        let expanded = |key: key::Key<key::Str>| variables.expander(&[], |it| it.expand(settings.get(key)));
        Ok(Self {
            log_format: text(key::DELIVER_LOG_FORMAT),
            mailbox_autocreate: settings.get(key::LDA_MAILBOX_AUTOCREATE),
            mailbox_autosubscribe: settings.get(key::LDA_MAILBOX_AUTOSUBSCRIBE),
            original_recipient_header: text(key::LDA_ORIGINAL_RECIPIENT_HEADER),
            quota_full_tempfail: settings.get(key::QUOTA_FULL_TEMPFAIL),
            rejection_subject: text(key::REJECTION_SUBJECT),
            rejection_reason: text(key::REJECTION_REASON),
            postmaster_address: expanded(key::POSTMASTER_ADDRESS)?,
            hostname: match settings.get(key::HOSTNAME) {
                "" => sys::accounts::host_domain(),
                hostname => hostname.to_owned(),
            },
            submission_host: expanded(key::SUBMISSION_HOST)?,
            submission_timeout: settings.get(key::SUBMISSION_TIMEOUT),
            sendmail_path: expanded(key::SENDMAIL_PATH)?,
            environment,
        })
    }
}
