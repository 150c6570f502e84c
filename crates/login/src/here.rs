//! What a login process must learn of its host before the sandbox closes: name, time zone, system, the
//! authorities that it believes, the addresses that it may connect from, and the pipe of
//! `login_proxy_notify_path`.

use std::net::{IpAddr, TcpListener, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};

use base::Logger;
use jiff::tz::TimeZone;
use settings::{Snapshot, key};

use crate::notify::Notify;

/// Facts about this host, gathered with all rights and never looked up again.
#[derive(Debug)]
pub(crate) struct Here {
    /// The host's name.
    pub(crate) host: String,
    /// Gives sixteen random bytes.
    pub(crate) random: fn() -> [u8; 16],
    /// What `ssl_client_ca_file` and `ssl_client_ca_dir` hold, PEM.
    pub(crate) client_ca: String,
    /// `login_source_ips`, and whose turn it is.
    source_ips: (Vec<IpAddr>, AtomicUsize),
    /// `login_proxy_notify_path`
    pub(crate) notify: Notify,
    zone: TimeZone,
    system: String,
    release: String,
}

impl Here {
    /// Looks it all up.
    pub(crate) fn look(settings: &Snapshot, log: &Logger) -> Self {
        let settings = settings.root();
        let uname = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Self {
            host: text(uname.nodename()),
            random,
            client_ca: net::tls::client_authorities(&settings, &mut |error| log.error(error)),
            source_ips: (source_ips(settings.get(key::LOGIN_SOURCE_IPS), log), AtomicUsize::new(0)),
            notify: Notify::open(settings.get(key::LOGIN_PROXY_NOTIFY_PATH), settings.get(key::BASE_DIR)),
            zone: TimeZone::system(),
            system: text(uname.sysname()),
            release: text(uname.release()),
        }
    }

    /// The address to connect from, if not any: each in its turn.
    pub(crate) fn next_source_ip(&self) -> Option<IpAddr> {
        let (all, next) = &self.source_ips;
        let turn =
            if all.is_empty() { return None } else { next.fetch_add(1, Ordering::Relaxed) % all.len() };
        all.get(turn).copied()
    }

    /// A time in the form `2026-11-23 11:05:40`, local.
    pub(crate) fn local_time(&self, unix_s: u64) -> String {
        let seconds = i64::try_from(unix_s).unwrap_or(0);
        match jiff::Timestamp::from_second(seconds) {
            Ok(time) => time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
            Err(_) => String::new(),
        }
    }

    /// The list that ID is answered with (RFC 2971), made of `imap_id_send`: pairs of words, `*` for
    /// the value that we know ourselves.
    pub(crate) fn id_reply(&self, setting: &str) -> String {
        let words = words(setting);
        if words.is_empty() {
            return "NIL".to_owned();
        }
        let pairs = words.chunks(2).map(|pair| {
            let key = pair.first().map_or("", String::as_str);
            let value = match pair.get(1).map(String::as_str) {
                Some("*") => self.own(key),
                Some("NIL") | None => None,
                Some(value) => Some(value),
            };
            format!("{} {}", quoted(key), value.map_or_else(|| "NIL".to_owned(), quoted))
        });
        format!("({})", pairs.collect::<Vec<_>>().join(" "))
    }

    fn own(&self, key: &str) -> Option<&str> {
        match key.to_ascii_lowercase().as_str() {
            // Clients and their workarounds go by this name, and `imap_id_send` says it in 2.3's
            // configurations; what the program is really called is not their business.
            "name" => Some("Dovecot"),
            "version" => Some(env!("CARGO_PKG_VERSION")),
            "support-url" => Some("https://github.com/culver-mail/culver"),
            "os" => Some(&self.system),
            "os-version" => Some(&self.release),
            _ => None,
        }
    }
}

#[cfg(test)]
impl Here {
    pub(crate) fn for_tests() -> Self {
        Self {
            host: "host.example".into(),
            random: || [7; 16],
            client_ca: String::new(),
            source_ips: Default::default(),
            notify: Notify::open("", ""),
            zone: TimeZone::UTC,
            system: "Linux".into(),
            release: "6.1".into(),
        }
    }
}

/// `login_source_ips`: addresses and names; with `?` first only those that are this host's.
fn source_ips(setting: &str, log: &Logger) -> Vec<IpAddr> {
    let (text, only_own) = setting.strip_prefix('?').map_or((setting, false), |rest| (rest, true));
    let mut ips = Vec::new();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        match (word, 0).to_socket_addrs() {
            Ok(found) => ips.extend(found.map(|address| address.ip())),
            Err(error) => log.error(format_args!("login_source_ips: gethostbyname({word}) failed: {error}")),
        }
    }
    ips.retain(|ip| !only_own || TcpListener::bind((*ip, 0)).is_ok());
    ips
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // getrandom(2) cannot fail for so few bytes once the system is up.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Words separated by spaces, those in quotes kept together.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"').and_then(|inner| inner.split_once('"')) {
            Some((word, after)) => (word, after),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_replies() {
        let here = Here::for_tests();
        for (setting, expected) in [
            ("name *", "(\"name\" \"Dovecot\")"),
            ("", "NIL"),
            ("name \"My Mail\" os * foo", "(\"name\" \"My Mail\" \"os\" \"Linux\" \"foo\" NIL)"),
        ] {
            assert_eq!(here.id_reply(setting), expected);
        }
    }

    #[test]
    fn times() {
        assert_eq!(Here::for_tests().local_time(1_795_444_366), "2026-11-23 14:32:46");
    }
}
