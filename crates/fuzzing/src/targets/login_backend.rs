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
        for line in lines(&heard.plain) {
            assert!(![&b"L "[..], b"USER ", b"PASS ", b"AUTH "].iter().any(|login| line.starts_with(login)));
        }
    }
    for sent in [&heard.plain, &heard.secured, &heard.client] {
        assert!(sent.is_empty() || sent.ends_with(b"\r\n"));
    }
}

/// The lines of what was sent, without what stands in literals.
fn lines(mut sent: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while !sent.is_empty() {
        let (line, rest) =
            sent.split_at(sent.iter().position(|&byte| byte == b'\n').map_or(sent.len(), |at| at + 1));
        lines.push(line);
        sent = rest.get(literal(line)..).unwrap_or_default();
    }
    lines
}

/// How many bytes the literal has that a line ends with.
fn literal(line: &[u8]) -> usize {
    let count = line.strip_suffix(b"}\r\n").and_then(|line| line.rsplit(|&byte| byte == b'{').next());
    count.and_then(|count| std::str::from_utf8(count).ok()?.parse().ok()).unwrap_or(0)
}
