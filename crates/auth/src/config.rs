//! The settings that the auth processes use, read once.

use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use settings::digest::Method;
use settings::key::{self, passdb, userdb};
use settings::{Filter, Network, Section, SectionKind, Settings, Snapshot};

/// Settings of the process and of one protocol.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) mechanisms: Vec<String>,
    pub(crate) realms: Vec<String>,
    pub(crate) default_realm: String,
    pub(crate) cache_size: u64,
    pub(crate) cache_ttl: Duration,
    pub(crate) cache_negative_ttl: Duration,
    pub(crate) cache_verify_with_worker: bool,
    pub(crate) username_chars: String,
    pub(crate) username_translation: Vec<(u8, u8)>,
    pub(crate) username_format: String,
    pub(crate) master_user_separator: Option<char>,
    pub(crate) anonymous_username: String,
    pub(crate) krb5_keytab: String,
    pub(crate) gssapi_hostname: String,
    pub(crate) failure_delay: Duration,
    pub(crate) log_failures: bool,
    pub(crate) rehash_scheme: String,
    pub(crate) rehash_rounds: u32,
    pub(crate) policy: PolicyConfig,
    pub(crate) ban: BanConfig,
    pub(crate) verbose: bool,
    pub(crate) debug: bool,
    pub(crate) debug_passwords: bool,
    pub(crate) verbose_passwords: VerbosePasswords,
    pub(crate) ssl_require_client_cert: bool,
    pub(crate) ssl_username_from_cert: bool,
    /// `auth_proxy_self`
    pub(crate) proxy_self: Vec<IpAddr>,
    pub(crate) worker_max_count: usize,
    pub(crate) first_valid_uid: u32,
    pub(crate) last_valid_uid: u32,
    pub(crate) first_valid_gid: u32,
    pub(crate) last_valid_gid: u32,
    pub(crate) passdbs: Vec<DbConfig>,
    pub(crate) userdbs: Vec<DbConfig>,
}

/// `auth_policy_*`
#[derive(Clone)]
pub(crate) struct PolicyConfig {
    pub(crate) url: String,
    pub(crate) api_header: String,
    pub(crate) timeout: Duration,
    pub(crate) hash: Method,
    pub(crate) hash_nonce: String,
    /// Bits to keep; 0 for all.
    pub(crate) hash_truncate: usize,
    pub(crate) attributes: String,
    pub(crate) reject_on_fail: bool,
    pub(crate) check_before_auth: bool,
    pub(crate) check_after_auth: bool,
    pub(crate) report_after_auth: bool,
    pub(crate) log_only: bool,
    /// `ssl_client_*`
    pub(crate) ca_file: String,
    pub(crate) ca_dir: String,
    pub(crate) needs_valid_cert: bool,
}

impl std::fmt::Debug for PolicyConfig {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyConfig").field("url", &self.url).finish_non_exhaustive()
    }
}

/// `auth_ban_*`
#[derive(Debug, Clone)]
pub(crate) struct BanConfig {
    /// 0 for never.
    pub(crate) user_failures: u32,
    pub(crate) net_failures: u32,
    pub(crate) interval: Duration,
    pub(crate) time: Duration,
    pub(crate) ipv4_bits: u8,
    pub(crate) ipv6_bits: u8,
    pub(crate) exempt: Vec<Network>,
}

/// `auth_verbose_passwords`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerbosePasswords {
    No,
    /// Up to so many characters.
    Plain(usize),
    Sha1(usize),
}

/// A `passdb {}` or `userdb {}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DbConfig {
    pub(crate) name: String,
    pub(crate) driver: String,
    pub(crate) args: String,
    pub(crate) default_fields: String,
    pub(crate) override_fields: String,
    pub(crate) mechanisms: String,
    pub(crate) username_filter: String,
    pub(crate) skip: Skip,
    pub(crate) result_success: Rule,
    pub(crate) result_failure: Rule,
    pub(crate) result_internalfail: Rule,
    pub(crate) deny: bool,
    pub(crate) pass: bool,
    pub(crate) master: bool,
    pub(crate) verbose: Option<bool>,
}

