//! `mail_location` and `location`: `driver:root:KEY=value:…`, parsed as 2.3 does.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

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
    /// `LISTINDEX=`: the list index, relative to where indexes are; empty for none.
    pub list_index: PathBuf,
    /// `ALT=`: a second, usually slower place for dbox message files.
    pub alt: Option<PathBuf>,
    /// `LAYOUT=`
    pub layout: Layout,
    /// `DIRNAME=`: a subdirectory of each mailbox that holds its messages.
    pub dir_name: String,
    /// `MAILBOXDIR=`: a directory below the root that holds the mailboxes.
    pub mailbox_dir: String,
    /// `SUBSCRIPTIONS=`: the name of the subscriptions file.
    pub subscriptions: String,
    /// `UTF-8`: directory names are not in modified UTF-7.
    pub utf8: bool,
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
    /// `parent/child`.
    Fs,
}

impl Location {
    /// Parses a location; `home` is for `~/` and for auto-detection when `text` is empty.
    pub fn parse(text: &str, home: Option<&Path>) -> Result<Self> {
        if text.is_empty() {
            return Self::detect(home);
        }
        let unsupported = |what: String| Error::Unsupported(what);
        let (driver, data) = match text.split_once(':') {
            Some((driver, data)) if is_driver(driver) => (driver.to_ascii_lowercase(), data),
            // Without a driver 2.3 guesses from what is there; only Maildir can be there for us.
            _ => ("auto".to_owned(), text),
        };
        let mut location = Self::of_driver(&driver);
        let mut words = split(data).into_iter();
        let root = words.next().unwrap_or_default();
        if root.is_empty() {
            return Err(unsupported(format!("Mail root directory not given: {text}")));
        }
        location.root = expand(&root, home)?;
        for word in words {
            location.take(&word, home, text)?;
        }
        if driver == "auto" {
            if !location.root.join("cur").is_dir() {
                return Err(unsupported(format!(
                    "Ambiguous mail location setting, don't know what to do with it: {text} (try prefixing it with mbox: or maildir:)"
                )));
            }
            location.driver = "maildir".to_owned();
        }
        Ok(location)
    }

    /// 2.3's order of auto-detection, as far as the drivers are there: `~/Maildir`, then the mbox
    /// places, which are named in the error.
    fn detect(home: Option<&Path>) -> Result<Self> {
        let root = match home {
            Some(home) => home.join("Maildir"),
            None => PathBuf::from("/"),
        };
        if root.join("cur").is_dir() {
            return Ok(Self { root, ..Self::of_driver("maildir") });
        }
        let home = home.map_or_else(|| "(not set)".to_owned(), |home| home.display().to_string());
        Err(Error::Unsupported(format!(
            "mail_location not set and autodetection failed: Mail storage autodetection failed with home={home}"
        )))
    }

    fn of_driver(driver: &str) -> Self {
        let maildir = matches!(driver, "maildir" | "auto");
        let dbox = matches!(driver, "sdbox" | "mdbox" | "dbox");
        Self {
            driver: driver.to_owned(),
            root: PathBuf::new(),
            inbox: None,
            control: None,
            index: None,
            list_index: PathBuf::from("dovecot.list.index"),
            alt: None,
            layout: if maildir { Layout::MaildirPlusPlus } else { Layout::Fs },
            dir_name: if dbox { "dbox-Mails".to_owned() } else { String::new() },
            mailbox_dir: if dbox { "mailboxes".to_owned() } else { String::new() },
            subscriptions: if driver == "mbox" { ".subscriptions" } else { "subscriptions" }.to_owned(),
            utf8: false,
        }
    }

