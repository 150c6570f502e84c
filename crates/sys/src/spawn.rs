//! Starting processes: fork and exec with a fixed set of descriptors, and going into the
//! background. Meant for single-threaded callers (the master, tests, `auth -w`'s scripts).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::wait::{WaitPidFlag, WaitStatus};

use crate::privilege::Identity;

/// What to execute and what it finds.
#[derive(Debug)]
pub struct Program<'a> {
    /// The file.
    pub path: CString,
    /// `argv`, the name it shows in `ps` first.
    pub arguments: Vec<CString>,
    /// `NAME=value` entries; nothing else is in its environment.
    pub environment: Vec<CString>,
    /// Becomes descriptors 0, 1, 2, …; all others are closed.
    pub descriptors: Vec<BorrowedFd<'a>>,
    /// Taken on before the file is executed (`drop_priv_before_exec`).
    pub identity: Option<Identity>,
    /// Entered before the identity is taken.
    pub chroot: Option<CString>,
    /// Sets the core file limit to 0.
    pub forbid_core_dumps: bool,
}

/// Starts `program` and returns its process id once the file is being executed.
///
/// # Errors
/// Those of `fork` and of each step between it and the running program, `execve`'s among them.
pub fn spawn(program: &Program<'_>) -> io::Result<u32> {
    let mut arguments: Vec<*const libc::c_char> = program.arguments.iter().map(|a| a.as_ptr()).collect();
    arguments.push(std::ptr::null());
    let mut environment: Vec<*const libc::c_char> = program.environment.iter().map(|e| e.as_ptr()).collect();
    environment.push(std::ptr::null());
    let mut sources: Vec<RawFd> = program.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let groups: Vec<libc::gid_t> = program.identity.as_ref().map_or_else(Vec::new, supplementary);
    let (failure_reader, failure_writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: fork itself is sound; the child only makes the async-signal-safe calls of `born`,
    // works on memory prepared above, and never returns into the caller.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let plan = Plan { program, arguments: &arguments, environment: &environment, groups: &groups };
            // SAFETY: this is the child of a fork; see `born`.
            unsafe { born(&plan, &mut sources, failure_writer.as_raw_fd()) }
        }
        pid => {
            drop(failure_writer);
            wait_for_exec(&failure_reader, pid)
        }
    }
}

fn supplementary(identity: &Identity) -> Vec<libc::gid_t> {
    match identity.extra_gids.is_empty() {
        true => vec![identity.gid],
        false => identity.extra_gids.clone(),
    }
}

fn wait_for_exec(failure_reader: &OwnedFd, pid: i32) -> io::Result<u32> {
    let mut code = [0; 4];
    let read = loop {
        match rustix::io::read(failure_reader, &mut code) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    if read == code.len() {
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
        return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code)));
    }
    u32::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::Other))
}

struct Plan<'a> {
    program: &'a Program<'a>,
    arguments: &'a [*const libc::c_char],
    environment: &'a [*const libc::c_char],
    groups: &'a [libc::gid_t],
}

/// Runs in the child between fork and exec.
///
/// # Safety
/// To be called right after fork in the child only. It makes async-signal-safe calls only and
/// allocates nothing, so it is sound whatever state other threads' locks were in.
unsafe fn born(plan: &Plan<'_>, sources: &mut [RawFd], failure: RawFd) -> ! {
    // SAFETY: see above; all pointers come from CStrings and vectors that outlive the call.
    unsafe {
        let failure = born_descriptors(sources, failure);
        let mut nothing: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut nothing);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const nothing, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        if plan.program.forbid_core_dumps {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        }
        if let Some(chroot) = &plan.program.chroot
            && (libc::chroot(chroot.as_ptr()) < 0 || libc::chdir(c"/".as_ptr()) < 0)
        {
            give_up(failure);
        }
        if let Some(identity) = &plan.program.identity {
            born_identity(identity, plan.groups, failure);
        }
        libc::execve(plan.program.path.as_ptr(), plan.arguments.as_ptr(), plan.environment.as_ptr());
        give_up(failure)
    }
}

/// Puts `sources` at 0, 1, 2, …, marks the rest closed-on-exec, and returns where `failure` is now.
///
/// # Safety
/// As [`born`].
unsafe fn born_descriptors(sources: &mut [RawFd], failure: RawFd) -> RawFd {
    // SAFETY: fcntl, dup2 and close_range on numbers; whatever they replace belongs to nobody in
    // this process, which is about to execute another program.
    unsafe {
        // First out of the way of the target numbers, so that no source is overwritten.
        let above = sources.len() as libc::c_int + 3;
        let failure = libc::fcntl(failure, libc::F_DUPFD_CLOEXEC, above);
        for source in sources.iter_mut() {
            *source = libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, above);
            if *source < 0 {
                give_up(failure);
            }
        }
        for (target, &source) in sources.iter().enumerate() {
            if libc::dup2(source, target as libc::c_int) < 0 {
                give_up(failure);
            }
        }
        libc::syscall(
            libc::SYS_close_range,
            sources.len() as libc::c_uint,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
        failure
    }
}

