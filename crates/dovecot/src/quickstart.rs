//! `dovecot quickstart [DIRECTORY]`: a server to try, in a directory of its own, for anyone. Makes
//! a readable `dovecot.conf`, a self-signed certificate, a demo account with sample messages, then
//! becomes `dovecot -F` under the calling user on loopback ports. What is there already stays, so
//! a second start goes on with the same data and whatever was changed in the configuration.
//!
//! Root's server would need system users; a directory made by root belongs to `nobody`, and the
//! server runs as the directory's owner.

mod config;
mod samples;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use config::Ports;

/// Where root's demo is; other users have it in the current directory.
const ROOTS_DIRECTORY: &str = "/var/lib/culver-quickstart";
const DIRECTORY: &str = "culver-quickstart";
/// Names of unix sockets end at 107 bytes, and the longest below `run/` takes up to 60.
const DIRECTORY_BYTES_MAX: usize = 60;
/// `/etc/sysexits.h`: EX_USAGE and EX_CANTCREAT.
const STATUS_USAGE: u8 = 64;
const STATUS_CANNOT_CREATE: u8 = 73;
/// The user and group of nobody where the system does not name them.
const NOBODY: u32 = 65534;
const PROGRAMS: [&str; 3] = ["doveadm", "doveconf", "dovecot-lda"];

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{operation}({path}) failed", path = path.display())]
    File { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("The path {} is too long for sockets below it: give a directory of at most {DIRECTORY_BYTES_MAX} bytes", .0.display())]
    TooLong(PathBuf),
    #[error("The configuration cannot be used")]
    Config(#[source] settings::Diagnostic),
    #[error("The certificate could not be made")]
    Certificate(#[source] rcgen::Error),
    #[error("No free port at or above {0}")]
    Ports(u16),
}

/// Whom everything belongs to.
#[derive(Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

/// Runs the quick start with the words behind `quickstart`. Returns only when it could not start.
pub(crate) fn main(words: &[String]) -> ExitCode {
    let directory = match words {
        [] => default_directory(),
        [directory] if !directory.starts_with('-') => PathBuf::from(directory),
        _ => {
            eprintln!("usage: dovecot quickstart [DIRECTORY]");
            return ExitCode::from(STATUS_USAGE);
        }
    };
    let error = match std::path::absolute(&directory) {
        Ok(directory) => match run(&directory) {
            Ok(never) => match never {},
            Err(error) => error,
        },
        Err(source) => Error::File { operation: "getcwd", path: directory, source },
    };
    eprintln!("quickstart: {}", base::chain(&error));
    ExitCode::from(STATUS_CANNOT_CREATE)
}

fn run(directory: &Path) -> Result<std::convert::Infallible, Error> {
    if directory.as_os_str().len() > DIRECTORY_BYTES_MAX {
        return Err(Error::TooLong(directory.to_owned()));
    }
    let is_new = make_directory(directory)?;
    let owner = owner(directory)?;
    if is_new || !directory.join(config::FILE).exists() {
        write_all(directory, owner)?;
    }
    let dovecot = install(directory, owner)?;
    let ports = config::ports(&directory.join(config::FILE))?;
    print!("{}", config::how_to_connect(directory, &ports));
    Err(start(directory, &dovecot, owner))
}

fn default_directory() -> PathBuf {
    PathBuf::from(if sys::privilege::effective_uid() == 0 { ROOTS_DIRECTORY } else { DIRECTORY })
}

fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { operation, path, source }
}

/// Whether the directory had to be made.
fn make_directory(directory: &Path) -> Result<bool, Error> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) if sys::privilege::effective_uid() == 0 => {
            let nobody = sys::accounts::user("nobody").ok().flatten();
            let (uid, gid) = nobody.map_or((NOBODY, NOBODY), |nobody| (nobody.uid, nobody.gid));
            give(directory, Owner { uid, gid })?;
            Ok(true)
        }
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(file("mkdir", directory)(error)),
    }
}

fn owner(directory: &Path) -> Result<Owner, Error> {
    let found = fs::metadata(directory).map_err(file("stat", directory))?;
    Ok(Owner { uid: found.uid(), gid: found.gid() })
}

fn write_all(directory: &Path, owner: Owner) -> Result<(), Error> {
    let (certificate, key) = certificate()?;
    write(&directory.join("cert.pem"), certificate.as_bytes(), 0o644, owner)?;
    write(&directory.join("key.pem"), key.as_bytes(), 0o600, owner)?;
    write(&directory.join("users"), config::USERS.as_bytes(), 0o600, owner)?;
    samples::write(&directory.join("mail"), owner)?;
    let text = config::text(directory, &free_ports()?, owner);
    // The configuration comes last: where it is, the rest is.
    write(&directory.join(config::FILE), text.as_bytes(), 0o644, owner)
}

fn certificate() -> Result<(String, String), Error> {
    let names = vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()];
    let made = rcgen::generate_simple_self_signed(names).map_err(Error::Certificate)?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

fn free_ports() -> Result<Ports, Error> {
    let free = |from: u16| {
        let mut candidates = (0..50).map(|step| from + step * 1000);
        candidates
            .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
            .ok_or(Error::Ports(from))
    };
    Ok(Ports { imap: free(10143)?, imaps: free(10993)?, pop3: free(10110)?, pop3s: free(10995)? })
}

fn write(path: &Path, bytes: &[u8], mode: u32, owner: Owner) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    let mut opened =
        options.write(true).create(true).truncate(true).mode(mode).open(path).map_err(file("open", path))?;
    io::Write::write_all(&mut opened, bytes).map_err(file("write", path))?;
    give(path, owner)
}

fn make(path: &Path, owner: Owner) -> Result<(), Error> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file("mkdir", path)(error)),
        _ => give(path, owner),
    }
}

fn give(path: &Path, owner: Owner) -> Result<(), Error> {
    chown(path, Some(owner.uid), Some(owner.gid)).map_err(file("chown", path))
}

/// Puts the programs into `bin/`: links, or where the directory's owner is somebody else, who
/// perhaps cannot reach this executable, a copy.
fn install(directory: &Path, owner: Owner) -> Result<PathBuf, Error> {
    let bin = directory.join("bin");
    make(&bin, owner)?;
    let own = std::env::current_exe().map_err(file("readlink", Path::new("/proc/self/exe")))?;
    let dovecot = bin.join("dovecot");
    remove(&dovecot)?;
    if owner.uid == sys::privilege::effective_uid() {
        symlink(&own, &dovecot).map_err(file("symlink", &dovecot))?;
    } else {
        fs::copy(&own, &dovecot).map_err(file("copy", &dovecot))?;
    }
    for name in PROGRAMS {
        let link = bin.join(name);
        remove(&link)?;
        symlink("dovecot", &link).map_err(file("symlink", &link))?;
    }
    Ok(dovecot)
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("unlink", path)(error)),
        _ => Ok(()),
    }
}

/// Becomes the server; gives back why it could not.
fn start(directory: &Path, dovecot: &Path, owner: Owner) -> Error {
    let mut command = Command::new(dovecot);
    command.arg0("dovecot").arg("-F").arg("-c").arg(directory.join(config::FILE)).current_dir(directory);
    if owner.uid != sys::privilege::effective_uid() {
        command.uid(owner.uid).gid(owner.gid);
    }
    file("exec", dovecot)(command.exec())
}
