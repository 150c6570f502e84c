//! The `config` process: reads the configuration files for the master, hands out the snapshot in
//! force, and notices when a certificate was renewed.
//!
//! A broken configuration changes nothing: the master is told, and the old snapshot stays.

mod files;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Logger;
use base::filter::Filter;
use ipc::config::{Answer, Query};
use ipc::control::{FromConfig, ToConfig, ToMaster};
use service::{Entry, Fatal, Link, Order, Process};
use settings::{Diagnostic, ParseOptions, Snapshot, StdFiles, key};
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::files::Remembered;
use crate::limits::{ADMIN_TIMEOUT, WATCH_INTERVAL};
use crate::listen;

/// The process as the binary knows it.
pub fn entry() -> Entry {
    Entry::new("config", |_| Ok(()), run)
}

async fn run(process: Process, (): ()) -> Result<(), Fatal> {
    // Until the master asks for more, what it started us with is in force.
    let born_with = process.settings().to_bytes();
    let shared = Arc::new(Mutex::new(State { loaded: None, snapshot: seal(&born_with)? }));
    let each = {
        let (shared, log) = (shared.clone(), process.log().clone());
        move |link| hand_out(link, shared.clone(), log.clone())
    };
    let _accepting = listen::serve(process.take_listeners(), process.log(), each)
        .map_err(|error| Fatal::new(format_args!("listeners failed: {}", base::reason(&error))))?;
    let mut orders = process.take_orders().ok_or_else(|| Fatal::new("no line to the master"))?;
    let mut ticks = interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let shutdown = process.shutdown();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Config(ToConfig::Load { path })) => load(&process, &shared, &path)?,
                Some(Order::Log(..)) => {}
                None => return Ok(()),
            },
            _ = ticks.tick() => look(&process, &shared)?,
            () = shutdown.retiring() => return Ok(()),
        }
    }
}

struct State {
    /// What was read last and was good.
    loaded: Option<Loaded>,
    /// The snapshot in force.
    snapshot: OwnedFd,
}

/// A configuration that was read and is good.
#[derive(Debug)]
pub(crate) struct Loaded {
    path: String,
    files: Remembered<StdFiles>,
    snapshot: Snapshot,
    warnings: Vec<String>,
}

/// Why a configuration was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    message: String,
    explanation: String,
}

impl Loaded {
    /// Reads the configuration in `path` through `files`.
    fn read(path: &str, files: Remembered<StdFiles>) -> Result<Self, Refused> {
        let main = Path::new(path);
        let config = settings::Config::parse(&files, main, &ParseOptions::default())?;
        let warnings = config.check()?.iter().map(ToString::to_string).collect();
        let snapshot = config.snapshot()?;
        check_filters(path, &snapshot)?;
        Ok(Self { path: path.to_owned(), files, snapshot, warnings })
    }

    /// If a file that is a setting's value (`ssl_cert = <file`) has changed: the same
    /// configuration with its new content. Edits of the configuration itself wait for a reload.
    fn renewed(&self) -> Option<Result<Self, Refused>> {
        let files = self.files.with_changed_values(Path::new(&self.path))?;
        Some(Self::read(&self.path, files))
    }
}

impl From<Diagnostic> for Refused {
    fn from(error: Diagnostic) -> Self {
        Self { message: error.to_string(), explanation: error.explain().join("\n") }
    }
}

/// 2.3 refuses a configuration whose event filters it cannot read.
fn check_filters(path: &str, snapshot: &Snapshot) -> Result<(), Refused> {
    let root = snapshot.root();
    for setting in [key::LOG_DEBUG, key::LOG_CORE_FILTER, key::PROCESS_SHUTDOWN_FILTER] {
        Filter::parse(root.get(setting)).map_err(|error| Refused {
            message: format!("Error in configuration file {path}: Invalid {}: {error}", setting.name()),
            explanation: String::new(),
        })?;
    }
    Ok(())
}

fn load(process: &Process, shared: &Mutex<State>, path: &str) -> Result<(), Fatal> {
    match Loaded::read(path, Remembered::new(StdFiles)) {
        Ok(loaded) => {
            let warnings = loaded.warnings.clone();
            put_in_force(process, shared, loaded, FromConfig::Snapshot { warnings })?;
        }
        Err(Refused { message, explanation }) => {
            process.tell_master(ToMaster::Config(FromConfig::Failed { message, explanation }), None);
        }
    }
    Ok(())
}

