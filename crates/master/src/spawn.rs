//! Starting a child: descriptors in their places, the birth certificate on its way.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ipc::anvil::Hello;
use ipc::control::{Birth, ToChild};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use sys::privilege::Identity;

use crate::listen::Open;
use crate::plan::ServicePlan;
use crate::wire::Wire;

/// What is the same for all children.
#[derive(Debug)]
pub(crate) struct Nursery {
    executable: PathBuf,
    null: File,
}

/// One birth.
pub(crate) struct Order<'a> {
    pub(crate) plan: &'a ServicePlan,
    pub(crate) birth: Birth,
    pub(crate) environment: &'a [String],
    /// Where it logs to.
    pub(crate) log: &'a OwnedFd,
    pub(crate) settings: &'a OwnedFd,
    pub(crate) listeners: &'a [Open],
    pub(crate) anvil: Option<OwnedFd>,
}

impl Nursery {
    /// Children are this very executable.
    ///
    /// # Errors
    /// When it cannot be found.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            executable: std::env::current_exe()?,
            null: File::options().read(true).write(true).open("/dev/null")?,
        })
    }

    /// Starts a child; gives its process id and the line to it.
    ///
    /// # Errors
    /// Those of socketpair, fork and exec.
    pub(crate) fn spawn(&self, order: Order<'_>) -> io::Result<(u32, Wire)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let mut wire = Wire::new(ours)?;
        let plan = order.plan;
        let identity =
            order.birth.identity.as_ref().filter(|_| plan.drop_before_exec).map(|identity| Identity {
                uid: identity.uid,
                gid: identity.gid,
                extra_gids: identity.extra_gids.clone(),
                saved_gid: identity.privileged_gid,
            });
        let mut arguments = vec![c(title(&order.birth.instance, &plan.program))?];
        for argument in &plan.arguments {
            arguments.push(c(argument.as_str())?);
        }
        // The room for titles has to stand first.
        let mut environment = vec![c(sys::title::ROOM)?];
        for variable in order.environment {
            environment.push(c(variable.as_str())?);
        }
        let mut descriptors = vec![
            self.null.as_fd(),
            order.log.as_fd(),
            order.log.as_fd(),
            theirs.as_fd(),
            order.settings.as_fd(),
        ];
        descriptors.extend(order.listeners.iter().map(|open| open.socket.as_fd()));
        let pid = sys::spawn::spawn(&sys::spawn::Program {
            path: path(&self.executable)?,
            arguments,
            environment,
            descriptors,
            identity,
            chroot: None,
            forbid_core_dumps: false,
        })?;
        if let Some(anvil) = &order.anvil {
            say_hello(anvil, &Hello { service: plan.name.clone(), pid })?;
        }
        wire.send(&ToChild::Birth(Box::new(order.birth)), order.anvil.as_ref().map(AsFd::as_fd));
        Ok((pid, wire))
    }
}

/// Tells anvil, over a connection that a child is going to have, who that child is.
///
/// # Errors
/// Those of `write`. The connection is new, so that its buffer has room.
pub(crate) fn say_hello(connection: &OwnedFd, hello: &Hello) -> io::Result<()> {
    let frame = ipc::encode(hello).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    rustix::io::write(connection, &frame)?;
    Ok(())
}

/// `dovecot/imap`; 2.3 puts its name before instances that are called otherwise.
fn title(instance: &str, program: &str) -> String {
    match instance.starts_with("dovecot") {
        true => format!("{instance}/{program}"),
        false => format!("dovecot-{instance}/{program}"),
    }
}

fn c(text: impl Into<Vec<u8>>) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn path(path: &Path) -> io::Result<CString> {
    c(path.as_os_str().as_bytes())
}
