//! Telling systemd how things stand (sd_notify), and asking what sockets it brought.

use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Number of the first descriptor that systemd passes.
const FIRST_DESCRIPTOR: i32 = 3;
/// More sockets than any configuration has ports.
const DESCRIPTORS_MAX: i32 = 256;

/// The line to systemd, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often systemd wants to hear that we live; half of what it allows.
    pub(crate) watchdog: Option<Duration>,
}

impl Notify {
    pub(crate) fn from_env() -> Self {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let path = path.to_string_lossy().into_owned();
        let address = match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&path),
        };
        let socket = UnixDatagram::unbound().and_then(|socket| Ok((socket, address?))).ok();
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let allowed = number("WATCHDOG_USEC").filter(|&us| is_ours && us > 0);
        Self { socket, watchdog: allowed.map(|us| Duration::from_micros(us / 2)) }
    }

    pub(crate) fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            // There is nobody to tell that nobody listens.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }

    pub(crate) fn ready(&self) {
        let pid = std::process::id();
        self.say(&format!("READY=1\nSTATUS=v{} running\nMAINPID={pid}", crate::version()));
    }

    pub(crate) fn reloading(&self) {
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", sys::clock::monotonic_us()));
    }
}

/// The sockets that systemd listens on for us.
pub(crate) fn passed_sockets() -> Vec<OwnedFd> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<i64>().ok());
    if number("LISTEN_PID") != Some(i64::from(std::process::id())) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").and_then(|count| i32::try_from(count).ok()).unwrap_or(0);
    let numbers = FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + count.clamp(0, DESCRIPTORS_MAX);
    numbers.filter_map(|number| sys::inherit::take(number).ok()).collect()
}
