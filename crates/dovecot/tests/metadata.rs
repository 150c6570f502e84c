//! `doveadm mailbox metadata`: what it says, and that the original reads what we write and the reverse.

use std::process::{Command, Output};

use harness::{Builder, Host, Under, needs};

const CONFIG: &str = "\
mail_attribute_dict = file:%h/dovecot-attributes
mail_server_admin = mailto:admin@example.com
namespace inbox {
  separator = /
  mailbox Drafts {
    comment = not yet sent
  }
}
";

fn host(under: Under) -> Host {
    Builder::new(env!("CARGO_BIN_EXE_dovecot")).under(under).config(CONFIG).start()
}

/// A `doveadm` on the mail of a server's users.
fn run(program: &Host, host: &Host, options: &[&str], words: &[&str]) -> (String, String, i32) {
    let mut command = Command::new(program.program("doveadm"));
    command.arg("-c").arg(host.conf()).args(options).args(["mailbox", "metadata"]).args(words);
    let Output { status, stdout, stderr } = command.output().expect("doveadm runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&stdout), text(&stderr), status.code().unwrap_or(-1))
}

#[track_caller]
fn check(host: &Host, words: &[&str], out: &str, err: &str, status: i32) {
    assert_eq!(run(host, host, &[], words), (out.to_owned(), err.to_owned(), status), "{words:?}");
}

#[track_caller]
fn names(host: &Host, words: &[&str], expected: &[&str]) {
    let (out, err, status) = run(host, host, &[], words);
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!((lines.as_slice(), err.as_str(), status), (expected, "", 0), "{words:?}");
}

#[test]
fn attributes_come_and_go() {
    let host = host(Under::from_env());
    check(&host, &["set", "-u", "user1", "INBOX", "/private/Comment", "a\tb\nc"], "", "", 0);
    check(&host, &["set", "-u", "user1", "INBOX", "/shared/vendor/x/y", "1"], "", "", 0);
    check(&host, &["set", "-u", "user1", "-s", "", "/private/motd", "hello"], "", "", 0);
    check(&host, &["get", "-u", "user1", "INBOX", "/private/comment"], "a\tb\nc\n", "", 0);
    check(&host, &["get", "-u", "user1", "INBOX", "/shared/comment"], "\n", "", 0);
    check(&host, &["get", "-u", "user1", "-s", "", "/private/motd"], "hello\n", "", 0);
    check(&host, &["get", "-u", "user1", "-s", "", "/shared/admin"], "mailto:admin@example.com\n", "", 0);
    check(&host, &["get", "-u", "user2", "INBOX", "/private/comment"], "\n", "", 0);
    names(
        &host,
        &["list", "-u", "user1", "-p", "INBOX"],
        &[
            "/private/comment",
            "/private/specialuse",
            "/private/vendor/vendor.dovecot/pvt/server/motd",
            "/shared/comment",
            "/shared/vendor/vendor.dovecot/pvt/server/admin",
            "/shared/vendor/vendor.dovecot/pvt/server/comment",
            "/shared/vendor/x/y",
        ],
    );
    names(&host, &["list", "-u", "user1", "INBOX", "/shared/vendor/x"], &["/y"]);
    names(&host, &["list", "-u", "user1", "-s", ""], &["motd"]);
    check(&host, &["unset", "-u", "user1", "INBOX", "/private/comment"], "", "", 0);
    check(&host, &["unset", "-u", "user1", "INBOX", "/private/none"], "", "", 0);
    check(&host, &["get", "-u", "user1", "INBOX", "/private/comment"], "\n", "", 0);
    host.doveadm(&["mailbox", "create", "-u", "user1", "Drafts"]);
    check(&host, &["get", "-u", "user1", "Drafts", "/private/specialuse"], "\\Drafts\n", "", 0);
    check(&host, &["get", "-u", "user1", "Drafts", "/shared/comment"], "not yet sent\n", "", 0);
    check(&host, &["set", "-u", "user1", "Drafts", "/shared/comment", "mine"], "", "", 0);
    check(&host, &["get", "-u", "user1", "Drafts", "/shared/comment"], "mine\n", "", 0);
}

#[test]
fn mistakes() {
    let host = host(Under::from_env());
    let user = |text: &str| format!("doveadm(user1): Error: {text}\n");
    check(
        &host,
        &["set", "-u", "user1", "", "/private/x", "1"],
        "",
        &user("Failed to set attribute: mailbox name cannot be empty"),
        64,
    );
    check(
        &host,
        &["get", "-u", "user1", "INBOX", "x"],
        "",
        "Fatal: Invalid metadata key 'x': Must begin with /private or /shared\n",
        64,
    );
    check(
        &host,
        &["set", "-u", "user1", "none", "/private/x", "1"],
        "",
        &user("Failed to open mailbox: Mailbox doesn't exist: none"),
        68,
    );
    check(
        &host,
        &["get", "-u", "user1", "none", "/private/x"],
        "",
        &user("Failed to get attribute: Mailbox doesn't exist: none"),
        68,
    );
    host.doveadm(&["mailbox", "create", "-u", "user1", "Drafts"]);
    check(
        &host,
        &["set", "-u", "user1", "Drafts", "/private/specialuse", "\\Sent"],
        "",
        &user("Failed to set attribute: The /private/specialuse attribute cannot be changed"),
        65,
    );
    check(
        &host,
        &["get", "-u", "user1", "INBOX"],
        "",
        "doveadm mailbox metadata get [-u <user>|-A] [-S <socket_path>] [-s] <mailbox> <key>\n",
        64,
    );
    let without = run(
        &host,
        &host,
        &["-o", "mail_attribute_dict="],
        &["set", "-u", "user1", "Drafts", "/private/x", "1"],
    );
    let refused = user("Failed to set attribute: Mailbox attributes not enabled");
    assert_eq!(without, (String::new(), refused, 65));
}

#[test]
fn each_reads_what_the_other_wrote() {
    if !needs(&["dovecot", "doveadm"]) {
        return;
    }
    let (ours, real) = (host(Under::Ours), host(Under::Dovecot));
    for (writer, reader, key) in [(&ours, &real, "/private/a"), (&real, &ours, "/shared/b")] {
        let text = "one\ttwo\nthree";
        let set = ["set", "-u", "user1", "INBOX", key, text];
        assert_eq!(run(writer, &ours, &[], &set), (String::new(), String::new(), 0));
        let get = ["get", "-u", "user1", "INBOX", key];
        assert_eq!(run(reader, &ours, &[], &get), (format!("{text}\n"), String::new(), 0));
    }
    // Neither loses what the other wrote.
    assert_eq!(run(&ours, &ours, &[], &["get", "-u", "user1", "INBOX", "/private/a"]).0, "one\ttwo\nthree\n");
    assert_eq!(run(&real, &ours, &[], &["get", "-u", "user1", "INBOX", "/shared/b"]).0, "one\ttwo\nthree\n");
}