/// `skip`; a userdb's `found` is like a passdb's `authenticated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Skip {
    Never,
    Succeeded,
    NotSucceeded,
}

/// What follows a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    Return,
    ReturnOk,
    ReturnFail,
    Continue,
    ContinueOk,
    ContinueFail,
}

impl Rule {
    fn parse(word: &str) -> Self {
        match word {
            "return" => Self::Return,
            "return-ok" => Self::ReturnOk,
            "return-fail" => Self::ReturnFail,
            "continue-ok" => Self::ContinueOk,
            "continue-fail" => Self::ContinueFail,
            _ => Self::Continue,
        }
    }
}

impl Skip {
    fn parse(word: &str) -> Self {
        match word {
            "authenticated" | "found" => Self::Succeeded,
            "unauthenticated" | "notfound" => Self::NotSucceeded,
            _ => Self::Never,
        }
    }
}

impl VerbosePasswords {
    fn parse(text: &str) -> Self {
        let (word, length) = text.split_once(':').unwrap_or((text, "1024"));
        let length = length.parse().unwrap_or(1024);
        match word {
            "plain" | "yes" => Self::Plain(length),
            "sha1" => Self::Sha1(length),
            _ => Self::No,
        }
    }
}

impl Config {
    /// The settings of each protocol that has some of its own, the common ones first.
    pub(crate) fn all(snapshot: &Snapshot) -> Vec<(Option<String>, Self)> {
        let mut all = vec![(None, Self::new(&snapshot.root()))];
        for mask in snapshot.masks() {
            let Some(protocol) = &mask.protocol else { continue };
            if mask.is_local_or_remote() || all.iter().any(|(name, _)| name.as_ref() == Some(protocol)) {
                continue;
            }
            // `!imap` is seen by any other name.
            let seen_as = protocol.strip_prefix('!').map_or(protocol.as_str(), |_| "!");
            let filter = Filter { protocol: Some(seen_as), ..Filter::default() };
            all.push((Some(protocol.clone()), Self::new(&snapshot.view(&filter))));
        }
        all
    }

