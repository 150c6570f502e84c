//! The `%` variables of a request.

use ipc::auth_worker::Secured;
use settings::vars::{Expander, Variable};

use crate::request::Request;

/// Does what a place in a template needs with a value: nothing, or escaping.
pub(crate) type Escape = fn(&str) -> String;

/// Leaves a value as it is.
pub(crate) fn plain(value: &str) -> String {
    value.to_owned()
}

/// Puts a backslash before quotes and backslashes, as 2.3 does for `username_format`.
pub(crate) fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\'' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// Expands a template for a request.
///
/// # Errors
/// What is wrong with the template, in 2.3's words.
pub(crate) fn expand(template: &str, request: &Request, escape: Escape) -> Result<String, String> {
    let user = request.facts.user.as_deref().unwrap_or_default();
    expand_as(template, request, user, escape)
}

/// The same with another user name than the request's.
///
/// # Errors
/// What is wrong with the template, in 2.3's words.
pub(crate) fn expand_as(
    template: &str,
    request: &Request,
    user: &str,
    escape: Escape,
) -> Result<String, String> {
    expand_more(template, request, user, escape, None, &|_, _| None)
}

/// The same with a value for `%$` and more functions.
///
/// # Errors
/// What is wrong with the template, in 2.3's words.
pub(crate) fn expand_more(
    template: &str,
    request: &Request,
    user: &str,
    escape: Escape,
    dollar: Option<&str>,
    more: &dyn Fn(&str, &str) -> Option<String>,
) -> Result<String, String> {
    let variables = dollar.map(|value| ('$', "", Some(value)));
    expand_table(template, request, user, escape, variables.as_slice(), more)
}

