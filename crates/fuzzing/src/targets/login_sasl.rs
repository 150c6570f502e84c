//! Clients before login, and what the auth process answers them; and how it greets.

use login::Protocol;
use login::probe::{Probe, offers};

const CONFIG: &str = "ssl = no\nauth_verbose = yes\ndisable_plaintext_auth = no\n";

thread_local! {
    static PROBES: [Probe; 2] = [Protocol::Imap, Protocol::Pop3]
        .map(|protocol| Probe::new(protocol, CONFIG, crate::kit::logger()).expect("the configuration is right"));
}

pub(crate) fn run(data: &[u8]) {
    PROBES.with(|probes| {
        for probe in probes {
            let (_, is_in) = probe.talk(data);
            // Nobody is let in of whom the auth process has not said so, whatever of it is escaped.
            let plain: Vec<u8> = data.iter().copied().filter(|&byte| byte != 1).collect();
            assert!(!is_in || plain.windows(5).any(|words| words == b"A:OK\t"));
        }
    });
    let _ = offers(&String::from_utf8_lossy(data));
}
