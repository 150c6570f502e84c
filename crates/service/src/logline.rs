//! Log lines of a child: frames on standard error, which is its service's log pipe. Panics become
//! log lines, too, under the prefix of the session that they ended.

use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, OnceLock, PoisonError};

use base::Logger;
use base::log::Level;

tokio::task_local! {
    static SESSION: Logger;
}

static PROCESS: OnceLock<Logger> = OnceLock::new();
/// The program that reads the pipes.
const LOG: &str = "log";
static PIPE: Mutex<()> = Mutex::new(());

/// Sends all log lines of this process to its log pipe, and panics with them. `log` is for what
/// happens outside of any session. The program `log` has no such pipe: nobody reads it but itself.
pub(crate) fn install(program: &str, log: &Logger) {
    if program != LOG {
        base::log::install(write);
    }
    let _ = PROCESS.set(log.clone());
    std::panic::set_hook(Box::new(panicked));
}

/// Runs a session's future so that a panic in it is logged under `log`'s prefix.
pub async fn scope<F: Future>(log: Logger, session: F) -> F::Output {
    SESSION.scope(log, session).await
}

fn write(level: Level, prefix: &str, text: &str) {
    let frames = ipc::log::frames(level, std::process::id(), prefix, text);
    // A line of several frames must not be mixed with another thread's.
    let _pipe = PIPE.lock().unwrap_or_else(PoisonError::into_inner);
    for frame in frames {
        // There is nowhere to say that the log cannot be written to.
        let _ = std::io::stderr().write_all(&frame);
    }
}

fn panicked(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    let place = info.location().map(|place| format!("file {}: line {}: ", place.file(), place.line()));
    let line = format!("{}{text}", place.unwrap_or_default());
    let session = SESSION.try_with(Clone::clone).ok();
    match session.as_ref().or_else(|| PROCESS.get()) {
        Some(log) => log.log(Level::Panic, line),
        None => eprintln!("Panic: {line}"),
    }
}
