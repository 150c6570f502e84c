//! What the fields of databases mean.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use sasl::Secret;
use sasl::scheme;

use super::Request;
use crate::fields::Fields;
use crate::limits::{DELAY_UNTIL_S_MAX, IMPORT_DEPTH_MAX};
use crate::{tab, vars};

impl Request {
    /// Sets a field of a passdb. A password without `{SCHEME}` is in `default_scheme`.
    pub(crate) fn set_field(&mut self, name: &str, value: &str, default_scheme: &str) {
        let name = match (name.strip_suffix(":protected"), name.strip_suffix(":remove")) {
            (Some(name), _) if !name.is_empty() => {
                if self.fields.has(name) {
                    return;
                }
                name
            }
            (_, Some(name)) if !name.is_empty() => return self.fields.remove(name),
            _ => name,
        };
        match name {
            "" => return,
            "password" => return self.set_stored(value, default_scheme, true),
            "password_noscheme" => return self.set_stored(value, default_scheme, false),
            "nopassword" => return self.set_nopassword(value),
            "passdb_import" => return self.import_passdb_fields(value, "", default_scheme),
            "userdb_userdb_import" => {
                self.begin_prefetch();
                return self.import_passdb_fields(value, "userdb_", default_scheme);
            }
            "login_user" => self.facts.login_user = Some(value.to_owned()),
            "allow_nets" => self.check_networks(name, value, self.facts.remote_ip),
            "allow_real_nets" => self.check_networks(name, value, self.facts.real_remote_ip),
            "fail" => self.progress.failed = true,
            // Not for clients.
            crate::totp::FIELD => {}
            "delay_until" => self.set_delay_until(value),
            "noauthenticate" => {
                // No password is checked then.
                self.fields.add("nopassword", None);
                self.fields.add_hidden(name, Some(value));
                return;
            }
            _ if self.update_username(name, value) => {}
            _ => match name.strip_prefix("userdb_") {
                Some(field) => {
                    self.begin_prefetch();
                    self.set_userdb_field(field, value);
                }
                // All others go to the client.
                None => return self.fields.add(name, Some(value)),
            },
        }
        // The client need not know these, but the cache and `:protected` do.
        self.fields.add_hidden(name, Some(value));
    }

    /// Sets a field given as `name=value`.
    pub(crate) fn set_field_word(&mut self, word: &str, default_scheme: &str) {
        let (name, value) = tab::pair(word);
        self.set_field(name, value, default_scheme);
    }

    /// A column that is NULL: nothing, but it shows that a `userdb_*` query was made.
    pub(crate) fn set_null_field(&mut self, name: &str) {
        if name.starts_with("userdb_") {
            self.progress.prefetched = true;
        }
    }

    /// Sets a field of a userdb.
    pub(crate) fn set_userdb_field(&mut self, name: &str, value: &str) {
        let fields = self.userdb.get_or_insert_with(Fields::default);
        let name = match (name.strip_suffix(":protected"), name.strip_suffix(":remove")) {
            (Some(name), _) if !name.is_empty() => {
                if fields.has(name) {
                    return;
                }
                name
            }
            (_, Some(name)) if !name.is_empty() => return fields.remove(name),
            _ => name,
        };
        match name {
            "" => {}
            "uid" => self.set_id(name, value, numeric_uid),
            "gid" => self.set_id(name, value, numeric_gid),
            "tempfail" => self.progress.tempfailed = true,
            "uidgid_file" => self.set_uidgid_file(value),
            "userdb_import" => self.import(name, value, |request, word| {
                let (name, value) = tab::pair(word);
                request.set_userdb_field(name, value);
            }),
            // The old name.
            "system_user" => self.add_userdb("system_groups_user", value),
            _ if self.update_username(name, value) => {}
            _ => self.add_userdb(name, value),
        }
    }

    fn add_userdb(&mut self, name: &str, value: &str) {
        self.userdb.get_or_insert_with(Fields::default).add(name, Some(value));
    }

    fn set_id(&mut self, name: &str, value: &str, numeric: fn(&str) -> Option<u32>) {
        match numeric(value) {
            Some(id) => self.add_userdb(name, &id.to_string()),
            None => {
                self.error(format_args!("Invalid {} value '{value}'", name.to_uppercase()));
                self.progress.tempfailed = true;
            }
        }
    }

