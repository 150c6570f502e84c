//! Giving up rights, for good. The order is the only safe one: chroot, groups, gid, uid; then it is
//! checked that there is no way back.

use std::io;
use std::path::Path;

use nix::unistd::{Gid, Uid};

/// Who a process shall become.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// User id: real, effective and saved.
    pub uid: u32,
    /// Group id: real and effective, and saved unless [`Identity::saved_gid`] says otherwise.
    pub gid: u32,
    /// Supplementary groups. [`Identity::gid`] need not be among them.
    pub extra_gids: Vec<u32>,
    /// A group kept as saved group id, so that [`with_saved_group`] can take it for a moment
    /// (`mail_privileged_group`).
    pub saved_gid: Option<u32>,
}

/// Why rights could not be given up. The process must end.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// A system call failed.
    #[error("{call} failed")]
    Call {
        /// The call with its arguments, `setuid(8)`.
        call: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Root rights were still there afterwards.
    #[error("We couldn't drop root privileges: {0} is still possible")]
    StillPossible(&'static str),
}

fn call<T>(name: impl FnOnce() -> String, result: nix::Result<T>) -> Result<T, PrivilegeError> {
    result.map_err(|error| PrivilegeError::Call { call: name(), source: error.into() })
}

/// The effective user id.
pub fn effective_uid() -> u32 {
    Uid::effective().as_raw()
}

/// The effective group id.
pub fn effective_gid() -> u32 {
    Gid::effective().as_raw()
}

/// The supplementary groups of this process.
pub fn groups() -> Vec<u32> {
    nix::unistd::getgroups().map_or_else(|_| Vec::new(), |gids| gids.into_iter().map(Gid::as_raw).collect())
}

/// Makes `directory` the root of this process and goes there.
///
/// # Errors
/// Those of `chroot` and `chdir`.
pub fn chroot(directory: &Path) -> Result<(), PrivilegeError> {
    call(|| format!("chroot({})", directory.display()), nix::unistd::chroot(directory))?;
    call(|| "chdir(/)".to_owned(), nix::unistd::chdir("/"))
}

/// Takes on `identity` in all threads and verifies that neither root nor a former group can be had
/// back. A process that is not root may only become what it is.
///
/// # Errors
/// Whatever went wrong; the process is then half changed and must end.
pub fn take_identity(identity: &Identity) -> Result<(), PrivilegeError> {
    if !Uid::effective().is_root() {
        return keep_identity(identity);
    }
    let mut groups: Vec<Gid> = identity.extra_gids.iter().map(|&gid| Gid::from_raw(gid)).collect();
    if groups.is_empty() {
        groups.push(Gid::from_raw(identity.gid));
    }
    call(|| format!("setgroups({:?})", identity.extra_gids), nix::unistd::setgroups(&groups))?;
    let gid = Gid::from_raw(identity.gid);
    let saved = identity.saved_gid.map_or(gid, Gid::from_raw);
    call(|| format!("setgid({gid})"), nix::unistd::setresgid(gid, gid, saved))?;
    let uid = Uid::from_raw(identity.uid);
    call(|| format!("setuid({uid})"), nix::unistd::setresuid(uid, uid, uid))?;
    match uid.is_root() {
        true => Ok(()),
        false => verify(identity),
    }
}

/// The group that is kept as saved group id only, for [`with_saved_group`].
pub fn saved_group() -> Option<u32> {
    let groups = nix::unistd::getresgid().ok()?;
    let is_apart = groups.saved != groups.effective && groups.saved != groups.real;
    is_apart.then_some(groups.saved.as_raw())
}

/// Runs `work` with the saved group as the one that decides about files, in this thread alone; other
/// threads never have it, and nothing but files is affected.
///
/// # Errors
/// When the group cannot be taken; `work` has not run then.
pub fn with_saved_group<T>(saved_gid: u32, work: impl FnOnce() -> T) -> io::Result<T> {
    /// Gives the group back also when `work` panics. That cannot fail: it is the effective group.
    struct Back(Gid);
    impl Drop for Back {
        fn drop(&mut self) {
            nix::unistd::setfsgid(self.0);
        }
    }
    let wanted = Gid::from_raw(saved_gid);
    let back = Back(nix::unistd::setfsgid(wanted));
    // The call tells only what was before. One that must fail tells what is now.
    if nix::unistd::setfsgid(Gid::from_raw(u32::MAX)) != wanted {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let result = work();
    drop(back);
    Ok(result)
}

/// Runs `work` with the effective ids and the groups of `identity`, and has root's back afterwards:
/// for a tool that does something for one user after the other. There is a way back, so `work` must
/// not run what it cannot trust. A process that is not root may only be what it is.
///
/// # Errors
/// When the ids cannot be taken, in which case `work` has not run, or not be given back, in which case
/// the process must end.
pub fn act_as<T>(identity: &Identity, work: impl FnOnce() -> T) -> Result<T, PrivilegeError> {
    if !Uid::effective().is_root() {
        return keep_identity(identity).map(|()| work());
    }
    let own_groups: Vec<Gid> = groups().into_iter().map(Gid::from_raw).collect();
    let own_gids = call(|| "getresgid()".to_owned(), nix::unistd::getresgid())?;
    let mut groups: Vec<Gid> = identity.extra_gids.iter().map(|&gid| Gid::from_raw(gid)).collect();
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    if groups.is_empty() {
        groups.push(gid);
    }
    call(|| format!("setgroups({:?})", identity.extra_gids), nix::unistd::setgroups(&groups))?;
    let saved = identity.saved_gid.map_or(own_gids.saved, Gid::from_raw);
    call(|| format!("setegid({gid})"), nix::unistd::setresgid(own_gids.real, gid, saved))?;
    call(|| format!("seteuid({uid})"), nix::unistd::seteuid(uid))?;
    let result = work();
    call(|| "seteuid(0)".to_owned(), nix::unistd::seteuid(Uid::from_raw(0)))?;
    let own = nix::unistd::setresgid(own_gids.real, own_gids.effective, own_gids.saved);
    call(|| format!("setegid({})", own_gids.effective), own)?;
    call(|| "setgroups()".to_owned(), nix::unistd::setgroups(&own_groups))?;
    Ok(result)
}

fn keep_identity(identity: &Identity) -> Result<(), PrivilegeError> {
    if identity.uid == effective_uid() {
        return Ok(());
    }
    Err(PrivilegeError::Call {
        call: format!("setuid({})", identity.uid),
        source: io::Error::from(io::ErrorKind::PermissionDenied),
    })
}

fn verify(identity: &Identity) -> Result<(), PrivilegeError> {
    let root = Uid::from_raw(0);
    if nix::unistd::setuid(root).is_ok() || nix::unistd::seteuid(root).is_ok() {
        return Err(PrivilegeError::StillPossible("setuid(0)"));
    }
    let users = call(|| "getresuid()".to_owned(), nix::unistd::getresuid())?;
    if [users.real, users.effective, users.saved].iter().any(|uid| uid.as_raw() != identity.uid) {
        return Err(PrivilegeError::StillPossible("another user id"));
    }
    let may_be_root_group = identity.gid == 0 || identity.saved_gid == Some(0);
    if !may_be_root_group && nix::unistd::setgid(Gid::from_raw(0)).is_ok() {
        return Err(PrivilegeError::StillPossible("setgid(0)"));
    }
    Ok(())
}

/// No core file, no attaching debugger, no new rights through set-user-id programs.
///
/// # Errors
/// Those of `prctl`.
pub fn no_new_rights(core_dumps: bool) -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    nix::sys::prctl::set_dumpable(core_dumps)?;
    Ok(())
}

/// Limits the address space of this process, in bytes.
///
/// # Errors
/// Those of `setrlimit`.
pub fn limit_address_space(bytes: u64) -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_AS)?;
    setrlimit(Resource::RLIMIT_AS, bytes.min(hard), bytes.min(hard))?;
    Ok(())
}

/// Allows as many open descriptors as `wanted`, or as near to it as the hard limit lets; returns
/// the limit now in force.
///
/// # Errors
/// Those of `getrlimit`.
pub fn raise_descriptor_limit(wanted: u64) -> io::Result<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(soft);
    }
    if effective_uid() == 0 && wanted > hard && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    let new = wanted.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, new, hard)?;
    Ok(new)
}

/// Whether the core file limit of this process is above zero.
pub fn core_dumps_enabled() -> bool {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_CORE).is_ok_and(|(soft, _)| soft > 0)
}
