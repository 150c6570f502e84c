//! How mailbox names become directories: Maildir++ (`.parent.child`) and `fs` (`parent/child`). With `index`
//! what is called a name here is the mailbox's GUID; `by_guid` translates.

use std::path::{Path, PathBuf};

use base::Guid;

use crate::api::{Listed, PathKind};
use crate::dirs::{Dirs, Entries, Walk};
use crate::error::{Error, Result};
use crate::fs::{Fs, Permissions, is_missing, join};
use crate::location::{IndexPlace, Layout, Location};

/// The names and paths of one location.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub location: Location,
    /// `mail_full_filesystem_access`
    pub full_access: bool,
    /// `maildir_stat_dirs`
    pub stat_dirs: bool,
    /// Whether INBOX is the user's: elsewhere it is a mailbox like others, but for `INBOX=`.
    pub has_inbox: bool,
    /// What is known of directories.
    pub dirs: Dirs,
}

impl Tree {
    pub(crate) fn separator(&self) -> char {
        match self.location.layout {
            Layout::MaildirPlusPlus | Layout::ImapDir => '.',
            Layout::Fs | Layout::Index => '/',
        }
    }

    /// Refuses what can never be a mailbox, in 2.3's words.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        self.check_with(name, &|part| {
            matches!(part, "cur" | "new" | "tmp" | "subscriptions" | "maildirfolder")
                // A directory in the place of such a file would make its mailbox unusable.
                || OWN_FILES.iter().any(|own| part.starts_with(own))
        })
    }

    /// The same for a driver that needs other names for itself.
    pub(crate) fn check_with(&self, name: &str, is_reserved: &dyn Fn(&str) -> bool) -> Result<()> {
        let invalid = |why: &str| Err(Error::InvalidName { name: name.to_owned(), why: why.to_owned() });
        if name.is_empty() {
            return invalid("Name is empty");
        }
        if name.chars().any(char::is_control) {
            return invalid("Contains control characters");
        }
        if self.full_access && name.starts_with(['/', '~']) {
            return Ok(());
        }
        let separator = self.separator();
        let on_disk;
        let name = match self.location.names.broken {
            Some(broken) if name.contains(broken) => {
                // What stands for a broken byte may be any, and must not lead elsewhere.
                let level = |level: &str| self.encode(level);
                let is_whole = |level: &String| {
                    !level.contains(['/', separator]) && !level.chars().any(|c| c.is_ascii_control())
                };
                if !name.split(separator).map(level).all(|level| is_whole(&level)) {
                    return invalid("Contains an escaped character that isn't allowed");
                }
                on_disk = self.encode(name);
                &on_disk
            }
            _ => name,
        };
        if name.starts_with(separator) && separator != '/' {
            return invalid("Begins with hierarchy separator");
        }
        if name.ends_with(separator) {
            return invalid("Ends with hierarchy separator");
        }
        match self.location.layout {
            flat if flat.is_flat() && name.contains('/') => {
                return invalid("Name must not have '/' characters");
            }
            flat if flat.is_flat() && name.starts_with('~') => return invalid("Begins with '~'"),
            flat if flat.is_flat() && name.contains("..") => {
                return invalid("Has adjacent hierarchy separators");
            }
            Layout::MaildirPlusPlus | Layout::ImapDir => {}
            Layout::Index if name.parse::<Guid>().is_err() => return invalid("Not a GUID"),
            Layout::Index => {}
            Layout::Fs if name.starts_with('/') => return invalid("Begins with '/'"),
            Layout::Fs if name.starts_with('~') => return invalid("Begins with '~'"),
            Layout::Fs if name.contains("//") => return invalid("Has adjacent '/' chars"),
            Layout::Fs => {
                for part in name.split('/') {
                    match part {
                        "." => return invalid("Contains '.' part"),
                        ".." => return invalid("Contains '..' part"),
                        part if is_reserved(part) => return invalid("Contains reserved name"),
                        _ => {}
                    }
                }
            }
        }
        let longest = match self.location.layout {
            Layout::MaildirPlusPlus => self.encode(name).len() + 1,
            Layout::ImapDir => self.encode(name).len(),
            Layout::Fs => name.split('/').map(|part| self.encode(part).len()).max().unwrap_or(0),
            Layout::Index => name.len(),
        };
        if longest > NAME_BYTES_MAX || name.len() > PATH_BYTES_MAX {
            return invalid("Mailbox name too long");
        }
        Ok(())
    }

    /// The directory with a mailbox's messages.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        if name == "INBOX" {
            // With a subdirectory for the messages of each mailbox, and with `imapdir`, INBOX is one like
            // others.
            let is_root = self.location.dir_name.is_empty() && self.location.layout != Layout::ImapDir;
            match &self.location.inbox {
                Some(inbox) => return inbox.clone(),
                None if is_root && self.has_inbox => return self.location.root.clone(),
                None => {}
            }
        }
        let mut path = self.node(name);
        if !self.location.dir_name.is_empty() {
            path.push(&self.location.dir_name);
        }
        path
    }

    /// The directory that stands for a name and, with `fs`, holds its children.
    pub(crate) fn node(&self, name: &str) -> PathBuf {
        if self.full_access && name.starts_with('/') {
            return PathBuf::from(name);
        }
        self.below(&self.location.root, name)
    }

    /// What something new of a mailbox is made with: what its directory has or, while that is not there, the
    /// nearest one above.
    pub(crate) fn permissions(&self, name: &str) -> Permissions {
        let mut at = Some(name).filter(|name| *name != "INBOX" || !self.has_inbox);
        while let Some(name) = at {
            let node = self.node(name);
            if node.is_dir() {
                return Permissions::of_dir(&node);
            }
            at = name.rsplit_once(self.separator()).map(|(above, _)| above);
        }
        Permissions::of_dir(&self.location.root)
    }

    /// The control directory of a mailbox.
    pub(crate) fn control(&self, name: &str) -> PathBuf {
        match &self.location.control {
            Some(control) => self.apart(control, name),
            None => self.dir(name),
        }
    }

    /// The index directory of a mailbox.
    pub(crate) fn index(&self, name: &str) -> Option<PathBuf> {
        match &self.location.index {
            Some(IndexPlace::Memory) => None,
            Some(IndexPlace::Dir(index)) => Some(self.apart(index, name)),
            None => Some(self.dir(name)),
        }
    }

    /// The directory of a mailbox's cache, if that is apart from the index.
    pub(crate) fn cache(&self, name: &str) -> Option<PathBuf> {
        self.location.index_cache.as_ref().map(|cache| self.apart(cache, name))
    }

    /// The directory of a user's own index of a mailbox (`INDEXPVT=`).
    pub(crate) fn private_index(&self, name: &str) -> Option<PathBuf> {
        self.location.index_private.as_ref().map(|private| self.apart(private, name))
    }

    /// What `ALT=` has in the place of a mailbox. Only dbox moves messages there.
    pub(crate) fn alt(&self, name: &str, kind: PathKind) -> Option<PathBuf> {
        let node = self.below(self.location.alt.as_ref()?, name);
        let is_whole = kind != PathKind::AltMailbox || self.location.dir_name.is_empty();
        Some(if is_whole { node } else { node.join(&self.location.dir_name) })
    }

    /// The directory in `INDEX=` that stands for a name, where mailboxes are listed from there.
    pub(crate) fn listed_node(&self, name: &str) -> Option<PathBuf> {
        match &self.location.index {
            Some(IndexPlace::Dir(index)) if self.location.list_from_index => Some(self.below(index, name)),
            _ => None,
        }
    }

    /// Where the subscriptions and `dovecot-uidvalidity` are.
    pub(crate) fn control_root(&self) -> &Path {
        self.location.control.as_deref().unwrap_or(&self.location.root)
    }

    /// What `INDEX=` names, or where the mail is.
    pub(crate) fn index_root(&self) -> &Path {
        match &self.location.index {
            Some(IndexPlace::Dir(index)) => index,
            Some(IndexPlace::Memory) | None => &self.location.root,
        }
    }

    /// What is kept of a mailbox elsewhere than with its mail.
    fn apart(&self, root: &Path, name: &str) -> PathBuf {
        let path = self.below(root, name);
        match self.location.full_dir_name && !self.location.dir_name.is_empty() {
            true => path.join(&self.location.dir_name),
            false => path,
        }
    }

    /// What stands for a name below some root.
    pub(crate) fn below(&self, root: &Path, name: &str) -> PathBuf {
        match self.location.layout {
            Layout::MaildirPlusPlus => root.join(format!(".{}", self.encode(name))),
            _ if self.location.mailbox_dir.is_empty() => root.join(self.encode(name)),
            Layout::ImapDir | Layout::Fs | Layout::Index => {
                root.join(&self.location.mailbox_dir).join(self.encode(name))
            }
        }
    }

    /// As the name stands on disk.
    pub(crate) fn encode(&self, name: &str) -> String {
        self.location.names.encode(name)
    }

    /// The name of what stands on disk; `None` if it is no mailbox name.
    pub(crate) fn decode(&self, raw: &[u8]) -> Option<String> {
        self.location.names.decode(raw)
    }

    /// The directory that mailboxes are listed from.
    pub(crate) fn list_root(&self) -> PathBuf {
        let root = if self.location.list_from_index { self.index_root() } else { &self.location.root };
        match self.location.layout {
            Layout::ImapDir | Layout::Fs | Layout::Index if !self.location.mailbox_dir.is_empty() => {
                root.join(&self.location.mailbox_dir)
            }
            _ => root.to_owned(),
        }
    }

    /// Every mailbox and node on disk. What is called INBOX may be none: the user's is elsewhere.
    pub(crate) fn list(&self, fs: &Fs) -> Result<Vec<Listed>> {
        let root = self.list_root();
        self.dirs.listing(fs, &root, |walk| {
            let mut found = Vec::new();
            match self.location.layout {
                Layout::MaildirPlusPlus | Layout::ImapDir => self.list_flat(fs, walk, &root, &mut found)?,
                Layout::Fs => {
                    let entries = walk.entries(&root)?;
                    self.list_deep(walk, &entries, &root, "", 0, &mut found)?;
                }
                Layout::Index => {
                    walk.depends_on_more();
                    found = self.list_guids(fs)?;
                }
            }
            Ok(found)
        })
    }

    /// The mailboxes of `LAYOUT=index`, each under its GUID.
    pub(crate) fn list_guids(&self, fs: &Fs) -> Result<Vec<Listed>> {
        let (mut found, root) = (Vec::new(), self.list_root());
        let read = fs.read_dir(&root, |name, kind| {
            let name = std::str::from_utf8(name).ok().filter(|_| may_be_dir(kind));
            // In lower case only, as the directories are named.
            if let Some(guid) =
                name.and_then(|name| name.parse::<Guid>().ok().filter(|guid| guid.to_string() == name))
            {
                let name = guid.to_string();
                found.push(Listed { name, selectable: true, inferiors: false, marked: None });
            }
        });
        ignore_missing(read, &root)?;
        Ok(found)
    }

    fn list_flat(&self, fs: &Fs, walk: &mut Walk<'_>, root: &Path, found: &mut Vec<Listed>) -> Result<()> {
        let mut names = Vec::new();
        walk.depends_on(root);
        let is_dotted = self.location.layout == Layout::MaildirPlusPlus;
        let read = fs.read_dir(root, |name, kind| {
            let hidden = name.starts_with(b"..") || name.starts_with(b".temp.") || name.starts_with(b".nfs");
            let rest = match name.strip_prefix(b".") {
                Some(rest) if is_dotted && !rest.is_empty() && !hidden => rest,
                None if !is_dotted => name,
                _ => return,
            };
            if may_be_dir(kind) {
                names.push((rest.to_vec(), kind == rustix::fs::FileType::Directory));
            }
        });
        ignore_missing(read, root)?;
        for (raw, sure) in names {
            let Some(name) = self.decode(&raw).filter(|name| self.check(name).is_ok()) else { continue };
            let is_sure = !self.stat_dirs && sure;
            if !is_sure {
                walk.depends_on_more();
            }
            if is_sure || self.dir(&name).is_dir() {
                let selectable = true;
                found.push(Listed { name, selectable, inferiors: true, marked: None });
            }
        }
        Ok(())
    }

    fn list_deep(
        &self,
        walk: &mut Walk<'_>,
        entries: &Entries,
        dir: &Path,
        prefix: &str,
        depth: usize,
        found: &mut Vec<Listed>,
    ) -> Result<()> {
        if depth > DEPTH_MAX {
            return Ok(());
        }
        let location = &self.location;
        let is_apart = location.list_from_index || !location.dir_name.is_empty();
        for (raw, sure) in entries.iter() {
            let is_inner = !location.list_from_index && matches!(raw, b"cur" | b"new" | b"tmp");
            if is_inner || raw == location.dir_name.as_bytes() {
                continue;
            }
            let path = join(dir, raw);
            if !sure && !path.is_dir() {
                continue;
            }
            let Some(part) = self.decode(raw) else { continue };
            let name = if prefix.is_empty() { part } else { format!("{prefix}/{part}") };
            let below = walk.entries(&path)?;
            let selectable = match is_apart {
                true => {
                    walk.depends_on_more();
                    self.dir(&name).join("cur").is_dir()
                }
                false => below.has(&path, b"cur"),
            };
            found.push(Listed { name: name.clone(), selectable, inferiors: true, marked: None });
            self.list_deep(walk, &below, &path, &name, depth + 1, found)?;
        }
        Ok(())
    }
}

fn may_be_dir(kind: rustix::fs::FileType) -> bool {
    use rustix::fs::FileType;
    matches!(kind, FileType::Directory | FileType::Symlink | FileType::Unknown)
}

fn ignore_missing(result: std::io::Result<()>, path: &Path) -> Result<()> {
    match result {
        Err(error) if !is_missing(&error) => Err(Error::io("opendir", path, error)),
        _ => Ok(()),
    }
}

/// How the names of files begin that lie in mailboxes' directories.
const OWN_FILES: [&str; 3] = ["dovecot-uid", "dovecot-keywords", "dovecot.index"];
/// File systems allow no longer names.
const NAME_BYTES_MAX: usize = 255;
/// 2.3's MAILBOX_LIST_NAME_MAX_LENGTH.
const PATH_BYTES_MAX: usize = 4096;
/// A loop of symbolic links ends here.
const DEPTH_MAX: usize = 64;
