//! A file of keys and values, a line each, as 2.3's `file:` dictionaries write it: replaced as a whole
//! when anything changes.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use super::DictError;
use crate::limits::DICT_FILE_BYTES_MAX;

/// The path; how others lock the file does not matter to those who read it.
pub(super) fn parse(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        None => Ok(text.to_owned()),
        Some((path, "lock=fcntl" | "lock=flock")) => Ok(path.to_owned()),
        Some((_, other)) => Err(format!("Invalid parameter: {other}")),
    }
}

pub(super) struct FileDict {
    path: String,
    /// Device, inode, size and time of what was read.
    version: Option<[i128; 4]>,
    entries: Vec<(String, String)>,
}

impl FileDict {
    pub(super) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), version: None, entries: Vec::new() }
    }

    pub(super) fn lookup(&mut self, key: &str) -> Result<Option<String>, DictError> {
        let entries = self.entries()?;
        Ok(entries.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.clone()))
    }

    pub(super) fn iterate(&mut self, prefix: &str, each: &mut dyn FnMut(&str)) -> Result<(), DictError> {
        let keys = self.entries()?.iter().map(|(key, _)| key.as_str());
        let wanted = keys.filter(|key| key.strip_prefix(prefix).is_some_and(|rest| !rest.contains('/')));
        wanted.for_each(each);
        Ok(())
    }

    fn entries(&mut self) -> Result<&[(String, String)], DictError> {
        let failed = |step: &str, path: &str, error: &io::Error| DictError::Failed {
            driver: "file",
            reason: format!("{step}({path}) failed: {}", base::reason(error)),
        };
        match std::fs::metadata(&self.path) {
            Ok(found) if self.version == Some(version(&found)) => {}
            Ok(_) => {
                let text = read(&self.path).map_err(|error| failed("read", &self.path, &error))?;
                (self.version, self.entries) = (Some(text.0), parse_entries(&text.1));
            }
            // It comes with the first key.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (self.version, self.entries) = (None, Vec::new());
            }
            Err(error) => return Err(failed("stat", &self.path, &error)),
        }
        Ok(&self.entries)
    }
}

fn read(path: &str) -> io::Result<([i128; 4], String)> {
    let mut file = std::fs::File::open(path)?;
    let found = file.metadata()?;
    if found.len() > DICT_FILE_BYTES_MAX {
        return Err(io::Error::other("the file is too long"));
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(DICT_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok((version(&found), String::from_utf8_lossy(&bytes).into_owned()))
}

fn version(found: &Metadata) -> [i128; 4] {
    let time = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
    [found.dev().into(), found.ino().into(), found.size().into(), time]
}

/// A key without a value at the end is one that is still being written.
fn parse_entries(text: &str) -> Vec<(String, String)> {
    let mut lines = text.split_inclusive('\n').map(|line| line.strip_suffix('\n').unwrap_or(line));
    let mut entries = Vec::new();
    while let (Some(key), Some(value)) = (lines.next(), lines.next()) {
        entries.push((base::tab::unescape(key), base::tab::unescape(value)));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dict");
        let mut dict = FileDict::new(path.to_str().unwrap());
        assert_eq!(dict.lookup("shared/a"), Ok(None), "no file is an empty one");
        std::fs::write(
            &path,
            "shared/a\nx\u{1}ny\nshared/u/1\n1\nshared/u/1/q\n2\nshared/u/2\n\nshared/half",
        )
        .unwrap();
        assert_eq!(dict.lookup("shared/a"), Ok(Some("x\ny".into())));
        assert_eq!(dict.lookup("shared/u/2"), Ok(Some(String::new())));
        assert_eq!(dict.lookup("shared/half"), Ok(None));
        let mut keys = Vec::new();
        dict.iterate("shared/u/", &mut |key| keys.push(key.to_owned())).unwrap();
        assert_eq!(keys, ["shared/u/1", "shared/u/2"]);
        std::fs::write(dir.path().join("new"), "shared/a\nother\n").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(dict.lookup("shared/a"), Ok(Some("other".into())));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let error = dict.lookup("shared/a").unwrap_err().to_string();
        assert!(error.starts_with("file: read(") && error.ends_with("failed: Is a directory"), "{error}");
    }
}
