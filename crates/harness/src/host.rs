//! One running server with its own directory, configuration and ports.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::client::Client;
use crate::needs::{find, wait_for};

/// Who is tested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Under {
    /// This project's server.
    Ours,
    /// The original, as installed on the machine.
    Dovecot,
}

impl Under {
    /// What `UNDER_TEST` asks for; ours by default.
    pub fn from_env() -> Self {
        match std::env::var("UNDER_TEST").as_deref() {
            Ok("dovecot") => Self::Dovecot,
            Ok("ours") | Err(_) => Self::Ours,
            Ok(other) => panic!("UNDER_TEST is ours or dovecot, not {other}"),
        }
    }
}

/// The uid and gid that own test mailboxes where the tests run as root.
pub const MAIL_ID: u32 = 5000;

/// What a server is started with.
pub struct Builder {
    under: Under,
    ours: PathBuf,
    users: Vec<(String, String)>,
    extra: String,
    base: bool,
}

impl Builder {
    /// `ours` is the path of our `dovecot` executable (`CARGO_BIN_EXE_dovecot`).
    pub fn new(ours: impl Into<PathBuf>) -> Self {
        let users = ["user1", "user2", "user3"].map(|user| (user.to_owned(), "pass".to_owned()));
        Self {
            under: Under::from_env(),
            ours: ours.into(),
            users: users.into(),
            extra: String::new(),
            base: true,
        }
    }

    /// Tests `under`, whatever `UNDER_TEST` says.
    pub fn under(mut self, under: Under) -> Self {
        self.under = under;
        self
    }

    /// Adds lines to the configuration. `@DIR@` stands for the host's directory.
    pub fn config(mut self, lines: &str) -> Self {
        self.extra.push_str(lines);
        self.extra.push('\n');
        self
    }

    /// Adds a user; the password may bear a `{SCHEME}`.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Leaves out the default passdb and userdb.
    pub fn without_users(mut self) -> Self {
        self.base = false;
        self
    }

    /// Makes directory and configuration, but starts nothing.
    pub fn prepare(self) -> Host {
        // The directory is searchable by every user: mail processes run as others.
        let dir =
            tempfile::Builder::new().prefix("culver-").tempdir_in("/tmp").expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("permissions can be set");
        let mut host =
            Host { under: self.under, bin: PathBuf::new(), ports: Ports::free(), master: None, dir };
        host.bin = host.link_programs(&self.ours);
        host.write_config(&self);
        host
    }

    /// Starts the server and waits until it greets.
    pub fn start(self) -> Host {
        let mut host = self.prepare();
        host.start();
        host
    }
}

/// The ports of a host, which no other test on this machine takes while they are claimed.
#[derive(Debug)]
struct Ports {
    numbers: [u16; 4],
    _claims: [UnixListener; 4],
}

/// Below the ports that the kernel gives to connections going out: one of those may be taken between
/// the moment it was found free and the server's start.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

impl Ports {
    fn free() -> Self {
        let claimed = [(); 4].map(|()| claim_one());
        Self {
            numbers: claimed.each_ref().map(|(number, _)| *number),
            _claims: claimed.map(|(_, claim)| claim),
        }
    }

    fn number(&self, listener: &str) -> u16 {
        let [imap, imaps, pop3, pop3s] = self.numbers;
        match listener {
            "imap" => imap,
            "imaps" => imaps,
            "pop3" => pop3,
            "pop3s" => pop3s,
            other => panic!("no listener {other}"),
        }
    }
}

/// A free port for something else than a [`Host`], which belongs to the test's process until it ends.
pub fn free_port() -> u16 {
    let (number, claim) = claim_one();
    std::mem::forget(claim);
    number
}

