//! Application passwords: further passwords of a user, each for one program, with a name, the
//! services it is for, and an end. A file for each user, see `docs/formats/app-passwords.md`.

use std::path::{Path, PathBuf};

use base::Logger;
use index::fs::Fs;
use sasl::Secret;
use sasl::scheme::{self, Params};
use zeroize::Zeroizing;

use crate::limits::{APP_PASSWORD_FILE_BYTES_MAX, APP_PASSWORDS_MAX, LAST_USE_RESOLUTION_S, NAME_BYTES_MAX};
use crate::rewrite::{RewriteError, read, rewrite};

/// The first line of a file.
const HEADER: &str = "# app-passwords 1";

/// The scheme of the hashes. Nobody can guess a hundred random bits, however fast.
const SCHEME: &str = "SSHA512";

/// Letters and digits that are not mistaken for each other; there are 32.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Letters of a password, five bits each.
const LETTERS_COUNT: usize = 20;

/// So many of them stand together.
const GROUP: usize = 5;

/// One application password, without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPassword {
    /// What the user calls it; each of a user's has another.
    pub name: String,
    /// With its `{SCHEME}`.
    hash: String,
    /// Names of services; empty for all.
    pub scopes: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created_s: u64,
    /// From when on it is of no use; `None` for never.
    pub expires_s: Option<u64>,
    /// When it was last used, to the hour; `None` for never.
    pub used_s: Option<u64>,
}

/// What a login with a password that is one of them came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// It is this one.
    Good(AppPassword),
    /// It is this one, which has expired.
    Expired(AppPassword),
    /// It is this one, which is for other services.
    OutOfScope(AppPassword),
    /// It is none of them.
    None,
}

/// A user's file.
#[derive(Clone)]
pub struct File {
    fs: Fs,
    path: PathBuf,
}

/// What a new password is to be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// [`AppPassword::name`]
    pub name: String,
    /// [`AppPassword::scopes`]
    pub scopes: Vec<String>,
    /// [`AppPassword::expires_s`]
    pub expires_s: Option<u64>,
}

/// Why there is no such application password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// Tabs and the like would break the file.
    #[error("a name has 1 to {NAME_BYTES_MAX} bytes, without control characters")]
    Name,
    /// Scopes are words.
    #[error("scopes are names of services: letters, digits, '-' and '_'")]
    Scope,
}

impl Wish {
    /// # Errors
    /// What cannot be stored.
    pub fn check(&self) -> Result<(), WishError> {
        let name = &self.name;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            return Err(WishError::Name);
        }
        let is_word = |scope: &String| {
            !scope.is_empty()
                && scope.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if self.scopes.iter().all(is_word) { Ok(()) } else { Err(WishError::Scope) }
    }
}

impl AppPassword {
    /// Whether it is for a service, by the name that an auth request has.
    pub fn is_for(&self, service: &str) -> bool {
        let is_it = |scope: &String| match scope.as_str() {
            // Postfix and Exim call smtp what the submission service calls so.
            "smtp" | "submission" => matches!(service, "smtp" | "submission"),
            "sieve" | "managesieve" => matches!(service, "sieve" | "managesieve"),
            scope => scope == service,
        };
        self.scopes.is_empty() || self.scopes.iter().any(is_it)
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: [&str; 6] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
        let [name, hash, scopes, created, expires, used] = fields;
        let time = |text: &str| match text {
            "-" => Some(None),
            text => text.parse().ok().map(Some),
        };
        Some(Self {
            name: name.to_owned(),
            hash: hash.to_owned(),
            scopes: scopes.split(',').filter(|scope| *scope != "*").map(str::to_owned).collect(),
            created_s: created.parse().ok()?,
            expires_s: time(expires)?,
            used_s: time(used)?,
        })
    }

    fn line(&self) -> String {
        let time = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
        let scopes = if self.scopes.is_empty() { "*".to_owned() } else { self.scopes.join(",") };
        let (name, hash, created) = (&self.name, &self.hash, self.created_s);
        format!("{name}\t{hash}\t{scopes}\t{created}\t{}\t{}\n", time(self.expires_s), time(self.used_s))
    }
}

