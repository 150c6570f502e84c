//! The login log line: `login_log_format_elements` and `login_log_format`, which fail2ban and log
//! tools read.

use std::borrow::Cow;
use std::net::IpAddr;

use base::Logger;
use net::tls::ClientCert;
use settings::vars::{Expander, Variable};

use crate::facts::{Peer, Tls};
use crate::limits::{LOG_LOCAL_NAME_BYTES_MAX, LOG_MECH_BYTES_MAX, LOG_USER_BYTES_MAX};
use crate::session::Names;

/// Both settings, prepared.
#[derive(Debug)]
pub(crate) struct Format {
    elements: Vec<Element>,
    line: String,
}

#[derive(Debug)]
struct Element {
    template: String,
    /// What it looks like without any value; then it is left out.
    empty: String,
    /// It holds the user's name, and stays even when empty.
    names_user: bool,
}

/// What the variables are made of.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) protocol: &'a str,
    pub(crate) peer: &'a Peer,
    pub(crate) names: &'a Names,
    pub(crate) mechanism: Option<&'a str>,
    pub(crate) mail_pid: Option<u32>,
    pub(crate) session_id: &'a str,
    pub(crate) passdb_fields: &'a [String],
}

/// The variables: short name, long name. Values come in the same order.
const NAMES: &[(char, &str)] = &[
    ('u', "user"),
    ('n', "username"),
    ('d', "domain"),
    ('s', "service"),
    ('h', "home"),
    ('l', "lip"),
    ('r', "rip"),
    ('p', "pid"),
    ('m', "mech"),
    ('a', "lport"),
    ('b', "rport"),
    ('c', "secured"),
    ('k', "ssl_security"),
    ('e', "mail_pid"),
    ('\0', "session"),
    ('\0', "real_lip"),
    ('\0', "real_rip"),
    ('\0', "real_lport"),
    ('\0', "real_rport"),
    ('\0', "orig_user"),
    ('\0', "orig_username"),
    ('\0', "orig_domain"),
    ('\0', "auth_user"),
    ('\0', "auth_username"),
    ('\0', "auth_domain"),
    ('\0', "listener"),
    ('\0', "local_name"),
    ('\0', "local_ip"),
    ('\0', "remote_ip"),
    ('\0', "local_port"),
    ('\0', "remote_port"),
    ('\0', "real_local_ip"),
    ('\0', "real_remote_ip"),
    ('\0', "real_local_port"),
    ('\0', "real_remote_port"),
    ('\0', "mechanism"),
    ('\0', "original_user"),
    ('\0', "original_username"),
    ('\0', "original_domain"),
];

impl Format {
    /// Prepares the settings. A variable that does not exist is reported to `log`, once.
    pub(crate) fn new(elements: &str, line: &str, log: &Logger) -> Self {
        let table: Vec<Variable<'_>> = NAMES.iter().map(|&(short, long)| (short, long, None)).collect();
        let expander = Expander {
            table: &table,
            env: &|_| None,
            dynamic: &|name, _| (name == "passdb").then(String::new),
        };
        let prepare = |template: &str| {
            let (empty, error) = expander.expand_all(template);
            if let Some(error) = error {
                log.error(format_args!("Failed to expand log_format_elements={template}: {error}"));
            }
            Element { template: template.to_owned(), empty, names_user: names_user(template) }
        };
        let elements = elements.split(' ').filter(|element| !element.is_empty()).map(prepare).collect();
        if let (_, Some(error)) = Expander::of(&[('s', "", None), ('$', "", None)]).expand_all(line) {
            log.error(format_args!("Failed to expand login_log_format={line}: {error}"));
        }
        Self { elements, line: line.to_owned() }
    }
}

/// The line that says `text` about a client.
pub(crate) fn format(format: &Format, facts: &Facts<'_>, text: &str) -> String {
    line(format, &elements(format, facts), text)
}

/// The same with [`elements`] of an earlier moment.
pub(crate) fn line(format: &Format, elements: &str, text: &str) -> String {
    // The usual format needs no second expansion.
    match format.line.as_str() {
        "%$: %s" => format!("{text}: {elements}"),
        line => Expander::of(&[('s', "", Some(elements)), ('$', "", Some(text))]).expand_all(line).0,
    }
}