    /// From the settings as one protocol sees them.
    pub(crate) fn new(settings: &Settings) -> Self {
        let debug_passwords = settings.get(key::AUTH_DEBUG_PASSWORDS);
        let debug = settings.get(key::AUTH_DEBUG) || debug_passwords;
        let id = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let list = |kind| settings.section_list(kind);
        Self {
            mechanisms: words(settings.get(key::AUTH_MECHANISMS)),
            realms: words(settings.get(key::AUTH_REALMS)),
            default_realm: settings.get(key::AUTH_DEFAULT_REALM).to_owned(),
            cache_size: settings.get(key::AUTH_CACHE_SIZE),
            cache_ttl: settings.get(key::AUTH_CACHE_TTL),
            cache_negative_ttl: settings.get(key::AUTH_CACHE_NEGATIVE_TTL),
            cache_verify_with_worker: settings.get(key::AUTH_CACHE_VERIFY_PASSWORD_WITH_WORKER),
            username_chars: settings.get(key::AUTH_USERNAME_CHARS).to_owned(),
            username_translation: pairs(settings.get(key::AUTH_USERNAME_TRANSLATION)),
            username_format: settings.get(key::AUTH_USERNAME_FORMAT).to_owned(),
            master_user_separator: settings.get(key::AUTH_MASTER_USER_SEPARATOR).chars().next(),
            anonymous_username: settings.get(key::AUTH_ANONYMOUS_USERNAME).to_owned(),
            krb5_keytab: settings.get(key::AUTH_KRB5_KEYTAB).to_owned(),
            gssapi_hostname: settings.get(key::AUTH_GSSAPI_HOSTNAME).to_owned(),
            failure_delay: settings.get(key::AUTH_FAILURE_DELAY),
            log_failures: settings.get(key::AUTH_LOG_FAILURES),
            rehash_scheme: settings.get(key::AUTH_REHASH_SCHEME).to_owned(),
            rehash_rounds: u32::try_from(settings.get(key::AUTH_REHASH_ROUNDS)).unwrap_or(0),
            policy: PolicyConfig::new(settings),
            ban: BanConfig::new(settings),
            verbose: settings.get(key::AUTH_VERBOSE) || debug,
            debug,
            debug_passwords,
            verbose_passwords: VerbosePasswords::parse(settings.get(key::AUTH_VERBOSE_PASSWORDS)),
            ssl_require_client_cert: settings.get(key::AUTH_SSL_REQUIRE_CLIENT_CERT),
            ssl_username_from_cert: settings.get(key::AUTH_SSL_USERNAME_FROM_CERT),
            proxy_self: addresses(settings.get(key::AUTH_PROXY_SELF)),
            worker_max_count: usize::try_from(settings.get(key::AUTH_WORKER_MAX_COUNT)).unwrap_or(1).max(1),
            first_valid_uid: id(settings.get(key::FIRST_VALID_UID)),
            last_valid_uid: id(settings.get(key::LAST_VALID_UID)),
            first_valid_gid: id(settings.get(key::FIRST_VALID_GID)),
            last_valid_gid: id(settings.get(key::LAST_VALID_GID)),
            passdbs: list(SectionKind::Passdb).iter().map(DbConfig::passdb).collect(),
            userdbs: list(SectionKind::Userdb).iter().map(DbConfig::userdb).collect(),
        }
    }
}

impl PolicyConfig {
    fn new(settings: &Settings) -> Self {
        let text = |key: key::Key<key::Str>| settings.get(key).to_owned();
        let truncate = settings.get(key::AUTH_POLICY_HASH_TRUNCATE);
        Self {
            url: text(key::AUTH_POLICY_SERVER_URL),
            api_header: text(key::AUTH_POLICY_SERVER_API_HEADER),
            timeout: Duration::from_millis(settings.get(key::AUTH_POLICY_SERVER_TIMEOUT_MSECS)),
            // The configuration was refused if there is no such hash.
            hash: Method::find(settings.get(key::AUTH_POLICY_HASH_MECH)).unwrap_or(Method::Sha256),
            hash_nonce: text(key::AUTH_POLICY_HASH_NONCE),
            hash_truncate: usize::try_from(truncate).unwrap_or(0),
            attributes: text(key::AUTH_POLICY_REQUEST_ATTRIBUTES),
            reject_on_fail: settings.get(key::AUTH_POLICY_REJECT_ON_FAIL),
            check_before_auth: settings.get(key::AUTH_POLICY_CHECK_BEFORE_AUTH),
            check_after_auth: settings.get(key::AUTH_POLICY_CHECK_AFTER_AUTH),
            report_after_auth: settings.get(key::AUTH_POLICY_REPORT_AFTER_AUTH),
            log_only: settings.get(key::AUTH_POLICY_LOG_ONLY),
            ca_file: text(key::SSL_CLIENT_CA_FILE),
            ca_dir: text(key::SSL_CLIENT_CA_DIR),
            needs_valid_cert: settings.get(key::SSL_CLIENT_REQUIRE_VALID_CERT),
        }
    }
}