/// The same for a request, with more variables.
///
/// # Errors
/// What is wrong with the template, in 2.3's words.
pub(crate) fn expand_with(
    template: &str,
    request: &Request,
    variables: &[Variable<'_>],
) -> Result<String, String> {
    expand_table(template, request, request.user(), plain, variables, &|_, _| None)
}

fn expand_table(
    template: &str,
    request: &Request,
    user: &str,
    escape: Escape,
    variables: &[Variable<'_>],
    more: &dyn Fn(&str, &str) -> Option<String>,
) -> Result<String, String> {
    // The two templates that nearly everybody has.
    match template {
        "%u" => return Ok(escape(user)),
        "%Lu" => return Ok(escape(user).to_ascii_lowercase()),
        plain if !plain.contains('%') => return Ok(plain.to_owned()),
        _ => {}
    }
    let values = Values::new(request, user, escape);
    let mut table = variables.to_vec();
    table.extend(values.table());
    let dynamic = |function: &str, argument: &str| {
        more(function, argument).or_else(|| dynamic(request, function, argument).map(|text| escape(&text)))
    };
    let env = |name: &str| std::env::var(name).ok();
    let expander = Expander { table: &table, env: &env, dynamic: &dynamic };
    expander.expand(template).map_err(|error| error.to_string())
}

/// `%{passdb:field:default}`, `%{userdb:field:default}`, and a few that every process has.
fn dynamic(request: &Request, function: &str, argument: &str) -> Option<String> {
    let fields = match function {
        "passdb" => Some(&request.fields),
        "userdb" => request.userdb.as_ref(),
        "hostname" => {
            return std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().into());
        }
        "pid" => return Some(std::process::id().to_string()),
        _ => return None,
    };
    let (field, default) = argument.split_once(':').unwrap_or((argument, ""));
    let value = fields.and_then(|fields| fields.find(field));
    Some(value.unwrap_or(default).to_owned())
}

/// Values that outlive the table.
pub(crate) struct Values {
    names: Vec<(char, &'static str, Option<String>)>,
}

fn local_part(user: &str) -> &str {
    user.split('@').next().unwrap_or_default()
}

fn domain(user: &str) -> Option<&str> {
    user.split_once('@').map(|(_, domain)| domain)
}

impl Values {
    pub(crate) fn new(request: &Request, user: &str, escape: Escape) -> Self {
        let facts = &request.facts;
        let mut names: Vec<(char, &'static str, Option<String>)> = Vec::with_capacity(48);
        let some = |text: &str| Some(escape(text));
        let of = |text: &Option<String>| text.as_deref().map(escape);
        names.push(('u', "user", some(user)));
        names.push(('n', "username", some(local_part(user))));
        names.push(('d', "domain", domain(user).map(escape)));
        names.push(('s', "service", some(&facts.service)));
        names.push(('h', "home", None));
        names.push(('p', "pid", Some(facts.client_pid.to_string())));
        names.push((
            'w',
            "password",
            request.password.as_ref().map(|password| escape(&password.expose_lossy())),
        ));
        names.push(('!', "", Some(request.database_id.to_string())));
        names.push(('k', "cert", Some(if facts.valid_client_cert { "valid" } else { "" }.into())));
        let secured = match facts.secured {
            Secured::No => "",
            Secured::Trusted => "secured",
            Secured::Tls => "TLS",
        };
        names.push(('c', "secured", Some(secured.into())));
        names.push(('\0', "domain_first", domain(user).map(|domain| escape(local_part(domain)))));
        names.push(('\0', "domain_last", user.rsplit_once('@').map(|(_, last)| escape(last))));
        names.push(('\0', "session", of(&facts.session)));
        names.push(('\0', "session_pid", facts.session_pid.map(|pid| pid.to_string())));
        names.push(('\0', "master_user", of(&facts.master_user)));
        names.push(('\0', "local_name", of(&facts.local_name)));
        names.push(('\0', "client_id", of(&facts.client_id)));
        let original = facts.original_user.as_deref().unwrap_or(user);
        let acting = facts.master_user.as_deref().unwrap_or(original);
        let login = facts.login_user.as_deref();
        let people = [
            (["login_user", "login_username", "login_domain"], login),
            (["orig_user", "orig_username", "orig_domain"], Some(original)),
            (["original_user", "original_username", "original_domain"], Some(original)),
            (["auth_user", "auth_username", "auth_domain"], Some(acting)),
        ];
        for ([whole, local, rest], name) in people {
            names.push(('\0', whole, name.map(escape)));
            names.push(('\0', local, name.map(|name| escape(local_part(name)))));
            names.push(('\0', rest, name.and_then(domain).map(escape)));
        }
        let mut values = Self { names };
        values.connection(request, escape);
        values
    }

    fn connection(&mut self, request: &Request, escape: Escape) {
        let facts = &request.facts;
        let ip = |ip: Option<std::net::IpAddr>| ip.map(|ip| ip.to_string());
        let mechanism = facts.mechanism.as_deref().map(escape);
        for (short, name, value) in [
            ('l', "lip", ip(facts.local_ip)),
            ('\0', "local_ip", ip(facts.local_ip)),
            ('r', "rip", ip(facts.remote_ip)),
            ('\0', "remote_ip", ip(facts.remote_ip)),
            ('\0', "real_lip", ip(facts.real_local_ip)),
            ('\0', "real_local_ip", ip(facts.real_local_ip)),
            ('\0', "real_rip", ip(facts.real_remote_ip)),
            ('\0', "real_remote_ip", ip(facts.real_remote_ip)),
            ('a', "lport", Some(facts.local_port.to_string())),
            ('\0', "local_port", Some(facts.local_port.to_string())),
            ('b', "rport", Some(facts.remote_port.to_string())),
            ('\0', "remote_port", Some(facts.remote_port.to_string())),
            ('\0', "real_lport", Some(facts.real_local_port.to_string())),
            ('\0', "real_local_port", Some(facts.real_local_port.to_string())),
            ('\0', "real_rport", Some(facts.real_remote_port.to_string())),
            ('\0', "real_remote_port", Some(facts.real_remote_port.to_string())),
            ('m', "mech", mechanism.clone()),
            ('\0', "mechanism", mechanism.clone()),
        ] {
            self.names.push((short, name, value));
        }
    }

    /// Short names, long names and values.
    pub(crate) fn table(&self) -> Vec<Variable<'_>> {
        self.names.iter().map(|(short, long, value)| (*short, *long, value.as_deref())).collect()
    }
}
