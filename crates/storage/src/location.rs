//! `mail_location` and `location`: `driver:root:KEY=value:…`, parsed as 2.3 does.

mod detect;
mod names;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

pub use names::Names;

/// Where and how mailboxes are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// `maildir`, `mbox`, `sdbox` …
    pub driver: String,
    /// The mail root directory.
    pub root: PathBuf,
    /// `INBOX=`
    pub inbox: Option<PathBuf>,
    /// `CONTROL=`
    pub control: Option<PathBuf>,
    /// `INDEX=`; `MEMORY` and an empty value mean that there is none on disk.
    pub index: Option<IndexPlace>,
    /// `INDEXPVT=`: where each user's own `\Seen` flags of shared mailboxes are.
    pub index_private: Option<PathBuf>,
    /// `INDEXCACHE=`: where `dovecot.index.cache` is, if not beside the index.
    pub index_cache: Option<PathBuf>,
    /// `LISTINDEX=`: the list index, relative to where indexes are; empty for none.
    pub list_index: PathBuf,
    /// `VOLATILEDIR=`: where lock files are that need not outlive the machine.
    pub volatile: Option<PathBuf>,
    /// `ALT=`: a second, usually slower place for dbox message files.
    pub alt: Option<PathBuf>,
    /// `ALTNOCHECK`: whether `ALT=` is what it was is not looked at.
    pub alt_unchecked: bool,
    /// `LAYOUT=`
    pub layout: Layout,
    /// `DIRNAME=` or `FULLDIRNAME=`: a subdirectory of each mailbox that holds its messages.
    pub dir_name: String,
    /// `FULLDIRNAME=`: the subdirectory is also below `INDEX=` and `CONTROL=`.
    pub full_dir_name: bool,
    /// `MAILBOXDIR=`: a directory below the root that holds the mailboxes.
    pub mailbox_dir: String,
    /// `SUBSCRIPTIONS=`: the name of the subscriptions file.
    pub subscriptions: String,
    /// `ITERINDEX`: mailboxes are listed from `INDEX=`, which may be on faster disks.
    pub list_from_index: bool,
    /// `NO-NOSELECT`: nodes without mail go with the last mailbox below them.
    pub no_noselect: bool,
    /// How names stand on disk: `UTF-8`, `BROKENCHAR=`.
    pub names: Names,
    /// The prefix of the namespace, for the names of lock files.
    pub prefix: String,
    /// Whether the namespace is `type = public`.
    pub is_public: bool,
}

/// Where index files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexPlace {
    /// Not on disk.
    Memory,
    /// Below this directory, in the shape of the layout.
    Dir(PathBuf),
}

/// How mailbox names become directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `.parent.child` beside `cur`.
    MaildirPlusPlus,
    /// `parent.child`, and `INBOX` among them.
    ImapDir,
    /// `parent/child`.
    Fs,
    /// Each mailbox's directory is named by its GUID; only the list index knows names.
    Index,
}

impl Layout {
    /// Whether a name of several levels is one directory, beside those of other names.
    pub fn is_flat(self) -> bool {
        matches!(self, Self::MaildirPlusPlus | Self::ImapDir)
    }
}

/// Whose mail a location is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Owner<'a> {
    /// For `~/` and for finding the mail when no setting says where it is.
    pub home: Option<&'a Path>,
    /// The full user name, by which an mbox in `/var/mail` is found; empty for nobody's.
    pub name: &'a str,
}