fn claim_one() -> (u16, UnixListener) {
    // Where to begin looking; hosts that begin at the same place are told apart by the claims.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u64::from(std::process::id()) * 64;
    loop {
        let step = u64::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let length = u64::from(PORTS.end - PORTS.start);
        let number = PORTS.start + u16::try_from((begin + step) % length).expect("a port");
        if let Some(claim) = claim(number) {
            return (number, claim);
        }
    }
}

/// Claims a port if it is free. The claim ends with the process, if not before.
fn claim(number: u16) -> Option<UnixListener> {
    let name = std::os::unix::net::SocketAddr::from_abstract_name(format!("culver-test-port-{number}"));
    let claim = UnixListener::bind_addr(&name.expect("a short name")).ok()?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok().map(|_| claim)
}

/// A server in a directory of its own. Dropping it stops the server and removes the directory.
pub struct Host {
    under: Under,
    bin: PathBuf,
    ports: Ports,
    master: Option<Child>,
    dir: TempDir,
}

impl Host {
    /// The host's directory: `dovecot.conf`, `run/`, `log`, `mail/`, `cert.pem`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration file.
    pub fn conf(&self) -> PathBuf {
        self.dir().join("dovecot.conf")
    }

    /// Whom this host runs.
    pub fn under(&self) -> Under {
        self.under
    }

