//! Opens listeners. A reload keeps those that stay the same open, so that no client is turned away.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::plan::{ListenerPlan, Place, ServicePlan};

/// The kernel's limit rules beyond this.
const BACKLOG_MAX: u64 = 65_535;
const BACKLOG_MIN: u64 = 4;

/// An open listener.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) plan: ListenerPlan,
    pub(crate) socket: OwnedFd,
    /// systemd keeps it open, too.
    pub(crate) is_systemds: bool,
}

impl Open {
    /// A second handle on it.
    ///
    /// # Errors
    /// Those of `dup`.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { plan: self.plan.clone(), socket: self.socket.try_clone()?, is_systemds: self.is_systemds })
    }
}

/// Sockets to begin with: those of systemd, and those of the former configuration.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    pub(crate) systemd: Vec<OwnedFd>,
    pub(crate) old: Vec<Open>,
}

impl Stock {
    /// What nobody wanted, with 2.3's words for systemd's.
    pub(crate) fn systemd_leftovers(&mut self) -> Vec<String> {
        let unused = std::mem::take(&mut self.systemd);
        let ports = unused.iter().filter_map(|socket| local_address(socket).map(|address| address.port()));
        ports
            .map(|port| {
                format!("systemd listens on port {port}, but it's not configured in Dovecot. Closing.")
            })
            .collect()
    }

    fn take(&mut self, plan: &ListenerPlan) -> Option<Open> {
        if let Some(at) = self.old.iter().position(|open| is_same_socket(&open.plan.place, &plan.place)) {
            let old = self.old.swap_remove(at);
            if !give(&plan.place) {
                return None;
            }
            return Some(Open { plan: plan.clone(), ..old });
        }
        let Place::Port { address, .. } = &plan.place else { return None };
        let matches = |socket: &OwnedFd| {
            local_address(socket)
                .is_some_and(|own| own.is_ipv4() == address.is_ipv4() && own.port() == address.port())
        };
        let at = self.systemd.iter().position(matches)?;
        let socket = self.systemd.swap_remove(at);
        let is_non_blocking = rustix::io::ioctl_fionbio(&socket, true).is_ok();
        is_non_blocking.then_some(Open { plan: plan.clone(), socket, is_systemds: true })
    }
}

/// Opens the listeners of one service, from the stock where it has them. All are tried.
///
/// # Errors
/// A line for each that failed, in 2.3's words.
pub(crate) fn open_all(service: &ServicePlan, stock: &mut Stock) -> Result<Vec<Open>, Vec<String>> {
    let wanted = u64::from(service.client_limit) * u64::from(service.process_limit);
    // Clamped to what an int holds.
    let backlog = wanted.clamp(BACKLOG_MIN, BACKLOG_MAX) as i32;
    let (mut open, mut errors) = (Vec::new(), Vec::new());
    for plan in &service.listeners {
        if let Some(kept) = stock.take(plan) {
            open.push(kept);
            continue;
        }
        match open_one(plan, backlog) {
            Ok(Some(socket)) => open.push(Open { plan: plan.clone(), socket, is_systemds: false }),
            Ok(None) => {}
            Err(lines) => {
                errors.extend(lines.into_iter().map(|line| line.replace("@SERVICE@", &service.name)))
            }
        }
    }
    if errors.is_empty() { Ok(open) } else { Err(errors) }
}

/// Opens one listener; `None` where the host cannot have it. In error lines `@SERVICE@` stands for
/// the service.
pub(crate) fn open_one(plan: &ListenerPlan, backlog: i32) -> Result<Option<OwnedFd>, Vec<String>> {
    match &plan.place {
        Place::Port { address, reuse_port, is_wildcard } => match open_port(*address, *reuse_port, backlog) {
            Ok(socket) => Ok(Some(socket)),
            // A host without IPv6 has no "::" to listen on; 2.3 gives up there.
            Err((_, rustix::io::Errno::AFNOSUPPORT)) if *is_wildcard => Ok(None),
            Err((call, error)) => {
                let reason = base::reason(&error.into());
                let line = format!(
                    "service(@SERVICE@): listen({}, {}) failed: {reason}",
                    address.ip(),
                    address.port()
                );
                match error == rustix::io::Errno::ADDRINUSE {
                    true => Err(vec![line]),
                    false => Err(vec![
                        format!("{call}({}, {}) failed: {reason}", address.ip(), address.port()),
                        line,
                    ]),
                }
            }
        },
        Place::File { path, mode, uid, gid, is_fifo } => {
            let opened = match is_fifo {
                true => open_fifo(path, *mode),
                false => open_unix(path, *mode, backlog),
            };
            let socket = opened.map_err(|line| vec![format!("service(@SERVICE@): {line}")])?;
            if uid.is_some() || gid.is_some() {
                chown(path, *uid, *gid).map_err(|error| {
                    let id = |id: &Option<u32>| id.map_or(-1, i64::from);
                    let (uid, gid) = (id(uid), id(gid));
                    let reason = base::reason(&error);
                    vec![format!(
                        "service(@SERVICE@): chown({}, {uid}, {gid}) failed: {reason}",
                        path.display()
                    )]
                })?;
            }
            Ok(Some(socket))
        }
    }
}

fn open_port(
    address: SocketAddr,
    reuse_port: bool,
    backlog: i32,
) -> Result<OwnedFd, (&'static str, rustix::io::Errno)> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)
        .map_err(|error| ("socket", error))?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(|error| ("setsockopt", error))?;
    if reuse_port {
        sockopt::set_socket_reuseport(&socket, true).map_err(|error| ("setsockopt", error))?;
    }
    if address.is_ipv6() {
        // IPv4 has listeners of its own.
        sockopt::set_ipv6_v6only(&socket, true).map_err(|error| ("setsockopt", error))?;
    }
    rustix::net::bind(&socket, &address).map_err(|error| ("bind", error))?;
    rustix::net::listen(&socket, backlog).map_err(|error| ("listen", error))?;
    Ok(socket)
}

