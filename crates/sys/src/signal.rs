//! Signals as readable records instead of interruptions.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::signalfd::{SfdFlags, SignalFd};

pub use nix::sys::signal::Signal;

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Who sent it; 0 for the kernel.
    pub pid: u32,
    /// The sender's user id.
    pub uid: u32,
    /// `si_code`.
    pub code: i32,
}

impl Received {
    /// 2.3's text: `Killed with signal 15 (by pid=1 uid=0 code=kill)`.
    pub fn killed_text(&self) -> String {
        format!(
            "Killed with signal {} (by pid={} uid={} code={})",
            self.signal,
            self.pid,
            self.uid,
            code_word(self.code)
        )
    }
}

fn code_word(code: i32) -> String {
    match code {
        libc::SI_USER => "kill".to_owned(),
        libc::SI_KERNEL => "kernel".to_owned(),
        libc::SI_TIMER => "timer".to_owned(),
        libc::SI_TKILL => "tkill".to_owned(),
        _ => format!("unknown {code}"),
    }
}

/// Lets SIGSEGV and SIGBUS kill this process as they kill others. The standard library's handler,
/// which tells stack overflows from other faults, swallows a signal that somebody sends.
///
/// # Errors
/// Those of `sigaction`.
pub fn let_faults_kill() -> io::Result<()> {
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: the default action runs no code of ours.
        unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// Holds back a set of signals in this and all later threads, and gives them out one by one.
#[derive(Debug)]
pub struct Signals {
    descriptor: SignalFd,
    set: Vec<Signal>,
}

impl Signals {
    /// Blocks `signals` and makes them readable. Call before any thread is started.
    ///
    /// # Errors
    /// Those of `sigprocmask` and `signalfd`.
    pub fn hold(signals: &[Signal]) -> io::Result<Self> {
        let mut set = SigSet::empty();
        signals.iter().for_each(|&signal| set.add(signal));
        nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        let descriptor = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { descriptor, set: signals.to_vec() })
    }

    /// Another handle on the same set.
    ///
    /// # Errors
    /// Those of `dup`.
    pub fn try_clone(&self) -> io::Result<Self> {
        let mut set = SigSet::empty();
        self.set.iter().for_each(|&signal| set.add(signal));
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self { descriptor: SignalFd::with_flags(&set, flags)?, set: self.set.clone() })
    }

    /// The next signal that has arrived, if any.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn next(&self) -> io::Result<Option<Received>> {
        Ok(self.descriptor.read_signal()?.map(|info| Received {
            signal: i32::try_from(info.ssi_signo).unwrap_or(0),
            pid: info.ssi_pid,
            uid: info.ssi_uid,
            code: info.ssi_code,
        }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

/// Sends `signal` to the process `pid`, or with `None` asks whether it exists.
///
/// # Errors
/// `ESRCH` when there is no such process, `EPERM` when it belongs to someone else.
pub fn kill(pid: u32, signal: Option<Signal>) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    if pid <= 0 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)?)
}