    /// The address of `imap`, `imaps`, `pop3` or `pop3s`.
    pub fn address(&self, listener: &str) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.number(listener)))
    }

    /// A connection that has read its greeting.
    pub fn connect(&self, listener: &str) -> Client {
        let address = self.address(listener);
        let mut client = match listener.ends_with('s') {
            true => Client::connect_tls(address, "localhost"),
            false => Client::connect(address),
        };
        let greeting = client.expect_line();
        assert!(greeting.starts_with(['*', '+']), "greeting: {greeting}");
        client
    }

    /// An IMAP connection that is logged in.
    pub fn login(&self, user: &str) -> Client {
        let mut client = self.connect("imap");
        let lines = client.imap("in", &format!("LOGIN {user} pass"));
        assert!(lines.last().is_some_and(|line| line.starts_with("in OK")), "{lines:?}");
        client
    }

    /// The user's Maildir.
    pub fn maildir(&self, user: &str) -> PathBuf {
        self.dir().join("mail").join(user).join("Maildir")
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir().join("log")).unwrap_or_default()).into_owned()
    }

    /// Waits until a log line holds `text`, and gives it back.
    pub fn wait_log(&self, text: &str) -> String {
        wait_for(&format!("a log line with {text:?}"), || {
            self.log().lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    /// The path of `dovecot`, `doveadm`, `doveconf` or `dovecot-lda`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Runs a program with `-c` and the host's configuration.
    pub fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(self.program(program));
        command.arg("-c").arg(self.conf()).args(args).stdin(Stdio::null());
        command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// Runs `dovecot -c conf`, which goes into the background, where the original keeps its standard
    /// error open: what it says is read from a file. Gives exit status and words.
    pub fn daemonise(&self, conf: &Path) -> (ExitStatus, String) {
        let said = self.dir().join("stderr");
        let output = fs::File::create(&said).expect("a file for standard error");
        let mut command = Command::new(self.program("dovecot"));
        command.arg("-c").arg(conf).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let status = command.status().expect("dovecot starts");
        (status, fs::read_to_string(said).expect("what it said"))
    }

    /// Runs `doveadm` and gives back its standard output; it must succeed.
    pub fn doveadm(&self, args: &[&str]) -> String {
        let output = self.run("doveadm", args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "doveadm {args:?}: {} {text}{}", output.status, stderr(&output));
        text
    }

    /// The master's process id.
    pub fn master_pid(&self) -> i32 {
        let child = self.master.as_ref().expect("the server runs");
        i32::try_from(child.id()).expect("a process id fits")
    }

    /// Process ids of a service's processes, by the title in `ps`.
    pub fn pids(&self, service: &str) -> Vec<i32> {
        let title = format!("dovecot/{service}");
        let mut pids: Vec<i32> = descendants(self.master_pid())
            .into_iter()
            .filter(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let name = line.split(|&byte| byte == 0 || byte == b' ').next().unwrap_or_default();
                name == title.as_bytes()
            })
            .collect();
        pids.sort_unstable();
        pids
    }

    /// Starts the server in the foreground and waits until it greets.
    pub fn start(&mut self) {
        self.start_with(&[], "");
    }

    /// The same with more arguments, and `input` on standard input.
    pub fn start_with(&mut self, args: &[&str], input: &str) {
        let mut command = Command::new(self.program("dovecot"));
        command.arg("-F").args(args).arg("-c").arg(self.conf()).stdin(Stdio::piped());
        let output = fs::File::create(self.dir().join("stderr")).expect("a file for standard error");
        command.stdout(output.try_clone().expect("a second handle")).stderr(output);
        command.process_group(0);
        let mut master = command.spawn().expect("the server starts");
        let mut stdin = master.stdin.take().expect("it is piped");
        io::Write::write_all(&mut stdin, input.as_bytes()).expect("the server reads");
        drop(stdin);
        self.master = Some(master);
        wait_for("the server listens", || {
            self.assert_alive();
            // It is written when all sockets are there.
            let pid = fs::read_to_string(self.dir().join("run/master.pid")).ok()?;
            (pid.trim() == self.master_pid().to_string()).then_some(())?;
            TcpStream::connect(self.address("imap")).ok()
        });
    }

    /// Stops the server as an administrator would, and waits until it is gone.
    pub fn stop(&mut self) {
        let Some(mut master) = self.master.take() else { return };
        let pid = Pid::from_raw(i32::try_from(master.id()).expect("a process id fits"));
        let children = descendants(pid.as_raw());
        let _ = kill(pid, Signal::SIGTERM);
        wait_for("the server stops", || master.try_wait().expect("the child can be waited for"));
        wait_for("the server's processes end", || {
            children
                .iter()
                .all(|pid| !Path::new(&format!("/proc/{pid}")).exists() || is_zombie(*pid))
                .then_some(())
        });
    }

    /// Waits until the master has ended by itself.
    pub fn wait_master(&mut self) {
        let Some(mut master) = self.master.take() else { return };
        wait_for("the master ends", || master.try_wait().expect("the child can be waited for"));
    }

    fn assert_alive(&mut self) {
        let status =
            self.master.as_mut().and_then(|child| child.try_wait().expect("the child can be waited for"));
        if let Some(status) = status {
            let said = fs::read_to_string(self.dir().join("stderr")).unwrap_or_default();
            panic!("the server ended: {status}\n{said}\n{}", self.log());
        }
    }

    /// A directory with our executable under its four names, or the original's.
    fn link_programs(&self, ours: &Path) -> PathBuf {
        let bin = self.dir().join("bin");
        fs::create_dir(&bin).expect("a directory");
        for name in ["dovecot", "doveadm", "doveconf", "dovecot-lda"] {
            let target = match (self.under, name) {
                (Under::Ours, _) => ours.to_owned(),
                (Under::Dovecot, "dovecot-lda") => PathBuf::from("/usr/lib/dovecot/dovecot-lda"),
                (Under::Dovecot, name) => find(name).unwrap_or_else(|| panic!("{name} is not installed")),
            };
            symlink(target, bin.join(name)).expect("a link");
        }
        bin
    }

    fn write_config(&self, builder: &Builder) {
        let dir = self.dir().display().to_string();
        let root = nix::unistd::geteuid().is_root();
        crate::cert::write(self.dir(), &["localhost"]).expect("a certificate");
        let users: String =
            builder.users.iter().map(|(name, password)| passwd_line(name, password)).collect();
        fs::write(self.dir().join("users"), users).expect("the users file");
        let mail = self.dir().join("mail");
        fs::create_dir(&mail).expect("the mail directory");
        let (uid, gid) = match root {
            true => (MAIL_ID, MAIL_ID),
            false => (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
        };
        chown(&mail, Some(uid), Some(gid)).expect("the mail directory's owner");
        let mut text = BASE.to_owned();
        if !root {
            text.push_str(ROOTLESS);
        }
        if builder.base {
            text.push_str(USERS);
        }
        text.push_str(&builder.extra);
        let text = text
            .replace("@DIR@", &dir)
            .replace("@UID@", &uid.to_string())
            .replace("@GID@", &gid.to_string())
            .replace("@ME@", &me())
            .replace("@IMAP@", &self.ports.number("imap").to_string())
            .replace("@IMAPS@", &self.ports.number("imaps").to_string())
            .replace("@POP3@", &self.ports.number("pop3").to_string())
            .replace("@POP3S@", &self.ports.number("pop3s").to_string());
        fs::write(self.conf(), text).expect("the configuration");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.dir().display(), self.log());
            let said = fs::read_to_string(self.dir().join("stderr")).unwrap_or_default();
            eprintln!("--- standard error\n{said}");
            if let Some(mut master) = self.master.take() {
                let all = descendants(i32::try_from(master.id()).unwrap_or(0));
                let _ = master.kill();
                let _ = master.wait();
                all.into_iter().for_each(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or(()));
            }
        } else {
            self.stop();
        }
    }
}

