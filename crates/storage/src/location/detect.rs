//! Finds where mail is, and in which format, when the settings do not say.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::error::{Error, Result};

use super::{Location, Owner, Words};

/// The location of whoever is meant by `text`, which names no driver.
pub(super) fn detect(text: &str, words: Words, owner: &Owner<'_>) -> Result<Location> {
    let given = words.root.clone().filter(|root| !root.as_os_str().is_empty());
    for (driver, dir, sign) in
        [("sdbox", "sdbox", "mailboxes"), ("mdbox", "mdbox", "storage"), ("maildir", "Maildir", "cur")]
    {
        let root = given.clone().or_else(|| match owner.home {
            Some(home) => Some(home.join(dir)).filter(|root| may(root, Access::EXEC_OK)),
            // The root directory of a chroot.
            None => (driver == "maildir" && may(Path::new("/cur"), Access::EXEC_OK)).then(|| "/".into()),
        });
        // Also an mdbox has `mailboxes`. 2.3 takes it for an sdbox, whose messages would all be gone.
        let is_other = |root: &Path| driver == "sdbox" && given.is_some() && root.join("storage").is_dir();
        if let Some(root) = root.filter(|root| root.join(sign).is_dir() && !is_other(root)) {
            return Location::finish(driver, root, words);
        }
    }
    if let Some((root, inbox)) = mbox(given, words.inbox.as_deref(), owner) {
        return Location::finish("mbox", root, Words { inbox, ..words });
    }
    let home = owner.home.map_or_else(|| "(not set)".to_owned(), |home| home.display().to_string());
    Err(Error::Unsupported(match text {
        "" => format!(
            "mail_location not set and autodetection failed: Mail storage autodetection failed with home={home}"
        ),
        text if text.starts_with("auto:") => format!("Autodetection failed for {text} (home={home})"),
        text => format!(
            "Ambiguous mail location setting, don't know what to do with it: {text} (try prefixing it with mbox: or maildir:)"
        ),
    }))
}

/// The root of mboxes, and INBOX, which may be where the system delivers to.
fn mbox(
    given: Option<PathBuf>,
    inbox: Option<&Path>,
    owner: &Owner<'_>,
) -> Option<(PathBuf, Option<PathBuf>)> {
    let mut inbox = inbox.map(Path::to_owned);
    let root = match given {
        // The location may be that of INBOX alone.
        Some(file) if inbox.is_none() && is_mbox(&file) => {
            inbox = Some(file);
            None
        }
        Some(root) if is_mbox_root(&root) => Some(root),
        Some(_) => return None,
        None => None,
    };
    let home = owner.home.unwrap_or(Path::new(""));
    let known = || ["mail", "Mail"].map(|dir| home.join(dir)).into_iter().find(|dir| is_mbox_root(dir));
    let root = root.or_else(known)?;
    Some((root, inbox.or_else(|| spooled(owner.name))))
}

/// The file that the system delivers to.
fn spooled(name: &str) -> Option<PathBuf> {
    let is_name = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let mut files = SPOOLS.iter().map(|dir| Path::new(dir).join(name)).filter(|_| is_name);
    files.find(|file| may(file, Access::empty()))
}

fn is_mbox_root(dir: &Path) -> bool {
    let index = dir.join(".imap");
    index.is_dir() && may(&index, Access::EXEC_OK)
        || is_mbox(&dir.join("inbox"))
        || is_mbox(&dir.join("mbox"))
}

fn is_mbox(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| !meta.is_dir()) && may(file, Access::empty())
}

/// Whether it may be read and written, and what `more` says.
fn may(path: &Path, more: Access) -> bool {
    access(path, Access::READ_OK | Access::WRITE_OK | more).is_ok()
}

/// Where 2.3 looks for INBOX.
const SPOOLS: [&str; 2] = ["/var/mail", "/var/spool/mail"];
