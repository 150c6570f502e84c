//! The login processes, `imap-login` and `pop3-login`: greeting, TLS, SASL, and handing the client
//! over to a mail process. They are what strangers talk to, so they are chrooted, sandboxed and
//! unable to reach files, mail or password databases; all they have are the client's socket, the
//! auth process's `login` socket and the mail processes' sockets in the chroot.
//!
//! In reading order: [`serve`] accepts, [`arrival`] finds out who is there, [`connection`] drives a
//! [`session`] (which knows the protocols and nothing of sockets), [`auth_client`] and [`hand_over`]
//! talk to the other processes, [`proxy`] is what remains of a TLS client. A client whose user lives on
//! another server is logged in there by [`backend`] over a connection that [`connect`] asks for, and then
//! [`relay`]ed.

mod accept;
mod arguments;
mod arrival;
mod auth_client;
mod backend;
mod clients;
mod config;
mod connect;
mod connection;
mod facts;
mod hand_over;
mod here;
mod input;
mod limits;
mod log_line;
mod notify;
pub mod probe;
mod proxy;
mod relay;
mod serve;
mod session;
mod session_id;

pub use session::Protocol;

/// The login processes.
pub fn entries() -> Vec<service::Entry> {
    [("imap-login", Protocol::Imap), ("pop3-login", Protocol::Pop3)]
        .into_iter()
        .map(|(program, protocol)| {
            let open = |opening: &service::Opening<'_>| Ok(here::Here::look(opening.settings, opening.log));
            service::Entry::new(program, open, move |process, here| serve::run(protocol, process, here))
        })
        .collect()
}
