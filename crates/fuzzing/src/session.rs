//! Sessions without a socket: input in, output thrown away.

use std::sync::Arc;
use std::time::Instant;

use mail_user::input::NamespaceSettings;
use mail_user::{MailUser, MailUserInput, UserSettings};

use crate::kit::{Scratch, logger, mail_settings};

/// A user with two messages in INBOX.
pub(crate) fn user(scratch: &Scratch, service: &str, message: &[u8]) -> Arc<MailUser> {
    scratch.write("Maildir/cur/1000000000.M1P1.host,W=9:2,", message);
    scratch.write("Maildir/cur/1000000001.M1P1.host:2,S", b"Subject: Re: one\n\nother text\n");
    for sub in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(scratch.path().join("Maildir").join(sub)).expect("mkdir");
    }
    let input = MailUserInput {
        username: "user".to_owned(),
        service: service.to_owned(),
        session_id: "session".to_owned(),
        home: Some(scratch.path().to_owned()),
        settings: UserSettings {
            mail_location: format!("maildir:{}", scratch.path().join("Maildir").display()),
            mail: mail_settings(),
            namespaces: vec![NamespaceSettings { inbox: true, ..NamespaceSettings::default() }],
        },
        logger: logger(),
    };
    MailUser::open(input).expect("the user's mail can be opened")
}

/// Feeds an IMAP session until it wants no more.
pub(crate) fn imap(scratch: &Scratch, message: &[u8], mut input: &[u8]) {
    use imap::{ImapSettings, OutBuf, Progress, Session};
    let user = user(scratch, "imap", message);
    let mut session = Session::new(user, Arc::new(ImapSettings::default()), logger(), Arc::new(Instant::now));
    let mut out = OutBuf::default();
    loop {
        let mut progress = session.step_in_memory(&mut input, &mut out);
        if progress == Progress::Storage {
            progress = session.step(&mut input, &mut out);
        }
        let sent = out.bytes().len();
        out.sent(sent);
        match progress {
            Progress::Again | Progress::Storage => {}
            Progress::NeedInput | Progress::Closed(_) => break,
        }
    }
}

/// Feeds a POP3 session until it wants no more.
pub(crate) fn pop3(scratch: &Scratch, message: &[u8], mut input: &[u8]) {
    use pop3::{OutBuf, Pop3Settings, Progress, Session};
    let user = user(scratch, "pop3", message);
    let mut session = Session::new(user, Arc::new(Pop3Settings::default()), logger(), Arc::new(Instant::now));
    let mut out = OutBuf::default();
    loop {
        let progress = session.step(&mut input, &mut out);
        let sent = out.bytes().len();
        out.sent(sent);
        if !matches!(progress, Progress::Again) {
            break;
        }
    }
    session.finish();
}