impl Location {
    /// Parses a location; `home` is for `~/` and for auto-detection when `text` is empty.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn parse(text: &str, home: Option<&Path>) -> Result<Self> {
        Self::of(text, &Owner { home, name: "" })
    }

    /// Parses a user's location. Without a driver, or with `auto`, the driver is guessed from what is
    /// there, in 2.3's order: sdbox, mdbox, Maildir, mbox.
    ///
    /// # Errors
    /// What is wrong with it, in 2.3's words.
    pub fn of(text: &str, owner: &Owner<'_>) -> Result<Self> {
        let (driver, data) = match text.split_once(':') {
            Some((driver, data)) if is_driver(driver) => (driver.to_ascii_lowercase(), data),
            _ => ("auto".to_owned(), text),
        };
        let words = Words::parse(data, owner.home)?;
        if driver == "auto" {
            return detect::detect(text, words, owner);
        }
        match &words.root {
            Some(root) if !root.as_os_str().is_empty() => Self::finish(&driver, root.clone(), words),
            _ => Err(Error::Unsupported("Root mail directory not given".to_owned())),
        }
    }

    /// The list index, if there is to be one on disk.
    pub(crate) fn list_index_path(&self) -> Option<PathBuf> {
        let name = self.list_index.file_name()?;
        let above = match &self.index {
            Some(IndexPlace::Memory) => None,
            Some(IndexPlace::Dir(dir)) => Some(dir),
            None => Some(&self.root),
        };
        let path = match above {
            Some(above) => above.join(&self.list_index),
            None if self.list_index.is_absolute() => self.list_index.clone(),
            None => return None,
        };
        // What is no mailbox is apart from the files that are.
        let is_apart = self.driver == "mbox" && self.dir_name.is_empty();
        Some(if is_apart { path.parent()?.join(".imap").join(name) } else { path })
    }

    /// With the defaults of its driver.
    fn finish(driver: &str, root: PathBuf, words: Words) -> Result<Self> {
        let dbox = matches!(driver, "sdbox" | "mdbox" | "dbox");
        let default_layout = if driver == "maildir" { "maildir++" } else { "fs" };
        let layout = layout(words.layout.as_deref().unwrap_or(default_layout))?;
        let given = |word: String, default: &str| match (dbox, word.is_empty()) {
            (true, true) => default.to_owned(),
            _ => word,
        };
        let mut dir_name = given(words.dir_name, "dbox-Mails");
        let mut inbox = words.inbox;
        if layout == Layout::Index {
            // A mailbox is the directory with its GUID, INBOX as well.
            dir_name.clear();
            inbox = None;
        }
        if layout.is_flat() && (!dir_name.is_empty() || words.alt.is_some()) {
            let what = if dir_name.is_empty() { "alt_dir" } else { "maildir_name" };
            let name = if layout == Layout::ImapDir { "imapdir" } else { "maildir++" };
            let error = format!("Mailbox list driver {name}: {what} not supported by this driver");
            return Err(Error::Unsupported(error));
        }
        if layout == Layout::ImapDir && driver != "maildir" {
            return Err(Error::Unsupported(format!("LAYOUT=imapdir isn't supported with {driver}")));
        }
        let default_subscriptions = if driver == "mbox" { ".subscriptions" } else { "subscriptions" };
        let apart = |dir: Option<PathBuf>| dir.filter(|dir| *dir != root);
        Ok(Self {
            driver: driver.to_owned(),
            inbox,
            control: apart(words.control),
            index: words.index.filter(|index| *index != IndexPlace::Dir(root.clone())),
            index_private: apart(words.index_private),
            index_cache: apart(words.index_cache),
            list_index: words.list_index.unwrap_or_else(|| PathBuf::from("dovecot.list.index")),
            volatile: words.volatile,
            alt: words.alt,
            alt_unchecked: words.alt_unchecked,
            layout,
            dir_name,
            full_dir_name: words.full_dir_name,
            mailbox_dir: given(words.mailbox_dir, "mailboxes"),
            subscriptions: words.subscriptions.unwrap_or_else(|| default_subscriptions.to_owned()),
            list_from_index: words.list_from_index,
            no_noselect: words.no_noselect,
            names: words.names,
            prefix: String::new(),
            is_public: false,
            root,
        })
    }
}

/// What a location says, before the driver's defaults.
#[derive(Default)]
struct Words {
    root: Option<PathBuf>,
    inbox: Option<PathBuf>,
    control: Option<PathBuf>,
    index: Option<IndexPlace>,
    index_private: Option<PathBuf>,
    index_cache: Option<PathBuf>,
    list_index: Option<PathBuf>,
    volatile: Option<PathBuf>,
    alt: Option<PathBuf>,
    alt_unchecked: bool,
    layout: Option<String>,
    dir_name: String,
    full_dir_name: bool,
    mailbox_dir: String,
    subscriptions: Option<String>,
    list_from_index: bool,
    no_noselect: bool,
    names: Names,
}

