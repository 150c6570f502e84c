//! Settings of Dovecot 1.x that 2.3 still understands: what to write instead, and doing it.

use crate::error::Warning;
use crate::filter::Filter;
use crate::lex::Line;
use crate::parse::{Outcome, Parser};

/// Where in obsolete sections we are.
#[derive(Debug, Default)]
pub(crate) struct Old {
    /// 1 in `auth {}`, more in sections inside it.
    auth: usize,
    /// 1 in `socket listen {}`, more in sections inside it.
    socket: usize,
    seen_auth: bool,
    said_how: bool,
    /// The main directory, which obsolete socket paths start with.
    base_dir: Option<String>,
    set: Socket,
}

#[derive(Debug, Default)]
struct Socket {
    path: Option<String>,
    /// `mode`, `user` and `group` in the order they came.
    rest: Vec<(&'static str, String)>,
    master: bool,
}

impl Old {
    pub(crate) fn in_socket(&self) -> bool {
        self.socket > 0
    }
}

/// Settings that are gone and changed nothing important.
const REMOVED: &[&str] = &[
    "login_dir",
    "dbox_rotate_min_size",
    "dbox_rotate_days",
    "director_consistent_hashing",
    "mail_log_max_lines_per_sec",
    "maildir_copy_preserve_filename",
];

/// Settings of login processes: old name, name in `service *-login {}`.
const LOGIN: &[(&str, &str)] = &[
    ("login_chroot", "chroot"),
    ("login_user", "user"),
    ("login_executable", "executable"),
    ("login_process_size", "vsz_limit"),
    ("login_process_per_connection", "service_count"),
    ("login_processes_count", "process_min_avail"),
    ("login_max_processes_count", "process_limit"),
    ("login_max_connections", "client_limit"),
];

/// Settings of mail processes: old name, name in `service imap {}` and its like.
const MAIL: &[(&str, &str)] = &[
    ("max_mail_processes", "process_limit"),
    ("mail_executable", "executable"),
    ("mail_process_size", "vsz_limit"),
    ("mail_drop_priv_before_exec", "drop_priv_before_exec"),
];

/// Settings of the auth process: old name, name in `service auth {}`.
const AUTH: &[(&str, &str)] = &[
    ("auth_executable", "executable"),
    ("auth_process_size", "vsz_limit"),
    ("auth_user", "user"),
    ("auth_chroot", "chroot"),
];

impl Parser<'_> {
    /// Does what an obsolete line meant; `false` if the line is not obsolete.
    pub(crate) fn obsolete_line(&mut self, line: &Line) -> Outcome<bool> {
        match line {
            Line::Value(key, value) if self.frame().path.is_empty() => {
                Ok(self.obsolete_service(key, value)? || self.obsolete_root(key, value)?)
            }
            Line::Value(key, value)
                if self.frame().path.starts_with("plugin/") && key == "imap_zlib_compress_level" =>
            {
                self.obsolete(format!("{key} has been replaced by imap_compress_deflate_level"));
                self.set("imap_compress_deflate_level", value.clone(), None)?;
                Ok(true)
            }
            Line::Begin(key, name) => self.obsolete_begin(key, name),
            Line::End => self.obsolete_end(),
            _ => Ok(false),
        }
    }

    fn obsolete(&mut self, advice: String) {
        if !self.old.said_how {
            self.old.said_how = true;
            self.warnings.push(Warning::Text(
                "NOTE: You can get a new clean config file with: doveconf -Pn > dovecot-new.conf".into(),
            ));
        }
        let (file, line) = self.place();
        self.warnings.push(Warning::Obsolete { place: format!("{file}:{line}"), advice });
    }

    fn value(&mut self, key: &str, value: impl Into<String>) -> Outcome<bool> {
        self.apply(Line::Value(key.into(), value.into()))?;
        Ok(true)
    }

    fn renamed(&mut self, old: &str, key: &str, value: &str) -> Outcome<bool> {
        self.obsolete(format!("{old} has been renamed to {key}"));
        self.value(key, value)
    }

    /// Sets something outside of the filter we are in, as a filter cannot hold it any more.
    fn set_globally(&mut self, path: &str, value: &str) -> Outcome {
        let inner = self.frames.split_off(1);
        let outcome = self.set(path, value.into(), None);
        self.frames.extend(inner);
        outcome
    }

    fn holds_for(&self, protocol: &str) -> bool {
        self.mask().matches(&Filter { protocol: Some(protocol), ..Filter::default() })
    }

