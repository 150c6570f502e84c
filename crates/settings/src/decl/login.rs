//! The login processes: everything before a session starts.

use super::flags::*;
use super::roots::*;
use crate::key::{Millis, Str, Time};

settings! { Root from super::ssl::END;
    /// Networks of proxies that may say who the real client is.
    LOGIN_TRUSTED_NETWORKS: Str = "", LMTP | LOGIN | SUBMISSION;
    /// Source addresses for proxied connections.
    LOGIN_SOURCE_IPS: Str = "", LOGIN;
    /// First words to a client.
    LOGIN_GREETING: Str = "Dovecot (Debian) ready.", LMTP | LOGIN | SUBMISSION;
    /// Fields of the login log line; those without a value are left out.
    LOGIN_LOG_FORMAT_ELEMENTS: Str = "user=<%u> method=%m rip=%r lip=%l mpid=%e %c session=<%{session}>", LOGIN;
    /// Shape of the login log line: `%$` is the fields, `%s` the text.
    LOGIN_LOG_FORMAT: Str = "%$: %s", LOGIN;
    /// Sockets that are asked whether a client may connect.
    LOGIN_ACCESS_SOCKETS: Str = "", LOGIN, NO_EFFECT_YET;
    /// Pipe that hears of proxied logins.
    LOGIN_PROXY_NOTIFY_PATH: Str = "proxy-notify", LOGIN, VARIABLES;
    /// Directory of login plugins.
    LOGIN_PLUGIN_DIR: Str = "/usr/lib/dovecot/modules/login", LOGIN, NO_EFFECT_YET;
    /// Login plugins to load.
    LOGIN_PLUGINS: Str = "", LOGIN, NO_EFFECT_YET;
    /// How long connecting to a backend may take.
    LOGIN_PROXY_TIMEOUT: Millis = "30 secs", LOGIN;
    /// How often to try a backend again.
    LOGIN_PROXY_MAX_RECONNECTS: u64 = "3", LOGIN;
    /// Spreads disconnects of proxied clients over this time.
    LOGIN_PROXY_MAX_DISCONNECT_DELAY: Time = "0", LOGIN;
    /// Directory for transcripts of proxied connections.
    LOGIN_PROXY_RAWLOG_DIR: Str = "", LOGIN, NO_EFFECT_YET;
    /// Refuses plain passwords without TLS, but for local connections.
    DISABLE_PLAINTEXT_AUTH: bool = "yes", LOGIN;
    /// Most sessions per user and address; 0 for no limit.
    MAIL_MAX_USERIP_CONNECTIONS: u64 = "10", LOGIN;
}
