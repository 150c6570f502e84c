//! What IMAP servers say to the passdb `imap`. The first byte says when TLS begins.

use db::imap::{ImapServer, ImapTls, ImapVerdict};
use db::probe;
use db::tls::{TlsOptions, Verify};

/// Stands in nothing that is sent by itself, and its base64 neither.
const PASSWORD: &str = "s3cr3t-passw0rd";

/// `\0joe\0s3cr3t-passw0rd`
const RESPONSE: &[u8] = b"AGpvZQBzM2NyM3QtcGFzc3cwcmQ=";

pub(crate) fn run(data: &[u8]) {
    let _ = ask(data);
}

fn ask(data: &[u8]) -> Result<ImapVerdict, String> {
    let (first, said) = data.split_first().unwrap_or((&0, &[]));
    let mode = match first % 3 {
        0 => ImapTls::No,
        1 => ImapTls::StartTls,
        _ => ImapTls::AtOnce,
    };
    let options = TlsOptions { verify: Verify::Nothing, ..TlsOptions::default() };
    let server = ImapServer::new(mode, &options).expect("no files are needed");
    let (verdict, heard) = probe::imap_answers(&server, said, ("joe", PASSWORD.as_bytes()));
    let heard_of = |what: &[u8]| heard.windows(what.len()).any(|part| part == what);
    let is_told = heard_of(PASSWORD.as_bytes()) || heard_of(RESPONSE);
    match mode {
        // Nobody is let in who did not show a password.
        ImapTls::No => assert!(is_told || verdict != Ok(ImapVerdict::Accepted)),
        _ => assert!(!is_told && verdict.is_err()),
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds get as far as seeds are meant to.
    #[test]
    fn seeds_have_a_verdict() {
        for seed in [
            &include_bytes!("../../../../fuzz/seeds/imap_passdb_answers/authenticate")[..],
            include_bytes!("../../../../fuzz/seeds/imap_passdb_answers/login"),
        ] {
            assert_eq!(ask(seed), Ok(ImapVerdict::Accepted), "{}", seed.escape_ascii());
        }
        let refused = ask(include_bytes!("../../../../fuzz/seeds/imap_passdb_answers/refused"));
        let text = "[AUTHENTICATIONFAILED] Authentication failed.".to_owned();
        assert_eq!(refused, Ok(ImapVerdict::Refused(Some("AUTHENTICATIONFAILED".into()), text)));
        let early = ask(include_bytes!("../../../../fuzz/seeds/imap_passdb_answers/early"));
        assert_eq!(early, Err("The server sent something behind its answer to STARTTLS".into()));
    }
}