impl File {
    /// The file at `path`, which need not be there yet.
    pub fn new(fs: Fs, path: impl Into<PathBuf>) -> Self {
        Self { fs, path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All that are in it; `None` without a file.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn list(&self) -> Result<Option<Vec<AppPassword>>, RewriteError> {
        match read(&self.path, APP_PASSWORD_FILE_BYTES_MAX)? {
            None => Ok(None),
            Some(bytes) => {
                let all = parse(&bytes);
                all.map(Some).map_err(|why| RewriteError::Refused { path: self.path.clone(), why })
            }
        }
    }

    /// Makes a new one; gives the password, which is nowhere else. `random` fills bytes.
    ///
    /// # Errors
    /// The file is as it was.
    pub fn add(
        &self,
        wish: &Wish,
        now_s: u64,
        random: &mut dyn FnMut(&mut [u8]),
        log: &Logger,
    ) -> Result<Secret, RewriteError> {
        let refused = |why: String| RewriteError::Refused { path: self.path.clone(), why };
        wish.check().map_err(|error| refused(error.to_string()))?;
        let password = generate(random);
        let hash = scheme::generate(&normal(&password), &Params::default(), SCHEME, random)
            .map_err(|error| refused(error.to_string()))?;
        let new = AppPassword {
            name: wish.name.clone(),
            hash: format!("{{{SCHEME}}}{hash}"),
            scopes: wish.scopes.clone(),
            created_s: now_s,
            expires_s: wish.expires_s,
            used_s: None,
        };
        self.change(log, |all| {
            if all.iter().any(|known| known.name == new.name) {
                return Err(format!("there is an app password '{}' already", new.name));
            }
            if all.len() >= APP_PASSWORDS_MAX {
                return Err(format!("there are {APP_PASSWORDS_MAX} app passwords already"));
            }
            all.push(new);
            Ok(true)
        })?;
        Ok(password)
    }

    /// Revokes one; gives whether it was there.
    ///
    /// # Errors
    /// The file is as it was.
    pub fn remove(&self, name: &str, log: &Logger) -> Result<bool, RewriteError> {
        if self.list()?.is_none() {
            return Ok(false);
        }
        self.change(log, |all| {
            let before = all.len();
            all.retain(|known| known.name != name);
            Ok(all.len() < before)
        })
    }

    /// Looks for a given password. What is found is not noted as used.
    ///
    /// # Errors
    /// As [`File::list`].
    pub fn find(&self, given: &Secret, service: &str, now_s: u64) -> Result<Option<Match>, RewriteError> {
        let Some(all) = self.list()? else { return Ok(None) };
        let given = normal(given);
        let is_it = |known: &AppPassword| {
            scheme::verify_stored(&given, &Params::default(), SCHEME, &known.hash).unwrap_or(false)
        };
        Ok(Some(match all.into_iter().find(is_it) {
            None => Match::None,
            Some(found) if found.expires_s.is_some_and(|end| end <= now_s) => Match::Expired(found),
            Some(found) if !found.is_for(service) => Match::OutOfScope(found),
            Some(found) => Match::Good(found),
        }))
    }

    /// Notes that one was used, unless that is known to the hour.
    ///
    /// # Errors
    /// The file is as it was.
    pub fn note_use(&self, used: &AppPassword, now_s: u64, log: &Logger) -> Result<(), RewriteError> {
        let is_known = |used_s: u64| used_s.saturating_add(LAST_USE_RESOLUTION_S) > now_s;
        if used.used_s.is_some_and(is_known) {
            return Ok(());
        }
        self.change(log, |all| {
            // It may have been revoked meanwhile, and another been made under its name.
            let found = all.iter_mut().find(|known| known.name == used.name && known.hash == used.hash);
            Ok(found.map(|known| known.used_s = Some(now_s)).is_some())
        })
        .map(drop)
    }

    fn change(
        &self,
        log: &Logger,
        change: impl FnOnce(&mut Vec<AppPassword>) -> Result<bool, String>,
    ) -> Result<bool, RewriteError> {
        rewrite(&self.fs, &self.path, APP_PASSWORD_FILE_BYTES_MAX, log, |old| {
            let mut all = old.map_or(Ok(Vec::new()), parse)?;
            Ok(change(&mut all)?.then(|| {
                let lines: String = all.iter().map(AppPassword::line).collect();
                Zeroizing::new(format!("{HEADER}\n{lines}").into_bytes())
            }))
        })
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<AppPassword>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
    let mut lines = (1..).zip(text.lines());
    match lines.next() {
        Some((_, HEADER)) => {}
        _ => return Err(format!("the first line is not '{HEADER}'")),
    }
    let mut all = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        all.push(AppPassword::parse(line).ok_or_else(|| format!("line {number} is damaged"))?);
    }
    Ok(all)
}

/// A new password: `abcde-fghij-…`.
fn generate(random: &mut dyn FnMut(&mut [u8])) -> Secret {
    let mut bytes = Zeroizing::new([0; LETTERS_COUNT]);
    random(&mut *bytes);
    let mut text = Vec::with_capacity(LETTERS_COUNT + LETTERS_COUNT / GROUP);
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push(b'-');
        }
        text.push(LETTERS[usize::from(byte % 32)]);
    }
    Secret::new(text)
}