impl BanConfig {
    fn new(settings: &Settings) -> Self {
        let count = |key| u32::try_from(settings.get(key)).unwrap_or(u32::MAX);
        let bits = |key, most: u8| u8::try_from(settings.get(key)).unwrap_or(most).min(most);
        let exempt = settings.get(key::AUTH_BAN_EXEMPT_NETWORKS).split([' ', ',']);
        Self {
            user_failures: count(key::AUTH_BAN_USER_FAILURES),
            net_failures: count(key::AUTH_BAN_NET_FAILURES),
            interval: settings.get(key::AUTH_BAN_INTERVAL),
            time: settings.get(key::AUTH_BAN_TIME),
            ipv4_bits: bits(key::AUTH_BAN_IPV4_BITS, 32),
            ipv6_bits: bits(key::AUTH_BAN_IPV6_BITS, 128),
            // The configuration was refused if one of them is none.
            exempt: exempt.filter_map(Network::parse).collect(),
        }
    }
}

impl DbConfig {
    fn passdb(section: &Section) -> Self {
        let text = |key: key::Key<key::Str>| section.get(key).to_owned();
        let pass = section.get(passdb::PASS);
        Self {
            name: text(passdb::NAME),
            driver: text(passdb::DRIVER),
            args: text(passdb::ARGS),
            default_fields: text(passdb::DEFAULT_FIELDS),
            override_fields: text(passdb::OVERRIDE_FIELDS),
            mechanisms: text(passdb::MECHANISMS),
            username_filter: text(passdb::USERNAME_FILTER),
            skip: Skip::parse(section.get(passdb::SKIP)),
            // `pass = yes` is the old way to say it.
            result_success: match pass {
                true => Rule::Continue,
                false => Rule::parse(section.get(passdb::RESULT_SUCCESS)),
            },
            result_failure: Rule::parse(section.get(passdb::RESULT_FAILURE)),
            result_internalfail: Rule::parse(section.get(passdb::RESULT_INTERNALFAIL)),
            deny: section.get(passdb::DENY),
            pass,
            master: section.get(passdb::MASTER),
            verbose: yes_or_no(section.get(passdb::AUTH_VERBOSE)),
        }
    }

    fn userdb(section: &Section) -> Self {
        let text = |key: key::Key<key::Str>| section.get(key).to_owned();
        Self {
            name: text(userdb::NAME),
            driver: text(userdb::DRIVER),
            args: text(userdb::ARGS),
            default_fields: text(userdb::DEFAULT_FIELDS),
            override_fields: text(userdb::OVERRIDE_FIELDS),
            mechanisms: String::new(),
            username_filter: String::new(),
            skip: Skip::parse(section.get(userdb::SKIP)),
            result_success: Rule::parse(section.get(userdb::RESULT_SUCCESS)),
            result_failure: Rule::parse(section.get(userdb::RESULT_FAILURE)),
            result_internalfail: Rule::parse(section.get(userdb::RESULT_INTERNALFAIL)),
            deny: false,
            pass: false,
            master: false,
            verbose: yes_or_no(section.get(userdb::AUTH_VERBOSE)),
        }
    }

    /// The userdb that is there when the configuration has none: everybody, without fields.
    pub(crate) fn dummy_userdb() -> Self {
        Self {
            name: String::new(),
            driver: "static".into(),
            args: String::new(),
            default_fields: String::new(),
            override_fields: String::new(),
            mechanisms: String::new(),
            username_filter: String::new(),
            skip: Skip::Never,
            result_success: Rule::ReturnOk,
            result_failure: Rule::Continue,
            result_internalfail: Rule::Continue,
            deny: false,
            pass: false,
            master: false,
            verbose: None,
        }
    }
}

fn yes_or_no(word: &str) -> Option<bool> {
    match word {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn pairs(text: &str) -> Vec<(u8, u8)> {
    text.as_bytes().chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect()
}

/// Addresses, and those of hosts that are named; a name that is not known stands for none.
fn addresses(text: &str) -> Vec<IpAddr> {
    let of = |word: &str| match word.parse() {
        Ok(ip) => vec![ip],
        Err(_) => {
            (word, 0).to_socket_addrs().map_or_else(|_| Vec::new(), |all| all.map(|it| it.ip()).collect())
        }
    };
    text.split_whitespace().flat_map(of).collect()
}