/// What a line says about a client besides its text.
pub(crate) fn elements(format: &Format, facts: &Facts<'_>) -> String {
    let values = values(facts);
    let table: Vec<Variable<'_>> =
        NAMES.iter().zip(&values).map(|(&(short, long), value)| (short, long, value.as_deref())).collect();
    let passdb = |name: &str, argument: &str| {
        let field = |field: &String| Some(field.strip_prefix(argument)?.strip_prefix('=')?.to_owned());
        (name == "passdb").then(|| facts.passdb_fields.iter().find_map(field).unwrap_or_default())
    };
    let expander = Expander { table: &table, env: &|_| None, dynamic: &passdb };
    let mut elements = String::with_capacity(192);
    for element in &format.elements {
        let (value, _) = expander.expand_all(&element.template);
        if element.names_user || value != element.empty {
            if !elements.is_empty() {
                elements.push_str(", ");
            }
            elements.push_str(&value);
        }
    }
    elements
}

/// A value as it may stand in a log line: without control characters and cut to `bytes_max`.
pub(crate) fn sanitized(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max && !text.contains(|c: char| c.is_ascii_control() && c != '\u{7f}') {
        return Cow::Borrowed(text);
    }
    let mut clean: String = text.chars().map(|c| if c < ' ' { '?' } else { c }).collect();
    if clean.len() > bytes_max {
        let mut end = bytes_max.saturating_sub(3);
        while !clean.is_char_boundary(end) {
            end -= 1;
        }
        clean.truncate(end);
        clean.push_str("...");
    }
    Cow::Owned(clean)
}

/// Whether a template uses `%u` or `%n` by their short names, whatever modifiers they have.
fn names_user(template: &str) -> bool {
    template.split('%').skip(1).any(|variable| {
        let key = variable.trim_start_matches(|c: char| {
            c.is_ascii_digit()
                || matches!(c, '-' | '.' | 'L' | 'U' | 'E' | 'X' | 'R' | 'T' | 'N' | 'H' | 'M' | 'D')
        });
        key.starts_with(['u', 'n'])
    })
}

fn values<'a>(facts: &Facts<'a>) -> Vec<Option<Cow<'a, str>>> {
    let peer = facts.peer;
    let ip = |ip: Option<IpAddr>| Some(Cow::Owned(ip.map_or(String::new(), |ip| ip.to_string())));
    let port = |port: u16| Some(Cow::Owned(port.to_string()));
    let mechanism = facts.mechanism.map(|name| sanitized(name, LOG_MECH_BYTES_MAX));
    let user = user_values(facts.names.user.as_deref());
    let original =
        facts.names.original.as_deref().map_or_else(|| user.clone(), |name| user_values(Some(name)));
    let auth = facts.names.auth.as_deref().map_or_else(|| original.clone(), |name| user_values(Some(name)));
    let (secured, security) = protection(peer);
    let (lip, rip) = (ip(peer.ends.local_ip()), ip(peer.ends.remote_ip()));
    let (lport, rport) = (port(peer.ends.local_port()), port(peer.ends.remote_port()));
    let (real_lip, real_rip) = (ip(peer.real.local_ip()), ip(peer.real.remote_ip()));
    let (real_lport, real_rport) = (port(peer.real.local_port()), port(peer.real.remote_port()));
    let mut values = Vec::with_capacity(NAMES.len());
    values.extend(user);
    values.push(Some(Cow::Borrowed(facts.protocol)));
    values.push(None);
    values.extend([lip.clone(), rip.clone(), Some(std::process::id().to_string().into())]);
    values.extend([mechanism.clone(), lport.clone(), rport.clone(), secured, security]);
    values.push(Some(facts.mail_pid.map_or(String::new(), |pid| pid.to_string()).into()));
    values.push(Some(Cow::Borrowed(facts.session_id)));
    values.extend([real_lip.clone(), real_rip.clone(), real_lport.clone(), real_rport.clone()]);
    values.extend(original.clone());
    values.extend(auth);
    values.push(Some(Cow::Borrowed(peer.listener.as_str())));
    values.push(peer.local_name.as_deref().map(|name| sanitized(name, LOG_LOCAL_NAME_BYTES_MAX)));
    values.extend([lip, rip, lport, rport, real_lip, real_rip, real_lport, real_rport, mechanism]);
    values.extend(original);
    values
}