/// # Safety
/// As [`born`].
unsafe fn born_identity(identity: &Identity, groups: &[libc::gid_t], failure: RawFd) {
    // SAFETY: plain system calls with numbers and a slice that outlives them.
    unsafe {
        if libc::geteuid() != 0 {
            return;
        }
        let saved = identity.saved_gid.unwrap_or(identity.gid);
        if libc::setgroups(groups.len(), groups.as_ptr()) < 0
            || libc::setresgid(identity.gid, identity.gid, saved) < 0
            || libc::setresuid(identity.uid, identity.uid, identity.uid) < 0
        {
            give_up(failure);
        }
    }
}

/// # Safety
/// As [`born`].
unsafe fn give_up(failure: RawFd) -> ! {
    // SAFETY: errno is this thread's; write and _exit are async-signal-safe.
    unsafe {
        let code = (*libc::__errno_location()).to_ne_bytes();
        libc::write(failure, code.as_ptr().cast(), code.len());
        // 84 is 2.3's code for "could not execute".
        libc::_exit(84)
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exited(i32),
    /// A signal killed it.
    Killed {
        /// The signal's number.
        signal: i32,
        /// Whether a core file was written.
        core_dumped: bool,
    },
}

/// The next child that has ended, if any.
pub fn reap() -> Option<(u32, Ended)> {
    loop {
        return match nix::sys::wait::waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => Some((pid.as_raw().unsigned_abs(), Ended::Exited(status))),
            Ok(WaitStatus::Signaled(pid, signal, core_dumped)) => {
                Some((pid.as_raw().unsigned_abs(), Ended::Killed { signal: signal as i32, core_dumped }))
            }
            Err(nix::errno::Errno::EINTR) => continue,
            Ok(_) | Err(_) => None,
        };
    }
}

/// Waits for the child `pid` to end.
///
/// # Errors
/// Those of `waitpid`.
pub fn wait(pid: u32) -> io::Result<Ended> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap_or(-1));
    loop {
        match nix::sys::wait::waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, status)) => return Ok(Ended::Exited(status)),
            Ok(WaitStatus::Signaled(_, signal, core_dumped)) => {
                return Ok(Ended::Killed { signal: signal as i32, core_dumped });
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Which side of [`daemonise`] one is on.
#[derive(Debug)]
pub enum Side {
    /// The process that was started: it waits for what the daemon reports and exits.
    Front {
        /// Process id of the daemon.
        pid: u32,
    },
    /// The daemon, in a session of its own.
    Daemon,
}

/// Goes on in a new process of its own session. Call while there is one thread only.
///
/// # Errors
/// Those of `fork`.
pub fn daemonise() -> io::Result<Side> {
    // SAFETY: the caller has one thread, so the child is a full copy that may go on as it likes.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Side::Front { pid: child.as_raw().unsigned_abs() }),
        nix::unistd::ForkResult::Child => {
            nix::unistd::setsid()?;
            Ok(Side::Daemon)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    fn c(text: &str) -> CString {
        CString::new(text).unwrap()
    }

    #[test]
    fn a_program_gets_its_descriptors_and_nothing_else() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let program = Program {
            path: c("/bin/sh"),
            arguments: vec![c("sh"), c("-c"), c("echo $X; ls /proc/self/fd | wc -l >&3; exit 3")],
            environment: vec![c("X=7"), c("PATH=/usr/bin:/bin")],
            descriptors: vec![null.as_fd(), writer.as_fd(), null.as_fd(), writer.as_fd()],
            identity: None,
            chroot: None,
            forbid_core_dumps: true,
        };
        let pid = spawn(&program).unwrap();
        drop(program);
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(reader).read_to_string(&mut text).unwrap();
        // 0 to 3, and the one that `ls` has the directory open with.
        assert_eq!(text, "7\n5\n");
        assert_eq!(wait(pid).unwrap(), Ended::Exited(3));
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let program = Program {
            path: c("/nonexistent/program"),
            arguments: vec![c("program")],
            environment: Vec::new(),
            descriptors: Vec::new(),
            identity: None,
            chroot: None,
            forbid_core_dumps: false,
        };
        assert_eq!(spawn(&program).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
