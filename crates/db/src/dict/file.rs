//! A file of keys and values, a line each, as 2.3's `file:` dictionaries write it: replaced as a whole
//! when anything changes.

mod write;

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use base::Logger;
use index::fs::Fs;

use super::{Backend, Committed, DictError, Iteration, Row, Transaction};
use crate::limits::DICT_FILE_BYTES_MAX;

/// The path, and how those exclude each other who change the file.
#[derive(Clone)]
pub(super) struct Options {
    path: String,
    lock: Lock,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    Dotlock,
    Fcntl,
    Flock,
}

impl Options {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (path, lock) = match text.split_once(':') {
            None => (text, Lock::Dotlock),
            Some((path, "lock=fcntl")) => (path, Lock::Fcntl),
            Some((path, "lock=flock")) => (path, Lock::Flock),
            Some((_, other)) => return Err(format!("Invalid parameter: {other}")),
        };
        Ok(Self { path: path.to_owned(), lock })
    }
}

pub(super) struct FileDict {
    options: Options,
    log: Logger,
    fs: Fs,
    /// Device, inode, size and time of what was read.
    version: Option<[i128; 4]>,
    entries: BTreeMap<String, String>,
}

impl FileDict {
    pub(super) fn new(options: Options, log: Logger) -> Self {
        Self { options, log, fs: Fs::default(), version: None, entries: BTreeMap::new() }
    }

    fn entries(&mut self) -> Result<&BTreeMap<String, String>, DictError> {
        let path = &self.options.path;
        match std::fs::metadata(path) {
            Ok(found) if self.version == Some(version(&found)) => {}
            Ok(_) => {
                let file = std::fs::File::open(path).map_err(|error| failed("open", path, &error))?;
                let text = read(file).map_err(|error| failed("read", path, &error))?;
                (self.version, self.entries) = (Some(text.0), parse(&text.1));
            }
            // It comes with the first key.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (self.version, self.entries) = (None, BTreeMap::new());
            }
            Err(error) => return Err(failed("stat", path, &error)),
        }
        Ok(&self.entries)
    }
}

impl Backend for FileDict {
    fn lookup(&mut self, _: &str, key: &str) -> Result<Option<Vec<String>>, DictError> {
        Ok(self.entries()?.get(key).map(|value| vec![value.clone()]))
    }

    fn iterate(&mut self, iteration: &Iteration<'_>, each: &mut dyn FnMut(Row)) -> Result<(), DictError> {
        let found = self.entries()?.iter().filter(|(key, _)| iteration.wants(key));
        let found = found.map(|(key, value)| Row { key: key.clone(), values: vec![value.clone()] });
        iteration.give(found.collect(), each);
        Ok(())
    }

    fn commit(&mut self, transaction: &Transaction) -> Result<Committed, DictError> {
        self.change(&transaction.changes)
    }
}

fn failed(step: &str, path: &str, error: &io::Error) -> DictError {
    DictError::Failed(format!("{step}({path}) failed: {}", base::reason(error)))
}

fn read(mut file: std::fs::File) -> io::Result<([i128; 4], String)> {
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
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut lines = text.split_inclusive('\n').map(|line| line.strip_suffix('\n').unwrap_or(line));
    let mut entries = BTreeMap::new();
    while let (Some(key), Some(value)) = (lines.next(), lines.next()) {
        entries.insert(base::tab::unescape(key), base::tab::unescape(value));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dict::Flags;

    #[test]
    fn keys_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dict");
        let options = Options { path: path.display().to_string(), lock: Lock::Dotlock };
        let mut dict = FileDict::new(options, Logger::new(""));
        let mut lookup = |key: &str| dict.lookup("", key).map(|values| values.map(|values| values.concat()));
        assert_eq!(lookup("shared/a"), Ok(None), "no file is an empty one");
        let text = "shared/a\nx\u{1}ny\nshared/u/1\n1\nshared/u/1/q\n2\nshared/u/2\n\nshared/half";
        std::fs::write(&path, text).unwrap();
        assert_eq!(lookup("shared/a"), Ok(Some("x\ny".into())));
        assert_eq!(lookup("shared/u/2"), Ok(Some(String::new())));
        assert_eq!(lookup("shared/half"), Ok(None));
        std::fs::write(dir.path().join("new"), "shared/a\nother\n").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(lookup("shared/a"), Ok(Some("other".into())));
        std::fs::write(&path, text).unwrap();
        let mut keys = Vec::new();
        let iteration = Iteration { user: "", path: "shared/u/", flags: Flags::default(), rows_max: 0 };
        dict.iterate(&iteration, &mut |row| keys.push(row.key)).unwrap();
        assert_eq!(keys, ["shared/u/1", "shared/u/2"]);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let error = dict.lookup("", "shared/a").unwrap_err().to_string();
        assert!(error.starts_with("read(") && error.ends_with("failed: Is a directory"), "{error}");
    }
}
