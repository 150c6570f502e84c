//! The secret that tokens of DOVECOT-TOKEN are made with. It is kept in `base_dir`, so that tokens
//! outlive a restart of `auth`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use base::Logger;
use sasl::Secret;
use sasl::mech::token::Holder;

use crate::request::Request;

/// 2.3's file.
const FILE: &str = "auth-token-secret.dat";
const BYTES: usize = 32;

/// A secret that nobody else has.
pub(crate) fn fresh() -> Secret {
    let mut bytes = vec![0; BYTES];
    crate::random::fill(&mut bytes);
    Secret::new(bytes)
}

/// The secret of this server, made anew where there is none.
pub(crate) fn load(base_dir: &Path, log: &Logger) -> Secret {
    let path = base_dir.join(FILE);
    match read(&path) {
        Ok(Some(secret)) => return secret,
        Ok(None) => {}
        Err(error) => log.error(format_args!("open({}) failed: {}", path.display(), base::reason(&error))),
    }
    let secret = fresh();
    if let Err(error) = write(&path, &secret) {
        log.error(format_args!("rename({}) failed: {}", path.display(), base::reason(&error)));
        log.error(
            "Failed to write auth token secret file; returned tokens will be invalid once auth restarts",
        );
    }
    secret
}

/// `None` if there is none, or one that others could have read.
fn read(path: &Path) -> io::Result<Option<Secret>> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let found = file.metadata()?;
    let is_ours = found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o077 == 0;
    if !is_ours || !found.is_file() || found.len() != 32 {
        return Ok(None);
    }
    let mut bytes = vec![0; BYTES];
    file.read_exact(&mut bytes)?;
    Ok(Some(Secret::new(bytes)))
}

fn write(path: &Path, secret: &Secret) -> io::Result<()> {
    let temporary = path.with_extension("dat.tmp");
    let _ = std::fs::remove_file(&temporary);
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(secret.expose())?;
    std::fs::rename(&temporary, path)
}

/// The token for the mail process that asks who logged in.
pub(crate) fn for_session(request: &Request, session_pid: u32, secret: &Secret) -> Secret {
    let facts = &request.facts;
    let holder = Holder {
        service: facts.service.clone(),
        pid: session_pid.to_string(),
        user: request.user().to_owned(),
        session: facts.session.clone().unwrap_or_default(),
    };
    holder.token(secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_stays() {
        let dir = tempfile::tempdir().unwrap();
        let log = Logger::new("auth: ");
        let secret = load(dir.path(), &log);
        assert_eq!(secret.expose().len(), BYTES);
        assert!(load(dir.path(), &log) == secret);
        let path = dir.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        // One that others could read is none any more.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&path, open).unwrap();
        assert!(load(dir.path(), &log) != secret);
        assert!(fresh() != fresh());
    }
}
