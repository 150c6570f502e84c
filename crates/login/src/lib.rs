//! The login processes, `imap-login` and `pop3-login`: greeting, TLS, SASL, and handing the client
//! over to a mail process. They are what strangers talk to, so they are chrooted, sandboxed and
//! unable to reach files, mail or password databases; all they have are the client's socket, the
//! auth process's `login` socket and the mail processes' sockets in the chroot.

mod config;
mod escape;
mod facts;
mod here;
mod input;
mod limits;
mod log_line;
mod session;
mod session_id;

pub use session::Protocol;
