//! Commands on mail that a doveadm server does (`-S`): our `doveadm` and the original's at both ends, over
//! the socket that needs no password and over TCP, where one is asked for.

use std::fs;
use std::process::{Command, Output, Stdio};

use harness::{Builder, Client, Host, Under, needs};

const CONFIG: &str = "\
doveadm_password = secret
service pop3-login {
  inet_listener pop3s {
    port = 0
  }
}
service doveadm {
  inet_listener {
    port = @POP3S@
  }
}
namespace inbox {
  separator = /
}
passdb {
  driver = passwd-file
  args = username_format=%u @DIR@/users
}
userdb {
  driver = passwd-file
  args = username_format=%u @DIR@/users
  override_fields = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u
}
";

fn builder(under: Under) -> Builder {
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).under(under).without_users().config(CONFIG)
}

/// A `doveadm` and the server that works for it.
struct Pair {
    client: Host,
    server: Host,
}

impl Pair {
    /// All that there are: with the original installed, three.
    fn all() -> Vec<Self> {
        let mut all = vec![(Under::Ours, Under::Ours)];
        if needs(&["dovecot", "doveadm"]) {
            all.push((Under::Ours, Under::Dovecot));
            all.push((Under::Dovecot, Under::Ours));
        }
        let start =
            |(client, server)| Self { client: builder(client).prepare(), server: builder(server).start() };
        all.into_iter().map(start).collect()
    }

    fn socket(&self) -> String {
        format!("{}/run/doveadm-server", self.server.dir().display())
    }

    fn address(&self) -> String {
        self.server.address("pop3s").to_string()
    }

    /// Runs a command, in which `SERVER` is the one that works.
    fn output(&self, server: &str, line: &str, input: &str) -> Output {
        let mut command = Command::new(self.client.program("doveadm"));
        command.arg("-c").arg(self.client.conf());
        command.args(line.split(' ').map(|word| if word == "SERVER" { server } else { word }));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("doveadm runs");
        std::io::Write::write_all(&mut child.stdin.take().expect("it is piped"), input.as_bytes())
            .expect("doveadm reads");
        child.wait_with_output().expect("doveadm ends")
    }

    /// Standard output, what is complained of, and the exit status, by both ways to the server. The first
    /// way is tried alone where the command changes something.
    #[track_caller]
    fn check(&self, servers: &[&str], line: &str, input: &str, out: &str, err: &str, status: i32) {
        for server in servers {
            let Output { status: ended, stdout, stderr } = self.output(server, line, input);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(server, "SERVER");
            let err = err.replace("REMOTE", if server.starts_with('/') { "" } else { "127.0.0.1," });
            assert_eq!(
                (text(&stdout), without_session(&text(&stderr)), ended.code()),
                (out.to_owned(), err, Some(status)),
                "doveadm {line} at {server}, {:?} to {:?}\n{}",
                self.client.under(),
                self.server.under(),
                self.server.log(),
            );
        }
    }
}

/// The original's lines from a user have process and session, ours do not.
fn without_session(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let cut = line.split_once(")<").and_then(|(before, rest)| {
            let (_, after) = rest.split_once(">: ")?;
            Some(format!("{before}): {after}"))
        });
        out.push_str(&cut.unwrap_or_else(|| line.to_owned()));
        out.push('\n');
    }
    out
}

#[test]
fn a_server_does_what_doveadm_would() {
    for pair in Pair::all() {
        let (socket, address) = (pair.socket(), pair.address());
        let (one, both) = (&[socket.as_str()][..], &[socket.as_str(), address.as_str()][..]);
        let mail = "Subject: one\n\n.dot\nlast";
        pair.check(one, "save -S SERVER -u user1", mail, "", "", 0);
        pair.check(
            &[address.as_str()],
            "save -S SERVER -u user1 -m INBOX",
            "Subject: two\n\n\tb\n",
            "",
            "",
            0,
        );
        pair.check(both, "-f flow fetch -S SERVER -u user1 uid all", "", "uid=1\nuid=2\n", "", 0);
        let fetched = "1\tone\tSubject: one\n\n.dot\nlast\n2\ttwo\tSubject: two\n\n\tb\n\n";
        pair.check(
            both,
            "-h -f tab fetch -S SERVER -u user1 --field uid --field hdr.subject --field text all",
            "",
            fetched,
            "",
            0,
        );
        pair.check(one, "mailbox create -S SERVER -u user1 -s é", "", "", "", 0);
        pair.check(both, "mailbox list -S SERVER -u user1 -s", "", "é\n", "", 0);
        pair.check(one, "flags add -S SERVER -u user1 \\Seen mailbox INBOX uid 1", "", "", "", 0);
        pair.check(
            both,
            "-f flow mailbox status -S SERVER -u user1 messages INBOX",
            "",
            "INBOX messages=2\n",
            "",
            0,
        );
        pair.check(
            both,
            "-f flow fetch -S SERVER -u user1 flags mailbox INBOX uid 1",
            "",
            "flags=\\Seen \\Recent\n",
            "",
            0,
        );
    }
}