/// Looks whether a certificate or the like was renewed.
fn look(process: &Process, shared: &Mutex<State>) -> Result<(), Fatal> {
    let renewed = lock(shared).loaded.as_ref().and_then(Loaded::renewed);
    match renewed {
        None => Ok(()),
        Some(Ok(loaded)) => put_in_force(process, shared, loaded, FromConfig::Changed),
        Some(Err(refused)) => {
            // Perhaps it is being written just now: the next look tries again.
            process
                .log()
                .warning(format_args!("A file that a setting names has changed: {}", refused.message));
            Ok(())
        }
    }
}

fn put_in_force(
    process: &Process,
    shared: &Mutex<State>,
    loaded: Loaded,
    message: FromConfig,
) -> Result<(), Fatal> {
    let bytes = loaded.snapshot.to_bytes();
    *lock(shared) = State { loaded: Some(loaded), snapshot: seal(&bytes)? };
    process.tell_master(ToMaster::Config(message), Some(seal(&bytes)?));
    Ok(())
}

fn seal(bytes: &[u8]) -> Result<OwnedFd, Fatal> {
    sys::memfile::sealed("settings", bytes)
        .map_err(|error| Fatal::new(format_args!("memfd_create() failed: {}", base::reason(&error))))
}

/// Gives doveadm the snapshot in force.
async fn hand_out(mut link: Link, shared: Arc<Mutex<State>>, log: Logger) {
    let asked = timeout(ADMIN_TIMEOUT, async {
        while let Some(Query::Snapshot) = link.receive::<Query>().await? {
            let snapshot = lock(&shared).snapshot.try_clone();
            let snapshot = snapshot.map_err(service::LinkError::Io)?;
            link.send_with(&Answer::Snapshot, &[snapshot.as_fd()]).await?;
        }
        Ok::<(), service::LinkError>(())
    });
    match asked.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log.warning(format_args!("doveadm: {}", base::chain(&error))),
        Err(_) => log.warning("doveadm: connection timed out"),
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(path: &Path) -> Result<Loaded, Refused> {
        Loaded::read(path.to_str().unwrap(), Remembered::new(StdFiles))
    }

    #[test]
    fn a_renewed_certificate_is_noticed_and_an_edited_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("dovecot.conf");
        let certificate = directory.path().join("cert.pem");
        fs::write(directory.path().join("more.conf"), "instance_name = one\n").unwrap();
        fs::write(&certificate, "first").unwrap();
        fs::write(&main, format!("!include more.conf\nssl_cert = <{}\n", certificate.display())).unwrap();
        let mut loaded = match read(&main) {
            Ok(loaded) => loaded,
            // Hosts without the users of the defaults cannot check anything.
            Err(refused) if refused.message.contains("doesn't exist") => return,
            Err(refused) => panic!("{refused:?}"),
        };
        assert_eq!(loaded.snapshot.root().get(key::SSL_CERT), "first");
        assert!(loaded.renewed().is_none());
        fs::write(directory.path().join("more.conf"), "instance_name = two\n").unwrap();
        assert!(loaded.renewed().is_none());
        fs::write(&certificate, "the second").unwrap();
        loaded = loaded.renewed().unwrap().unwrap();
        assert_eq!(loaded.snapshot.root().get(key::SSL_CERT), "the second");
        assert_eq!(loaded.snapshot.root().get(key::INSTANCE_NAME), "one");
        assert!(loaded.renewed().is_none());
        // Gone for a moment, as when it is replaced: refused, and looked for again.
        fs::remove_file(&certificate).unwrap();
        assert!(loaded.renewed().unwrap().is_err());
        fs::write(&certificate, "third").unwrap();
        assert!(loaded.renewed().unwrap().is_ok());
    }

    #[test]
    fn mistakes_are_explained() {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("dovecot.conf");
        fs::write(&main, "bogus = 1\n").unwrap();
        let refused = read(&main).unwrap_err();
        let expected =
            format!("Error in configuration file {} line 1: Unknown setting: bogus", main.display());
        assert_eq!(refused.message, expected);
        assert!(refused.explanation.contains("bogus = 1"));
        fs::write(&main, "log_debug = category>x\n").unwrap();
        match read(&main) {
            Err(refused) => assert!(
                refused
                    .message
                    .ends_with("Invalid log_debug: event filter: Only fields support inequality comparisons")
                    || refused.message.contains("doesn't exist")
            ),
            Ok(_) => panic!("accepted"),
        }
    }
}
