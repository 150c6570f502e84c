//! What others say to `anvil`, `log` and `script-login`. To `anvil`: numbered bytes choose what is said,
//! and frames of `ipc` are decoded as they come.

use std::net::{IpAddr, Ipv4Addr};

use backplane::probe::{Anvil, Said, log_lines, script_environment};
use ipc::Decoder;
use ipc::anvil::{Query, ToAnvil};
use ipc::limits::LOG_LINE_MAX;

pub(crate) fn run(data: &[u8]) {
    let (&kind, rest) = data.split_first().unwrap_or((&0, data));
    match kind {
        b'l' => log(rest),
        b's' => script(rest),
        _ => anvil(rest),
    }
}

fn log(data: &[u8]) {
    for pieces in [3, 4096] {
        for line in log_lines(data.chunks(pieces)) {
            assert!(line.len() <= 4 * LOG_LINE_MAX && !line.contains(['\n', '\r', '\0', '\x1b']), "{line:?}");
        }
    }
}

fn script(data: &[u8]) {
    if let Ok(environment) = script_environment(&String::from_utf8_lossy(data)) {
        for (name, value) in environment.iter().skip(3) {
            assert!(!name.is_empty() && !name.contains('\0') && !value.contains('\0'));
        }
    }
}

/// Frames of both kinds of peers by turns; behind each some time passes.
fn anvil(data: &[u8]) {
    let (mut anvil, mut now_s) = (Anvil::new(), 1000);
    let mut decoder = Decoder::new();
    for piece in data.chunks(4096) {
        decoder.push(piece);
        while let Ok(Some(message)) = decoder.message::<Choice>() {
            now_s += 7;
            let said = match message {
                Choice::Process(message) => Said::Process(message),
                Choice::Admin(query) => Said::Admin(query),
            };
            let _ = anvil.hear(said, now_s);
        }
    }
    for query in [Query::Who, Query::Proxies, Query::Bans, Query::Penalties { nets: vec![(ANY, 0)] }] {
        let _ = anvil.hear(Said::Admin(query), now_s);
    }
    assert!(anvil.end().is_empty(), "sessions end with their process");
}

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[derive(serde::Deserialize)]
pub(crate) enum Choice {
    Process(ToAnvil),
    Admin(Query),
}