#[test]
fn what_goes_wrong_there_is_told_here() {
    for pair in Pair::all() {
        let (socket, address) = (pair.socket(), pair.address());
        let both = &[socket.as_str(), address.as_str()][..];
        pair.check(&[socket.as_str()], "mailbox create -S SERVER -u user1 a", "", "", "", 0);
        pair.check(
            both,
            "mailbox create -S SERVER -u user1 a",
            "",
            "",
            "doveadm(user1): Error: remote(SERVER): doveadm(user1): Can't create mailbox a: Mailbox already exists\n",
            65,
        );
        pair.check(
            both,
            "mailbox list -S SERVER -u nobody",
            "",
            "",
            "doveadm(nobody): Error: remote(SERVER): doveadm(REMOTEnobody): User doesn't exist\n\
             doveadm(nobody): Error: SERVER: No such user: nobody\n",
            67,
        );
        pair.check(
            &[address.as_str()],
            "-o doveadm_password=wrong mailbox list -S SERVER -u user1",
            "",
            "",
            "doveadm(user1): Error: doveadm authentication failed ()\n\
             doveadm(user1): Error: SERVER: Command mailbox list failed for user1: EOF\n",
            75,
        );
        pair.server.wait_log("doveadm(127.0.0.1): Error: doveadm client authenticated with wrong password");
        pair.check(
            &[address.as_str()],
            "-o doveadm_password= mailbox list -S SERVER -u user1",
            "",
            "",
            "doveadm(user1): Error: doveadm_password not set, can't authenticate to remote server\n\
             doveadm(user1): Error: SERVER: Command mailbox list failed for user1: EOF\n",
            75,
        );
        for (server, why) in [
            ("/nonexistent", "net_connect_unix(SERVER) failed: No such file or directory"),
            ("127.0.0.1:0", "Port not known for SERVER. Either set proxy_port or use SERVER:port"),
            ("127.0.0.1", "connect(SERVER:0) failed: Connection refused"),
            ("nowhere.invalid:1", "Lookup of host nowhere.invalid failed: "),
        ] {
            let output = pair.output(server, "mailbox list -S SERVER -u user1", "");
            let said = String::from_utf8_lossy(&output.stderr).replace(server, "SERVER");
            assert!(said.starts_with(&format!("doveadm(user1): Fatal: {why}")), "{said}");
            assert_eq!(output.status.code(), Some(75), "{said}");
        }
    }
}

#[test]
fn several_users_are_worked_on_in_turn() {
    for pair in Pair::all() {
        let socket = pair.socket();
        let one = &[socket.as_str()][..];
        for user in ["user1", "user2", "user3"] {
            pair.check(one, &format!("save -S SERVER -u {user}"), "Subject: x\n\nx\n", "", "", 0);
        }
        // Whose masks they are looks the client up, which has the same users.
        let client = builder(pair.client.under()).start();
        let pair = Pair { client, server: pair.server };
        let all = "user1 INBOX\nuser2 INBOX\nuser3 INBOX\n";
        let lines = |line: &str| {
            let Output { status, stdout, stderr } = pair.output(&socket, line, "");
            let mut lines: Vec<&str> = std::str::from_utf8(&stdout).expect("text").lines().collect();
            lines.sort_unstable();
            (lines.join("\n") + "\n", String::from_utf8_lossy(&stderr).into_owned(), status.code())
        };
        for line in [
            "mailbox list -S SERVER -A",
            "mailbox list -S SERVER -u user*",
            "-o doveadm_worker_count=3 mailbox list -S SERVER -u *",
        ] {
            assert_eq!(lines(line), (all.to_owned(), String::new(), Some(0)), "{line}");
        }
        let file = pair.client.dir().join("some");
        fs::write(&file, "user3\nuser1\n").expect("a file");
        if pair.client.under() == Under::Ours {
            // The original asks its server to read that file.
            let line = format!("mailbox list -S SERVER -F {}", file.display());
            assert_eq!(lines(&line), ("user1 INBOX\nuser3 INBOX\n".to_owned(), String::new(), Some(0)));
        }
        let line = format!("-o doveadm_worker_count=2 -o doveadm_socket_path={socket} mailbox list -u user2");
        assert_eq!(lines(&line), ("INBOX\n".to_owned(), String::new(), Some(0)));
    }
}

