//! What the log says of a child that ended, in 2.3's words.

use sys::spawn::Ended;

const CORE_HELP: &str = "https://dovecot.org/bugreport.html#coredumps";

/// The line, or `None` for an end that is worth none.
pub(crate) fn text(
    service: &str,
    pid: u32,
    ended: Ended,
    vsz_limit_bytes: u64,
    cores: bool,
) -> Option<String> {
    let what = match ended {
        Ended::Exited(0) => return None,
        Ended::Exited(status) => {
            let meaning = meaning(service, status, vsz_limit_bytes);
            format!("returned error {status}{}", meaning.map(|text| format!(" ({text})")).unwrap_or_default())
        }
        Ended::Killed { signal, core_dumped } => {
            // SIGABRT, SIGBUS and SIGSEGV are worth a core file.
            let core = match (core_dumped, matches!(signal, 6 | 7 | 11)) {
                (true, _) => " (core dumped)".to_owned(),
                (false, false) => String::new(),
                (false, true) if !cores => format!(" (core dumps disabled - {CORE_HELP})"),
                (false, true) => format!(" (core not dumped - {CORE_HELP})"),
            };
            format!("killed with signal {signal}{core}")
        }
    };
    Some(format!("service({service}): child {pid} {what}"))
}

/// The meanings of 2.3's exit statuses.
fn meaning(service: &str, status: i32, vsz_limit_bytes: u64) -> Option<String> {
    Some(match status {
        80 => "Can't open log file".to_owned(),
        81 => "Can't write to log file".to_owned(),
        82 => "Internal logging error".to_owned(),
        83 if vsz_limit_bytes != 0 => format!(
            "Out of memory (service {service} {{ vsz_limit={} MB }}, you may need to increase it)",
            vsz_limit_bytes / 1024 / 1024
        ),
        83 => "Out of memory".to_owned(),
        84 => "exec() failed".to_owned(),
        89 => "Fatal failure".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ended: Ended, expected: Option<&str>) {
        let expected = expected.map(|what| format!("service(imap): child 7 {what}"));
        assert_eq!(text("imap", 7, ended, 256 << 20, false), expected);
    }

    #[test]
    fn ends() {
        check(Ended::Exited(0), None);
        check(Ended::Exited(1), Some("returned error 1"));
        check(Ended::Exited(89), Some("returned error 89 (Fatal failure)"));
        check(
            Ended::Exited(83),
            Some(
                "returned error 83 (Out of memory (service imap { vsz_limit=256 MB }, you may need to increase it))",
            ),
        );
        check(Ended::Killed { signal: 9, core_dumped: false }, Some("killed with signal 9"));
        check(
            Ended::Killed { signal: 11, core_dumped: false },
            Some(
                "killed with signal 11 (core dumps disabled - https://dovecot.org/bugreport.html#coredumps)",
            ),
        );
    }
}
