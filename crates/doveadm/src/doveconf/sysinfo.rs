//! The lines at the head of `doveconf`'s output, for those who read it in a question for help.

use std::fs;
use std::path::Path;

/// `# Culver 0.1.0 (Dovecot 2.3.19 compatible): /etc/dovecot/dovecot.conf`
pub fn header(path: &str) -> String {
    format!("# Culver {} (Dovecot 2.3.19 compatible): {path}", env!("CARGO_PKG_VERSION"))
}

/// The system, its distribution, and what the mail lies on.
pub(super) fn system(mail_location: &str) -> String {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    format!(
        "# OS: {} {} {} {} {}",
        text(uname.sysname()),
        text(uname.release()),
        text(uname.machine()),
        distribution(),
        file_system(mail_location)
    )
}

fn distribution() -> String {
    let first = |path: &str| Some(fs::read_to_string(path).ok()?.lines().next()?.to_owned());
    if let Ok(release) = fs::read_to_string("/etc/lsb-release")
        && let Some(name) = release.lines().find_map(|line| line.strip_prefix("DISTRIB_DESCRIPTION="))
    {
        return name.trim_matches('"').to_owned();
    }
    let plain = ["/etc/redhat-release", "/etc/SuSE-release", "/etc/fedora-release", "/etc/gentoo-release"];
    let named = plain.iter().find_map(|path| first(path));
    named
        .or_else(|| first("/etc/debian_version").map(|version| format!("Debian {version}")))
        .unwrap_or_default()
}

/// The type of the file system that mail lies on, if that does not depend on the user.
fn file_system(mail_location: &str) -> String {
    let path = mail_location
        .split_once(':')
        .map_or(mail_location, |(_, rest)| rest.split(':').next().unwrap_or(rest));
    let path = path.split('%').next().unwrap_or(path);
    if path.starts_with('~') || path.len() <= 1 || !Path::new(path).exists() {
        return String::new();
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let below = fields.filter(|(point, _)| Path::new(path).starts_with(point));
    below.max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind.to_owned()).unwrap_or_default()
}

/// The host's name, with its domain if that is known.
pub(super) fn host() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}
