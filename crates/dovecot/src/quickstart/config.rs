//! The configuration of the quick start, meant to be read and changed, and what is said about it.

use std::net::Ipv4Addr;
use std::path::Path;

use settings::{Config, ParseOptions, SectionKind, StdFiles, key};

use super::{Error, Owner};

pub(super) const FILE: &str = "dovecot.conf";

/// The passwd-file: user, password and the fields of passwd(5).
pub(super) const USERS: &str = "\
# user:password:uid:gid:gecos:home:shell:extra fields
# `doveadm pw` makes hashed passwords; this one is meant to be known.
demo:{PLAIN}demo::::::
";

/// Loopback ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) imap: u16,
    pub(super) imaps: u16,
    pub(super) pop3: u16,
    pub(super) pop3s: u16,
}

/// The file's text.
pub(super) fn text(directory: &Path, ports: &Ports, owner: Owner) -> String {
    let user = sys::accounts::user_by_id(owner.uid).ok().flatten();
    let user = user.map_or_else(|| owner.uid.to_string(), |user| user.name);
    let group = sys::accounts::group_name(owner.gid).ok().flatten().unwrap_or_else(|| owner.gid.to_string());
    TEMPLATE
        .replace("@DIR@", &directory.display().to_string())
        .replace("@USER@", &user)
        .replace("@GROUP@", &group)
        .replace("@UID@", &owner.uid.to_string())
        .replace("@GID@", &owner.gid.to_string())
        .replace("@IMAP@", &ports.imap.to_string())
        .replace("@IMAPS@", &ports.imaps.to_string())
        .replace("@POP3@", &ports.pop3.to_string())
        .replace("@POP3S@", &ports.pop3s.to_string())
}

/// The ports that the file names, whoever wrote it.
pub(super) fn ports(path: &Path) -> Result<Ports, Error> {
    let options = ParseOptions { check_users: false, ..ParseOptions::default() };
    let settings = Config::parse(&StdFiles, path, &options)
        .and_then(|config| config.snapshot())
        .map_err(Error::Config)?;
    let settings = settings.root();
    let port = |service: &str, listener: &str| {
        let service = settings.section(SectionKind::Service, service)?;
        let found = service.sub(SectionKind::InetListener).iter().find(|found| found.name() == listener)?;
        Some(found.get(key::inet_listener::PORT))
    };
    Ok(Ports {
        imap: port("imap-login", "imap").unwrap_or(0),
        imaps: port("imap-login", "imaps").unwrap_or(0),
        pop3: port("pop3-login", "pop3").unwrap_or(0),
        pop3s: port("pop3-login", "pop3s").unwrap_or(0),
    })
}

/// What the user reads before the server runs.
pub(super) fn how_to_connect(directory: &Path, ports: &Ports) -> String {
    let host = Ipv4Addr::LOCALHOST;
    let dir = directory.display();
    let Ports { imap, imaps, pop3, pop3s } = ports;
    format!(
        "\
Culver runs in {dir} until you press Ctrl-C.

  A mail client   server {host}, user demo, password demo
                  IMAP {imap} (STARTTLS) or {imaps} (TLS), POP3 {pop3} (STARTTLS) or {pop3s} (TLS)
                  the certificate is {dir}/cert.pem
  curl            curl -u demo:demo imap://{host}:{imap}/INBOX
                  curl -u demo:demo --cacert {dir}/cert.pem 'imaps://localhost:{imaps}/INBOX;MAILINDEX=1'
                  curl -u demo:demo pop3://{host}:{pop3}/
  doveadm         {dir}/bin/doveadm -c {dir}/dovecot.conf who
                  {dir}/bin/doveadm -c {dir}/dovecot.conf stop
  deliver         {dir}/bin/dovecot-lda -c {dir}/dovecot.conf -d demo < message

The configuration is {dir}/dovecot.conf, the log {dir}/dovecot.log.
"
    )
}

const TEMPLATE: &str = "\
# A server to try. Change what you like and run `bin/doveadm -c dovecot.conf reload`.
# `bin/doveconf -c dovecot.conf -n` shows what differs from the defaults.

# Everything lives in this directory.
base_dir = @DIR@/run
state_dir = @DIR@/state
log_path = @DIR@/dovecot.log

# Everything runs as the user who started it: nothing here needs root.
default_internal_user = @USER@
default_internal_group = @GROUP@
default_login_user = @USER@
first_valid_uid = @UID@
first_valid_gid = @GID@

# Only this machine can connect.
listen = 127.0.0.1
protocols = imap pop3
service imap-login {
  chroot =
  inet_listener imap {
    port = @IMAP@
  }
  inet_listener imaps {
    port = @IMAPS@
    ssl = yes
  }
}
service pop3-login {
  chroot =
  inet_listener pop3 {
    port = @POP3@
  }
  inet_listener pop3s {
    port = @POP3S@
    ssl = yes
  }
}
service anvil {
  chroot =
}

# A self-signed certificate, for localhost.
ssl = yes
ssl_cert = <@DIR@/cert.pem
ssl_key = <@DIR@/key.pem

# Users are lines of a file; all mail belongs to one system user.
auth_mechanisms = plain login
passdb {
  driver = passwd-file
  args = username_format=%u @DIR@/users
}
userdb {
  driver = static
  args = uid=@UID@ gid=@GID@ home=@DIR@/mail/%u
}

mail_location = maildir:~/Maildir
namespace inbox {
  inbox = yes
  separator = /
  mailbox Drafts {
    auto = subscribe
    special_use = \\Drafts
  }
  mailbox Sent {
    auto = subscribe
    special_use = \\Sent
  }
  mailbox Trash {
    auto = subscribe
    special_use = \\Trash
  }
  mailbox Junk {
    auto = subscribe
    special_use = \\Junk
  }
}
";
