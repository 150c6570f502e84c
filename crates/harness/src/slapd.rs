//! An OpenLDAP server of the test's own, on a port of loopback and on a unix socket.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::needs::{find, needs, wait_for};

/// A running or stopped server for `dc=example,dc=org`, whose administrator is
/// `cn=admin,dc=example,dc=org` with the password `adminpw`. Dropping it stops it.
pub struct Slapd {
    dir: PathBuf,
    port: u16,
    tls_port: u16,
    child: Option<Child>,
}

/// Certificate and key of the server, and who signed it.
#[derive(Debug, Clone, Copy)]
pub struct SlapdTls<'p> {
    /// PEM file of the certificate, which is its own authority.
    pub cert: &'p Path,
    /// PEM file of its key.
    pub key: &'p Path,
}

impl Slapd {
    /// Makes a server in `dir` with these entries and starts it; `None`, with a word about it, if it
    /// is not installed.
    pub fn start(dir: &Path, tls: Option<SlapdTls<'_>>, ldif: &str) -> Option<Self> {
        if !needs(&["slapd", "slapadd"]) {
            return None;
        }
        let home = dir.join("slapd");
        std::fs::create_dir_all(home.join("data")).expect("the server's directory");
        let place = home.display();
        let schemas = ["core", "cosine", "nis", "inetorgperson"]
            .map(|name| format!("include /etc/ldap/schema/{name}.schema\n"))
            .concat();
        let tls = tls.map_or_else(String::new, |tls| {
            format!(
                "TLSCertificateFile {}\nTLSCertificateKeyFile {}\n",
                tls.cert.display(),
                tls.key.display()
            )
        });
        let config = format!(
            "{schemas}pidfile {place}/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n{tls}\
             sizelimit unlimited\ndatabase mdb\nmaxsize 16777216\nsuffix dc=example,dc=org\n\
             rootdn cn=admin,dc=example,dc=org\nrootpw adminpw\ndirectory {place}/data\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by * read\n"
        );
        std::fs::write(home.join("conf"), config).expect("the server's configuration");
        let mut add = Command::new(find("slapadd").expect("slapadd is installed"));
        add.arg("-q").arg("-f").arg(home.join("conf")).stdin(Stdio::piped());
        let mut add = add.spawn().expect("slapadd runs");
        add.stdin.take().expect("a pipe").write_all(ldif.as_bytes()).expect("slapadd reads");
        assert!(add.wait().expect("slapadd ends").success());
        let free = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (plain, secure) = (free(), free());
        let port = |listener: &TcpListener| listener.local_addr().expect("its address").port();
        let mut server = Self { dir: home, port: port(&plain), tls_port: port(&secure), child: None };
        drop((plain, secure));
        server.resume();
        Some(server)
    }

    /// Its port on 127.0.0.1, without TLS at first.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its port on 127.0.0.1 where TLS begins at once.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The URI of its unix socket.
    pub fn socket_uri(&self) -> String {
        format!("ldapi://{}", self.dir.join("sock").display().to_string().replace('/', "%2F"))
    }

    /// Starts it again and waits until it accepts connections.
    pub fn resume(&mut self) {
        let uris = format!(
            "ldap://127.0.0.1:{} ldaps://127.0.0.1:{} {}",
            self.port,
            self.tls_port,
            self.socket_uri()
        );
        let mut server = Command::new(find("slapd").expect("slapd is installed"));
        // With a debug level, even none, it stays in the foreground.
        server.args(["-d", "0", "-h", &uris, "-f"]).arg(self.dir.join("conf"));
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(server.spawn().expect("slapd starts"));
        let port = self.port;
        wait_for("slapd to start", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    }

    /// Stops it in an instant.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.kill();
    }
}
