//! The run directory: its subdirectories, the pid file, the link to the configuration.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use crate::plan::Plan;

/// Sockets of identity processes, for the master's own user only.
const IDENTITY: &str = "identity";

/// Why the run directory is of no use: the operation with its path.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed: {}", base::reason(source))]
pub(crate) struct RunDirError {
    operation: String,
    source: io::Error,
}

fn failed(operation: &str, path: &Path) -> impl FnOnce(io::Error) -> RunDirError {
    let operation = format!("{operation}({})", path.display());
    move |source| RunDirError { operation, source }
}

/// Makes what is missing.
///
/// # Errors
/// The first directory that cannot be made.
pub(crate) fn prepare(plan: &Plan) -> Result<(), RunDirError> {
    prepare_again(plan)?;
    let identity = plan.base_dir.join(IDENTITY);
    // Whoever listened here belonged to a former run.
    for entry in fs::read_dir(&identity).map_err(failed("opendir", &identity))?.flatten() {
        let _ = fs::remove_file(entry.path());
    }
    Ok(())
}

/// Makes what is missing beside a running server.
///
/// # Errors
/// The first directory that cannot be made.
pub(crate) fn prepare_again(plan: &Plan) -> Result<(), RunDirError> {
    let base = &plan.base_dir;
    directory(base, 0o755, None)?;
    for name in ["login", "token-login"] {
        directory(&base.join(name), 0o750, plan.login_gid)?;
    }
    directory(&base.join("empty"), 0o755, None)?;
    directory(&base.join(IDENTITY), 0o700, None)
}

fn directory(path: &Path, mode: u32, gid: Option<u32>) -> Result<(), RunDirError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(failed("mkdir", parent))?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(failed("mkdir", path)(error)),
    }
    if gid.is_some() {
        chown(path, None, gid).map_err(failed("chown", path))?;
    }
    // Whatever the umask took away.
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("chmod", path))
}

/// Points `dovecot.conf` in the run directory to the configuration in use, which is how doveadm
/// finds it.
///
/// # Errors
/// Those of `symlink`.
pub(crate) fn link_config(base_dir: &Path, config: &Path) -> Result<(), RunDirError> {
    let path = base_dir.join("dovecot.conf");
    let _ = fs::remove_file(&path);
    symlink(config, &path).map_err(failed("symlink", &path))
}

/// The path of the pid file.
pub(crate) fn pid_path(base_dir: &Path) -> PathBuf {
    base_dir.join("master.pid")
}

/// The process that the pid file names, if it runs.
///
/// # Errors
/// When the file is there and cannot be read.
pub(crate) fn running(base_dir: &Path) -> Result<Option<u32>, RunDirError> {
    let path = pid_path(base_dir);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    let Ok(pid) = text.trim_end().parse::<u32>() else { return Ok(None) };
    let is_gone =
        sys::signal::kill(pid, None).is_err_and(|error| error.kind() != io::ErrorKind::PermissionDenied);
    Ok((pid != std::process::id() && !is_gone).then_some(pid))
}

/// Writes this process's id.
///
/// # Errors
/// Those of `open` and `write`.
pub(crate) fn write_pid(base_dir: &Path) -> Result<(), RunDirError> {
    let path = pid_path(base_dir);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed("open", &path))?;
    writeln!(file, "{}", std::process::id()).map_err(failed("write", &path))
}

/// Removes the pid file, if it is this process's.
pub(crate) fn remove_pid(base_dir: &Path) {
    let path = pid_path(base_dir);
    if fs::read_to_string(&path).is_ok_and(|text| text.trim_end() == std::process::id().to_string()) {
        let _ = fs::remove_file(&path);
    }
}
