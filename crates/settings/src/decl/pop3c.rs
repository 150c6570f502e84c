//! The POP3 proxy driver.

use super::flags::*;
use super::roots::*;
use crate::key::{Enum, Port, Str};

settings! { Root from super::imapc::END;
    /// Remote POP3 server.
    POP3C_HOST: Str = "", POP3C, NO_EFFECT_YET;
    /// Its port.
    POP3C_PORT: Port = "110", POP3C, NO_EFFECT_YET;
    /// User name there.
    POP3C_USER: Str = "%u", POP3C, NO_EFFECT_YET | VARIABLES;
    /// Master user name there.
    POP3C_MASTER_USER: Str = "", POP3C, NO_EFFECT_YET | VARIABLES;
    /// Password there.
    POP3C_PASSWORD: Str = "", POP3C, SECRET | NO_EFFECT_YET;
    /// TLS to the server.
    POP3C_SSL: Enum = "no:pop3s:starttls", POP3C, NO_EFFECT_YET;
    /// Verifies the server's certificate.
    POP3C_SSL_VERIFY: bool = "yes", POP3C, NO_EFFECT_YET;
    /// Directory for transcripts.
    POP3C_RAWLOG_DIR: Str = "", POP3C, NO_EFFECT_YET;
    /// Takes the time of the first Received header from TOP.
    POP3C_QUICK_RECEIVED_DATE: bool = "no", POP3C, NO_EFFECT_YET;
    /// Extensions and workarounds to use.
    POP3C_FEATURES: Str = "", POP3C, NO_EFFECT_YET;
}
