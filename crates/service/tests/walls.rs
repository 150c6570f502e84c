//! A login process that was taken over: hostile system calls tried from inside one that was born
//! like any other. This program plays the master, starts itself as `dovecot/imap-login` through the
//! real birth order, and reads what came of each attempt. Root's child is chrooted and another user
//! as well; anybody else's has the sandbox alone.
//!
//! The same attempts are made without walls first: one that fails there, too, proves nothing.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use ipc::control::{Birth, Identity, ToChild};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketType};
use service::{Entry, Fatal, Opening, Process};
use settings::Snapshot;

const CHILD: &str = "dovecot/imap-login";
/// Where it is set, this is the child without walls; its value is the ground to play on.
const CONTROL: &str = "WALLS_CONTROL";
/// What the child says of each attempt: `<name> <outcome>`.
const REFUSED: &str = "refused";
const DONE: &str = "done";
/// Attempts that fail for others, too: unless root makes them, or on some hosts.
const PROVE_NOTHING: [&str; 9] =
    ["exec", "vm-read", "ptrace", "setuid", "setgroups", "chroot", "umount", "unshare", "inotify"];
/// What a login process lives from.
const PERMITTED: [&str; 2] = ["unix-connect", "random"];

fn main() -> ExitCode {
    let mut args = std::env::args();
    if args.next().as_deref() == Some(CHILD) {
        let entry = Entry::new("imap-login", look_around, hostile);
        return service::run(vec![entry], "imap-login", args.collect());
    }
    match std::env::var_os(CONTROL) {
        Some(ground) => Prey::new(&PathBuf::from(ground)).attempt_all(),
        None => everything_is_refused(),
    }
    ExitCode::SUCCESS
}

fn everything_is_refused() {
    let control = Ground::new().without_walls();
    for (name, outcome) in &control {
        let proves = !PROVE_NOTHING.contains(&name.as_str());
        assert!(!proves || outcome == DONE, "without walls: {name}: {outcome}");
    }
    let attempts = Ground::new().behind_walls();
    // Without walls the last attempt, exec, leaves nobody to speak of it.
    assert_eq!(attempts.len(), control.len() + 1 + PERMITTED.len(), "{attempts:?}");
    for (name, outcome) in &attempts {
        let expected = if PERMITTED.contains(&name.as_str()) { DONE } else { REFUSED };
        assert_eq!(outcome, expected, "{name}");
    }
    println!("walls: {} hostile calls were refused", attempts.len() - PERMITTED.len());
}

/// What an intruder finds, opened while the process still may.
struct Prey {
    /// Absolute names only work without a chroot; with one even they lead nowhere.
    directory: PathBuf,
    folder: OwnedFd,
    tcp: OwnedFd,
    tcp_port: u16,
    abstract_name: String,
    parent: nix::unistd::Pid,
}

fn look_around(opening: &Opening<'_>) -> Result<Prey, Fatal> {
    Ok(Prey::new(Path::new(&opening.birth.base_dir)))
}

async fn hostile(process: Process, prey: Prey) -> Result<(), Fatal> {
    prey.attempt_all();
    report("unix-connect", UnixStream::connect(process.socket("login/login")).map(drop));
    let random = rustix::rand::getrandom(&mut [0; 8], rustix::rand::GetRandomFlags::empty());
    report("random", random.map(drop));
    Ok(())
}

fn report<E: Into<io::Error>>(name: &str, outcome: Result<(), E>) {
    let outcome = match outcome.map_err(Into::into) {
        Ok(()) => DONE.to_owned(),
        // EPERM of seccomp, EACCES of Landlock.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => REFUSED.to_owned(),
        Err(error) => error.to_string(),
    };
    io::stdout().write_all(format!("{name} {outcome}\n").as_bytes()).expect("stdout");
}

