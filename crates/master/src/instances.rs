//! `state_dir/instances`: which instances have run on this host, a line each:
//! `<last used>\t<name>\t<base dir>\t<config path>`. Byte-compatible with 2.3, which shares the file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Notes that the instance of `base_dir` was used now.
pub(crate) fn update(
    state_dir: &Path,
    name: &str,
    base_dir: &str,
    config_path: &str,
    now_s: u64,
) -> io::Result<()> {
    fs::create_dir_all(state_dir)?;
    let path = state_dir.join("instances");
    let old = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let new = updated(&old, name, base_dir, config_path, now_s);
    // Written aside and renamed: whoever reads sees the old list or the new one.
    let aside = state_dir.join(format!("instances.{}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&aside)?;
    file.write_all(new.as_bytes())?;
    // The umask of a daemon hides it from others; 2.3 lets all users read the list.
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o644))?;
    fs::rename(&aside, &path)
}

fn updated(old: &str, name: &str, base_dir: &str, config_path: &str, now_s: u64) -> String {
    let dir_of = |line: &str| line.split('\t').nth(2).map(str::to_owned);
    let name_of = |line: &str| line.split('\t').nth(1).map(str::to_owned);
    let others: Vec<&str> = old.lines().filter(|line| dir_of(line).as_deref() != Some(base_dir)).collect();
    // A name stands for one instance; as in 2.3 the first to have it keeps it.
    let is_taken = others.iter().any(|line| name_of(line).as_deref() == Some(name));
    let name = if is_taken { "" } else { name };
    let mut new: String = others.iter().map(|line| format!("{line}\n")).collect();
    new.push_str(&format!("{now_s}\t{name}\t{base_dir}\t{config_path}\n"));
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_instance() {
        let one = updated("", "dovecot", "/run/a", "/etc/a", 5);
        assert_eq!(one, "5\tdovecot\t/run/a\t/etc/a\n");
        let two = updated(&one, "two", "/run/b", "/etc/b", 6);
        assert!(updated(&one, "dovecot", "/run/c", "/etc/c", 6).ends_with("6\t\t/run/c\t/etc/c\n"));
        assert_eq!(
            updated(&two, "dovecot", "/run/a", "/etc/c", 7),
            "6\ttwo\t/run/b\t/etc/b\n7\tdovecot\t/run/a\t/etc/c\n"
        );
    }
}
