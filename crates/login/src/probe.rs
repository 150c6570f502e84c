//! A client before login within another program, which plays the client and the auth process: fuzz
//! targets feed it.

use std::net::SocketAddr;
use std::sync::Arc;

use base::Logger;
use net::tls::ClientCert;
use settings::Snapshot;

use crate::auth_client::line::{Handshake, Line};
use crate::backend::{self, About, Destination, Next, Output, Security};
use crate::config::{Client, Config, Configs};
use crate::facts::{Ends, Peer};
use crate::here::Here;
use crate::session::{Action, AuthReply, Fields, Mechanisms, Protocol, Session};

/// The present, in seconds since 1970: nothing depends on it.
const NOW_S: u64 = 1_000_000_000;

/// Where clients are and what they connect to, so that `login_trusted_networks` can have them in it.
const ENDS: [SocketAddr; 2] = [
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2)), 1000),
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 143),
];

/// The handshake of an auth process.
const HANDSHAKE: &str = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tCRAM-MD5\n\
    MECH\tAPOP\tprivate\nSPID\t5\nCUID\t1\nCOOKIE\t00\nDONE";

/// The settings and peers of the process.
pub struct Probe {
    protocol: Protocol,
    config: Arc<Config>,
}

impl Probe {
    /// With this configuration, in the language of `dovecot.conf`.
    ///
    /// # Errors
    /// It is wrong.
    pub fn new(protocol: Protocol, config: &str, log: Logger) -> Result<Self, String> {
        let snapshot = Arc::new(Snapshot::from_text(config).map_err(|error| error.to_string())?);
        let here = Here::look(&snapshot, &log);
        let configs = Configs::new(protocol, Arc::new(here), Arc::clone(&snapshot), log);
        let [remote, local] = ENDS.map(|address| Some(address.ip()));
        let client = Client { local_ip: local, remote_ip: remote, local_name: None };
        Ok(Self { protocol, config: configs.config(&snapshot, client) })
    }

    /// One client. Lines that begin with `A:` are the auth process's, all others the client's; gives
    /// what the client got, and whether he was handed over.
    pub fn talk(&self, script: &[u8]) -> (Vec<u8>, bool) {
        let config = Arc::clone(&self.config);
        let [remote, local] = ENDS.map(Some);
        let peer = Peer::new(Ends { remote, local }, "imap");
        let trusted = config.trusted.contains(ENDS[0].ip());
        let peer = Peer { secured: true, trusted, ..peer };
        let mut session = Session::new(self.protocol, config, peer, "session".into(), NOW_S);
        if let Some(mechanisms) = handshake(HANDSHAKE) {
            session.auth_ready(Arc::new(mechanisms));
        }
        let (mut output, mut waits) = (Vec::new(), false);
        for line in script.split(|&byte| byte == b'\n') {
            let action = match line.strip_prefix(b"A:") {
                Some(said) => match reply(&String::from_utf8_lossy(said)) {
                    Some(reply) if waits => session.auth_replied(reply, NOW_S),
                    _ => continue,
                },
                None => {
                    session.push(line);
                    session.push(b"\r\n");
                    if waits {
                        continue;
                    }
                    session.advance(NOW_S)
                }
            };
            match follow(&mut session, action, &mut output) {
                Waits::Client => waits = false,
                Waits::Auth => waits = true,
                Waits::Nothing { is_in } => return (output, is_in),
            }
        }
        session.disconnect("Connection closed", NOW_S);
        output.extend(session.take_output());
        let _ = session.take_lines();
        (output, false)
    }
}

/// Whom a session waits for.
enum Waits {
    Client,
    Auth,
    Nothing { is_in: bool },
}

/// Does what a session wants until it has to wait.
fn follow(session: &mut Session, mut action: Action, output: &mut Vec<u8>) -> Waits {
    loop {
        output.extend(session.take_output());
        let _ = session.take_lines();
        match action {
            Action::Read => return Waits::Client,
            Action::Authenticate(_) | Action::Respond(_) => return Waits::Auth,
            Action::Flush | Action::Cancel => {}
            Action::StartTls => {
                let _ = session.tls_starting();
                session.tls_started("TLSv1.3".into(), ClientCert::None);
            }
            Action::HandOver => {
                let _ = session.hand_over();
                return Waits::Nothing { is_in: true };
            }
            Action::Disconnect(reason) => session.disconnect(reason, NOW_S),
            Action::Proxy(_) => return Waits::Nothing { is_in: true },
            Action::Close => return Waits::Nothing { is_in: false },
        }
        action = session.advance(NOW_S);
    }
}

