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
    AUTH_KRB5_KEYTAB: Str = "", AUTH, NO_EFFECT_YET;
    /// Host name in the GSSAPI principal; `$ALL` takes any in the keytab.
    AUTH_GSSAPI_HOSTNAME: Str = "", AUTH, NO_EFFECT_YET;
    /// Path of Samba's ntlm_auth helper.
    AUTH_WINBIND_HELPER_PATH: Str = "/usr/bin/ntlm_auth", AUTH, NO_EFFECT_YET;
    /// Addresses that are this server when proxying.
    AUTH_PROXY_SELF: Str = "", AUTH;
    /// How long a failed login waits for its answer.
    AUTH_FAILURE_DELAY: Time = "2 secs", AUTH;
    /// URL of the policy server that is asked about logins.
    AUTH_POLICY_SERVER_URL: Str = "", AUTH, NO_EFFECT_YET;
    /// HTTP header that authenticates us to the policy server.
    AUTH_POLICY_SERVER_API_HEADER: Str = "", AUTH, SECRET | NO_EFFECT_YET;
    /// Milliseconds to wait for the policy server.
    AUTH_POLICY_SERVER_TIMEOUT_MSECS: u64 = "2000", AUTH, NO_EFFECT_YET;
    /// Hash for the passwords sent to the policy server.
    AUTH_POLICY_HASH_MECH: Str = "sha256", AUTH, NO_EFFECT_YET;
    /// Secret mixed into the hash of the passwords sent to the policy server.
    AUTH_POLICY_HASH_NONCE: Str = "", AUTH, SECRET | NO_EFFECT_YET;
    /// Attributes of a policy request.
    AUTH_POLICY_REQUEST_ATTRIBUTES: Str = "login=%{requested_username} pwhash=%{hashed_password} remote=%{rip} device_id=%{client_id} protocol=%s session_id=%{session}", AUTH, NO_EFFECT_YET;
    /// Refuses logins when the policy server gives no answer.
    AUTH_POLICY_REJECT_ON_FAIL: bool = "no", AUTH, NO_EFFECT_YET;
    /// Asks the policy server before the password is checked.
    AUTH_POLICY_CHECK_BEFORE_AUTH: bool = "yes", AUTH, NO_EFFECT_YET;
    /// Asks the policy server after the password was checked.
    AUTH_POLICY_CHECK_AFTER_AUTH: bool = "yes", AUTH, NO_EFFECT_YET;
    /// Reports the outcome of logins to the policy server.
    AUTH_POLICY_REPORT_AFTER_AUTH: bool = "yes", AUTH, NO_EFFECT_YET;
    /// Only logs what the policy server would have refused.
    AUTH_POLICY_LOG_ONLY: bool = "no", AUTH, NO_EFFECT_YET;
    /// Bits to keep of the hash sent to the policy server.
    AUTH_POLICY_HASH_TRUNCATE: u64 = "12", AUTH, NO_EFFECT_YET;
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
}
