//! A Kerberos realm of the test's own: a key distribution centre on a port of loopback, its
//! principals, a keytab for services and tickets for clients.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::host::free_port;
use crate::needs::{find, needs, wait_for};

/// The realm.
pub const REALM: &str = "EXAMPLE.ORG";

/// A running key distribution centre. Dropping it stops it; its directory belongs to the caller.
pub struct Kdc {
    dir: PathBuf,
    child: Option<Child>,
}

impl Kdc {
    /// Makes a realm in `dir` and starts its centre; `None`, with a word about it, if it is not
    /// installed. `realm` are more lines for the realm's section of `krb5.conf`.
    pub fn start(dir: &Path, realm: &str) -> Option<Self> {
        if !needs(&["krb5kdc", "kdb5_util", "kadmin.local", "kinit"]) {
            return None;
        }
        let home = dir.join("krb5");
        std::fs::create_dir(&home).expect("the centre's directory");
        let (port, place) = (free_port(), home.display());
        let clients = format!(
            "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n \
             rdns = false\n dns_canonicalize_hostname = false\n\
             [realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n{realm} }}\n\
             [domain_realm]\n localhost = {REALM}\n"
        );
        let centre = format!(
            "[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n\
             [realms]\n {REALM} = {{\n  database_name = {place}/principal\n  key_stash_file = {place}/stash\n }}\n\
             [logging]\n kdc = FILE:{place}/log\n"
        );
        std::fs::write(home.join("krb5.conf"), clients).expect("the clients' configuration");
        std::fs::write(home.join("kdc.conf"), centre).expect("the centre's configuration");
        let mut kdc = Self { dir: home, child: None };
        let mut create = kdc.command("kdb5_util");
        create
            .args(["-r", REALM, "create", "-s", "-P", "master"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        assert!(create.status().expect("kdb5_util runs").success());
        let mut server = kdc.command("krb5kdc");
        server.args(["-n", "-r", REALM]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        kdc.child = Some(server.spawn().expect("krb5kdc starts"));
        wait_for("krb5kdc to start", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Some(kdc)
    }

    /// The configuration for `KRB5_CONFIG`.
    pub fn config(&self) -> PathBuf {
        self.dir.join("krb5.conf")
    }

    /// The keytab with the keys of all services.
    pub fn keytab(&self) -> PathBuf {
        self.dir.join("keytab")
    }

    /// Adds somebody with a password.
    pub fn add(&self, principal: &str, password: &str) {
        self.admin(&format!("addprinc -pw {password} {principal}"));
    }

    /// Adds a service like `imap/localhost`, with its key in the keytab.
    pub fn add_service(&self, principal: &str) {
        self.admin(&format!("addprinc -randkey {principal}"));
        self.admin(&format!("ktadd -k {} {principal}", self.keytab().display()));
        let readable = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(self.keytab(), readable).expect("the keytab's permissions");
    }

    /// Gets a ticket; gives the file that `KRB5CCNAME` names.
    pub fn ticket(&self, principal: &str, password: &str) -> PathBuf {
        let file = self.dir.join(format!("ticket-{}", principal.replace('/', "-")));
        if file.exists() {
            return file;
        }
        let mut kinit = self.command("kinit");
        kinit.arg("-c").arg(&file).arg(principal).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut kinit = kinit.spawn().expect("kinit runs");
        let mut input = kinit.stdin.take().expect("a pipe");
        input.write_all(format!("{password}\n").as_bytes()).expect("kinit reads");
        drop(input);
        assert!(kinit.wait().expect("kinit ends").success(), "no ticket for {principal}");
        file
    }

    fn admin(&self, query: &str) {
        let mut admin = self.command("kadmin.local");
        let done = admin.args(["-r", REALM, "-q", query]).output().expect("kadmin.local runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && !said.contains("kadmin.local: "), "{query}: {said}");
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(find(program).expect("Kerberos is installed"));
        command.env("KRB5_CONFIG", self.config()).env("KRB5_KDC_PROFILE", self.dir.join("kdc.conf"));
        command
    }
}

impl Drop for Kdc {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
