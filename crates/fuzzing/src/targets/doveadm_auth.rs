//! What the auth process answers to doveadm: to lookups, lists, and logins that are tried.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kit::Scratch;

pub(crate) fn run(data: &[u8]) {
    let scratch = Scratch::new();
    let socket = scratch.path().join("socket");
    let listener = UnixListener::bind(&socket).expect("bind");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // All stay open to the end: doveadm has two connections at the same time.
            let mut served = Vec::new();
            for mut stream in listener.incoming().flatten() {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                let _ = stream.write_all(data).and_then(|()| stream.shutdown(Shutdown::Write));
                served.push(stream);
            }
        });
        doveadm::probe::ask_auth(&socket.display().to_string());
        is_over.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&socket);
    });
}
