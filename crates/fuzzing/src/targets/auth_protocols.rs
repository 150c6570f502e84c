//! What clients of the auth process say: Postfix and Exim, login processes, mail processes. The first
//! line says which of them it is.

use auth::probe::{Peer, Probe};

const CONFIG: &str = "auth_failure_delay = 0\nauth_username_chars =\nauth_master_user_separator = *\n\
    auth_mechanisms = plain login cram-md5 digest-md5 apop scram-sha-1 scram-sha-256 external anonymous \
    oauthbearer xoauth2\nauth_cache_size = 1M\nauth_verbose = yes\n\
    passdb {\n driver = static\n args = password=master\n master = yes\n username_filter = admin\n}\n\
    passdb {\n driver = static\n args = password=secret userdb_quota=1 allow_nets=10.0.0.0/8,local\n}\n\
    userdb {\n driver = prefetch\n}\nuserdb {\n driver = static\n args = uid=5 gid=5 home=/h/%d/%n\n}\n";

thread_local! {
    static PROBE: Probe = Probe::new(CONFIG, crate::kit::logger()).expect("the configuration is right");
}

pub(crate) fn run(data: &[u8]) {
    let (first, rest) = data.split_at(data.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1));
    let peer = match first {
        b"login\n" => Peer::Login,
        b"master\n" => Peer::Master,
        _ => Peer::Agent,
    };
    PROBE.with(|probe| drop(probe.talk(peer, rest)));
}
