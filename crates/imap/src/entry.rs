//! What the binary runs: the `imap` process, from a hand-over to a session.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use base::Logger;
use ipc::handover::Request;
use mail_user::Login;
use service::authmaster::User;
use service::stream::Stream;
use service::{Entry, Process, Titles};
use settings::Filter;
use tokio::io::AsyncWriteExt as _;

use crate::process::{self, Connection, Panicked, blocking};
use crate::session::Session;
use crate::settings::ImapSettings;

const INTERNAL_ERROR: &str = "Internal error occurred. Refer to server log for more information.";

/// The processes of this crate.
pub fn entries() -> Vec<Entry> {
    vec![Entry::mail("imap", |_| Ok(Titles::default()), serve)]
}

/// The life of one session.
async fn serve(titles: Arc<Titles>, handed: service::identity::Session) {
    let (log, process, endings) = (handed.log.clone(), handed.process.clone(), handed.endings());
    let (mut stream, request, user, guard) = handed.into_parts();
    let title = titles.show(&process, &user.name, request.remote_ip);
    let prepared = blocking(AssertUnwindSafe(|| prepare(&process, &user, &request, &log)));
    match prepared {
        Ok(Ok((session, settings))) => {
            let greeting = greeting(&request, session.capability());
            let connection = Connection {
                stream,
                input: request.input,
                greeting,
                log,
                session_id: request.session_id,
                settings,
            };
            let show = |command: Option<&'static str>| title.command(command);
            process::serve(session, connection, endings.wait(), show).await;
        }
        Ok(Err(reason)) => {
            log.error(&reason);
            refuse(&mut stream, &request.tag).await;
        }
        Err(Panicked) => refuse(&mut stream, &request.tag).await,
    }
    drop((title, guard));
}

/// The answer to the command that logged in. RFC 3501 §7.1 allows CAPABILITY as a response code;
/// clients that asked for it by command are taken not to read codes.
fn greeting(request: &Request, capability: &str) -> Vec<u8> {
    let tag = &request.tag;
    match (request.send_ok, request.untagged_capability) {
        (false, _) => String::new(),
        (true, true) => format!("* CAPABILITY {capability}\r\n{tag} OK Logged in\r\n"),
        (true, false) => format!("{tag} OK [CAPABILITY {capability}] Logged in\r\n"),
    }
    .into_bytes()
}

/// A user that cannot be served. The client may have gone already.
async fn refuse(stream: &mut Stream, tag: &str) {
    let text = format!("{tag} NO [UNAVAILABLE] {INTERNAL_ERROR}\r\n* BYE {INTERNAL_ERROR}\r\n");
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// The session of a user, or why there can be none.
fn prepare(
    process: &Process,
    user: &User,
    request: &Request,
    log: &Logger,
) -> Result<(Session, Arc<ImapSettings>), String> {
    let settings = process.settings().view(&Filter {
        protocol: Some("imap"),
        service: Some(process.name()),
        local_name: Some(request.local_name.as_str()).filter(|name| !name.is_empty()),
        local_ip: request.local_ip,
        remote_ip: request.remote_ip,
    });
    let login = Login {
        service: "imap".to_owned(),
        username: user.name.clone(),
        fields: user.fields.clone(),
        session_id: request.session_id.clone(),
        local_ip: request.local_ip,
        remote_ip: request.remote_ip,
        hostname: mail_user::host_name(),
    };
    let text = |error: storage::Error| base::chain(&error).to_string();
    let logged_in = login.prepare(&settings, log).map_err(text)?;
    let imap = Arc::new(ImapSettings::new(&logged_in.settings)?);
    let mail = logged_in.open().map_err(text)?;
    Ok((Session::new(mail, imap.clone(), log.clone(), process::clock()), imap))
}
