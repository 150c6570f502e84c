//! What the settings ask the master to run: services with their identities, limits and listeners,
//! all names resolved. Made anew at each reload; nothing here opens or starts anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipc::control::{Identity, Listener, ListenerKind};
use settings::decl::services::BuiltinService;
use settings::key::{self, fifo_listener, inet_listener, service, unix_listener};
use settings::{Section, SectionKind, Settings, Snapshot};

use crate::Program;

/// The value that stands for "the default" or "unlimited" in times and sizes.
const UNLIMITED_SECONDS: u64 = u32::MAX as u64;

/// Everything that is to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) base_dir: PathBuf,
    pub(crate) state_dir: PathBuf,
    pub(crate) instance: String,
    pub(crate) protocols: Vec<String>,
    pub(crate) shutdown_clients: bool,
    pub(crate) environment: Vec<String>,
    /// Group that may enter the directories of login processes.
    pub(crate) login_gid: Option<u32>,
    pub(crate) services: Vec<ServicePlan>,
    /// Services that the settings ask for and that there is no process for.
    pub(crate) left_out: Vec<String>,
}

/// One service.
#[derive(Debug, Clone)]
pub(crate) struct ServicePlan {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) identity: Option<Identity>,
    /// Absolute; empty for none.
    pub(crate) chroot: String,
    pub(crate) drop_before_exec: bool,
    pub(crate) process_min_avail: u32,
    pub(crate) process_limit: u32,
    pub(crate) client_limit: u32,
    pub(crate) service_count: u32,
    /// `None`: never.
    pub(crate) idle_kill: Option<Duration>,
    pub(crate) vsz_limit_bytes: u64,
    pub(crate) anvil: bool,
    pub(crate) listeners: Vec<ListenerPlan>,
}

/// `type` of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Log,
    Config,
    Anvil,
    Login,
    Worker,
}

/// One socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenerPlan {
    /// What its process is told about it.
    pub(crate) listener: Listener,
    pub(crate) place: Place,
}

/// Where a socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    File { path: PathBuf, mode: u32, uid: Option<u32>, gid: Option<u32>, is_fifo: bool },
    Port { address: SocketAddr, reuse_port: bool, is_wildcard: bool },
}

impl Plan {
    /// Reads the settings. `program` knows which programs there are.
    ///
    /// # Errors
    /// What 2.3 would say before it gives up.
    pub(crate) fn of(snapshot: &Snapshot, program: impl Fn(&str) -> Option<Program>) -> Result<Self, String> {
        let root = snapshot.root();
        let base_dir = PathBuf::from(root.get(key::BASE_DIR).trim_end_matches('/'));
        let is_root = sys::privilege::effective_uid() == 0;
        let protocols: Vec<String> =
            words(root.get(key::PROTOCOLS)).filter(|name| *name != "none").map(str::to_owned).collect();
        let mut plan = Self {
            state_dir: PathBuf::from(root.get(key::STATE_DIR)),
            instance: root.get(key::INSTANCE_NAME).to_owned(),
            shutdown_clients: root.get(key::SHUTDOWN_CLIENTS),
            environment: environment(root.get(key::IMPORT_ENVIRONMENT)),
            login_gid: login_gid(&root, is_root)?,
            services: Vec::new(),
            left_out: Vec::new(),
            base_dir,
            protocols,
        };
        for section in root.section_list(SectionKind::Service) {
            let protocol = section.get(service::PROTOCOL);
            if !protocol.is_empty() && !plan.protocols.iter().any(|name| name == protocol) {
                continue;
            }
            let reader = Reader { root: &root, section: &section, base_dir: &plan.base_dir, is_root };
            match program(&reader.program()) {
                Some(program) => {
                    let service = reader
                        .read(program)
                        .map_err(|error| format!("service({}) {error}", section.name()))?;
                    plan.services.push(service);
                }
                None if is_wanted(&section) => plan.left_out.push(section.name().to_owned()),
                None => {}
            }
        }
        Ok(plan)
    }
}

/// Whether leaving the service out is worth a word: it belongs to a protocol that was asked for, or
/// it is the administrator's own.
fn is_wanted(section: &Section) -> bool {
    !section.get(service::PROTOCOL).is_empty() && !section.name().contains('-')
        || BuiltinService::find(section.name()).is_none()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', '\t']).filter(|word| !word.is_empty())
}

