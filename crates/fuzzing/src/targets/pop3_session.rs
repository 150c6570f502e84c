//! A whole POP3 session on a small mailbox, and the arguments of its commands.

use crate::kit::Scratch;

pub(crate) fn run(data: &[u8]) {
    let mut input = data;
    while let pop3::line::Read::Line(line) = pop3::line::read(&mut input) {
        let (_, args) = pop3::line::split(line);
        if let Ok((_, rest)) = pop3::line::number(args, &pop3::line::MESSAGE, 100) {
            let _ = pop3::line::after(rest, &pop3::line::MESSAGE, true);
        }
    }
    crate::session::pop3(&Scratch::new(), b"Subject: one\n\n.dot\ntext\n", data);
}