    /// The services of a kind that the filter we are in holds for.
    fn services(&self, suffix: &str) -> Vec<String> {
        let all = [("imap", "imap"), ("pop3", "pop3"), ("sieve", "managesieve")];
        let held = all.into_iter().filter(|(protocol, _)| self.holds_for(protocol));
        held.map(|(_, service)| format!("service/{service}{suffix}")).collect()
    }

    fn obsolete_service(&mut self, key: &str, value: &str) -> Outcome<bool> {
        let is_root = *self.mask() == crate::filter::Mask::default();
        if key == "ssl_listen" || (key == "listen" && (has_port(value) || !is_root)) {
            return self.obsolete_listen(key, value, is_root);
        }
        if let Some((_, new)) = LOGIN.iter().find(|(old, _)| *old == key) {
            let value = match (key, value) {
                ("login_chroot", "no") => String::new(),
                ("login_chroot", _) => "login".to_owned(),
                ("login_process_size", _) => format!("{value} M"),
                ("login_process_per_connection", "no") => "0".to_owned(),
                ("login_process_per_connection", _) => "1".to_owned(),
                _ => value.to_owned(),
            };
            return self.replaced(key, new, &value, "-login");
        }
        if let Some((_, new)) = MAIL.iter().find(|(old, _)| *old == key) {
            let value = if key == "mail_process_size" { format!("{value} M") } else { value.to_owned() };
            return self.replaced(key, new, &value, "");
        }
        let key = self.in_auth_section(key);
        if let Some((old, new)) = AUTH.iter().find(|(old, _)| *old == key) {
            let value = if key == "auth_process_size" { format!("{value} M") } else { value.to_owned() };
            self.obsolete(format!("{old} has been replaced by service auth {{ {new} }}"));
            self.set_globally(&format!("service/auth/{new}"), &value)?;
            return Ok(true);
        }
        if key == "auth_cache_size" && value.parse::<u64>().is_ok_and(|size| (1..1024).contains(&size)) {
            self.obsolete(format!("auth_cache_size value no longer defaults to megabytes. Use {value}M"));
            self.set_globally(&key, &format!("{value}M"))?;
            return Ok(true);
        }
        if key == "auth_count" {
            let more = if value == "count" { "" } else { ", and its value must be 1" };
            self.obsolete(format!("auth_count has been removed{more}"));
            return Ok(true);
        }
        Ok(self.obsolete_socket_line(&key, value))
    }

    fn in_auth_section(&self, key: &str) -> String {
        if self.old.auth == 1 && !key.starts_with("auth_") { format!("auth_{key}") } else { key.to_owned() }
    }

    fn replaced(&mut self, old: &str, new: &str, value: &str, suffix: &str) -> Outcome<bool> {
        self.obsolete(format!("{old} has been replaced by service {{ {new} }}"));
        for service in self.services(suffix) {
            self.set_globally(&format!("{service}/{new}"), value)?;
        }
        Ok(true)
    }

    fn obsolete_listen(&mut self, key: &str, value: &str, is_root: bool) -> Outcome<bool> {
        if value.is_empty() {
            return Ok(true);
        }
        let ssl = if key == "ssl_listen" { "s" } else { "" };
        let mut address = value;
        if let Some((before, port)) = value.rsplit_once(':').filter(|_| has_port(value)) {
            self.obsolete(format!(
                "{key}=..:port has been replaced by service {{ inet_listener {{ port }} }}"
            ));
            self.set_listeners(ssl, "port", port)?;
            address = before;
        }
        if is_root && ssl.is_empty() {
            return self.value(key, address);
        }
        self.obsolete(format!(
            "protocol {{ {key} }} has been replaced by service {{ inet_listener {{ address }} }}"
        ));
        self.set_listeners(ssl, "address", address)?;
        Ok(true)
    }

    fn set_listeners(&mut self, ssl: &str, setting: &str, value: &str) -> Outcome {
        for protocol in ["imap", "pop3"] {
            if self.holds_for(protocol) {
                self.set_globally(
                    &format!("service/{protocol}-login/inet_listener/{protocol}{ssl}/{setting}"),
                    value,
                )?;
            }
        }
        Ok(())
    }