#[test]
fn a_server_does_only_what_it_is_allowed_to() {
    let server =
        builder(Under::from_env()).config("doveadm_allowed_commands = mailbox list,search\n").start();
    let pair = Pair { client: builder(Under::Ours).prepare(), server };
    let (socket, address) = (pair.socket(), pair.address());
    let both = &[socket.as_str(), address.as_str()][..];
    pair.check(both, "mailbox list -S SERVER -u user1", "", "INBOX\n", "", 0);
    let refused = "doveadm client isn't allowed to use command: expunge";
    for server in both {
        let output = pair.output(server, "expunge -S SERVER -u user1 mailbox INBOX all", "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(75), "{said}");
        assert!(said.contains(refused), "{said}");
        assert!(said.contains("Command expunge failed for user1: EOF"), "{said}");
    }
    pair.server.wait_log(&format!("Error: {refused}"));
}

/// A socket that others may connect to asks for the password, too.
#[test]
fn a_socket_for_others_is_no_password() {
    let config = "service doveadm {\n  unix_listener doveadm-server {\n    mode = 0666\n  }\n}\n";
    let server = builder(Under::from_env()).config(config).start();
    let pair = Pair { client: builder(Under::Ours).prepare(), server };
    let socket = pair.socket();
    pair.check(&[socket.as_str()], "mailbox list -S SERVER -u user1", "", "INBOX\n", "", 0);
    let output = pair.output(&socket, "-o doveadm_password=wrong mailbox list -S SERVER -u user1", "");
    assert_eq!(output.status.code(), Some(75), "{output:?}");
}

/// A server whose passdb says that `user2` is at another one, with these fields.
fn knowing(under: Under, other: &Host, fields: &str) -> Host {
    let mut client = builder(under).config("doveadm_port = 1\n").prepare();
    let users = client.dir().join("users");
    let port = other.address("pop3s").port();
    let lines = fs::read_to_string(&users).expect("the users");
    let proxied = format!("user2:{{PLAIN}}pass::::::proxy=y host=127.0.0.1 port={port} {fields}\n");
    let lines: String =
        lines.lines().filter(|line| !line.starts_with("user2")).map(|line| format!("{line}\n")).collect();
    fs::write(&users, lines + &proxied).expect("the users");
    client.start();
    client
}

/// TLS from the first byte, or after STARTTLS.
#[test]
fn servers_speak_tls() {
    let mut all = vec![(Under::Ours, Under::Ours)];
    if needs(&["dovecot", "doveadm"]) {
        all.extend([(Under::Ours, Under::Dovecot), (Under::Dovecot, Under::Ours)]);
    }
    let long = "Subject: long\n\n".to_owned() + &"a line of a message\n".repeat(20_000);
    for (client, server) in all {
        for (listener, fields) in [("ssl = yes", "ssl=any-cert"), ("ssl = no", "starttls=any-cert")] {
            let config = CONFIG.replace("port = @POP3S@", &format!("port = @POP3S@\n    {listener}"));
            let ours = env!("CARGO_BIN_EXE_dovecot");
            let server = Builder::new(ours).under(server).without_users().config(&config).start();
            let pair = Pair { client: knowing(client, &server, fields), server };
            let run = |line: &str, input: &str| {
                let Output { status, stdout, stderr } = pair.output("", line, input);
                let what = format!("{line}, {client:?}, {fields}: {}", String::from_utf8_lossy(&stderr));
                assert!(status.success(), "{what}\n{}", pair.server.log());
                String::from_utf8(stdout).expect("text")
            };
            run("mailbox create -u user2 there", "");
            assert_eq!(run("mailbox list -u user2 t*", ""), "there\n");
            run("save -u user2 -m there", &long);
            let text = run("fetch -u user2 text mailbox there all", "");
            assert_eq!(text.lines().filter(|line| line.starts_with("a line")).count(), 20_000);
        }
    }
}

/// A load balancer in front says whom a connection comes from, first of all.
#[test]
fn load_balancers_say_who_the_client_is() {
    let mut all = vec![Under::Ours];
    if needs(&["dovecot", "doveadm"]) {
        all.push(Under::Dovecot);
    }
    for under in all {
        let listener = "port = @POP3S@\n    haproxy = yes";
        let config = CONFIG.replace("port = @POP3S@", listener) + "haproxy_trusted_networks = 127.0.0.0/8\n";
        let ours = env!("CARGO_BIN_EXE_dovecot");
        let server = Builder::new(ours).under(under).without_users().config(&config).start();
        let talk = |header: &str| {
            let mut client = Client::connect(server.address("pop3s"));
            client.send(format!("{header}VERSION\tdoveadm-server\t1\t0\n"));
            client
        };
        let header = "PROXY TCP4 192.0.2.9 192.0.2.10 1111 4711\r\n";
        let mut client = talk(header);
        assert_eq!(client.read_line().as_deref(), Some("-"), "{under:?}");
        client.send("PLAIN\tAGRvdmVhZG0Ad3Jvbmc=\n");
        // The original tells the load balancer's address.
        let who = if under == Under::Ours { "192.0.2.9" } else { "127.0.0.1" };
        let line = format!("doveadm({who}): Error: doveadm client authenticated with wrong password");
        server.wait_log(&line);
        let mut client = talk(header);
        client.send("PLAIN\tAGRvdmVhZG0Ac2VjcmV0\n\tuser1\tmailbox list\n");
        let said: Vec<_> = std::iter::from_fn(|| client.read_line()).take(3).collect();
        assert_eq!(said, ["-", "+", "INBOX\t"], "{under:?}");
        assert_eq!(talk("").read_line(), None);
        server.wait_log("haproxy: Client disconnected: Failed to read valid HAproxy data (rip=127.0.0.1)");
    }
}

/// A certificate that nobody vouches for is not taken.
#[test]
fn a_server_that_is_not_known_is_told_nothing() {
    let config = CONFIG.replace("port = @POP3S@", "port = @POP3S@\n    ssl = yes");
    let ours = env!("CARGO_BIN_EXE_dovecot");
    let server = Builder::new(ours).under(Under::from_env()).without_users().config(&config).start();
    let pair = Pair { client: knowing(Under::Ours, &server, "ssl=yes"), server };
    let output = pair.output("", "mailbox list -u user2", "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("disconnected before handshake: "), "{said}");
    let place = format!("tcps:{}", pair.address());
    let there =
        |options: &str| pair.output("", &format!("{options}backup -u user1 {place}").replace("  ", " "), "");
    assert!(!there("").status.success());
    pair.client.doveadm(&["mailbox", "create", "-u", "user1", "from-here"]);
    let output = there("-o ssl_client_require_valid_cert=no ");
    assert!(output.status.success(), "{output:?}\n{}", pair.server.log());
    let there = pair.server.doveadm(&["mailbox", "list", "-u", "user1"]);
    assert!(there.contains("from-here"), "{there}");
}

/// A passdb may say that a user's mail is at another server.
#[test]
fn the_passdb_tells_where_a_user_is() {
    let server = builder(Under::from_env()).start();
    let client = knowing(Under::from_env(), &server, "");
    let run = |host: &Host, line: &str| host.doveadm(&line.split(' ').collect::<Vec<_>>());
    run(&server, "mailbox create -u user2 there");
    run(&client, "mailbox create -u user1 here");
    assert_eq!(run(&client, "mailbox list -u user2 t*"), "there\n");
    assert_eq!(run(&client, "mailbox list -u user1 h*"), "here\n");
    let all = run(&client, "mailbox list -A *here");
    assert_eq!(all.lines().collect::<std::collections::BTreeSet<_>>(), ["user1 here", "user2 there"].into());
}
