//! What `ps` shows.

/// `dovecot/imap`, and behind it `text` in brackets if there is any.
pub(crate) fn show(instance: &str, service: &str, text: &str) {
    match text {
        "" => sys::title::set(&format!("{instance}/{service}")),
        text if text.starts_with('[') => sys::title::set(&format!("{instance}/{service} {text}")),
        text => sys::title::set(&format!("{instance}/{service} [{text}]")),
    }
}
