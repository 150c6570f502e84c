//! What systemd sees: readiness, reloads, the watchdog, the end, and sockets that it brought.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Builder, Client, Under, needs};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Takes messages until one starts with `text`.
fn hear(socket: &UnixDatagram, text: &str) -> String {
    let mut buffer = [0; 4096];
    loop {
        let count = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("before {text}: {error}"));
        let message = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
        if message.starts_with(text) {
            return message;
        }
    }
}

#[test]
fn a_life_under_systemd() {
    if !needs(&["sh"]) {
        return;
    }
    let host = Builder::new(env!("CARGO_BIN_EXE_dovecot")).prepare();
    let path = host.dir().join("notify");
    let notify = UnixDatagram::bind(&path).expect("a socket");
    notify.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let imap = TcpListener::bind(host.address("imap")).expect("the port");
    // The shell gives the socket its number and says whose it is, as systemd would.
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ WATCHDOG_PID=$$ exec \"$0\" -F -c \"$1\"";
    let mut child = Command::new("sh")
        .args(["-c", script])
        .arg(host.program("dovecot"))
        .arg(host.conf())
        .env("NOTIFY_SOCKET", &path)
        .env("LISTEN_FDS", "1")
        .env("WATCHDOG_USEC", "200000")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(imap.try_clone().expect("a second handle"))))
        .spawn()
        .expect("it starts");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let ready = hear(&notify, "READY=1");
    assert!(ready.contains(&format!("MAINPID={pid}")), "{ready}");
    drop(imap);
    let greeting = Client::connect(host.address("imap")).expect_line();
    assert!(greeting.starts_with("* OK"), "{greeting}");
    if Under::from_env() == Under::Ours {
        hear(&notify, "WATCHDOG=1");
    }
    kill(pid, Signal::SIGHUP).expect("it runs");
    hear(&notify, "RELOADING=1");
    hear(&notify, "READY=1");
    kill(pid, Signal::SIGTERM).expect("it runs");
    hear(&notify, "STOPPING=1");
    assert!(child.wait().expect("it ends").success());
}
