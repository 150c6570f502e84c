//! Reloading (HUP): a child reads the configuration anew; only when all of it is good does anything
//! change. Running sessions live on with the settings they began with.

use std::os::fd::{AsFd, OwnedFd};

use ipc::control::{FromConfig, ToChild, ToConfig};
use settings::Snapshot;

use crate::listen::{self, Open, Stock};
use crate::loader::{Loaded, Loader, read_snapshot};
use crate::plan::{Kind, Plan, ServicePlan};
use crate::rundir;
use crate::server::Server;
use crate::service::Service;
use crate::stop::Phase;

/// The log pipe of the child that reads the configuration.
const LOADER: &str = "config";

impl Server {
    /// HUP came.
    pub(crate) fn begin_reload(&mut self) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        self.log.warning("SIGHUP received - reloading configuration");
        if self.loader.is_some() {
            self.reload_again = true;
            return;
        }
        self.notify.reloading();
        let log = match self.pipes.get(LOADER) {
            Some(pipe) => pipe.writer.try_clone(),
            None => sys::inherit::stderr().try_clone_to_owned(),
        };
        let started =
            log.and_then(|log| Loader::start(&self.nursery, &self.config, &self.plan.instance, &log));
        match started {
            Ok(loader) => self.loader = Some(loader),
            Err(error) => {
                self.log.error(format_args!(
                    "Can't reload configuration because we couldn't create a config process: {}",
                    base::reason(&error)
                ));
                self.notify.ready();
            }
        }
    }

    /// The child that reads the configuration has something to say.
    pub(crate) fn hear_loader(&mut self) {
        let Some(loaded) = self.loader.as_mut().and_then(Loader::read) else { return };
        if let Some(loader) = self.loader.take() {
            let _ = sys::signal::kill(loader.pid, Some(sys::signal::Signal::SIGKILL));
        }
        match loaded {
            Loaded::Good { snapshot, warnings } => {
                warnings.iter().for_each(|warning| self.log.warning(warning));
                let snapshot = with_password(snapshot, self.key_password.as_deref());
                if let Err(lines) = self.reload(snapshot) {
                    lines.iter().for_each(|line| self.log.error(line));
                    self.log.error("Reload failed, the old settings stay in force");
                }
            }
            Loaded::Broken { message, explanation } => {
                self.log.error(format_args!("Error reading configuration: {message}"));
                explanation.lines().for_each(|line| self.log.error(line));
                self.log.error("Reload failed, the old settings stay in force");
            }
        }
        self.notify.ready();
        if std::mem::take(&mut self.reload_again) {
            self.begin_reload();
        }
    }

    /// Puts a good configuration in force, or nothing of it.
    fn reload(&mut self, snapshot: Snapshot) -> Result<(), Vec<String>> {
        let plan = Plan::of(&snapshot, self.program).map_err(|error| vec![error])?;
        if plan.base_dir != self.plan.base_dir {
            return Err(vec!["base_dir can't be changed by a reload, stop and start instead".to_owned()]);
        }
        rundir::prepare_again(&plan).map_err(|error| vec![error.to_string()])?;
        let mut stock = Stock { systemd: Vec::new(), old: self.open_listeners()? };
        let services = make_services(&plan, &snapshot, &mut stock)?;
        // From here on nothing can fail.
        for gone in &stock.old {
            // Its processes close it when they retire.
            listen::unlink(gone);
        }
        self.generation += 1;
        self.services = services;
        self.snapshot = snapshot;
        self.plan = plan;
        self.adopt();
        for name in self.plan.left_out.clone() {
            self.log.warning(not_supported(&name));
        }
        Ok(())
    }

    /// Second handles on all listeners.
    fn open_listeners(&self) -> Result<Vec<Open>, Vec<String>> {
        let all = self.services.iter().flat_map(|service| &service.listeners);
        all.map(Open::try_clone)
            .collect::<Result<_, _>>()
            .map_err(|error| vec![format!("dup() failed: {}", base::reason(&error))])
    }

    /// The processes that others lean on go on under the new settings; all others finish what they
    /// have and go.
    fn adopt(&mut self) {
        let path = self.config.display().to_string();
        for child in self.children.values_mut() {
            let at = self.services.iter().position(|service| service.plan.name == child.name);
            match (child.kind, at) {
                (Kind::Log | Kind::Anvil | Kind::Config, Some(at)) if child.service.is_some() => {
                    child.service = Some(at);
                    let settings = self.services[at].settings.as_fd();
                    child.wire.send(&ToChild::NewSettings, Some(settings));
                    if child.kind == Kind::Config {
                        child.wire.send(&ToChild::Config(ToConfig::Load { path: path.clone() }), None);
                    }
                }
                _ if child.service.take().is_some() => child.wire.send(&ToChild::Retire, None),
                _ => {}
            }
        }
    }

    /// The `config` process speaks of its own accord.
    pub(crate) fn config_said(&mut self, answer: FromConfig, descriptor: Option<OwnedFd>) {
        let FromConfig::Changed = answer else { return };
        let snapshot = match descriptor.map(read_snapshot) {
            Some(Ok(snapshot)) => with_password(snapshot, self.key_password.as_deref()),
            Some(Err(error)) => {
                return self.log.error(format_args!("Settings that changed could not be read: {error}"));
            }
            None => return,
        };
        self.log.info("A file that a setting names has changed, its new content is used from now on");
        for service in &mut self.services {
            match sealed(&snapshot, &service.plan) {
                Ok(settings) => service.settings = settings,
                Err(line) => return self.log.error(line),
            }
        }
        self.snapshot = snapshot;
        for child in self.children.values_mut().filter(|child| child.kind != Kind::Config) {
            if let Some(service) = child.service.and_then(|at| self.services.get(at)) {
                child.wire.send(&ToChild::NewSettings, Some(service.settings.as_fd()));
            }
        }
    }
}

/// The settings with the password that was given at start, if one was.
pub(crate) fn with_password(snapshot: Snapshot, key_password: Option<&String>) -> Snapshot {
    match key_password {
        Some(password) => snapshot.with_key_password(password),
        None => snapshot,
    }
}

/// Opens the listeners of all services, from the stock where they are in it.
///
/// # Errors
/// A line for each that failed.
pub(crate) fn make_services(
    plan: &Plan,
    snapshot: &Snapshot,
    stock: &mut Stock,
) -> Result<Vec<Service>, Vec<String>> {
    let (mut services, mut errors) = (Vec::new(), Vec::new());
    for service in &plan.services {
        let settings = sealed(snapshot, service).map_err(|line| vec![line])?;
        match listen::open_all(service, stock) {
            Ok(listeners) => services.push(Service::new(service.clone(), listeners, settings)),
            Err(lines) => errors.extend(lines),
        }
    }
    if errors.is_empty() { Ok(services) } else { Err(errors) }
}

/// The settings that processes of a service may see, in a sealed memory file.
fn sealed(snapshot: &Snapshot, service: &ServicePlan) -> Result<OwnedFd, String> {
    // `config` hands out everything, to root only.
    let bytes = match service.kind {
        Kind::Config => snapshot.to_bytes(),
        _ => snapshot.restricted_to(&service.program).to_bytes(),
    };
    sys::memfile::sealed("settings", &bytes)
        .map_err(|error| format!("memfd_create() failed: {}", base::reason(&error)))
}

/// The line for a service that there is no process for.
pub(crate) fn not_supported(service: &str) -> String {
    format!("service({service}) is configured, but it is not supported yet and is not started")
}