/// `NAME=value` for each variable that is to be passed on.
fn environment(setting: &str) -> Vec<String> {
    // systemd talks with the master alone.
    let ours_alone = |name: &str| {
        name.starts_with("LISTEN_") || name.starts_with("NOTIFY_") || name.starts_with("WATCHDOG_")
    };
    let given = words(setting).filter_map(|word| match word.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => std::env::var(word).ok().map(|value| (word.to_owned(), value)),
    });
    given.filter(|(name, _)| !ours_alone(name)).map(|(name, value)| format!("{name}={value}")).collect()
}

fn login_gid(root: &Settings, is_root: bool) -> Result<Option<u32>, String> {
    let user = root.get(key::DEFAULT_LOGIN_USER);
    if !is_root || user.is_empty() {
        return Ok(None);
    }
    user_ids(user)
        .map(|(_, gid)| Some(gid))
        .map_err(|error| format!("{error} (See default_login_user setting)"))
}

fn user_ids(name: &str) -> Result<(u32, u32), String> {
    match sys::accounts::user(name) {
        Ok(Some(account)) => Ok((account.uid, account.gid)),
        Ok(None) => Err(format!("User doesn't exist: {name}")),
        Err(error) => Err(format!("getpwnam({name}) failed: {}", base::reason(&error))),
    }
}

fn group_id(name: &str) -> Result<u32, String> {
    match sys::accounts::group_id(name) {
        Ok(Some(gid)) => Ok(gid),
        Ok(None) => Err(format!("Group doesn't exist: {name}")),
        Err(error) => Err(format!("getgrnam({name}) failed: {}", base::reason(&error))),
    }
}

/// Reads one service.
struct Reader<'a> {
    root: &'a Settings,
    section: &'a Section,
    base_dir: &'a Path,
    is_root: bool,
}

