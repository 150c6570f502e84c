//! What `ps` shows.

/// `dovecot/imap`, the words behind the program's name in `executable`, and behind them `text` in
/// brackets if there is any.
pub(crate) fn show(instance: &str, program: &str, arguments: &[String], text: &str) {
    // As the master names it before it lives.
    let prefix = if instance.starts_with("dovecot") { "" } else { "dovecot-" };
    let mut title = format!("{prefix}{instance}/{program}");
    for argument in arguments {
        title.push(' ');
        title.push_str(argument);
    }
    match text {
        "" => {}
        text if text.starts_with('[') => title.push_str(&format!(" {text}")),
        text => title.push_str(&format!(" [{text}]")),
    }
    sys::title::set(&title);
}
