//! IMAP commands: a byte stream, cut anywhere, before and after login.

use proto::imap::command::Utf8Only;
use proto::imap::{Command, CommandReader, Event, login};

pub(crate) fn run(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let mut reader = match choice & 1 {
        0 => CommandReader::before_login(),
        _ => CommandReader::after_login(4096),
    };
    for piece in data.chunks(usize::from(choice >> 1) + 1) {
        let mut input = piece;
        while let Some(event) = reader.read(&mut input) {
            match event {
                Event::Command(raw) => {
                    let _ = Command::parse(&raw, &Utf8Only);
                    let _ = login::parse(&raw);
                }
                Event::Message(head) => {
                    let _ = proto::imap::command::AppendMessage::parse(&head);
                    if head.size_bytes < 1 << 20 { reader.accept_message() } else { reader.refuse_message() }
                }
                Event::Error(error) if error.is_fatal() => return,
                _ => {}
            }
        }
    }
}
