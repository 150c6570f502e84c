//! Checks of the master: services, listeners, limits.

use super::spaced;
use crate::config::Config;
use crate::decl::SectionKind;
use crate::decl::services::BuiltinService;
use crate::error::Warning;
use crate::key::{self, inet_listener, service, unix_listener};
use crate::tree::Node;

pub(super) fn check(node: &Node, config: &Config, warnings: &mut Vec<Warning>) -> Result<(), String> {
    let text = |index| node.value(index).text();
    if text(key::LISTEN.index()).is_empty() {
        return Err("listen can't be set empty".into());
    }
    range(node, "uid", key::FIRST_VALID_UID.index(), key::LAST_VALID_UID.index())?;
    range(node, "gid", key::FIRST_VALID_GID.index(), key::LAST_VALID_GID.index())?;
    if let Some((setting, user)) = config.missing_users.first() {
        return Err(format!("{setting} doesn't exist: {user}"));
    }
    let services = node.list(SectionKind::Service);
    names_and_types(services)?;
    let protocols: Vec<&str> = spaced(text(key::PROTOCOLS.index())).collect();
    let protocols = if protocols == ["none"] { Vec::new() } else { protocols };
    let serves = |protocol: &&str| {
        services.iter().any(|section| section.value(service::PROTOCOL.index()).text() == *protocol)
    };
    if let Some(unknown) = protocols.iter().find(|protocol| !serves(protocol)) {
        return Err(format!("protocols: Unknown protocol: {unknown}"));
    }
    let enabled = |section: &&Node| {
        let protocol = section.value(service::PROTOCOL.index()).text();
        protocol.is_empty() || protocols.contains(&protocol)
    };
    let enabled: Vec<&Node> = services.iter().filter(enabled).collect();
    let mut listeners = Vec::new();
    for section in &enabled {
        one(section, node, warnings, &mut listeners)?;
    }
    loads(node, &enabled, warnings);
    listeners.sort_unstable();
    match listeners.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("duplicate listener: {}", pair[0])),
        None => Ok(()),
    }
}

fn range(node: &Node, what: &str, first: u16, last: u16) -> Result<(), String> {
    let (first, last) = (node.value(first).number(), node.value(last).number());
    if last != 0 && first > last {
        return Err(format!("first_valid_{what} can't be larger than last_valid_{what}"));
    }
    Ok(())
}

fn names_and_types(services: &[Node]) -> Result<(), String> {
    for (at, section) in services.iter().enumerate() {
        if section.name().is_empty() {
            return Err(format!("Service #{at} is missing name"));
        }
        let kind = section.value(service::TYPE.index()).text();
        if !matches!(kind, "" | "log" | "config" | "anvil" | "login" | "startup" | "worker") {
            return Err(format!("Unknown service type: {kind}"));
        }
        if services[..at].iter().any(|before| before.name() == section.name()) {
            return Err(format!("Duplicate service name: {}", section.name()));
        }
    }
    Ok(())
}

fn process_limit(section: &Node, node: &Node) -> u64 {
    match section.value(service::PROCESS_LIMIT.index()).number() {
        0 => node.value(key::DEFAULT_PROCESS_LIMIT.index()).number(),
        own => own,
    }
}

fn one(
    section: &Node,
    node: &Node,
    warnings: &mut Vec<Warning>,
    listeners: &mut Vec<String>,
) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("service({}): {why}", section.name()));
    let number = |index| section.value(index).number();
    let drops = section.value(service::DROP_PRIV_BEFORE_EXEC.index()).is_yes();
    if drops && !section.value(service::CHROOT.index()).text().is_empty() {
        return refuse("drop_priv_before_exec=yes can't be used with chroot");
    }
    let limit = process_limit(section, node);
    if number(service::PROCESS_MIN_AVAIL.index()) > limit {
        return refuse("process_min_avail is higher than process_limit");
    }
    if (1..1 << 20).contains(&number(service::VSZ_LIMIT.index())) {
        return refuse("vsz_limit is too low");
    }
    if limit > 1 && BuiltinService::find(section.name()).is_some_and(|builtin| builtin.single_process) {
        return refuse("process_limit must be 1");
    }
    for kind in [SectionKind::UnixListener, SectionKind::FifoListener] {
        let found = paths(section.list(kind), node, warnings, listeners);
        found.map_err(|why| format!("service({}): {}: {why}", section.name(), kind.word()))?;
    }
    for listener in section.list(SectionKind::InetListener) {
        let port = listener.value(inet_listener::PORT.index()).number();
        if port != 0 {
            listeners.push(format!("{port}:{}", listener.value(inet_listener::ADDRESS.index()).text()));
        }
    }
    Ok(())
}