impl Prey {
    fn new(directory: &Path) -> Self {
        let read = |name: &str| fs::read_to_string(directory.join(name)).expect(name);
        let inet = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None);
        Self {
            directory: directory.to_owned(),
            folder: File::open(directory).expect("open").into(),
            tcp: inet.expect("socket"),
            tcp_port: read("port").parse().expect("port"),
            abstract_name: read("abstract"),
            parent: nix::unistd::getppid(),
        }
    }

    fn attempt_all(&self) {
        self.files();
        self.sockets();
        self.processes();
        self.system();
    }

    fn files(&self) {
        report("open", File::open("/").map(drop));
        report("open-etc", File::open("/etc/passwd").map(drop));
        report("write", fs::write(self.directory.join("own"), "x"));
        report("stat", fs::metadata("/").map(drop));
        report("list", fs::read_dir("/").map(drop));
        report("mkdir", fs::create_dir(self.directory.join("new")));
        report("symlink", std::os::unix::fs::symlink("/etc", self.directory.join("link")));
        report("rename", fs::rename(self.directory.join("port"), self.directory.join("port2")));
        report("unlink", fs::remove_file(self.directory.join("abstract")));
        let open = |name: &str, flags| rustix::fs::openat(&self.folder, name, flags, Mode::RWXU).map(drop);
        report("openat", open("passwd", OFlags::RDONLY));
        report("openat-create", open("made", OFlags::WRONLY | OFlags::CREATE));
        let fifo = rustix::fs::FileType::Fifo;
        report("mknod", rustix::fs::mknodat(&self.folder, "fifo", fifo, Mode::RWXU, 0));
        report("chdir", std::env::set_current_dir("/"));
        report("memfd", rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::empty()).map(drop));
        report("inotify", rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::empty()).map(drop));
    }

    fn sockets(&self) {
        let target = (Ipv4Addr::LOCALHOST, self.tcp_port);
        report("tcp-connect", TcpStream::connect(target).map(drop));
        report("tcp-bind", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop));
        report("udp", UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(drop));
        let socket = |family, kind| rustix::net::socket(family, kind, None).map(drop);
        report("socket-inet6", socket(AddressFamily::INET6, SocketType::STREAM));
        report("socket-netlink", socket(AddressFamily::NETLINK, SocketType::RAW));
        if has_landlock() {
            // Nothing else stands before a TCP socket that was there already, and before the
            // abstract sockets of others.
            let address = std::net::SocketAddr::from(target);
            report("tcp-connect-old", rustix::net::connect(&self.tcp, &address));
            let name = SocketAddr::from_abstract_name(&self.abstract_name);
            report("abstract-connect", name.and_then(|name| UnixStream::connect_addr(&name)).map(drop));
        }
    }

    fn processes(&self) {
        report("spawn", Command::new("/bin/true").status().map(drop));
        report("thread", std::thread::Builder::new().spawn(|| {}).map(drop));
        report("signal", nix::sys::signal::kill(self.parent, nix::sys::signal::Signal::SIGCONT));
        let mut byte = [0];
        let local = &mut [io::IoSliceMut::new(&mut byte)];
        let remote = [nix::sys::uio::RemoteIoVec { base: 0, len: 1 }];
        report("vm-read", nix::sys::uio::process_vm_readv(self.parent, local, &remote).map(drop));
        report("ptrace", nix::sys::ptrace::seize(self.parent, nix::sys::ptrace::Options::empty()));
    }

    fn system(&self) {
        report("dumpable", nix::sys::prctl::set_dumpable(true));
        report("setuid", nix::unistd::setuid(nix::unistd::Uid::from_raw(0)));
        report("setgroups", nix::unistd::setgroups(&[]));
        report("unshare", nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER));
        report("chroot", nix::unistd::chroot("/"));
        report("umount", nix::mount::umount("/nonexistent"));
        let program = CString::new("/bin/true").expect("no NUL");
        report("exec", nix::unistd::execv(&program, &[&program]).map(drop));
    }
}

/// Whether the kernel has what "abstract-connect" needs, too.
fn has_landlock() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 12) && std::env::var_os("WALLS_NO_LANDLOCK").is_none()
}

/// Where the child lives: `base_dir` with a `login` directory, and listeners that must not be
/// reached.
struct Ground {
    directory: tempfile::TempDir,
    _listeners: (TcpListener, UnixListener, UnixListener),
}

impl Ground {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("tempdir");
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let port = tcp.local_addr().expect("address").port();
        let name = format!("walls-{}-{port}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("name");
        let other = UnixListener::bind_addr(&address).expect("bind");
        for (file, text) in [("port", port.to_string().as_str()), ("abstract", &name), ("passwd", "secret")] {
            fs::write(directory.path().join(file), text).expect(file);
        }
        let login = directory.path().join("login");
        fs::create_dir(&login).expect("mkdir");
        let socket = UnixListener::bind(login.join("login")).expect("bind");
        for path in [directory.path(), &login, &login.join("login")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("chmod");
        }
        Self { directory, _listeners: (tcp, other, socket) }
    }

    fn without_walls(&self) -> Vec<(String, String)> {
        let own = std::env::current_exe().expect("exe");
        let output = Command::new(own).env(CONTROL, self.directory.path()).output().expect("run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        outcomes(&output.stdout)
    }

    /// Plays the master.
    fn behind_walls(&self) -> Vec<(String, String)> {
        let (ours, theirs) = UnixStream::pair().expect("socketpair");
        let (mut said, log) = io::pipe().expect("pipe");
        let settings = sys::memfile::sealed("settings", &Snapshot::defaults().to_bytes()).expect("memfd");
        let null = File::options().read(true).write(true).open("/dev/null").expect("null");
        let own = std::env::current_exe().expect("exe");
        let program = sys::spawn::Program {
            path: CString::new(own.as_os_str().as_bytes()).expect("no NUL"),
            arguments: vec![CString::new(CHILD).expect("no NUL")],
            environment: Vec::new(),
            descriptors: vec![null.as_fd(), log.as_fd(), log.as_fd(), theirs.as_fd(), settings.as_fd()],
            identity: None,
            chroot: None,
            forbid_core_dumps: true,
        };
        let pid = sys::spawn::spawn(&program).expect("spawn");
        drop(program);
        drop((log, theirs));
        let birth = ToChild::Birth(Box::new(self.birth()));
        let frame = ipc::encode(&birth).expect("encode");
        assert_eq!(sys::pass::send(&ours, &frame, &[]).expect("send"), frame.len());
        let mut text = Vec::new();
        said.read_to_end(&mut text).expect("read");
        let ended = sys::spawn::wait(pid).expect("wait");
        assert_eq!(ended, sys::spawn::Ended::Exited(0), "{}", String::from_utf8_lossy(&text));
        outcomes(&text)
    }

    fn birth(&self) -> Birth {
        let is_root = sys::privilege::effective_uid() == 0;
        let base_dir = self.directory.path().display().to_string();
        // Nobody, the user that every system has.
        let identity = Identity { uid: 65534, gid: 65534, extra_gids: Vec::new(), privileged_gid: None };
        Birth {
            service: "imap-login".into(),
            instance: "dovecot".into(),
            chroot: if is_root { format!("{base_dir}/login") } else { String::new() },
            base_dir,
            config_path: String::new(),
            identity: is_root.then_some(identity),
            listeners: Vec::new(),
            client_limit: 1,
            service_count: 0,
            vsz_limit_bytes: 0,
            anvil: false,
            generation: 0,
        }
    }
}

fn outcomes(text: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(text);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(name, outcome)| (name.to_owned(), outcome.to_owned())).collect()
}
