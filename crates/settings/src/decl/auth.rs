//! The authentication process: mechanisms, caches, policy.

use super::flags::*;
use super::roots::*;
use crate::key::{Size, Str, Time};

settings! { Root from 0;
    /// SASL mechanisms to offer, separated by spaces.
    AUTH_MECHANISMS: Str = "plain", AUTH;
    /// Realms for mechanisms that need them (DIGEST-MD5), separated by spaces.
    AUTH_REALMS: Str = "", AUTH;
    /// Realm to add to user names that come without one.
    AUTH_DEFAULT_REALM: Str = "", AUTH;
    /// Memory for the cache of successful and failed lookups; 0 turns it off.
    AUTH_CACHE_SIZE: Size = "0", AUTH;
    /// How long a cached successful lookup stays valid.
    AUTH_CACHE_TTL: Time = "1 hours", AUTH;
    /// How long a cached failed lookup stays valid.
    AUTH_CACHE_NEGATIVE_TTL: Time = "1 hours", AUTH;
    /// Checks cached passwords in worker processes, which uses more cores.
    AUTH_CACHE_VERIFY_PASSWORD_WITH_WORKER: bool = "no", AUTH;
    /// Characters that may appear in user names; empty allows all.
    AUTH_USERNAME_CHARS: Str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@", AUTH;
    /// Pairs of characters: the first of each is replaced by the second.
    AUTH_USERNAME_TRANSLATION: Str = "", AUTH;
    /// Template that turns what the client sent into the user name.
    AUTH_USERNAME_FORMAT: Str = "%Lu", AUTH;
    /// Character between user and master user in a login name.
    AUTH_MASTER_USER_SEPARATOR: Str = "", AUTH;
    /// User name for logins with ANONYMOUS.
    AUTH_ANONYMOUS_USERNAME: Str = "anonymous", AUTH;
    /// Kerberos keytab for GSSAPI.
    AUTH_KRB5_KEYTAB: Str = "", AUTH;
    /// Host name in the GSSAPI principal; `$ALL` takes any in the keytab.
    AUTH_GSSAPI_HOSTNAME: Str = "", AUTH;
    /// Path of Samba's ntlm_auth helper.
    AUTH_WINBIND_HELPER_PATH: Str = "/usr/bin/ntlm_auth", AUTH, NO_EFFECT_YET;
    /// Addresses that are this server when proxying.
    AUTH_PROXY_SELF: Str = "", AUTH;
    /// How long a failed login waits for its answer.
    AUTH_FAILURE_DELAY: Time = "2 secs", AUTH;
    /// URL of the policy server that is asked about logins.
    AUTH_POLICY_SERVER_URL: Str = "", AUTH;
    /// HTTP header that authenticates us to the policy server.
    AUTH_POLICY_SERVER_API_HEADER: Str = "", AUTH, SECRET;
    /// Milliseconds to wait for the policy server.
    AUTH_POLICY_SERVER_TIMEOUT_MSECS: u64 = "2000", AUTH;
    /// Hash for the passwords sent to the policy server.
    AUTH_POLICY_HASH_MECH: Str = "sha256", AUTH;
    /// Secret mixed into the hash of the passwords sent to the policy server.
    AUTH_POLICY_HASH_NONCE: Str = "", AUTH, SECRET;
    /// Attributes of a policy request.
    AUTH_POLICY_REQUEST_ATTRIBUTES: Str = "login=%{requested_username} pwhash=%{hashed_password} remote=%{rip} device_id=%{client_id} protocol=%s session_id=%{session}", AUTH;
    /// Refuses logins when the policy server gives no answer.
    AUTH_POLICY_REJECT_ON_FAIL: bool = "no", AUTH;
    /// Asks the policy server before the password is checked.
    AUTH_POLICY_CHECK_BEFORE_AUTH: bool = "yes", AUTH;
    /// Asks the policy server after the password was checked.
    AUTH_POLICY_CHECK_AFTER_AUTH: bool = "yes", AUTH;
    /// Reports the outcome of logins to the policy server.
    AUTH_POLICY_REPORT_AFTER_AUTH: bool = "yes", AUTH;
    /// Only logs what the policy server would have refused.
    AUTH_POLICY_LOG_ONLY: bool = "no", AUTH;
    /// Bits to keep of the hash sent to the policy server.
    AUTH_POLICY_HASH_TRUNCATE: u64 = "12", AUTH;
    /// Adds authentication statistics.
    AUTH_STATS: bool = "no", AUTH, NO_EFFECT_YET;
    /// Logs failed logins and why they failed.
    AUTH_VERBOSE: bool = "no", AUTH | LOGIN;
    /// Logs what authentication does, for finding mistakes.
    AUTH_DEBUG: bool = "no", AUTH | DOVEADM | LOGIN;
    /// Logs passwords and schemes as well.
    AUTH_DEBUG_PASSWORDS: bool = "no", AUTH;
    /// Logs attempted passwords: `no`, `plain` or `sha1`, cut with `:n`.
    AUTH_VERBOSE_PASSWORDS: Str = "no", AUTH;
    /// Refuses logins without a valid client certificate.
    AUTH_SSL_REQUIRE_CLIENT_CERT: bool = "no", AUTH | LOGIN;
    /// Takes the user name from the client certificate.
    AUTH_SSL_USERNAME_FROM_CERT: bool = "no", AUTH | LOGIN;
    /// Uses winbind for NTLM and GSS-SPNEGO.
    AUTH_USE_WINBIND: bool = "no", AUTH, NO_EFFECT_YET;
    /// Most worker processes that do blocking lookups.
    AUTH_WORKER_MAX_COUNT: u64 = "30", AUTH;
    /// Logs each failed login at once, in a line that fail2ban's filter matches, also without
    /// `auth_verbose`. 2.3 then says it when the client disconnects.
    AUTH_LOG_FAILURES: bool = "yes", AUTH, HIDDEN;
    /// So many failed logins of a user within `auth_ban_interval` ban the user; 0 for never.
    AUTH_BAN_USER_FAILURES: u64 = "0", AUTH, HIDDEN;
    /// So many failed logins from a network within `auth_ban_interval` ban the network; 0 for never.
    AUTH_BAN_NET_FAILURES: u64 = "0", AUTH, HIDDEN;
    /// The time in which failed logins are counted.
    AUTH_BAN_INTERVAL: Time = "10 mins", AUTH, HIDDEN;
    /// How long a ban lasts.
    AUTH_BAN_TIME: Time = "1 hours", AUTH, HIDDEN;
    /// Bits of an IPv4 address that make its network.
    AUTH_BAN_IPV4_BITS: u64 = "32", AUTH, HIDDEN;
    /// Bits of an IPv6 address that make its network.
    AUTH_BAN_IPV6_BITS: u64 = "64", AUTH, HIDDEN;
    /// Networks that are never banned, separated by spaces.
    AUTH_BAN_EXEMPT_NETWORKS: Str = "", AUTH, HIDDEN;
    /// Passwords whose hashes are in another scheme get one in this scheme when their users log in;
    /// empty for never.
    AUTH_REHASH_SCHEME: Str = "", AUTH, HIDDEN;
    /// Rounds of new hashes; hashes with fewer are replaced. 0 for the scheme's default.
    AUTH_REHASH_ROUNDS: u64 = "0", AUTH, HIDDEN;
}