fn paths(
    list: &[Node],
    node: &Node,
    warnings: &mut Vec<Warning>,
    listeners: &mut Vec<String>,
) -> Result<(), String> {
    let base_dir = node.value(key::BASE_DIR.index()).text();
    let base_dir = base_dir.strip_suffix('/').unwrap_or(base_dir);
    for listener in list {
        let path = listener.name();
        if path.is_empty() {
            return Err("path must not be empty".into());
        }
        let absolute = if path.starts_with('/') { path.to_owned() } else { format!("{base_dir}/{path}") };
        let doubled = path.strip_prefix(base_dir).is_some_and(|rest| rest.starts_with('/'));
        if doubled && path.starts_with('/') {
            let warning =
                Warning::Text(format!("You should remove base_dir prefix from unix_listener: {path}"));
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        // Unix and fifo listeners have the mode at the same place.
        if listener.value(unix_listener::MODE.index()).number() != 0 {
            listeners.push(absolute);
        }
    }
    Ok(())
}

/// Warns when auth or anvil may get more clients than they are allowed to have.
fn loads(node: &Node, enabled: &[&Node], warnings: &mut Vec<Warning>) {
    let sum = |sections: &[&&Node]| sections.iter().map(|section| process_limit(section, node)).sum::<u64>();
    let reasons = |sections: &[&&Node]| {
        let each = sections.iter().map(|section| {
            format!("service {} {{ process_limit={} }}", section.name(), process_limit(section, node))
        });
        each.collect::<Vec<_>>().join(" + ")
    };
    let is_login = |section: &&&Node| section.value(service::TYPE.index()).text() == "login";
    // Processes of Culver's own defaults, which serve many sessions each, ask auth only as many
    // at a time as there are identities: they count only if the configuration says how many.
    let asks_auth = |section: &&&Node| {
        let count = service::SERVICE_COUNT.index();
        let counts =
            section.value(count).number() != 1 && (section.is_set(count) || !has_own_default(section));
        !section.value(service::PROTOCOL.index()).text().is_empty()
            && section.name() != "imap-hibernate"
            && (is_login(section) || counts)
    };
    let auth: Vec<&&Node> = enabled.iter().filter(asks_auth).collect();
    let limit = client_limit(node, "auth");
    let most = sum(&auth);
    if limit < most {
        push(
            warnings,
            format!(
                "service auth {{ client_limit={limit} }} is lower than required under max. load ({most}). \
             Counted for protocol services with service_count != 1: {}",
                reasons(&auth)
            ),
        );
    }
    let anvil: Vec<&&Node> =
        enabled.iter().filter(|section| is_login(section) || section.name() == "auth").collect();
    let limit = client_limit(node, "anvil");
    // Two more are the master's own.
    let most = sum(&anvil) + 2;
    if limit < most {
        push(
            warnings,
            format!(
                "service anvil {{ client_limit={limit} }} is lower than required under max. load ({most}). Counted with: {}",
                reasons(&anvil)
            ),
        );
    }
}

fn has_own_default(section: &Node) -> bool {
    let builtin = BuiltinService::find(section.name());
    builtin.is_some_and(|builtin| {
        builtin.deviations.iter().any(|deviation| deviation.setting == "service_count")
    })
}

/// 2.3 says it once, whatever the filters are.
fn push(warnings: &mut Vec<Warning>, text: String) {
    let start = text.split('{').next().unwrap_or_default().to_owned();
    let said = |warning: &Warning| matches!(warning, Warning::Text(before) if before.starts_with(&start));
    if !warnings.iter().any(said) {
        warnings.push(Warning::Text(text));
    }
}

fn client_limit(node: &Node, name: &str) -> u64 {
    let section = node.list(SectionKind::Service).iter().find(|section| section.name() == name);
    match section.map_or(0, |section| section.value(service::CLIENT_LIMIT.index()).number()) {
        0 => node.value(key::DEFAULT_CLIENT_LIMIT.index()).number(),
        own => own,
    }
}
