//! A disk that remembers everything that was done to it, and shows what may be left of it after the
//! power went off at any moment.
#![allow(dead_code, unreachable_pub)]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use storage::fs::{Change, Hook};

/// What was done. Files are known by a number, as they have many names.
#[derive(Clone, Debug)]
pub enum Op {
    /// `None` as target: the name has gone. Several names at once are a rename.
    Names(usize, Vec<(PathBuf, bool)>),
    Mkdir(PathBuf),
    Rmdir(PathBuf),
    Symlink(PathBuf, PathBuf),
    Write(usize, Vec<u8>, u64),
    Truncate(usize, u64),
    Sync(usize),
    SyncDir(PathBuf),
}

/// Writes down every change below a directory.
pub struct Recorder {
    root: PathBuf,
    has_unnamed: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    ops: Vec<Op>,
    by_inode: HashMap<u64, usize>,
    names: HashMap<PathBuf, usize>,
    files: usize,
}

impl Inner {
    fn file(&self, file: &File) -> usize {
        *self.by_inode.get(&file.metadata().unwrap().ino()).expect("a file that was made through the seam")
    }
}

impl Recorder {
    /// Of a file system on which files can be without names, or not.
    pub fn new(root: &Path, has_unnamed: bool) -> Self {
        Self { root: root.to_owned(), has_unnamed, inner: Mutex::default() }
    }

    /// How much has happened.
    pub fn len(&self) -> usize {
        self.inner.lock().unwrap().ops.len()
    }

    pub fn ops(&self) -> Vec<Op> {
        self.inner.lock().unwrap().ops.clone()
    }

    fn below(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).expect("a path in the mail").to_owned()
    }
}

impl Hook for Recorder {
    fn before(&self, op: &'static str, path: &Path, bytes: usize) -> io::Result<usize> {
        match op == "open" && !self.has_unnamed && path.is_dir() {
            true => Err(io::ErrorKind::Unsupported.into()),
            false => Ok(bytes),
        }
    }

    fn after(&self, change: &Change<'_>) {
        let mut inner = self.inner.lock().unwrap();
        let inner = &mut *inner;
        let op = match *change {
            Change::Create(path) => {
                let number = inner.files;
                inner.files += 1;
                inner.by_inode.insert(std::fs::symlink_metadata(path).unwrap().ino(), number);
                let path = self.below(path);
                inner.names.insert(path.clone(), number);
                Op::Names(number, vec![(path, true)])
            }
            Change::CreateUnnamed(file) => {
                let number = inner.files;
                inner.files += 1;
                inner.by_inode.insert(file.metadata().unwrap().ino(), number);
                Op::Names(number, Vec::new())
            }
            Change::Name(file, to) => {
                let (number, to) = (inner.file(file), self.below(to));
                inner.names.insert(to.clone(), number);
                Op::Names(number, vec![(to, true)])
            }
            Change::Rename(from, to) => {
                let (from, to) = (self.below(from), self.below(to));
                let number = inner.names.remove(&from).expect("a name");
                inner.names.insert(to.clone(), number);
                Op::Names(number, vec![(from, false), (to, true)])
            }
            Change::Link(from, to) => {
                let (from, to) = (self.below(from), self.below(to));
                let number = *inner.names.get(&from).expect("a name");
                inner.names.insert(to.clone(), number);
                Op::Names(number, vec![(to, true)])
            }
            Change::Unlink(path) => {
                let path = self.below(path);
                let number = inner.names.remove(&path).expect("a name");
                Op::Names(number, vec![(path, false)])
            }
            Change::Mkdir(path) => Op::Mkdir(self.below(path)),
            Change::Rmdir(path) => Op::Rmdir(self.below(path)),
            Change::Symlink(to, link) => Op::Symlink(to.to_owned(), self.below(link)),
            Change::Write(file, bytes, offset) => Op::Write(inner.file(file), bytes.to_vec(), offset),
            Change::Truncate(file, size) => Op::Truncate(inner.file(file), size),
            Change::Sync(file) => Op::Sync(inner.file(file)),
            Change::SyncDir(path) => Op::SyncDir(self.below(path)),
        };
        inner.ops.push(op);
    }
}

/// What the disk does with what was not forced to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Everything is there: only the process died.
    Nothing,
    /// Names appear in the order in which they were made, as with a journal; bytes as they like.
    Journal,
    /// Each directory is on its own.
    Directories,
}

/// A small generator of random numbers: the same for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Makes below `root` what is left after the operations `ops`.
pub fn rebuild(ops: &[Op], loss: Loss, random: &mut Random, root: &Path) {
    let kept = kept_names(ops, loss, random);
    let mut names: BTreeMap<&Path, usize> = BTreeMap::new();
    let mut links: BTreeMap<&Path, &Path> = BTreeMap::new();
    let mut dirs: BTreeMap<&Path, ()> = BTreeMap::new();
    for (op, _) in ops.iter().zip(&kept).filter(|(_, kept)| **kept) {
        match op {
            Op::Names(number, all) => {
                for (path, is_there) in all {
                    match is_there {
                        true => drop(names.insert(path, *number)),
                        // Something else may have got the name by an operation that was not lost.
                        false if names.get(&**path) == Some(number) => drop(names.remove(&**path)),
                        false => {}
                    }
                }
            }
            Op::Mkdir(path) => drop(dirs.insert(path, ())),
            Op::Rmdir(path) => drop(dirs.remove(&**path)),
            Op::Symlink(to, link) => drop(links.insert(link, to)),
            _ => {}
        }
    }
    std::fs::create_dir_all(root).unwrap();
    dirs.keys().for_each(|dir| std::fs::create_dir_all(root.join(dir)).unwrap());
    let mut made: HashMap<usize, PathBuf> = HashMap::new();
    for (path, number) in names {
        let path = root.join(path);
        if !path.parent().unwrap().is_dir() {
            continue;
        }
        match made.get(&number) {
            Some(first) => std::fs::hard_link(first, &path).unwrap(),
            None => {
                std::fs::write(&path, contents(ops, number, loss, random)).unwrap();
                made.insert(number, path);
            }
        }
    }
    for (link, to) in links {
        std::os::unix::fs::symlink(to, root.join(link)).unwrap();
    }
}

