//! `doveadm stop`, `reload` and `log reopen`: signals to the master.

use std::fs;
use std::io;

use nix::sys::signal::Signal;

use crate::args::Args;
use crate::context::{Context, Failure, Outcome, status};
use crate::limits::{STOP_INTERVAL, STOP_TRIES};

pub(crate) fn stop(cx: &mut Context, _args: &Args) -> Outcome {
    let pid = send(cx, Signal::SIGTERM)?;
    for _ in 0..STOP_TRIES {
        match sys::signal::kill(pid, None) {
            Ok(()) => std::thread::sleep(STOP_INTERVAL),
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => break,
            Err(error) => {
                cx.error(format_args!("kill() failed: {}", base::reason(&error)), cx.status);
                break;
            }
        }
    }
    Ok(())
}

/// Reading the configuration comes first, so a broken one is refused here and the running instance
/// is left alone.
pub(crate) fn reload(cx: &mut Context, _args: &Args) -> Outcome {
    send(cx, Signal::SIGHUP).map(drop)
}

pub(crate) fn log_reopen(cx: &mut Context, _args: &Args) -> Outcome {
    send(cx, Signal::SIGUSR1).map(drop)
}

fn send(cx: &mut Context, signal: Signal) -> Outcome<u32> {
    let path = cx.in_base_dir("master.pid")?;
    let pid = running(cx, &path)?
        .ok_or_else(|| Failure::fatal(format_args!("Dovecot is not running (read from {path})")))?;
    sys::signal::kill(pid, Some(signal)).map_err(|error| {
        Failure::fatal(format_args!("kill({pid}, {}) failed: {}", signal as i32, base::reason(&error)))
    })?;
    Ok(pid)
}

fn running(cx: &mut Context, path: &str) -> Outcome<Option<u32>> {
    match fs::read_to_string(path) {
        Ok(text) if text.is_empty() => {
            cx.error(format_args!("Empty PID file in {path}"), status::TEMPFAIL);
            Ok(None)
        }
        Ok(text) => Ok(alive(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::fatal(format_args!("open({path}) failed: {}", base::reason(&error)))),
    }
}

/// The process that a pid file names, if it runs and is not this one.
pub(crate) fn alive(text: &str) -> Option<u32> {
    let pid: u32 = text.trim_end_matches('\n').parse().ok()?;
    let gone =
        matches!(sys::signal::kill(pid, None), Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH));
    (pid != std::process::id() && !gone).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    #[test]
    fn nobody_runs() {
        let doveadm = Doveadm::new();
        let pid_file = doveadm.path().join("master.pid");
        let text = format!("Dovecot is not running (read from {})", pid_file.display());
        for content in [None, Some(""), Some("x\n"), Some("4194305\n"), Some("-1\n")] {
            if let Some(content) = content {
                fs::write(&pid_file, content).unwrap();
            }
            for line in ["stop", "reload", "log reopen"] {
                assert_eq!(doveadm.run(line).1, Err(Failure::fatal(&text)), "{content:?}");
            }
        }
    }

    #[test]
    fn a_broken_configuration_is_not_sent() {
        let doveadm = Doveadm::new();
        fs::write(doveadm.path().join("dovecot.conf"), "bogus = 1\n").unwrap();
        let Err(Failure::Said(text, status)) = doveadm.run("reload").1 else { panic!("sent") };
        assert!(text.starts_with("doveconf: Fatal: Error in configuration file "), "{text}");
        assert!(text.contains(" line 1: Unknown setting: bogus"), "{text}");
        assert_eq!(status, status::FATAL);
    }
}