fn open_unix(path: &Path, mode: u32, backlog: i32) -> Result<OwnedFd, String> {
    let failed = |error: rustix::io::Errno| {
        format!("net_listen_unix({}) failed: {}", path.display(), base::reason(&error.into()))
    };
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    for _ in 0..3 {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed)?;
        // The mode is right from the first moment on.
        let bound = with_umask(!mode & 0o777, || rustix::net::bind(&socket, &address));
        match bound {
            Ok(()) => {
                rustix::net::listen(&socket, backlog).map_err(failed)?;
                return Ok(socket);
            }
            Err(rustix::io::Errno::ADDRINUSE) => {
                let is_alive = !matches!(
                    UnixStream::connect(path),
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused
                );
                if is_alive {
                    return Err(format!("Socket already exists: {}", path.display()));
                }
                remove(path)?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Err(format!("Socket already exists: {}", path.display()))
}

fn open_fifo(path: &Path, mode: u32) -> Result<OwnedFd, String> {
    let failed = |call: &str, error: rustix::io::Errno| {
        format!("{call}({}) failed: {}", path.display(), base::reason(&error.into()))
    };
    let make = || {
        with_umask(!mode & 0o777, || {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                path,
                rustix::fs::FileType::Fifo,
                Mode::from_raw_mode(mode),
                0,
            )
        })
    };
    match make() {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => {
            remove(path)?;
            make().map_err(|error| failed("mkfifo", error))?;
        }
        Err(error) => return Err(failed("mkfifo", error)),
    }
    // Open for reading and writing: the last writer's end is then no end of file.
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed("open", error))
}

/// Removes a socket or pipe that a former run left; never anything else.
fn remove(path: &Path) -> Result<(), String> {
    let kind = fs::symlink_metadata(path).map(|metadata| metadata.file_type());
    if kind.is_ok_and(|kind| !kind.is_socket() && !kind.is_fifo()) {
        return Err(format!("File already exists: {}", path.display()));
    }
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("unlink({}) failed: {}", path.display(), base::reason(&error))),
    }
}

/// Runs `work` under another umask. The master has one thread.
pub(crate) fn with_umask<T>(mask: u32, work: impl FnOnce() -> T) -> T {
    let before = rustix::process::umask(Mode::from_raw_mode(mask));
    let result = work();
    rustix::process::umask(before);
    result
}

/// Removes the file of a socket that is not listened on any more.
pub(crate) fn unlink(open: &Open) {
    if let Place::File { path, .. } = &open.plan.place {
        let _ = remove(path);
    }
}

/// A socket stays the same though the listener's other settings change: whoever waits at it is not
/// turned away.
fn is_same_socket(old: &Place, new: &Place) -> bool {
    match (old, new) {
        (Place::Port { address: old, .. }, Place::Port { address: new, .. }) => old == new,
        (Place::File { path: old, is_fifo: was_fifo, .. }, Place::File { path: new, is_fifo, .. }) => {
            old == new && was_fifo == is_fifo && new.exists()
        }
        _ => false,
    }
}

/// Gives the file of a socket that stays its mode and owner; whether that worked.
fn give(place: &Place) -> bool {
    let Place::File { path, mode, uid, gid, .. } = place else { return true };
    let is_given = (uid.is_none() && gid.is_none()) || chown(path, *uid, *gid).is_ok();
    is_given && fs::set_permissions(path, fs::Permissions::from_mode(*mode)).is_ok()
}

fn local_address(socket: &OwnedFd) -> Option<SocketAddr> {
    let address = rustix::net::getsockname(socket.as_fd()).ok()?;
    SocketAddr::try_from(address).ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ipc::control::{Listener, ListenerKind};

    use super::*;

    fn unix(path: &Path, mode: u32) -> ListenerPlan {
        ListenerPlan {
            listener: Listener { name: "x".into(), kind: ListenerKind::Unix },
            place: Place::File { path: path.to_owned(), mode, uid: None, gid: None, is_fifo: false },
        }
    }

    fn port(port: u16) -> ListenerPlan {
        ListenerPlan {
            listener: Listener {
                name: "imap".into(),
                kind: ListenerKind::Inet { ssl: false, haproxy: false },
            },
            place: Place::Port {
                address: (Ipv4Addr::LOCALHOST, port).into(),
                reuse_port: false,
                is_wildcard: false,
            },
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let plan = unix(&path, 0o620);
        let first = open_one(&plan, 5).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
        let error = open_one(&plan, 5).unwrap_err();
        assert_eq!(error, [format!("service(@SERVICE@): Socket already exists: {}", path.display())]);
        drop(first);
        assert!(open_one(&plan, 5).is_ok());
    }

    #[test]
    fn a_reload_keeps_what_stays_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let plan = unix(&directory.path().join("socket"), 0o600);
        let socket = open_one(&plan, 5).unwrap().unwrap();
        let mut stock = Stock::default();
        stock.old.push(Open { plan: plan.clone(), socket, is_systemds: false });
        let other_mode = unix(&directory.path().join("socket"), 0o666);
        assert!(stock.take(&other_mode).is_some() && stock.old.is_empty());
        let mode = fs::metadata(directory.path().join("socket")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
    }

    #[test]
    fn a_port_in_use_is_an_error_in_2_3s_words() {
        let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = taken.local_addr().unwrap().port();
        let expected =
            format!("service(@SERVICE@): listen(127.0.0.1, {number}) failed: Address already in use");
        assert_eq!(open_one(&port(number), 5).unwrap_err(), [expected]);
    }
}
