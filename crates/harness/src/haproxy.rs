//! A HAProxy of the test's own, in front of a server on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::needs::{find, needs, wait_for};

/// A running HAProxy. Dropping it stops it.
pub struct Haproxy {
    child: Child,
}

impl Haproxy {
    /// Starts it with `frontends`, a configuration without `global` and `defaults`, and waits until it listens
    /// on all of `ports`; `None`, with a word about it, if it is not installed.
    pub fn start(dir: &Path, frontends: &str, ports: &[u16]) -> Option<Self> {
        if !needs(&["haproxy"]) {
            return None;
        }
        let conf = dir.join("haproxy.cfg");
        let text = format!(
            "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 60s\n  timeout client 60s\n  \
             timeout server 60s\n{frontends}"
        );
        std::fs::write(&conf, text).expect("its configuration");
        let log = std::fs::File::create(dir.join("haproxy.log")).expect("its log");
        let errors = log.try_clone().expect("its log");
        let child = Command::new(find("haproxy").expect("haproxy is installed"))
            .args(["-db", "-f"])
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("haproxy runs");
        let mut server = Self { child };
        for &port in ports {
            wait_for("haproxy listens", || {
                let ended = server.child.try_wait().expect("it can be waited for");
                let said = || std::fs::read_to_string(dir.join("haproxy.log")).unwrap_or_default();
                assert!(ended.is_none(), "haproxy ended: {}", said());
                TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok()
            });
        }
        Some(server)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