    fn set_uidgid_file(&mut self, template: &str) {
        use std::os::unix::fs::MetadataExt;
        let found = vars::expand(template, self, vars::plain)
            .map_err(|error| format!("Failed to expand uidgid_file={template}: {error}"))
            .and_then(|path| {
                std::fs::metadata(&path)
                    .map_err(|error| format!("stat({path}) failed: {}", base::reason(&error)))
            });
        match found {
            Ok(file) => {
                self.add_userdb("uid", &file.uid().to_string());
                self.add_userdb("gid", &file.gid().to_string());
            }
            Err(error) => {
                self.error(error);
                self.progress.tempfailed = true;
            }
        }
    }

    /// From now on there are userdb fields, given by a passdb.
    fn begin_prefetch(&mut self) {
        self.progress.prefetched = true;
        self.userdb.get_or_insert_with(Fields::default);
    }

    fn import_passdb_fields(&mut self, words: &str, prefix: &str, default_scheme: &str) {
        self.import("passdb_import", words, |request, word| {
            request.set_field_word(&format!("{prefix}{word}"), default_scheme);
        });
    }

    /// Takes each word of an import, which may be another import.
    fn import(&mut self, name: &str, words: &str, take: impl Fn(&mut Self, &str)) {
        if self.progress.imports == IMPORT_DEPTH_MAX {
            return self.error(format_args!("{name} within too many others, ignoring it"));
        }
        self.progress.imports += 1;
        words.split('\t').for_each(|word| take(self, word));
        self.progress.imports -= 1;
    }

    fn set_stored(&mut self, value: &str, default_scheme: &str, may_have_scheme: bool) {
        if self.stored.is_some() {
            return self.error("Multiple password values not supported");
        }
        let has_scheme = may_have_scheme && value.starts_with('{') && value.contains('}');
        self.stored = Some(if has_scheme {
            Secret::new(value)
        } else {
            Secret::new(format!("{{{default_scheme}}}{value}"))
        });
    }

    fn set_nopassword(&mut self, value: &str) {
        if let Some(stored) = &self.stored
            && !self.fields.has("noauthenticate")
            && !scheme::split_prefix(&stored.expose_lossy()).1.is_empty()
        {
            return self.error("nopassword set but password is non-empty");
        }
        self.stored = None;
        self.fields.add("nopassword", Some(value));
    }

    fn check_networks(&mut self, name: &str, networks: &str, ip: Option<IpAddr>) {
        let mut found = false;
        for network in networks.split([',', ' ']).filter(|network| !network.is_empty()) {
            self.debug(format_args!("{name}: Matching for network {network}"));
            if network == "local" {
                found |= ip.is_none();
            } else {
                match settings::Network::parse(network) {
                    Some(network) => found |= ip.is_some_and(|ip| network.contains(ip)),
                    None => self.info(format_args!("{name}: Invalid network '{network}'")),
                }
            }
            if found {
                return;
            }
        }
        match ip {
            Some(ip) => self.info(format_args!("{name} check failed: IP {ip} not in allowed networks")),
            None => {
                self.info(format_args!("{name} check failed: Remote IP not known and 'local' missing"));
            }
        }
        self.progress.failed = true;
    }

    /// `timestamp` or `timestamp+seconds`, where the seconds are a random part.
    fn set_delay_until(&mut self, value: &str) {
        let (timestamp, extra) = value.split_once('+').unwrap_or((value, "0"));
        let (Ok(timestamp), Ok(extra)) = (timestamp.parse::<u64>(), extra.parse::<u64>()) else {
            self.error(format_args!("Invalid delay_until timestamp '{value}'"));
            self.progress.failed = true;
            return;
        };
        let now = now_s();
        if timestamp > now.saturating_add(DELAY_UNTIL_S_MAX) {
            self.error(format_args!("delay_until timestamp {timestamp} is too much in the future, failing"));
            self.progress.failed = true;
        } else if timestamp > now {
            let random = if extra == 0 { 0 } else { crate::random::below(extra) };
            self.progress.delay_until_s = (timestamp + random).min(now + DELAY_UNTIL_S_MAX);
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A user's number, or the number of a user of that name.
pub(crate) fn numeric_uid(text: &str) -> Option<u32> {
    text.parse()
        .ok()
        .or_else(|| nix::unistd::User::from_name(text).ok().flatten().map(|user| user.uid.as_raw()))
}

/// The same for groups.
pub(crate) fn numeric_gid(text: &str) -> Option<u32> {
    text.parse()
        .ok()
        .or_else(|| nix::unistd::Group::from_name(text).ok().flatten().map(|group| group.gid.as_raw()))
}