fn dirs_of(op: &Op) -> Vec<&Path> {
    match op {
        Op::Names(_, all) => all.iter().filter_map(|(path, _)| path.parent()).collect(),
        Op::Mkdir(path) | Op::Rmdir(path) | Op::Symlink(_, path) => path.parent().into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Which changes of directories are on disk.
fn kept_names(ops: &[Op], loss: Loss, random: &mut Random) -> Vec<bool> {
    if loss == Loss::Nothing {
        return vec![true; ops.len()];
    }
    let mut kept = vec![false; ops.len()];
    let mut last = 0;
    for (at, op) in ops.iter().enumerate() {
        let before = ops.get(..at).unwrap_or_default();
        let durable: Vec<usize> = match op {
            // With a file its names get to disk, and the directories where they are.
            Op::Sync(number) => positions(before, |op| matches!(op, Op::Names(known, _) if known == number)),
            Op::SyncDir(dir) => positions(before, |op| {
                dirs_of(op).contains(&&**dir) || matches!(op, Op::Mkdir(made) if dir.starts_with(made))
            }),
            _ => continue,
        };
        for one in durable {
            last = last.max(one + 1);
            keep(ops, one, &mut kept);
        }
    }
    if loss == Loss::Journal {
        let cut = last + random.below(ops.len() - last + 1);
        return (0..ops.len()).map(|at| at < cut).collect();
    }
    let mut cuts: HashMap<&Path, usize> = HashMap::new();
    for (at, op) in ops.iter().enumerate() {
        let mut in_time = true;
        for dir in dirs_of(op) {
            let cut = *cuts.entry(dir).or_insert_with(|| random.below(ops.len() + 1));
            in_time &= at < cut;
        }
        if in_time && !dirs_of(op).is_empty() {
            keep(ops, at, &mut kept);
        }
    }
    kept
}

/// What is on disk has its directories, and what was done in them before, with it.
fn keep(ops: &[Op], one: usize, kept: &mut [bool]) {
    if std::mem::replace(&mut kept[one], true) {
        return;
    }
    let dirs = dirs_of(&ops[one]);
    for (at, op) in ops[..one].iter().enumerate().rev() {
        let above = matches!(op, Op::Mkdir(made) if dirs.iter().any(|dir| dir.starts_with(made)));
        let same_file = matches!((op, &ops[one]), (Op::Names(a, _), Op::Names(b, _)) if a == b);
        if above || same_file || dirs_of(op).iter().any(|dir| dirs.contains(dir)) {
            keep(ops, at, kept);
        }
    }
}

fn positions(ops: &[Op], wanted: impl Fn(&Op) -> bool) -> Vec<usize> {
    ops.iter().enumerate().filter(|(_, op)| wanted(op)).map(|(at, _)| at).collect()
}

/// What a file holds: all that was forced to disk, and any of the rest.
fn contents(ops: &[Op], number: usize, loss: Loss, random: &mut Random) -> Vec<u8> {
    let own = |op: &&Op| match op {
        Op::Write(known, ..) | Op::Truncate(known, _) | Op::Sync(known) => *known == number,
        _ => false,
    };
    let all: Vec<&Op> = ops.iter().filter(own).collect();
    let synced = all.iter().rposition(|op| matches!(op, Op::Sync(_))).map_or(0, |at| at + 1);
    let way = if loss == Loss::Nothing { 0 } else { random.below(4) };
    let cut = synced + random.below(all.len() - synced + 1);
    let mut bytes = Vec::new();
    for (at, op) in all.into_iter().enumerate() {
        let keeps = at < synced
            || match way {
                0 => true,
                1 => false,
                2 => at < cut,
                _ => random.below(2) == 0,
            };
        match op {
            Op::Write(_, written, offset) => {
                let offset = usize::try_from(*offset).unwrap();
                // The size may be on disk before the bytes: zeros.
                let size_only = !keeps && loss != Loss::Nothing && random.below(3) == 0;
                let count = match keeps {
                    true if at >= synced && way == 3 => random.below(written.len() + 1),
                    _ => written.len(),
                };
                if keeps || size_only {
                    let end = offset + count;
                    bytes.resize(bytes.len().max(end), 0);
                }
                if keeps {
                    bytes[offset..offset + count].copy_from_slice(&written[..count]);
                }
            }
            Op::Truncate(_, size) if keeps => bytes.resize(usize::try_from(*size).unwrap(), 0),
            _ => {}
        }
    }
    bytes
}
