//! Logins that belong to another server: the passdb's fields `proxy` and `proxy_maybe` with `host`, and
//! what 2.3 makes of them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::limits::{DNS_TIMEOUT, DNS_WARN};
use crate::request::Request;

/// The fields that say where to.
const FIELDS: [&str; 6] = ["proxy", "proxy_maybe", "proxy_always", "host", "port", "destuser"];

/// Decides whether a login that has succeeded is proxied: then the field `proxy` is there, and `hostip`
/// where `host` is a name. `Err` if that can't be told for now; why is in the log.
pub(crate) async fn settle(request: &mut Request) -> Result<(), ()> {
    if !request.fields.has("proxy") && !request.fields.has("proxy_maybe") {
        return Ok(());
    }
    let Some(host) = request.fields.find("host").filter(|host| !host.is_empty()).map(str::to_owned) else {
        let facts = &request.facts;
        let (ip, port) = (facts.local_ip.map(|ip| ip.to_string()), facts.local_port);
        if let Some(ip) = ip {
            request.fields.add("lip", Some(&ip));
        }
        if port != 0 {
            request.fields.add("lport", Some(&port.to_string()));
        }
        return choose(request, false);
    };
    let addresses = match (host.parse(), request.fields.find("hostip")) {
        (Ok(ip), _) => vec![ip],
        (Err(_), Some(hostip)) => match hostip.parse() {
            Ok(ip) => vec![ip],
            Err(_) => {
                request.error(format_args!("Invalid hostip in passdb: {hostip}"));
                return Err(());
            }
        },
        (Err(_), None) => resolve(request, &host).await?,
    };
    let is_self = addresses.iter().any(|ip| is_own_address(request, *ip));
    choose(request, is_self)
}

/// Takes away all that sends a client to another server.
pub(crate) fn drop_fields(request: &mut Request) {
    for field in FIELDS {
        request.fields.remove(field);
    }
}

/// Where a login with the field `proxy` goes to. `None` where the passdb does not say so properly, which
/// the login process has to complain about.
pub(crate) fn destination(request: &Request) -> Option<SocketAddr> {
    let field = |name| request.fields.find(name).filter(|value| !value.is_empty());
    let ip: IpAddr = field("hostip").or(field("host"))?.parse().ok()?;
    let tls = request.fields.has("ssl");
    let port = field("port").and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    let port = port.unwrap_or_else(|| ipc::connect::default_port(&request.facts.service, tls));
    (port != 0).then(|| SocketAddr::new(ip, port))
}

/// `proxy_maybe` is `proxy`, unless the other server is this one.
fn choose(request: &mut Request, is_self: bool) -> Result<(), ()> {
    if !request.fields.has("proxy_maybe") {
        return Ok(());
    }
    // `destuser` is not looked at: a name can be changed without proxying, by `user`.
    let port = request.fields.find("port");
    let is_own_port = port.is_none_or(|port| port.parse() == Ok(request.facts.local_port));
    if is_self && is_own_port {
        let is_proxied_always = request.fields.has("proxy_always");
        drop_fields(request);
        if is_proxied_always {
            request.fields.add("proxy", None);
        }
    } else {
        request.fields.remove("proxy_maybe");
        request.fields.add("proxy", None);
    }
    Ok(())
}

fn is_own_address(request: &Request, ip: IpAddr) -> bool {
    let same = |own: &IpAddr| own.to_canonical() == ip.to_canonical();
    request.facts.real_local_ip.as_ref().is_some_and(same) || request.config.proxy_self.iter().any(same)
}

async fn resolve(request: &mut Request, host: &str) -> Result<Vec<IpAddr>, ()> {
    let failed = |request: &Request, reason: &str| {
        request.error(format_args!("DNS lookup for {host} failed: {reason}"));
    };
    let patience = match request.fields.find("proxy_timeout").map(|seconds| (seconds, seconds.parse())) {
        None => DNS_TIMEOUT,
        Some((_, Ok(seconds))) => Duration::from_secs(seconds),
        Some((text, Err(_))) => {
            request.error(format_args!("Invalid proxy_timeout value: {text}"));
            DNS_TIMEOUT
        }
    };
    let began = Instant::now();
    let found = match timeout(patience, tokio::net::lookup_host((host, 0))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect::<Vec<IpAddr>>(),
        Ok(Err(error)) => {
            // The resolver's own words come behind those of the standard library.
            let text = error.to_string();
            let reason = text.rsplit_once("information: ").map_or(text.as_str(), |(_, reason)| reason);
            failed(request, reason);
            return Err(());
        }
        Err(_) => {
            failed(request, "Lookup timed out");
            return Err(());
        }
    };
    let took = began.elapsed();
    if took > DNS_WARN {
        let (seconds, millis) = (took.as_secs(), took.subsec_millis());
        request.warning(format_args!("DNS lookup for {host} took {seconds}.{millis:03} s"));
    }
    match found.first().map(IpAddr::to_string) {
        Some(first) => request.fields.add("hostip", Some(&first)),
        None => {
            failed(request, "No addresses");
            return Err(());
        }
    }
    Ok(found)
}