    fn obsolete_root(&mut self, key: &str, value: &str) -> Outcome<bool> {
        match key {
            "base_dir" => {
                self.old.base_dir = Some(value.strip_suffix('/').unwrap_or(value).to_owned());
                Ok(false)
            }
            "protocols" => self.protocols(value),
            "ssl_cert_file" | "ssl_key_file" | "ssl_ca_file" => {
                if value.is_empty() {
                    return Ok(true);
                }
                let new = key.trim_end_matches("_file");
                self.obsolete(format!("{key} has been replaced by {new} = <file"));
                self.apply(Line::File(new.into(), value.into()))?;
                Ok(true)
            }
            "ssl_disable" => {
                let value = swap(value, "yes", "no").or_else(|| swap(value, "no", "yes")).unwrap_or(value);
                self.renamed(key, "ssl", value)
            }
            "ssl_parameters_regenerate" | "ssl_dh_parameters_length" => {
                self.obsolete(format!("{key} is no longer needed"));
                Ok(true)
            }
            "ssl_protocols" => self.ssl_protocols(value),
            "sieve" | "sieve_storage" => {
                self.obsolete(match key {
                    "sieve" => "sieve has been moved into plugin {} section".into(),
                    _ => "sieve_storage has been moved into plugin { sieve_dir }".into(),
                });
                self.set(&format!("plugin/{key}"), value.into(), None)?;
                Ok(true)
            }
            "fsync_disable" => {
                let value =
                    swap(value, "yes", "never").or_else(|| swap(value, "no", "optimized")).unwrap_or(value);
                self.renamed(key, "mail_fsync", value)
            }
            "dbox_rotate_size" => self.renamed(key, "mdbox_rotate_size", value),
            "imap_client_workarounds" => self.workarounds(value),
            _ if REMOVED.contains(&key) => {
                self.obsolete(format!("{key} has been removed"));
                Ok(true)
            }
            _ => match key.strip_prefix("mail_cache_compress_") {
                Some(rest) => self.renamed(key, &format!("mail_cache_purge_{rest}"), value),
                None if self.old.auth == 1 => self.value(&self.in_auth_section(key), value),
                None => Ok(false),
            },
        }
    }

    fn protocols(&mut self, value: &str) -> Outcome<bool> {
        let has = |wanted: &str| value.split(' ').any(|name| name == wanted);
        if has("managesieve") {
            self.obsolete("protocols=managesieve has been renamed to protocols=sieve".into());
        }
        let kept = value.split(' ').filter(|name| !name.is_empty() && *name != "imaps" && *name != "pop3s");
        let mut kept: Vec<&str> =
            kept.map(|name| if name == "managesieve" { "sieve" } else { name }).collect();
        for (plain, secure) in [("imap", "imaps"), ("pop3", "pop3s")] {
            if !has(secure) {
                continue;
            }
            if has(plain) {
                self.obsolete(format!("'{secure}' protocol is no longer necessary, remove it"));
                continue;
            }
            self.obsolete(format!(
                "'{secure}' protocol can no longer be specified (use protocols={plain}). to disable non-ssl {plain}, \
                 use service {plain}-login {{ inet_listener {plain} {{ port=0 }} }}"
            ));
            kept.push(plain);
            self.set_globally(&format!("service/{plain}-login/inet_listener/{plain}/port"), "0")?;
        }
        self.value("protocols", kept.join(" "))
    }

    fn ssl_protocols(&mut self, value: &str) -> Outcome<bool> {
        self.obsolete("ssl_protocols has been replaced by ssl_min_protocol".into());
        match least_protocol(value) {
            Ok(least) => self.value("ssl_min_protocol", least),
            Err(reason) => {
                self.warnings.push(Warning::Ignored(format!(
                    "Could not find a minimum ssl_min_protocol setting from ssl_protocols = {value}: {reason}"
                )));
                Ok(true)
            }
        }
    }

    fn workarounds(&mut self, value: &str) -> Outcome<bool> {
        let words: Vec<&str> = value.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let gone = [("outlook-idle", "is no longer necessary"), ("netscape-eoh", "is no longer supported")];
        let mut kept = Vec::new();
        for word in words {
            match gone.iter().find(|(name, _)| *name == word) {
                Some((_, why)) => {
                    self.obsolete(format!("imap_client_workarounds={word} {why}"));
                    kept.push("");
                }
                None => kept.push(word),
            }
        }
        self.value("imap_client_workarounds", kept.join(" "))
    }

    fn obsolete_begin(&mut self, key: &str, name: &str) -> Outcome<bool> {
        if self.old.auth > 0 {
            return self.obsolete_auth_begin(key, name);
        }
        if !self.frame().path.is_empty() {
            return Ok(false);
        }
        let (advice, name) = match (key, name) {
            ("auth", _) => {
                self.obsolete(
                    "add auth_ prefix to all settings inside auth {} and remove the auth {} section completely".into(),
                );
                if self.old.seen_auth {
                    self.obsolete("Multiple auth sections are no longer supported".into());
                    return Ok(false);
                }
                self.old.seen_auth = true;
                self.old.auth = 1;
                self.begin_nothing("auth");
                return Ok(true);
            }
            ("protocol", "managesieve") => {
                ("protocol managesieve {} has been replaced by protocol sieve { }", "sieve")
            }
            ("service", "dns_client") => {
                ("service dns_client {} has been replaced by service dns-client { }", "dns-client")
            }
            _ => return Ok(false),
        };
        self.obsolete(advice.into());
        self.begin(key, name)?;
        Ok(true)
    }

