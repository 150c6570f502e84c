//! Users and groups of the system, looked up with the reentrant functions of libc.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User};

/// A user of the system's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// The home directory.
    pub home: PathBuf,
    /// The comment field (GECOS).
    pub gecos: String,
    /// The login shell.
    pub shell: PathBuf,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir,
            gecos: user.gecos.to_string_lossy().into_owned(),
            shell: user.shell,
        }
    }
}

/// The user called `name`, or `None` when there is none.
///
/// # Errors
/// When the database cannot be asked.
pub fn user(name: &str) -> io::Result<Option<Account>> {
    if name.contains('\0') {
        return Ok(None);
    }
    Ok(User::from_name(name)?.map(Account::from))
}

/// The user with the id `uid`.
///
/// # Errors
/// As [`user`].
pub fn user_by_id(uid: u32) -> io::Result<Option<Account>> {
    Ok(User::from_uid(Uid::from_raw(uid))?.map(Account::from))
}

/// The id of the group called `name`.
///
/// # Errors
/// As [`user`].
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    if name.contains('\0') {
        return Ok(None);
    }
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

/// The name of the group `gid`.
///
/// # Errors
/// As [`user`].
pub fn group_name(gid: u32) -> io::Result<Option<String>> {
    Ok(Group::from_gid(Gid::from_raw(gid))?.map(|group| group.name))
}

/// The name and password hash of the user `name` in the shadow database; `None` when there is none.
///
/// # Errors
/// The database cannot be asked, which for anybody but root it cannot.
pub fn shadow(name: &str) -> io::Result<Option<(String, String)>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    let mut buffer = vec![0_u8; SHADOW_BYTES_MAX];
    // SAFETY: all zero is a valid value: numbers and null pointers.
    let mut entry: libc::spwd = unsafe { std::mem::zeroed() };
    let mut found: *mut libc::spwd = std::ptr::null_mut();
    // SAFETY: all pointers are valid, and the buffer is as long as it says.
    let status = unsafe {
        libc::getspnam_r(name.as_ptr(), &mut entry, buffer.as_mut_ptr().cast(), buffer.len(), &mut found)
    };
    if found.is_null() {
        return match status {
            0 | libc::ENOENT => Ok(None),
            status => Err(io::Error::from_raw_os_error(status)),
        };
    }
    let text = |text: *const libc::c_char| match text.is_null() {
        true => String::new(),
        // SAFETY: the entry's strings are C strings within the buffer.
        false => unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned(),
    };
    let result = (text(entry.sp_namp), text(entry.sp_pwdp));
    zeroize::Zeroize::zeroize(&mut buffer);
    Ok(Some(result))
}

/// Room for a line of the shadow database. The longest hash has some hundred bytes.
const SHADOW_BYTES_MAX: usize = 16 * 1024;

/// All groups of the user `name`, `gid` among them.
///
/// # Errors
/// As [`user`]; `InvalidInput` for a name with a NUL byte.
pub fn groups_of(name: &str, gid: u32) -> io::Result<Vec<u32>> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let groups = nix::unistd::getgrouplist(&name, Gid::from_raw(gid))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// The host's name as `gethostname` gives it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The host's name with its domain: what the resolver calls it, or else the plain name.
pub fn host_domain() -> String {
    let name = host_name();
    let Ok(plain) = CString::new(name.clone()) else { return name };
    // SAFETY: zeroed hints are valid; `plain` and `hints` outlive the call; the list is freed once,
    // after the name was copied out of it.
    unsafe {
        let mut hints: libc::addrinfo = std::mem::zeroed();
        hints.ai_flags = libc::AI_CANONNAME;
        let mut list = std::ptr::null_mut();
        if libc::getaddrinfo(plain.as_ptr(), std::ptr::null(), &raw const hints, &raw mut list) != 0 {
            return name;
        }
        let canonical = (*list).ai_canonname;
        let found = match canonical.is_null() {
            true => name,
            false => std::ffi::CStr::from_ptr(canonical).to_string_lossy().into_owned(),
        };
        libc::freeaddrinfo(list);
        found
    }
}