    fn take(&mut self, word: &str, home: Option<&Path>, text: &str) -> Result<()> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key.to_ascii_uppercase().as_str() {
            "INBOX" => self.inbox = Some(expand(value, home)?),
            "CONTROL" => self.control = Some(expand(value, home)?),
            "INDEX" if value == "MEMORY" || value.is_empty() => self.index = Some(IndexPlace::Memory),
            "INDEX" => self.index = Some(IndexPlace::Dir(expand(value, home)?)),
            "LISTINDEX" => self.list_index = expand(value, home)?,
            "ALT" => self.alt = Some(expand(value, home)?),
            "LAYOUT" => {
                self.layout = match value.to_ascii_lowercase().as_str() {
                    "maildir++" => Layout::MaildirPlusPlus,
                    "fs" => Layout::Fs,
                    _ => {
                        return Err(Error::Unsupported(format!(
                            "LAYOUT={value} isn't supported yet in: {text}"
                        )));
                    }
                };
            }
            "DIRNAME" => self.dir_name = value.to_owned(),
            "MAILBOXDIR" => self.mailbox_dir = value.trim_end_matches('/').to_owned(),
            "SUBSCRIPTIONS" => self.subscriptions = value.to_owned(),
            "UTF-8" => self.utf8 = true,
            // They say where files go that only other drivers, or the index, have: nothing differs without.
            "VOLATILEDIR" | "INDEXCACHE" | "ITERINDEX" => {}
            "FULLDIRNAME" | "BROKENCHAR" | "STORAGENAMEESCAPECHAR" | "INDEXPVT" | "NO-NOSELECT" => {
                return Err(Error::Unsupported(format!("{key} isn't supported yet in: {text}")));
            }
            _ => return Err(Error::Unsupported(format!("Unknown setting: {key} in: {text}"))),
        }
        Ok(())
    }
}

fn is_driver(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !word.starts_with('/')
}

/// Splits at colons; two colons stand for one.
fn split(data: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = data.chars().peekable();
    while let Some(c) = chars.next() {
        if c != ':' {
            words.last_mut().into_iter().for_each(|word| word.push(c));
        } else if chars.next_if_eq(&':').is_some() {
            words.last_mut().into_iter().for_each(|word| word.push(':'));
        } else {
            words.push(String::new());
        }
    }
    words
}

fn expand(path: &str, home: Option<&Path>) -> Result<PathBuf> {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let Some(rest) = path.strip_prefix('~') else { return Ok(PathBuf::from(path)) };
    match (rest.strip_prefix('/'), rest.is_empty(), home) {
        (Some(rest), _, Some(home)) => Ok(home.join(rest)),
        (None, true, Some(home)) => Ok(home.to_path_buf()),
        (None, false, _) => Err(Error::Unsupported(format!("~user paths aren't supported: {path}"))),
        (_, _, None) => Err(Error::Unsupported(format!(
            "Home directory not set for user. Can't expand ~/ for mail root dir in: {path}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match Location::parse(text, Some(Path::new("/home/u"))) {
            Ok(l) => format!(
                "{} {} inbox={:?} control={:?} index={:?} {:?} {}{}",
                l.driver,
                l.root.display(),
                l.inbox,
                l.control,
                l.index,
                l.layout,
                l.dir_name,
                l.utf8
            ),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn locations() {
        check(
            "maildir:~/Maildir",
            "maildir /home/u/Maildir inbox=None control=None index=None MaildirPlusPlus false",
        );
        check(
            "maildir:/m/x/:INBOX=~/in:CONTROL=/c:INDEX=MEMORY:LAYOUT=fs:UTF-8:DIRNAME=dbox",
            "maildir /m/x inbox=Some(\"/home/u/in\") control=Some(\"/c\") index=Some(Memory) Fs dboxtrue",
        );
        check("maildir:/m::x", "maildir /m:x inbox=None control=None index=None MaildirPlusPlus false");
        check("maildir:/m:INDEXPVT=/p", "INDEXPVT isn't supported yet in: maildir:/m:INDEXPVT=/p");
        check("maildir:/m:FOO=1", "Unknown setting: FOO in: maildir:/m:FOO=1");
        check("maildir:", "Mail root directory not given: maildir:");
        check("sdbox:/m", "sdbox /m inbox=None control=None index=None Fs false");
    }
}