/// What a program wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn passwd_line(name: &str, password: &str) -> String {
    let scheme = if password.starts_with('{') { "" } else { "{PLAIN}" };
    format!("{name}:{scheme}{password}::::::\n")
}

fn me() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    user.map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name)
}

/// All processes below `pid`.
pub fn descendants(pid: i32) -> Vec<i32> {
    below(&parents(), pid)
}

fn below(parents: &[(i32, i32)], pid: i32) -> Vec<i32> {
    let children = parents.iter().filter(|&&(_, parent)| parent == pid).map(|&(child, _)| child);
    children.flat_map(|child| [vec![child], below(parents, child)].concat()).collect()
}

fn parents() -> Vec<(i32, i32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, stat_fields(pid).ok()?.get(1)?.parse().ok()?))
        })
        .collect()
}

fn is_zombie(pid: i32) -> bool {
    stat_fields(pid).is_ok_and(|fields| fields.first().is_some_and(|state| state == "Z"))
}

/// The fields of `/proc/PID/stat` behind the name: state, parent, …
fn stat_fields(pid: i32) -> io::Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    Ok(after.split(' ').map(str::to_owned).collect())
}

const BASE: &str = "\
base_dir = @DIR@/run
state_dir = @DIR@/state
instance_name = dovecot
protocols = imap pop3
listen = 127.0.0.1
log_path = @DIR@/log
log_timestamp = \"%Y-%m-%d %H:%M:%S \"
ssl = yes
ssl_cert = <@DIR@/cert.pem
ssl_key = <@DIR@/key.pem
mail_location = maildir:~/Maildir
auth_mechanisms = plain login
first_valid_uid = 100
service imap-login {
  inet_listener imap {
    port = @IMAP@
  }
  inet_listener imaps {
    port = @IMAPS@
    ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    port = @POP3@
  }
  inet_listener pop3s {
    port = @POP3S@
    ssl = yes
  }
}
namespace inbox {
  inbox = yes
  separator = .
  mailbox Drafts {
    special_use = \\Drafts
  }
  mailbox Trash {
    special_use = \\Trash
  }
}
";

const USERS: &str = "\
passdb {
  driver = passwd-file
  args = username_format=%u @DIR@/users
}
userdb {
  driver = static
  args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u
}
";

const ROOTLESS: &str = "\
default_internal_user = @ME@
default_login_user = @ME@
service imap-login {
  chroot =
}
service pop3-login {
  chroot =
}
service anvil {
  chroot =
}
";
