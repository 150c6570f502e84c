//! Where a test has its dbox mail.
#![allow(dead_code, unreachable_pub)]

use std::path::PathBuf;
use std::sync::Arc;

use base::Logger;
use storage::compress::Format;
use storage::{Compression, DboxStorage, Location, MailSettings, Storage};

use crate::real::Real;

/// A mail location of a test, with an alternative place.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub driver: &'static str,
    pub extra: String,
    /// `zlib_save`
    pub compressed: Option<Format>,
}

impl Place {
    pub fn new(driver: &'static str, extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let extra = extra.replace("~", &dir.path().display().to_string());
        Self { dir, driver, extra, compressed: None }
    }

    pub fn location(&self) -> String {
        format!("{}:{}/mail{}", self.driver, self.dir.path().display(), self.extra)
    }

    pub fn real(&self) -> Option<Real> {
        // /tmp's own directories are private: nobody must be able to pass.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.dir.path(), open).unwrap();
        let more = self
            .compressed
            .map(|format| format!("mail_plugins = zlib\nplugin {{\n  zlib_save = {}\n}}\n", format.name()));
        Real::new(self.dir.path(), &self.location(), &more.unwrap_or_default())
    }

    pub fn storage(&self) -> Box<dyn Storage> {
        let location = Location::parse(&self.location(), None).unwrap();
        let save = self.compressed.map(|format| (format, format.default_level()));
        let settings = Arc::new(MailSettings {
            hostname: "host".to_owned(),
            compression: Compression { is_on: save.is_some(), save },
            ..MailSettings::default()
        });
        Box::new(DboxStorage::new(location, settings, true, Logger::new("test: ")).unwrap())
    }

    pub fn files(&self, below: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path(below))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("dovecot"))
            .collect();
        names.sort();
        names
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// `map_uid refcount file` of every message of the map, as Dovecot sees it, without what is set aside.
    pub fn map(&self) -> Vec<String> {
        let dir = self.path("mail/storage");
        let out = std::process::Command::new("/usr/bin/doveadm").arg("dump").arg(dir).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let mut found: Vec<String> = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["RECORD:", _, uid, ..] => {
                    found.push(uid.trim_matches(|c: char| !c.is_ascii_digit()).to_owned());
                }
                [":", "file_id", "=", id] => {
                    let last = found.last_mut().unwrap();
                    last.push_str(&format!(" m.{id}"));
                }
                ["-", "ext", _, "ref", ":", count, _] => {
                    let last = found.last_mut().unwrap();
                    last.push_str(&format!(" x{count}"));
                }
                _ => {}
            }
        }
        found.retain(|line| !line.contains(&format!("m.{}", u32::MAX)));
        found
    }
}
