//! Who may see secrets. A secret is dropped from the settings of every process that is not named.

/// Each secret setting with the processes that need it.
pub const READERS: &[(&str, &[&str])] = &[
    ("ssl_key", &LOGIN_AND_CONFIG),
    ("ssl_alt_key", &LOGIN_AND_CONFIG),
    ("ssl_key_password", &LOGIN_AND_CONFIG),
    ("ssl_client_key", &CLIENTS),
    ("doveadm_password", &["config", "doveadm", "doveadm-server", "imap-login", "pop3-login"]),
    ("doveadm_api_key", &["config", "doveadm", "doveadm-server"]),
    ("auth_policy_server_api_header", &["config", "auth"]),
    ("auth_policy_hash_nonce", &["config", "auth"]),
    ("imapc_password", &MAIL),
    ("pop3c_password", &MAIL),
    ("submission_relay_password", &["config", "submission"]),
];

const LOGIN_AND_CONFIG: [&str; 8] = [
    "config",
    "imap-login",
    "pop3-login",
    "submission-login",
    "managesieve-login",
    "lmtp",
    "doveadm",
    "doveadm-server",
];
const CLIENTS: [&str; 10] = [
    "config",
    "auth",
    "auth-worker",
    "imap-login",
    "pop3-login",
    "submission-login",
    "managesieve-login",
    "lmtp",
    "doveadm",
    "dict",
];
const MAIL: [&str; 7] = ["config", "imap", "pop3", "lmtp", "dovecot-lda", "doveadm", "indexer-worker"];

/// Whether `process` may see the secret `setting`.
pub fn may_read(process: &str, setting: &str) -> bool {
    READERS.iter().any(|(name, processes)| *name == setting && processes.contains(&process))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decl::{SectionKind, flags};

    #[test]
    fn the_table_names_each_secret_once_and_nothing_else() {
        let secrets = SectionKind::Root.decls().iter().filter(|decl| decl.has(flags::SECRET));
        let mut declared: Vec<_> = secrets.map(|decl| decl.name).collect();
        let mut named: Vec<_> = READERS.iter().map(|(name, _)| *name).collect();
        declared.sort_unstable();
        named.sort_unstable();
        assert_eq!(named, declared);
    }

    #[test]
    fn mail_processes_never_see_the_server_key() {
        assert!(may_read("imap-login", "ssl_key"));
        assert!(!may_read("imap", "ssl_key"));
        assert!(!may_read("anvil", "imapc_password"));
    }
}