fn user_values(user: Option<&str>) -> [Option<Cow<'_, str>>; 3] {
    let Some(user) = user else { return [None, None, None] };
    let (name, domain) = user.split_once('@').map_or((user, None), |(name, domain)| (name, Some(domain)));
    let clean = |text| sanitized(text, LOG_USER_BYTES_MAX);
    [Some(clean(user)), Some(clean(name)), domain.map(clean)]
}

fn protection(peer: &Peer) -> (Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
    match &peer.tls {
        Tls::Off => (peer.secured.then_some(Cow::Borrowed("secured")), Some("".into())),
        // As in 2.3: it is not our TLS.
        Tls::Proxied => (Some("secured".into()), Some("".into())),
        Tls::Handshaking(None) => (Some("TLS handshaking".into()), Some("".into())),
        Tls::Handshaking(Some(error)) => (Some(format!("TLS handshaking: {error}").into()), Some("".into())),
        Tls::On(details) => {
            let state = match &peer.cert {
                ClientCert::Invalid(reason) => format!("TLS: {reason}").into(),
                _ => Cow::Borrowed("TLS"),
            };
            (Some(state), Some(Cow::Borrowed(details.as_str())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Ends;

    fn check(elements: &str, line: &str, change: impl Fn(&mut Peer, &mut Names), expected: &str) {
        let ends = Ends {
            remote: Some("10.0.0.9:1234".parse().unwrap()),
            local: Some("10.0.0.1:143".parse().unwrap()),
        };
        let (mut peer, mut names) = (Peer::new(ends, "imap"), Names::default());
        change(&mut peer, &mut names);
        let passdb_fields = ["user=x".to_owned(), "note=hi".to_owned()];
        let facts = Facts {
            protocol: "imap",
            peer: &peer,
            names: &names,
            mechanism: names.user.as_ref().map(|_| "PLAIN"),
            mail_pid: names.user.as_ref().map(|_| 77),
            session_id: "SESSION",
            passdb_fields: &passdb_fields,
        };
        let format_ = Format::new(elements, line, &Logger::new(""));
        assert_eq!(format(&format_, &facts, "Login"), expected);
    }

    const ELEMENTS: &str = "user=<%u> method=%m rip=%r lip=%l mpid=%e %c session=<%{session}>";

    #[test]
    fn default_format() {
        check(ELEMENTS, "%$: %s", |_, _| {}, "Login: user=<>, rip=10.0.0.9, lip=10.0.0.1, session=<SESSION>");
        check(
            ELEMENTS,
            "%$: %s",
            |peer, names| {
                peer.tls = Tls::On("TLSv1.3 with cipher X (256/256 bits)".into());
                names.user = Some("a\n@b".into());
            },
            "Login: user=<a?@b>, method=PLAIN, rip=10.0.0.9, lip=10.0.0.1, mpid=77, TLS, session=<SESSION>",
        );
        check(
            "%c %k",
            "%$: %s",
            |peer, _| peer.tls = Tls::On("TLSv1.3 with cipher X (256/256 bits)".into()),
            "Login: TLS, TLSv1.3 with cipher X (256/256 bits)",
        );
    }

    #[test]
    fn other_formats() {
        let named = |_: &mut Peer, names: &mut Names| {
            names.user = Some("Joe@Example.COM".into());
            names.original = Some("joe".into());
        };
        check(
            "%Lu %{orig_user} %n %d %{passdb:note} %b",
            "[%s] %$",
            named,
            "[joe@example.com, joe, Joe, Example.COM, hi, 1234] Login",
        );
        check("%{listener} %s %{rport} x=%{local_name}", "%$: %s", named, "Login: imap, imap, 1234");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(sanitized(&"ä".repeat(60), 80).len(), 79);
        assert_eq!(sanitized("abc", 80), "abc");
        assert_eq!(sanitized("a\u{1}b", 80), "a?b");
    }
}