impl Words {
    fn parse(data: &str, home: Option<&Path>) -> Result<Self> {
        let mut words = Self::default();
        if data.is_empty() {
            return Ok(words);
        }
        let mut all = split(data).into_iter();
        let root = all.next().unwrap_or_default();
        words.root = Some(expand(&root, home, "mail root dir", data)?);
        if root.starts_with("INBOX=") {
            return Err(Error::Unsupported(format!("Mail root directory not given: {data}")));
        }
        for word in all {
            words.take(&word, home, data)?;
        }
        let is_in_memory = words.index == Some(IndexPlace::Memory);
        if words.list_from_index && (words.index.is_none() || is_in_memory) {
            return Err(Error::Unsupported("ITERINDEX requires INDEX to be explicitly set".to_owned()));
        }
        let is_below = |path: &PathBuf| path.is_relative() && path.components().count() > 1;
        if is_in_memory && words.list_index.as_ref().is_some_and(is_below) {
            let error = "LISTINDEX directory is relative but INDEX=MEMORY";
            return Err(Error::Unsupported(error.to_owned()));
        }
        Ok(words)
    }

    fn take(&mut self, word: &str, home: Option<&Path>, data: &str) -> Result<()> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let path = || expand(value, home, key, data);
        match key {
            "UTF-8" if word == key => self.names.utf8 = true,
            "INBOX" => self.inbox = Some(path()?),
            "INDEX" if value == "MEMORY" || value.is_empty() => self.index = Some(IndexPlace::Memory),
            "INDEX" => self.index = Some(IndexPlace::Dir(path()?)),
            "INDEXPVT" => self.index_private = Some(path()?),
            "INDEXCACHE" => self.index_cache = Some(path()?),
            "CONTROL" => self.control = Some(path()?),
            "ALT" => self.alt = Some(path()?),
            "ALTNOCHECK" => self.alt_unchecked = true,
            "LAYOUT" => self.layout = Some(value.to_owned()),
            "SUBSCRIPTIONS" => self.subscriptions = Some(value.to_owned()),
            "DIRNAME" => value.clone_into(&mut self.dir_name),
            "FULLDIRNAME" => {
                value.clone_into(&mut self.dir_name);
                self.full_dir_name = true;
            }
            "MAILBOXDIR" => value.trim_end_matches('/').clone_into(&mut self.mailbox_dir),
            "VOLATILEDIR" => self.volatile = Some(path()?),
            "LISTINDEX" => self.list_index = Some(path()?),
            "BROKENCHAR" => match *value.as_bytes() {
                // An `&` begins what is encoded, so that 2.3 would stop there.
                [byte] if byte != b'&' => self.names.broken = Some(byte.into()),
                _ => {
                    let error = "BROKENCHAR value must be a single character";
                    return Err(Error::Unsupported(error.to_owned()));
                }
            },
            "ITERINDEX" => self.list_from_index = true,
            "NO-NOSELECT" => self.no_noselect = true,
            _ => return Err(Error::Unsupported(format!("Unknown setting: {key}"))),
        }
        Ok(())
    }
}

fn layout(word: &str) -> Result<Layout> {
    match word.to_ascii_lowercase().as_str() {
        "maildir++" => Ok(Layout::MaildirPlusPlus),
        "fs" => Ok(Layout::Fs),
        "index" => Ok(Layout::Index),
        "imapdir" => Ok(Layout::ImapDir),
        "none" => Err(Error::Unsupported(format!("LAYOUT={word} isn't supported yet"))),
        _ => Err(Error::Unsupported(format!("Mailbox list driver {word}: Unknown driver name"))),
    }
}

fn is_driver(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Splits at colons; two colons stand for one, and one at the end for nothing.
fn split(data: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = data.chars().peekable();
    while let Some(c) = chars.next() {
        if c != ':' {
            words.last_mut().into_iter().for_each(|word| word.push(c));
        } else if chars.next_if_eq(&':').is_some() {
            words.last_mut().into_iter().for_each(|word| word.push(':'));
        } else if chars.peek().is_some() {
            words.push(String::new());
        }
    }
    words
}

fn expand(path: &str, home: Option<&Path>, what: &str, data: &str) -> Result<PathBuf> {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let Some(rest) = path.strip_prefix('~') else { return Ok(PathBuf::from(path)) };
    match (rest.strip_prefix('/'), rest.is_empty(), home) {
        (Some(rest), _, Some(home)) => Ok(home.join(rest)),
        (None, true, Some(home)) => Ok(home.to_path_buf()),
        (None, false, _) => Err(Error::Unsupported(format!("~user paths aren't supported: {path}"))),
        (_, _, None) => Err(Error::Unsupported(format!(
            "Home directory not set for user. Can't expand ~/ for {what} in: {data}"
        ))),
    }
}

#[cfg(test)]
mod tests;
