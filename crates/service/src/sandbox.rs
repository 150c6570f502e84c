//! The walls around a process, raised last before it meets its first client.

use base::Logger;
use sys::sandbox::{Filter, Landlock, SandboxError, Strength};

use crate::table::Sandbox;

mod calls;

/// Raises the walls of `kind`. There must be one thread only.
///
/// # Errors
/// When the kernel refuses. A kernel without Landlock is not an error: seccomp and the user's
/// rights remain.
pub fn apply(kind: Sandbox, log: &Logger) -> Result<(), SandboxError> {
    match kind {
        Sandbox::Login | Sandbox::Closed => {
            if Landlock::default().apply()? != Strength::Full {
                log.debug("This kernel knows Landlock in part only or not at all");
            }
            closed_filter()?.apply()
        }
        Sandbox::Files => Filter::forbid(calls::FORBIDDEN_WITH_FILES).apply(),
        Sandbox::Script => Ok(()),
        Sandbox::Open => Filter::forbid(calls::FORBIDDEN_ALWAYS).apply(),
    }
}

/// What a process does that only has sockets: no `open`, no `exec`, no process, no socket but unix
/// ones, no memory that is both new and executable.
fn closed_filter() -> Result<Filter, SandboxError> {
    Filter::permit(calls::SOCKETS_ONLY)
        .with_argument(sys::sandbox::call::SYS_socket, 0, &[calls::AF_UNIX])?
        .with_argument(sys::sandbox::call::SYS_socketpair, 0, &[calls::AF_UNIX])?
        .with_zero_bits(sys::sandbox::call::SYS_mmap, 2, calls::PROT_EXEC)?
        .with_zero_bits(sys::sandbox::call::SYS_mprotect, 2, calls::PROT_EXEC)?
        .with_argument(sys::sandbox::call::SYS_prctl, 0, calls::PRCTL)?
        .with_argument(sys::sandbox::call::SYS_kill, 1, &[0])
}