/// As people type it: hyphens, blanks and case make no difference.
fn normal(password: &Secret) -> Zeroizing<Vec<u8>> {
    let letters = password.expose().iter().filter(|byte| !b"- ".contains(byte));
    Zeroizing::new(letters.map(u8::to_ascii_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn random(bytes: &mut [u8]) {
        rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
    }

    fn wish(name: &str, scopes: &[&str], expires_s: Option<u64>) -> Wish {
        Wish { name: name.into(), scopes: scopes.iter().map(|&scope| scope.into()).collect(), expires_s }
    }

    struct Place {
        dir: tempfile::TempDir,
        log: Logger,
    }

    impl Place {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap(), log: Logger::new("test: ") }
        }

        fn file(&self) -> File {
            File::new(Fs::default(), self.dir.path().join("d/u"))
        }

        fn add(&self, wish: &Wish) -> Result<Secret, RewriteError> {
            self.file().add(wish, 1000, &mut random, &self.log)
        }
    }

    #[test]
    fn passwords_are_made_found_and_revoked() {
        let place = Place::new();
        let file = place.file();
        assert!(file.find(&Secret::new("x"), "imap", 1000).unwrap().is_none(), "no file");
        let phone = place.add(&wish("my phone", &["imap", "smtp"], None)).unwrap();
        let all = place.add(&wish("all", &[], Some(2000))).unwrap();
        assert_eq!(phone.expose().len(), 23);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(file.path()), mode(file.path().parent().unwrap())), (0o600, 0o700));
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains(&*phone.expose_lossy()), "{text}");
        let check = |given: &Secret, service: &str, now_s: u64| match file
            .find(given, service, now_s)
            .unwrap()
            .unwrap()
        {
            Match::Good(found) => format!("good {}", found.name),
            Match::Expired(found) => format!("expired {}", found.name),
            Match::OutOfScope(found) => format!("scope {}", found.name),
            Match::None => "none".into(),
        };
        assert_eq!(check(&phone, "imap", 1000), "good my phone");
        assert_eq!(check(&phone, "submission", 1000), "good my phone");
        assert_eq!(check(&phone, "pop3", 1000), "scope my phone");
        let typed = phone.expose_lossy().replace('-', " ").to_uppercase();
        assert_eq!(check(&Secret::new(typed), "imap", 1000), "good my phone");
        assert_eq!(check(&all, "pop3", 1999), "good all");
        assert_eq!(check(&all, "pop3", 2000), "expired all");
        assert_eq!(check(&Secret::new(""), "imap", 1000), "none");
        assert!(
            file.remove("my phone", &place.log).unwrap() && !file.remove("my phone", &place.log).unwrap()
        );
        assert_eq!(check(&phone, "imap", 1000), "none");
    }

    #[test]
    fn the_last_use_is_known_to_the_hour() {
        let place = Place::new();
        let file = place.file();
        place.add(&wish("a", &[], None)).unwrap();
        let used = |file: &File| file.list().unwrap().unwrap().remove(0);
        for (now_s, expect) in [(5000, 5000), (5001, 5000), (8599, 5000), (8600, 8600)] {
            file.note_use(&used(&file), now_s, &place.log).unwrap();
            assert_eq!(used(&file).used_s, Some(expect), "{now_s}");
        }
        let old = used(&file);
        file.remove("a", &place.log).unwrap();
        file.note_use(&old, 99_999, &place.log).unwrap();
        assert_eq!(file.list().unwrap().unwrap(), [], "one that was revoked does not come back");
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        let place = Place::new();
        for bad in
            [wish("", &[], None), wish("a\tb", &[], None), wish("a", &["*"], None), wish("a", &[""], None)]
        {
            assert!(place.add(&bad).is_err(), "{bad:?}");
        }
        place.add(&wish("a", &[], None)).unwrap();
        let twice = place.add(&wish("a", &[], None)).unwrap_err();
        assert!(twice.to_string().ends_with("there is an app password 'a' already"), "{twice}");
        for damaged in
            ["", "joe:x\n", "# app-passwords 1\nx\n", "# app-passwords 1\na\tb\t*\tx\t-\t-\n", "\u{0}"]
        {
            fs::write(place.file().path(), damaged).unwrap();
            assert!(place.file().list().is_err(), "{damaged:?}");
            assert!(place.add(&wish("b", &[], None)).is_err(), "{damaged:?} is not overwritten");
        }
    }
}
