//! Why the system refused a file, as 2.3 explains it to administrators: who asked, which right is missing, and
//! on what. It is found out afterwards, so that it may be wrong where rights change meanwhile.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base::reason;
use rustix::fs::{Access, AtFlags, CWD, accessat};

/// The error line for a call that failed with EACCES.
pub(crate) fn explained(op: &str, path: &Path) -> String {
    let (euid, egid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let name = |found: io::Result<Option<String>>| match found {
        Ok(name) => name.unwrap_or_else(|| "<unknown>".to_owned()),
        Err(_) => "<error>".to_owned(),
    };
    let user = name(sys::accounts::user_by_id(euid).map(|user| user.map(|user| user.name)));
    let group = name(sys::accounts::group_name(egid));
    let missing = missing(op, path, euid);
    let path = path.display();
    format!("{op}({path}) failed: Permission denied (euid={euid}({user}) egid={egid}({group}){missing})")
}

fn missing(op: &str, path: &Path, euid: u32) -> String {
    let creates = matches!(op, "mkdir" | "link" | "rename" | "symlink") || !is_there(path);
    let (dir, meta) = match nearest(path, creates) {
        Ok(found) => found,
        Err(text) => return text,
    };
    let is_parent = path.parent() == Some(&dir);
    let may_pass = may(&dir, Access::EXEC_OK);
    let (what, on) = match () {
        () if !may_pass => (Access::EXEC_OK, dir.as_path()),
        () if creates && !may(&dir, Access::WRITE_OK) => (Access::WRITE_OK, dir.as_path()),
        () if is_parent && is_there(path) && !may(path, Access::READ_OK) => (Access::READ_OK, path),
        () if !creates && !may(path, Access::WRITE_OK) => (Access::WRITE_OK, path),
        () => return format!(" UNIX perms appear ok (ACL/MAC wrong?){}", owner(&meta, euid)),
    };
    let letter = match what {
        Access::EXEC_OK => 'x',
        Access::WRITE_OK => 'w',
        _ => 'r',
    };
    format!(" missing +{letter} perm: {}{}{}", on.display(), no_member(on, what), owner(&meta, euid))
}

/// The nearest directory above that can be seen.
fn nearest(path: &Path, creates: bool) -> Result<(PathBuf, Metadata), String> {
    for dir in path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
        match std::fs::metadata(dir) {
            Ok(meta) => return Ok((dir.to_path_buf(), meta)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && creates => {}
            Err(error) => return Err(format!(" stat({}) failed: {}", dir.display(), reason(&error))),
        }
    }
    Err(String::new())
}

fn is_there(path: &Path) -> bool {
    // What cannot be seen may be there.
    !std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// With the effective identity of this thread.
fn may(path: &Path, what: Access) -> bool {
    accessat(CWD, path, what, AtFlags::EACCESS).is_ok()
}

/// Whether it would be allowed to members of the group.
fn no_member(path: &Path, what: Access) -> String {
    let Ok(meta) = std::fs::metadata(path) else { return String::new() };
    let bit = match what {
        Access::EXEC_OK => 0o010,
        Access::WRITE_OK => 0o020,
        _ => 0o040,
    };
    let gid = meta.gid();
    let groups = rustix::process::getgroups().unwrap_or_default();
    let is_member =
        rustix::process::getegid().as_raw() == gid || groups.iter().any(|group| group.as_raw() == gid);
    if is_member || meta.uid() == rustix::process::geteuid().as_raw() || meta.mode() & bit == 0 {
        return String::new();
    }
    match sys::accounts::group_name(gid) {
        Ok(Some(name)) => format!(", we're not in group {gid}({name})"),
        _ => format!(", we're not in group {gid}"),
    }
}

fn owner(dir: &Metadata, euid: u32) -> String {
    match dir.uid() == euid {
        true => String::new(),
        false => {
            format!(", dir owned by {}:{} mode=0{:o}", dir.uid(), dir.gid(), dir.mode() & 0o777)
        }
    }
}