/// What came of a login at another server.
#[derive(Debug, Default)]
pub struct Elsewhere {
    /// What it was sent before TLS.
    pub plain: Vec<u8>,
    /// What it was sent within TLS.
    pub secured: Vec<u8>,
    /// What the client got.
    pub client: Vec<u8>,
    /// TLS was begun by command.
    pub has_tls: bool,
    /// The client is logged in there.
    pub is_in: bool,
}

/// Logs a client in at another server: `words` are the auth process's fields, tabs between them, `said`
/// is what the server says. `None` if the fields name no server.
pub fn log_in_elsewhere(protocol: Protocol, words: &str, said: &[u8]) -> Option<Elsewhere> {
    let mut errors = Vec::new();
    let fields = Fields::new(words.split('\t').map(str::to_owned));
    let destination = Arc::new(Destination::of(&fields, "joe", protocol, &mut errors).ok()?);
    let [remote, local] = ENDS;
    let about = About {
        session_id: "session".into(),
        remote_ip: Some(remote.ip()),
        remote_port: remote.port(),
        local_ip: Some(local.ip()),
        local_port: local.port(),
        ttl: backend::TTL,
        client_id: "\"name\" \"client\"".into(),
        tag: "a1".into(),
        ignores_codes: fields.has("ignores_codes"),
    };
    let mut backend = backend::begin(protocol, Arc::clone(&destination), about);
    let mut heard = Elsewhere::default();
    for line in said.split(|&byte| byte == b'\n') {
        let mut output = Output::default();
        let mut next = backend.line(&String::from_utf8_lossy(line), &mut output);
        heard.take(&output);
        if next == Next::StartTls && matches!(destination.security, Security::StartTls { .. }) {
            if std::mem::replace(&mut heard.has_tls, true) {
                break;
            }
            output = Output::default();
            next = backend.tls_started(&mut output);
            heard.take(&output);
        }
        let _ = backend.state();
        match next {
            Next::Line | Next::StartTls => {}
            Next::Failed(failure) => {
                let _ = failure.kind.prefix();
                break;
            }
            Next::LoggedIn => {
                heard.is_in = true;
                break;
            }
        }
    }
    Some(heard)
}

impl Elsewhere {
    fn take(&mut self, output: &Output) {
        let server = if self.has_tls { &mut self.secured } else { &mut self.plain };
        server.extend_from_slice(&output.server);
        self.client.extend_from_slice(&output.client);
    }
}

/// What an auth process says when it is connected to: what it offers, if it says all that it must.
pub fn offers(said: &str) -> Option<usize> {
    handshake(said).map(|mechanisms| mechanisms.list.len())
}

fn handshake(said: &str) -> Option<Mechanisms> {
    let mut handshake = Handshake::default();
    said.split('\n').find_map(|line| handshake.line(line).transpose())?.ok()
}

fn reply(said: &str) -> Option<AuthReply> {
    Line::parse(said).ok().map(|line| line.reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_and_a_failure() {
        let probe = Probe::new(Protocol::Imap, "ssl = no\n", Logger::new("probe: ")).unwrap();
        let (output, is_in) =
            probe.talk(b"a LOGIN joe x\nA:FAIL\t1\tuser=joe\nb LOGIN joe secret\nA:OK\t2\tuser=joe");
        assert!(String::from_utf8(output).unwrap().contains("a NO [AUTHENTICATIONFAILED]"));
        assert!(is_in);
        assert!(!probe.talk(b"A:OK\t1\tuser=joe\na LOGOUT").1);
        assert_eq!(offers(HANDSHAKE), Some(4));
        assert_eq!(offers("VERSION\t2"), None);
    }

    #[test]
    fn another_server() {
        let words = "host=10.0.0.1\tpass=secret\tstarttls=any-cert\tproxy_not_trusted";
        let said = b"* OK [CAPABILITY STARTTLS] hi\nS OK begin\nL OK in";
        let heard = log_in_elsewhere(Protocol::Imap, words, said).unwrap();
        assert!(heard.is_in && heard.has_tls, "{heard:?}");
        assert_eq!(heard.plain, b"S STARTTLS\r\n");
        assert_eq!(heard.secured, b"C CAPABILITY\r\nL LOGIN \"joe\" \"secret\"\r\n");
        assert!(log_in_elsewhere(Protocol::Imap, "host=10.0.0.1", said).is_none());
    }
}
