//! What another server says while a client is logged in to it (`proxy=y`). The first line has the
//! protocol and the passdb's fields, tabs between them.

use login::Protocol;
use login::probe::log_in_elsewhere;

/// Stands in nothing that is sent by itself.
const PASSWORD: &str = "s3cr3t-passw0rd";

pub(crate) fn run(data: &[u8]) {
    let (first, said) = data.split_at(data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len()));
    let first = String::from_utf8_lossy(first);
    let (protocol, words) = match first.split_once('\t') {
        Some(("pop3", words)) => (Protocol::Pop3, words),
        Some((_, words)) => (Protocol::Imap, words),
        None => (Protocol::Imap, ""),
    };
    let words = format!("host=10.0.0.1\tpass={PASSWORD}\t{words}");
    let Some(heard) = log_in_elsewhere(protocol, &words, said.get(1..).unwrap_or_default()) else { return };
    let tls_is_wanted = words.split('\t').any(|word| word.split('=').next() == Some("starttls"));
    if tls_is_wanted && !heard.has_tls {
        // Whoever is in between gets neither the password nor the client.
        assert!(!heard.is_in);
        for line in heard.plain.split(|&byte| byte == b'\n') {
            assert!(![&b"L "[..], b"USER ", b"PASS ", b"AUTH "].iter().any(|login| line.starts_with(login)));
        }
    }
    for sent in [&heard.plain, &heard.secured, &heard.client] {
        assert!(sent.is_empty() || sent.ends_with(b"\r\n"));
    }
}
