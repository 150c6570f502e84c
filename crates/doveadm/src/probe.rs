//! doveadm within another program, which plays whoever is at the other end: fuzz targets feed it.

use std::io::Read;
use std::sync::Arc;

use mail_user::MailUser;
use storage::Error;

use crate::args::Args;
use crate::authclient::{AuthClient, AuthMaster, Info};
use crate::commands;
use crate::mail::through::Reply;
use crate::sync::Report;
use crate::sync::remote;
use crate::wire::channels::{OUTPUT, Packets};
use crate::wire::{dot, minor_version};

/// Takes the line of a command as the doveadm server does, up to where it would be done; gives its name.
pub fn command(line: &str) -> Option<&'static str> {
    let words: Vec<String> = line.split('\t').map(base::tab::unescape).collect();
    let [_, _, name, rest @ ..] = &*words else { return None };
    let words: Vec<String> = name.split(' ').map(str::to_owned).chain(rest.iter().cloned()).collect();
    let (command, rest) = commands::find(&words)?;
    Args::parse(command, name, rest).ok().map(|_| command.name)
}

/// What comes behind a command: lines up to a dot.
///
/// # Errors
/// It has no end.
pub fn command_input(mut said: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    dot::read(&mut said, &mut read).map(|_| read)
}

/// What a doveadm server answers: its greeting, then packets with values, log lines and how the command
/// ended, which is given if it comes to that.
pub fn answer(said: &[u8]) -> Option<i32> {
    let end = said.iter().position(|&byte| byte == b'\n')?;
    let (greeting, rest) = said.split_at(end);
    minor_version(&String::from_utf8_lossy(greeting), "doveadm-client")?;
    let (mut packets, mut reply) = (Packets::new(rest.get(1..)?), Reply::default());
    let mut buffer = [0; 512];
    while let Ok(Some((channel, count))) = packets.next(&mut buffer) {
        if channel == OUTPUT
            && let (Some(status), _) = reply.take(buffer.get(..count)?, &mut |_| {}).ok()?
        {
            return Some(status);
        }
    }
    None
}

/// Asks whoever listens at `socket` all that doveadm asks the auth process, each time over a new connection.
pub fn ask_auth(socket: &str) {
    let info = Info::new(false);
    // What is answered is the administrator's to read, and so is what is wrong with it.
    let _ = AuthMaster::new(socket).user("joe", &info);
    let _ = AuthMaster::new(socket).pass("joe", &info);
    let _ = AuthMaster::new(socket).list("*", &info, |_| {});
    let _ = AuthMaster::new(socket).flush_cache(&["joe".to_owned()]);
    let _ = AuthMaster::new(socket).cache_status();
    let password = sasl::Secret::new(b"secret".to_vec());
    if let Ok(mut client) = AuthClient::connect(socket) {
        let answer = client.plain("joe", None, &password, &info);
        if let Ok(answer) = answer {
            let mut master = AuthMaster::new(socket);
            let _ = master.login(client.server_pid(), answer.id, client.cookie());
        }
    }
}

/// What `dsync-server` answers to a client of ours or of the original.
///
/// # Errors
/// What the administrator would read.
pub fn dsync_server(user: &Arc<MailUser>, said: impl Read) -> Result<Vec<u8>, Error> {
    let mut heard = Vec::new();
    remote::serve(user, said, &mut heard, &mut Nobody).map(|()| heard)
}

struct Nobody;

impl Report for Nobody {
    fn fail(&mut self, _: String, _: &Error) {}

    fn desync(&mut self, _: String) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends() {
        assert_eq!(command("\tjoe\tfetch\tuid\tall"), Some("fetch"));
        assert_eq!(command("\tjoe\tno such\tx"), None);
        assert_eq!(command_input(b"a\n..b\n.\nrest").unwrap(), b"a\n.b");
        let packets =
            [b"VERSION\tdoveadm-client\t1\t2\n\0\0\0\0\x05one\t\n", &b"\0\0\0\0\x02+\n"[..]].concat();
        assert_eq!(answer(&packets), Some(0));
        assert_eq!(answer(b"VERSION\tx\t1\t2\n"), None);
    }
}