    fn obsolete_auth_begin(&mut self, key: &str, name: &str) -> Outcome<bool> {
        self.old.auth += 1;
        if matches!(key, "passdb" | "userdb") && self.old.auth == 2 {
            self.obsolete(format!("{key} {name} {{}} has been replaced by {key} {{ driver={name} }}"));
            self.begin(key, "")?;
            return self.value("driver", name);
        }
        if key == "socket" && self.old.auth == 2 {
            if name == "connect" {
                self.obsolete(
                    "socket connect {} is no longer supported, configure external auth server separately"
                        .into(),
                );
            }
            if name != "listen" {
                return Ok(false);
            }
            self.old.socket = 1;
            self.begin_nothing(key);
            return Ok(true);
        }
        if self.old.socket > 0 {
            self.old.socket += 1;
        }
        if self.old.socket == 2 && matches!(key, "master" | "client") {
            self.old.set = Socket { master: key == "master", ..Socket::default() };
            self.begin_nothing(key);
            return Ok(true);
        }
        Ok(false)
    }

    fn obsolete_socket_line(&mut self, key: &str, value: &str) -> bool {
        if self.old.socket != 2 {
            return false;
        }
        match key {
            "path" => self.old.set.path = Some(value.to_owned()),
            "mode" => self.old.set.rest.push(("mode", value.to_owned())),
            "user" => self.old.set.rest.push(("user", value.to_owned())),
            "group" => self.old.set.rest.push(("group", value.to_owned())),
            _ => return false,
        }
        true
    }

    fn obsolete_end(&mut self) -> Outcome<bool> {
        if self.old.auth > 0 {
            self.old.auth -= 1;
        }
        if self.old.socket > 0 {
            if self.old.socket == 2 {
                self.apply_socket()?;
            }
            self.old.socket -= 1;
        }
        Ok(false)
    }

    fn apply_socket(&mut self) -> Outcome {
        let set = std::mem::take(&mut self.old.set);
        let Some(path) = set.path else { return Err("socket listen {} is missing path".into()) };
        let base_dir = self.old.base_dir.as_deref().unwrap_or("/run/dovecot");
        let inside = path.strip_prefix(base_dir).and_then(|rest| rest.strip_prefix('/'));
        let path = inside.unwrap_or(&path).to_owned();
        let is_master = path.ends_with("-master") || path.ends_with("-userdb");
        if set.master && !is_master {
            return Err(
                "socket listen { master { path=.. } } must end with -master (or -userdb) suffix".into()
            );
        }
        if !set.master && is_master {
            return Err(
                "socket listen { client { path=.. } } must end not with -master or -userdb suffix".into()
            );
        }
        let inner = self.frames.split_off(1);
        let outcome = self.make_listener(&path, &set.rest);
        self.frames.truncate(1);
        self.frames.extend(inner);
        outcome
    }

    fn make_listener(&mut self, path: &str, settings: &[(&'static str, String)]) -> Outcome {
        self.begin("service", "auth")?;
        self.begin("unix_listener", path)?;
        for (name, value) in settings {
            self.set(name, value.clone(), None)?;
        }
        Ok(())
    }
}

fn swap<'a>(value: &str, from: &str, to: &'a str) -> Option<&'a str> {
    value.eq_ignore_ascii_case(from).then_some(to)
}

fn has_port(listen: &str) -> bool {
    let plain = |address: &str| {
        matches!(address, "*" | "::" | "[::]")
            || address.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
    };
    listen.contains(':') && listen.split([',', ' ']).any(|address| !address.is_empty() && !plain(address))
}

fn least_protocol(value: &str) -> Result<&'static str, String> {
    const VERSIONS: [&str; 4] = ["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2"];
    let mut wanted = [0i8; 4];
    for word in value.split([',', ' ']).filter(|word| !word.is_empty()) {
        let (name, on) = word.strip_prefix('!').map_or((word, 1), |name| (name, -1));
        let at = VERSIONS.iter().position(|version| *version == name);
        wanted[at.ok_or_else(|| format!("Unrecognized protocol '{name}'"))?] = on;
    }
    let explicit = wanted.contains(&1);
    let found = VERSIONS.iter().zip(wanted).find(|(_, on)| if explicit { *on > 0 } else { *on == 0 });
    found.map(|(version, _)| *version).ok_or_else(|| "All protocols disabled".into())
}
