//! Puts messages into mailboxes: into a Maildir as files, behind the server's back, as a delivery
//! agent does; into other formats over IMAP.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::client::Outcome;
use crate::options::Format;
use crate::side::Side;

/// The mailbox of distinct messages that all others are made of.
pub(crate) const MAIN: &str = "main";

/// COPY commands take this many messages at most, so that none lasts too long.
const COPY_MESSAGES_MAX: usize = 1_000;

/// A message file of [`MAIN`].
pub(crate) struct Stored {
    path: PathBuf,
    /// Size as stored, and with CRLF: what Dovecot writes into file names as `S=` and `W=`.
    size: usize,
    size_crlf: usize,
}

impl Side {
    /// Makes [`MAIN`], if it is not there yet.
    pub(crate) fn fill_main(&mut self) -> Outcome<()> {
        if !self.filled.contains(MAIN) {
            match self.format {
                Format::Maildir => self.write_main()?,
                Format::Mdbox => self.append_main()?,
            }
            self.filled.insert(MAIN.to_owned());
        }
        Ok(())
    }

    /// Makes a mailbox of `count` messages that are the first `distinct` ones of [`MAIN`] over and
    /// over, if it is not there yet: hard links in a Maildir, copies elsewhere.
    pub(crate) fn fill(&mut self, mailbox: &str, count: usize, distinct: usize) -> Outcome<()> {
        self.fill_main()?;
        if !self.filled.contains(mailbox) {
            let distinct = distinct.min(self.amounts.messages);
            match self.format {
                Format::Maildir => self.link(mailbox, count, distinct)?,
                Format::Mdbox => self.copy(mailbox, count, distinct)?,
            }
            self.filled.insert(mailbox.to_owned());
        }
        Ok(())
    }

    fn write_main(&mut self) -> io::Result<()> {
        let folder = Folder::create(&self.host.maildir("user1"), MAIN)?;
        for number in 0..self.amounts.messages {
            let message = self.corpus.message(number as u64);
            let lines = memchr::memchr_iter(b'\n', &message).count();
            let (size, size_crlf) = (message.len(), message.len() + lines);
            let path = folder.file(number, size, size_crlf);
            fs::write(&path, message)?;
            folder.give(&path)?;
            self.stored.push(Stored { path, size, size_crlf });
        }
        folder.finish(self.stored.iter().map(|stored| (stored.size, stored.size_crlf)))
    }

    fn link(&self, mailbox: &str, count: usize, distinct: usize) -> io::Result<()> {
        let folder = Folder::create(&self.host.maildir("user1"), mailbox)?;
        let pool = self.stored.get(..distinct).unwrap_or_default();
        let messages = pool.iter().cycle().take(count);
        for (number, stored) in messages.clone().enumerate() {
            fs::hard_link(&stored.path, folder.file(number, stored.size, stored.size_crlf))?;
        }
        folder.finish(messages.map(|stored| (stored.size, stored.size_crlf)))
    }

    fn append_main(&self) -> Outcome<()> {
        let mut session = self.session()?;
        session.command(&format!("CREATE {MAIN}"))?;
        let numbers: Vec<u64> = (0..self.amounts.messages as u64).collect();
        for numbers in numbers.chunks(session.messages_at_once()) {
            let messages: Vec<_> = numbers.iter().map(|number| self.corpus.message_crlf(*number)).collect();
            session.append(MAIN, &messages)?;
        }
        session.logout()
    }

    fn copy(&self, mailbox: &str, count: usize, distinct: usize) -> Outcome<()> {
        let mut session = self.selected(MAIN)?;
        session.command(&format!("CREATE {mailbox}"))?;
        let mut left = count;
        while left > 0 {
            let mut first = 1;
            while first <= distinct && left > 0 {
                let take = left.min(COPY_MESSAGES_MAX).min(distinct + 1 - first);
                session.command(&format!("COPY {first}:{} {mailbox}", first + take - 1))?;
                first += take;
                left -= take;
            }
        }
        session.logout()
    }
}

/// A folder of a Maildir++ tree while it is being filled.
struct Folder {
    path: PathBuf,
    owner: (u32, u32),
}

impl Folder {
    fn create(maildir: &Path, mailbox: &str) -> io::Result<Self> {
        let home = maildir.parent().unwrap_or(maildir);
        let mail = fs::metadata(home.parent().unwrap_or(home))?;
        let path = maildir.join(format!(".{mailbox}"));
        let folder = Self { path, owner: (mail.uid(), mail.gid()) };
        for parent in [home, maildir, &folder.path] {
            folder.directory(parent)?;
        }
        for base in [maildir, &folder.path] {
            ["cur", "new", "tmp"].iter().try_for_each(|name| folder.directory(&base.join(name)))?;
        }
        fs::write(folder.path.join("maildirfolder"), "")?;
        folder.give(&folder.path.join("maildirfolder"))?;
        Ok(folder)
    }

    fn directory(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Ok(()) => self.give(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.owner.0), Some(self.owner.1))
    }

    /// Three of four messages are seen.
    fn file(&self, number: usize, size: usize, size_crlf: usize) -> PathBuf {
        let flags = if number.is_multiple_of(4) { "" } else { "S" };
        self.path.join("cur").join(format!("{}:2,{flags}", base_name(number, size, size_crlf)))
    }

    /// Writes `dovecot-uidlist`, so that both servers give the same UIDs, and dates the directories
    /// back: a Maildir that changed within the last seconds is read anew at every look.
    fn finish(&self, sizes: impl Iterator<Item = (usize, usize)>) -> io::Result<()> {
        let mut records = String::new();
        let mut next = 1;
        for (number, (size, size_crlf)) in sizes.enumerate() {
            records.push_str(&format!("{next} :{}\n", base_name(number, size, size_crlf)));
            next += 1;
        }
        let list = self.path.join("dovecot-uidlist");
        fs::write(&list, format!("3 V1700000000 N{next} G0123456789abcdef0123456789abcdef\n{records}"))?;
        self.give(&list)?;
        let earlier = SystemTime::now() - Duration::from_secs(3600);
        for name in ["cur", "new", "."] {
            fs::File::open(self.path.join(name))?.set_modified(earlier)?;
        }
        Ok(())
    }
}

fn base_name(number: usize, size: usize, size_crlf: usize) -> String {
    format!("{}.M{number}P1.bench,S={size},W={size_crlf}", 1_700_000_000 + number)
}
