//! What both ends of the doveadm server's protocol share: greetings, escaping, the names of exit
//! statuses. Whoever connects says `VERSION doveadm-server 1 2`; the server answers with its own version
//! and `+`, or with `-` where it wants `PLAIN` and a password first. Then come commands, a line each, and
//! from the server what they print and how they ended ([`channels`] tells that apart from log lines).

pub(crate) mod channels;
pub(crate) mod dot;
pub(crate) mod tls;

use crate::context::status;

/// What a client says first.
pub(crate) const SERVER_VERSION: &str = "VERSION\tdoveadm-server\t1\t2\n";
/// What the server answers.
pub(crate) const CLIENT_VERSION: &str = "VERSION\tdoveadm-client\t1\t2\n";

/// Servers know `STARTTLS` from this minor version on.
pub(crate) const STARTTLS_MINOR: u32 = 2;

/// The minor version of a greeting that is about `role`, in a protocol that we speak.
pub(crate) fn minor_version(line: &str, role: &str) -> Option<u32> {
    let rest = line.strip_prefix("VERSION\t")?.strip_prefix(role)?.strip_prefix("\t1\t")?;
    rest.parse().ok()
}

const NAMES: [(i32, &str); 7] = [
    (status::TEMPFAIL, "TEMPFAIL"),
    (status::USAGE, "USAGE"),
    (status::NO_USER, "NOUSER"),
    (status::NO_PERMISSION, "NOPERM"),
    (status::PROTOCOL, "PROTOCOL"),
    (status::DATA, "DATAERR"),
    (status::NOT_FOUND, "NOTFOUND"),
];

/// An exit status as the server tells it: 2.3's names, and numbers where it has none, which its clients
/// understand.
pub(crate) fn name_of_status(status: i32) -> String {
    let named = NAMES.iter().find(|(known, _)| *known == status);
    named.map_or_else(|| status.to_string(), |(_, name)| (*name).to_owned())
}

/// The reverse; what is not known is temporary.
pub(crate) fn status_of_name(name: &str) -> i32 {
    let named = NAMES.iter().find(|(_, known)| *known == name).map(|(status, _)| *status);
    named.or_else(|| name.parse().ok()).unwrap_or(status::TEMPFAIL)
}

/// `bytes` with what separates fields and lines escaped, appended to `output`.
pub(crate) fn escape_into(bytes: &[u8], output: &mut Vec<u8>) {
    output.reserve(bytes.len());
    for &byte in bytes {
        let code = match byte {
            0 => b'0',
            1 => b'1',
            b'\t' => b't',
            b'\r' => b'r',
            b'\n' => b'n',
            plain => {
                output.push(plain);
                continue;
            }
        };
        output.extend([1, code]);
    }
}

/// The byte that stands behind 0x01.
pub(crate) fn unescaped(code: u8) -> u8 {
    match code {
        b'0' => 0,
        b'1' => 1,
        b't' => b'\t',
        b'r' => b'\r',
        b'n' => b'\n',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_statuses() {
        assert_eq!(minor_version("VERSION\tdoveadm-server\t1\t2", "doveadm-server"), Some(2));
        assert_eq!(minor_version("VERSION\tdoveadm-server\t2\t0", "doveadm-server"), None);
        assert_eq!(minor_version("VERSION\tdoveadm-client\t1\t2", "doveadm-server"), None);
        for status in [1, 64, 65, 67, 68, 73, 75, 76, 77] {
            assert_eq!(status_of_name(&name_of_status(status)), status);
        }
        assert_eq!(status_of_name("UNKNOWN"), status::TEMPFAIL);
    }
}
