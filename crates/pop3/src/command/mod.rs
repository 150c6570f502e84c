//! The commands. Those that only tell a number are here, all others have a file each.

mod dele;
mod list;
mod quit;
mod retr;
mod rset;
mod uidl;

use crate::context::Context;
use crate::job::Start;
use crate::line::{self, Bad, MESSAGE};
use crate::maildrop::Index;
use crate::out::OutBuf;

/// What CAPA says after login (RFC 2449 §5). What is negotiated before login is left out, as in 2.3.
const CAPABILITIES: &str = "CAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE";

/// Runs a command, or begins to. `name` is in upper case.
pub fn start(context: &mut Context, name: &[u8], args: &[u8], out: &mut OutBuf) -> Start {
    match name {
        b"CAPA" => out.line(format_args!("+OK\r\n{CAPABILITIES}\r\n.")),
        b"DELE" => return dele::start(context, args, out),
        b"LAST" if context.settings.enable_last => {
            out.line(format_args!("+OK {}", context.maildrop.last_seen()));
        }
        b"LIST" => return list::start(context, args, out),
        b"NOOP" => out.line(format_args!("+OK")),
        b"QUIT" => return quit::start(context, out),
        b"RETR" => return retr::retr(context, args, out),
        b"RSET" => return rset::start(context, out),
        b"STAT" => {
            let (count, bytes) = context.maildrop.left();
            out.line(format_args!("+OK {count} {bytes}"));
        }
        b"TOP" => return retr::top(context, args, out),
        b"UIDL" => return uidl::start(context, args, out),
        b"" => return refuse(out, b"Unknown command.", b""),
        name => return refuse(out, b"Unknown command: ", name),
    }
    Start::Done
}

/// The message that is meant and what follows its number; `more` says whether something must.
/// Where there is none, the client has been told why.
fn message<'a>(
    context: &Context,
    args: &'a [u8],
    more: bool,
    out: &mut OutBuf,
) -> Result<(Index, &'a [u8]), Start> {
    let parsed = line::number(args, &MESSAGE, u64::from(u32::MAX))
        .and_then(|(number, rest)| Ok((number, line::after(rest, &MESSAGE, more)?)));
    let (number, rest) = parsed.map_err(|bad| refuse_argument(out, &bad))?;
    let index = u32::try_from(number).ok().and_then(Index::of_number);
    match index.and_then(|index| Some((index, context.maildrop.message(index)?))) {
        None => Err(refuse(out, format!("There's no message {number}.").as_bytes(), b"")),
        Some((_, message)) if message.is_deleted => Err(refuse(out, b"Message is deleted.", b"")),
        Some((index, _)) => Ok((index, rest)),
    }
}

fn refuse_argument(out: &mut OutBuf, bad: &Bad<'_>) -> Start {
    refuse(out, format!("{}: ", bad.text).as_bytes(), bad.args)
}

/// `-ERR`, with what the client sent behind it as it came: that is no text.
fn refuse(out: &mut OutBuf, text: &[u8], sent: &[u8]) -> Start {
    out.put(b"-ERR ");
    out.put(text);
    out.put(sent);
    out.put(b"\r\n");
    Start::Bad
}

/// The message has gone, though the client cannot know. One that asks again is counted as mistaken,
/// so that it does not ask forever.
fn lost(context: &mut Context, index: Index, out: &mut OutBuf) -> Start {
    out.line(format_args!("-ERR Message {} expunged.", index.number()));
    if context.maildrop.is_lost_again(index) { Start::Bad } else { Start::Done }
}