impl Reader<'_> {
    /// The first word of `executable`, without the directory.
    fn program(&self) -> String {
        let first = words(self.section.get(service::EXECUTABLE)).next().unwrap_or_default().to_owned();
        match first.rsplit_once('/') {
            // Our own programs are all in one file; a path of one's own is a program of one's own,
            // unless it is where the programs used to be.
            Some((directory, name)) if directory == self.root.get(key::LIBEXEC_DIR) => name.to_owned(),
            _ => first,
        }
    }

    fn read(&self, program: Program) -> Result<ServicePlan, String> {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let or_default = |value: u64, default: u64| number(if value == 0 { default } else { value });
        let section = self.section;
        let kind = kind(section.get(service::TYPE));
        let always = u32::from(matches!(kind, Kind::Log | Kind::Config | Kind::Anvil));
        Ok(ServicePlan {
            name: section.name().to_owned(),
            kind,
            program: self.program(),
            arguments: words(section.get(service::EXECUTABLE)).skip(1).map(str::to_owned).collect(),
            identity: self.identity()?,
            chroot: self.chroot(),
            drop_before_exec: section.get(service::DROP_PRIV_BEFORE_EXEC),
            process_min_avail: number(section.get(service::PROCESS_MIN_AVAIL)).max(always),
            process_limit: or_default(
                section.get(service::PROCESS_LIMIT),
                self.root.get(key::DEFAULT_PROCESS_LIMIT),
            ),
            client_limit: or_default(
                section.get(service::CLIENT_LIMIT),
                self.root.get(key::DEFAULT_CLIENT_LIMIT),
            ),
            service_count: number(section.get(service::SERVICE_COUNT)),
            idle_kill: self.idle_kill(),
            vsz_limit_bytes: self.vsz_limit(),
            anvil: program.anvil && kind != Kind::Worker,
            listeners: self.listeners()?,
        })
    }

    fn idle_kill(&self) -> Option<Duration> {
        let own = self.section.get(service::IDLE_KILL);
        let interval = if own.is_zero() { self.root.get(key::DEFAULT_IDLE_KILL) } else { own };
        (interval.as_secs() < UNLIMITED_SECONDS).then_some(interval)
    }

    fn vsz_limit(&self) -> u64 {
        match self.section.get(service::VSZ_LIMIT) {
            u64::MAX => self.root.get(key::DEFAULT_VSZ_LIMIT),
            own => own,
        }
    }

    fn chroot(&self) -> String {
        match self.section.get(service::CHROOT) {
            "" => String::new(),
            _ if !self.is_root => String::new(),
            "." => self.base_dir.display().to_string(),
            path => self.base_dir.join(path).display().to_string(),
        }
    }

    /// Built-in services name their users by reference, as in 2.3.
    fn name<'n>(&'n self, name: &'n str) -> &'n str {
        match name {
            "$default_internal_user" => self.root.get(key::DEFAULT_INTERNAL_USER),
            "$default_internal_group" => self.root.get(key::DEFAULT_INTERNAL_GROUP),
            "$default_login_user" => self.root.get(key::DEFAULT_LOGIN_USER),
            other => other,
        }
    }

    fn user_ids(&self, name: &str) -> Result<(u32, u32), String> {
        user_ids(self.name(name))
    }

    fn group_id(&self, name: &str) -> Result<u32, String> {
        group_id(self.name(name))
    }

    /// Who its processes are. Somebody who is not root can only be himself.
    fn identity(&self) -> Result<Option<Identity>, String> {
        if !self.is_root {
            return Ok(None);
        }
        let name = self.section.name();
        let see = |setting: &'static str| {
            move |error: String| format!("{error} (See service {name} {{ {setting} }} setting)")
        };
        let user = self.section.get(service::USER);
        let (uid, mut gid) = match user {
            "" => (0, sys::privilege::effective_gid()),
            user => self.user_ids(user).map_err(see("user"))?,
        };
        if let Some(group) = Some(self.section.get(service::GROUP)).filter(|group| !group.is_empty()) {
            gid = self.group_id(group).map_err(see("group"))?;
        }
        let mut extra_gids = Vec::new();
        for group in words(self.section.get(service::EXTRA_GROUPS)) {
            extra_gids.push(self.group_id(group).map_err(see("extra_groups"))?);
        }
        let privileged_gid = match self.section.get(service::PRIVILEGED_GROUP) {
            "" => None,
            group => Some(self.group_id(group).map_err(see("privileged_group"))?),
        };
        Ok(Some(Identity { uid, gid, extra_gids, privileged_gid }))
    }

    fn listeners(&self) -> Result<Vec<ListenerPlan>, String> {
        let mut listeners = Vec::new();
        for section in self.section.sub(SectionKind::UnixListener) {
            let ids = (section.get(unix_listener::USER), section.get(unix_listener::GROUP));
            listeners.extend(self.file(section.name(), section.get(unix_listener::MODE), ids, false)?);
        }
        for section in self.section.sub(SectionKind::FifoListener) {
            let ids = (section.get(fifo_listener::USER), section.get(fifo_listener::GROUP));
            listeners.extend(self.file(section.name(), section.get(fifo_listener::MODE), ids, true)?);
        }
        let own = BuiltinService::find(self.section.name()).map_or(&[][..], |service| service.ours);
        for (path, mode, user, group) in own {
            let mode = u32::from_str_radix(mode, 8).unwrap_or(0);
            listeners.extend(self.file(path, mode, (user, group), false)?);
        }
        for section in self.section.sub(SectionKind::InetListener) {
            listeners.extend(self.ports(section)?);
        }
        Ok(listeners)
    }

    fn file(
        &self,
        name: &str,
        mode: u32,
        (user, group): (&str, &str),
        is_fifo: bool,
    ) -> Result<Option<ListenerPlan>, String> {
        // 2.3 turns a listener off by mode 0.
        if mode == 0 {
            return Ok(None);
        }
        let word = if is_fifo { "fifo_listener" } else { "unix_listener" };
        let see = |setting: &'static str| {
            move |error: String| format!("{error} (See {word} {name} {{ {setting} }} setting)")
        };
        let (mut uid, mut gid) = (None, None);
        if self.is_root && !user.is_empty() {
            // The group stays root's, as 2.3 has it, unless one is named.
            uid = Some(self.user_ids(user).map_err(see("user"))?.0);
        }
        if self.is_root && !group.is_empty() {
            gid = Some(self.group_id(group).map_err(see("group"))?);
        }
        let kind = if is_fifo { ListenerKind::Fifo } else { ListenerKind::Unix };
        let relative = Path::new(name).strip_prefix(self.base_dir).unwrap_or(Path::new(name));
        Ok(Some(ListenerPlan {
            listener: Listener { name: relative.display().to_string(), kind },
            place: Place::File { path: self.base_dir.join(name), mode: mode & 0o777, uid, gid, is_fifo },
        }))
    }

    fn ports(&self, section: &Section) -> Result<Vec<ListenerPlan>, String> {
        let port = section.get(inet_listener::PORT);
        if port == 0 {
            return Ok(Vec::new());
        }
        let addresses = match section.get(inet_listener::ADDRESS) {
            "" => self.root.get(key::LISTEN),
            own => own,
        };
        let mut listeners = Vec::new();
        for word in words(addresses) {
            for ip in resolve(word)? {
                listeners.push(ListenerPlan {
                    listener: Listener {
                        name: section.name().to_owned(),
                        kind: ListenerKind::Inet {
                            ssl: section.get(inet_listener::SSL),
                            haproxy: section.get(inet_listener::HAPROXY),
                        },
                    },
                    place: Place::Port {
                        address: SocketAddr::new(ip, port),
                        reuse_port: section.get(inet_listener::REUSE_PORT),
                        is_wildcard: matches!(word, "*" | "::" | "[::]"),
                    },
                });
            }
        }
        Ok(listeners)
    }
}

