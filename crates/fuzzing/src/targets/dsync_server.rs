//! What a dsync client says to `dsync-server`, one of ours or Dovecot's own.

use crate::kit::Scratch;
use crate::session;

pub(crate) fn run(data: &[u8]) {
    let scratch = Scratch::new();
    let user = session::user(&scratch, "doveadm", b"Subject: one\n\ntext\n");
    let _ = doveadm::probe::dsync_server(&user, data);
}
