//! What an SMTP server (`submission_host`) answers when mail is sent through it; behind a mark, the mail.

use std::io::{Cursor, Read, Write};

use delivery::deliver::submit::Submitter;
use delivery::deliver::{Address, DeliverySettings};

struct Server {
    said: Cursor<Vec<u8>>,
    heard: Vec<u8>,
}

impl Read for &mut Server {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.said.read(buffer)
    }
}

impl Write for &mut Server {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.heard.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(data: &[u8]) {
    ask(data);
}

/// Whether the mail was taken.
fn ask(data: &[u8]) -> bool {
    let [said, mail] = crate::kit::files::<2>(data);
    let settings = DeliverySettings { hostname: "mx.example".to_owned(), ..DeliverySettings::default() };
    let mut server = Server { said: Cursor::new(said.to_vec()), heard: Vec::new() };
    let recipient = Address::new("joe", Some("example.org".to_owned()));
    let done = Submitter::new(&settings).send_over(&mut server, &recipient, mail);
    if let Err(error) = &done {
        let _ = error.to_string();
    }
    // The mail has one end, and it is ours.
    let ends = server.heard.windows(5).filter(|part| part == b"\r\n.\r\n").count();
    assert!(ends <= 1);
    assert_eq!(done.is_ok(), ends == 1 && server.heard.ends_with(b"\r\n.\r\nQUIT\r\n"));
    done.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds get as far as seeds are meant to.
    #[test]
    fn seeds_are_taken() {
        assert!(ask(include_bytes!("../../../../fuzz/seeds/smtp_answers/taken")));
        assert!(!ask(include_bytes!("../../../../fuzz/seeds/smtp_answers/refused")));
    }
}