fn kind(text: &str) -> Kind {
    match text {
        "log" => Kind::Log,
        "config" => Kind::Config,
        "anvil" => Kind::Anvil,
        "login" => Kind::Login,
        "worker" => Kind::Worker,
        _ => Kind::Plain,
    }
}

fn resolve(word: &str) -> Result<Vec<IpAddr>, String> {
    match word {
        "*" => return Ok(vec![Ipv4Addr::UNSPECIFIED.into()]),
        "::" | "[::]" => return Ok(vec![Ipv6Addr::UNSPECIFIED.into()]),
        _ => {}
    }
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse() {
        return Ok(vec![ip]);
    }
    match (word, 0).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.map(|address| address.ip()).collect()),
        Err(error) => {
            // The resolver's own words come behind those of the standard library.
            let text = error.to_string();
            let reason = text.rsplit_once("information: ").map_or(text.as_str(), |(_, reason)| reason);
            Err(format!("Can't resolve address {word}: {reason}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, String> {
        let text = format!(
            "default_internal_user = root\ndefault_login_user = root\ndefault_internal_group = root\n{text}"
        );
        let program =
            |name: &str| matches!(name, "imap" | "imap-login" | "log").then_some(Program { anvil: true });
        Plan::of(&Snapshot::from_text(&text).unwrap(), program)
    }

    #[test]
    fn defaults_limits_and_listeners() {
        let plan = plan(
            "protocols = imap\nbase_dir = /b\nlisten = 127.0.0.1\nservice imap-login {\n  inet_listener imaps {\n    port = 0\n  }\n  unix_listener /b/x {\n    mode = 0660\n  }\n}\n",
        )
        .unwrap();
        let login = plan.services.iter().find(|service| service.name == "imap-login").unwrap();
        assert_eq!((login.process_limit, login.client_limit, login.kind), (100, 1000, Kind::Login));
        let names: Vec<_> = login.listeners.iter().map(|listener| listener.listener.name.as_str()).collect();
        assert_eq!(names, ["x", "imap"]);
        assert_eq!(login.idle_kill, Some(Duration::from_secs(60)));
        let log = plan.services.iter().find(|service| service.name == "log").unwrap();
        assert_eq!((log.idle_kill, log.process_min_avail), (None, 1));
    }

    #[test]
    fn services_without_a_process_are_left_out() {
        let plan =
            plan("protocols = imap lmtp\nbase_dir = /b\nservice mine {\n  executable = script /x\n}\n")
                .unwrap();
        assert_eq!(plan.left_out, ["lmtp", "mine"]);
    }

    #[test]
    fn mistakes() {
        if sys::privilege::effective_uid() == 0 {
            assert_eq!(
                plan("protocols = imap\nservice imap {\n  user = nosuchuser\n}\n").unwrap_err(),
                "service(imap) User doesn't exist: nosuchuser (See service imap { user } setting)"
            );
        }
    }
}
