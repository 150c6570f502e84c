//! Reading the configuration, which the master leaves to a child that lives only for that: started
//! with the server, and again at each reload, so that nothing depends on what the last reading left.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use ipc::control::{Birth, FromConfig, ToChild, ToConfig, ToMaster};
use rustix::event::{PollFd, PollFlags, Timespec};
use settings::Snapshot;

use crate::plan::{Kind, ServicePlan};
use crate::spawn::{Nursery, Order};
use crate::wire::{Heard, Wire};

/// A configuration that takes longer to read hangs, on a dead file server perhaps.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The largest snapshot that is taken for one.
const SNAPSHOT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A child that reads the configuration.
#[derive(Debug)]
pub(crate) struct Loader {
    pub(crate) pid: u32,
    pub(crate) wire: Wire,
}

/// What came of it.
pub(crate) enum Loaded {
    /// The configuration is good.
    Good { snapshot: Snapshot, warnings: Vec<String> },
    /// It is broken, in 2.3's words; further lines explain.
    Broken { message: String, explanation: String },
}

impl Loader {
    /// Starts one. It logs to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(nursery: &Nursery, config: &Path, instance: &str, log: &OwnedFd) -> io::Result<Self> {
        let settings = sys::memfile::sealed("settings", &Snapshot::defaults().to_bytes())?;
        let plan = ServicePlan {
            name: "config".to_owned(),
            kind: Kind::Config,
            program: "config".to_owned(),
            arguments: Vec::new(),
            identity: None,
            chroot: String::new(),
            drop_before_exec: false,
            process_min_avail: 0,
            process_limit: 1,
            client_limit: 1,
            service_count: 0,
            idle_kill: None,
            vsz_limit_bytes: 0,
            anvil: false,
            listeners: Vec::new(),
        };
        let birth = Birth {
            service: plan.name.clone(),
            instance: instance.to_owned(),
            base_dir: String::new(),
            config_path: config.display().to_string(),
            identity: None,
            chroot: String::new(),
            listeners: Vec::new(),
            client_limit: 1,
            service_count: 0,
            vsz_limit_bytes: 0,
            anvil: false,
            generation: 0,
        };
        // It may refer to any variable (`$ENV:`), so it gets them all.
        let environment: Vec<String> = std::env::vars()
            .filter(|(name, _)| name != "_")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let order = Order {
            plan: &plan,
            birth,
            environment: &environment,
            log,
            settings: &settings,
            listeners: &[],
            anvil: None,
        };
        let (pid, mut wire) = nursery.spawn(order)?;
        wire.send(&ToChild::Config(ToConfig::Load { path: config.display().to_string() }), None);
        Ok(Self { pid, wire })
    }

    /// Looks whether the answer has come; to be called when the line is readable.
    pub(crate) fn read(&mut self) -> Option<Loaded> {
        let heard = self.wire.read();
        while let Some(message) = self.wire.message::<ToMaster>() {
            if let ToMaster::Config(answer) = message {
                return self.answer(answer);
            }
        }
        (heard == Heard::End).then(|| broken("The process that reads the configuration has died"))
    }

    fn answer(&mut self, answer: FromConfig) -> Option<Loaded> {
        match answer {
            FromConfig::Snapshot { warnings } => Some(match self.wire.descriptor().map(read_snapshot) {
                Some(Ok(snapshot)) => Loaded::Good { snapshot, warnings },
                Some(Err(error)) => broken(&error),
                None => broken("The configuration did not arrive"),
            }),
            FromConfig::Failed { message, explanation } => Some(Loaded::Broken { message, explanation }),
            FromConfig::Changed => None,
        }
    }

    /// Waits for the answer, when there is nothing else to do.
    pub(crate) fn wait(mut self) -> Loaded {
        let loaded = loop {
            let mut ready = [PollFd::new(&self.wire, PollFlags::IN)];
            // Half a minute fits.
            let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
            match rustix::event::poll(&mut ready, Some(&patience)) {
                Ok(0) => break broken("Reading the configuration timed out"),
                Err(rustix::io::Errno::INTR) => continue,
                _ => {}
            }
            if let Some(loaded) = self.read() {
                break loaded;
            }
        };
        let _ = sys::signal::kill(self.pid, Some(sys::signal::Signal::SIGKILL));
        let _ = sys::spawn::wait(self.pid);
        loaded
    }
}

fn broken(message: &str) -> Loaded {
    Loaded::Broken { message: message.to_owned(), explanation: String::new() }
}

/// The snapshot in a sealed memory file.
pub(crate) fn read_snapshot(file: OwnedFd) -> Result<Snapshot, String> {
    let bytes = sys::memfile::read_sealed(&file, SNAPSHOT_BYTES_MAX).map_err(|error| base::reason(&error))?;
    Snapshot::from_bytes(&bytes).map_err(|error| base::chain(&error).to_string())
}
