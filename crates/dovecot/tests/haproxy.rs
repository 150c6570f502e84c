//! Clients that come through a real HAProxy: who they are for the log, for `allow_nets` and for
//! `disable_plaintext_auth`, with both versions of its header and with TLS on either side of it.

use std::fs;
use std::process::Command;

use harness::{Builder, Haproxy, Host, free_port, needs};

/// Where HAProxy listens, one port for each way of passing clients on.
#[derive(Clone, Copy)]
struct Ways {
    /// `send-proxy`
    old: u16,
    /// `send-proxy-v2`, with health checks
    new: u16,
    /// TLS ends at HAProxy, which says so.
    ended: u16,
    /// TLS goes through.
    through: u16,
}

impl Ways {
    fn free() -> Self {
        Self { old: free_port(), new: free_port(), ended: free_port(), through: free_port() }
    }

    fn start(self, host: &Host, plain: u16, tls: u16) -> Option<Haproxy> {
        let files =
            ["cert.pem", "key.pem"].map(|name| fs::read_to_string(host.dir().join(name)).expect(name));
        let pem = host.dir().join("haproxy.pem");
        fs::write(&pem, files.concat()).expect("a file");
        let frontend = |name: &str, port: u16, options: &str, server: u16, how: &str| {
            format!(
                "frontend {name}\n  bind 127.0.0.1:{port}{options}\n  default_backend {name}\nbackend {name}\n  \
                 server s 127.0.0.1:{server} {how}\n"
            )
        };
        let crt = format!(" ssl crt {}", pem.display());
        let frontends = [
            frontend("old", self.old, "", plain, "send-proxy"),
            frontend("new", self.new, "", plain, "send-proxy-v2 check check-send-proxy inter 50"),
            frontend("ended", self.ended, &crt, plain, "send-proxy-v2-ssl-cn"),
            frontend("through", self.through, "", tls, "send-proxy-v2"),
        ];
        Haproxy::start(host.dir(), &frontends.concat(), &[self.old, self.new, self.ended, self.through])
    }
}

/// A server behind HAProxy, and the ports that HAProxy is to pass clients on to.
fn host(trusted: &str) -> (Host, u16, u16) {
    let (plain, tls) = (free_port(), free_port());
    let mut host = Builder::new(env!("CARGO_BIN_EXE_dovecot"))
        .without_users()
        .config("auth_failure_delay = 0\nauth_verbose = yes\ndisable_plaintext_auth = yes")
        .config("service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}")
        .config(&format!("haproxy_trusted_networks = {trusted}"))
        .config(&format!(
            "service imap-login {{\n  inet_listener ha {{\n    port = {plain}\n    haproxy = yes\n  }}\n  \
             inet_listener has {{\n    port = {tls}\n    haproxy = yes\n    ssl = yes\n  }}\n}}"
        ))
        .config("passdb {\n  driver = passwd-file\n  args = @DIR@/users\n}")
        .config("userdb {\n  driver = static\n  args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u\n}")
        .prepare();
    fs::write(
        host.dir().join("users"),
        "joe:{PLAIN}pass::::::\nnear:{PLAIN}pass:::::: allow_nets=127.0.0.5\n",
    )
    .expect("the users");
    host.start();
    (host, plain, tls)
}

/// Whether `user` gets in from an address.
fn gets_in(from: &str, port: u16, is_tls: bool, user: &str) -> bool {
    let scheme = if is_tls { "imaps" } else { "imap" };
    let done = Command::new("curl")
        .args(["-s", "-S", "-k", "--max-time", "60", "--interface", from, "-u", &format!("{user}:pass")])
        .arg(format!("{scheme}://127.0.0.1:{port}/"))
        .output()
        .expect("curl runs");
    done.status.success()
}

#[test]
fn clients_are_who_they_are_and_as_safe_as_they_are() {
    if !needs(&["haproxy", "curl"]) {
        return;
    }
    let (host, plain, tls) = host("127.0.0.1");
    let ways = Ways::free();
    let Some(_haproxy) = ways.start(&host, plain, tls) else { return };
    // Without TLS somebody listens; that the load balancer is near does not matter.
    for port in [ways.old, ways.new] {
        assert!(!gets_in("127.0.0.5", port, false, "joe"));
    }
    for (port, user, safety) in [(ways.ended, "near", ", secured"), (ways.through, "joe", ", TLS")] {
        assert!(gets_in("127.0.0.5", port, true, user), "{user}");
        let line =
            host.wait_log(&format!("Login: user=<{user}>, method=PLAIN, rip=127.0.0.5, lip=127.0.0.1, "));
        assert!(line.contains(safety), "{line}");
    }
    // It is the client's address that counts.
    assert!(!gets_in("127.0.0.6", ways.ended, true, "near"));
    host.wait_log("allow_nets check failed: IP 127.0.0.6 not in allowed networks");
}

#[test]
fn both_headers_and_health_checks() {
    if !needs(&["haproxy", "curl"]) {
        return;
    }
    let (mut host, plain, tls) = host("127.0.0.0/8");
    let conf = fs::read_to_string(host.conf()).expect("the configuration");
    fs::write(host.conf(), format!("{conf}disable_plaintext_auth = no\n")).expect("the configuration");
    host.stop();
    host.start();
    let ways = Ways::free();
    let Some(_haproxy) = ways.start(&host, plain, tls) else { return };
    for (port, from) in [(ways.old, "127.0.0.7"), (ways.new, "127.0.0.8")] {
        assert!(gets_in(from, port, false, "joe"));
        host.wait_log(&format!("Login: user=<joe>, method=PLAIN, rip={from}, lip=127.0.0.1, "));
    }
    // Dozens of checks by now, of which nobody needs to read.
    let log = host.log();
    assert!(!log.contains("haproxy:") && !log.contains("imap-login: Error: haproxy"), "{log}");
}

#[test]
fn a_load_balancer_that_nobody_trusts() {
    if !needs(&["haproxy", "curl"]) {
        return;
    }
    let (host, plain, tls) = host("10.0.0.0/8");
    let ways = Ways::free();
    let Some(_haproxy) = ways.start(&host, plain, tls) else { return };
    assert!(!gets_in("127.0.0.5", ways.through, true, "joe"));
    host.wait_log("haproxy: Client not trusted (rip=127.0.0.1)");
    assert!(!host.log().contains("127.0.0.5"));
}
