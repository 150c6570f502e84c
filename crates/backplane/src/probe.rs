//! What others say to `anvil`, `log`, `dict` and `script-login`, without their sockets: fuzz targets feed it.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use base::Logger;

use ipc::anvil::{Answer, FromAnvil, Hello, Query, ToAnvil};
use settings::Snapshot;
use tokio::sync::mpsc;

use crate::anvil::State;
use crate::dict;
use crate::log::Source;
use crate::script_login::Client;

/// What one of `anvil`'s peers says.
#[derive(Debug, Clone)]
pub enum Said {
    /// A process.
    Process(ToAnvil),
    /// doveadm.
    Admin(Query),
}

/// An `anvil` with one process connected, which is said to be `auth`.
pub struct Anvil {
    state: State,
    news: mpsc::UnboundedReceiver<FromAnvil>,
}

/// What `dict` with these settings answers to a client who says `said` and then nothing more.
///
/// # Errors
/// Those of a socket pair.
pub fn dict_answers(settings: &Arc<Snapshot>, said: &[u8]) -> io::Result<Vec<u8>> {
    let (mut client, socket) = UnixStream::pair()?;
    std::thread::scope(|scope| {
        let served = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let stream = service::Stream::from_descriptor(socket.into())?;
                dict::hear(stream, settings, Logger::new("")).await;
                Ok::<_, io::Error>(())
            })
        });
        let mut reader = client.try_clone()?;
        let heard = scope.spawn(move || {
            let mut answers = Vec::new();
            // An end in the middle is an end.
            let _ = reader.read_to_end(&mut answers);
            answers
        });
        // Nor need he listen to all of it.
        let _ = client.write_all(said);
        let _ = client.shutdown(std::net::Shutdown::Write);
        served.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(heard.join().unwrap_or_default())
    })
}

/// The only process.
const PEER: u64 = 1;

impl Anvil {
    /// With nothing known.
    pub fn new() -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        let mut state = State::default();
        state.add_peer(Hello { service: "auth".to_owned(), pid: 7 }, tell, 0);
        Self { state, news }
    }

    /// Hears it at a time in seconds since 1970; gives the answers, and what else the process is told.
    pub fn hear(&mut self, said: Said, now_s: u64) -> (Vec<Answer>, Vec<FromAnvil>) {
        let (mut told, mut answers) = (Vec::new(), Vec::new());
        match said {
            Said::Process(message) => told.extend(self.state.hear(PEER, message, now_s)),
            Said::Admin(query) => answers = self.state.answer(query, now_s),
        }
        told.extend(std::iter::from_fn(|| self.news.try_recv().ok()));
        (answers, told)
    }

    /// The process ends.
    pub fn end(mut self) -> Vec<Answer> {
        self.state.remove_peer(PEER);
        self.state.answer(Query::Who, 0)
    }
}

impl Default for Anvil {
    fn default() -> Self {
        Self::new()
    }
}

/// The lines that come out of a log pipe, prefix and text, however it is cut into `pieces`.
pub fn log_lines<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut source = Source::new("imap");
    let mut lines: Vec<_> = pieces.flat_map(|piece| source.push(piece)).collect();
    lines.extend(source.finish());
    lines.into_iter().map(|line| format!("{}{}", line.prefix, line.text)).collect()
}

/// The environment that `script-login` makes of what a mail process says, if that can be understood.
///
/// # Errors
/// Why it can't.
pub fn script_environment(said: &str) -> Result<Vec<(String, String)>, String> {
    let socket = std::io::stderr().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    Client::parse(said, socket).map(|client| client.environment())
}

#[cfg(test)]
mod tests {
    use ipc::anvil::Session;

    use super::*;

    #[test]
    fn all_are_heard() {
        let mut anvil = Anvil::new();
        let session = Session {
            id: 5,
            username: "joe".into(),
            service: "imap".into(),
            remote_ip: None,
            session_id: String::new(),
        };
        let connect = Said::Process(ToAnvil::Connect { session, userip_limit: 0 });
        assert!(matches!(*anvil.hear(connect, 1).1, [FromAnvil::Connected { id: 5, allowed: true }]));
        assert_eq!(anvil.hear(Said::Admin(Query::Who), 1).0.len(), 1);
        assert_eq!(anvil.end().len(), 0);
        assert_eq!(log_lines([&b"a\nb"[..], b"c\n"].into_iter()), ["imap: a", "imap: bc"]);
        let said = "VERSION\tscript-login\t1\t0\n\t\tjoe\tx=y\n";
        assert!(script_environment(said).unwrap().contains(&("X".to_owned(), "y".to_owned())));
    }
}
