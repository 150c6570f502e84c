//! What the binary runs: the `pop3` process, from a hand-over to a session.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use base::Logger;
use ipc::handover::Request;
use mail_user::{LoggedIn, Login};
use service::authmaster::User;
use service::stream::Stream;
use service::{Entry, Process};
use settings::Filter;
use tokio::io::AsyncWriteExt as _;

use crate::process::{self, Connection, INTERNAL_ERROR, Panicked, blocking};
use crate::session::Session;
use crate::settings::Pop3Settings;

/// The processes of this crate.
pub fn entries() -> Vec<Entry> {
    vec![Entry::mail("pop3", |_| Ok(Titles::default()), serve)]
}

/// The life of one session.
async fn serve(titles: Arc<Titles>, handed: service::identity::Session) {
    let (log, process, endings) = (handed.log.clone(), handed.process.clone(), handed.endings());
    let (mut stream, request, user, guard) = handed.into_parts();
    let _title = titles.show(&process, &user, &request);
    let prepared = blocking(AssertUnwindSafe(|| prepare(&process, &user, &request, &log)));
    match prepared {
        Ok(Ok((session, logged_in))) => {
            let variables = logged_in.variables;
            let connection = Connection { stream, input: request.input, log, variables };
            process::serve(session, connection, endings.wait()).await;
        }
        Ok(Err(reason)) => {
            log.error(&reason);
            refuse(&mut stream).await;
        }
        Err(Panicked) => refuse(&mut stream).await,
    }
    drop(guard);
}

/// A user that cannot be served. The client may have gone already.
async fn refuse(stream: &mut Stream) {
    let _ = stream.write_all(INTERNAL_ERROR).await;
    let _ = stream.shutdown().await;
}

/// The session of a user, or why there can be none.
fn prepare(
    process: &Process,
    user: &User,
    request: &Request,
    log: &Logger,
) -> Result<(Session, LoggedIn), String> {
    let settings = process.settings().view(&Filter {
        protocol: Some("pop3"),
        service: Some(process.name()),
        local_name: Some(request.local_name.as_str()).filter(|name| !name.is_empty()),
        local_ip: request.local_ip,
        remote_ip: request.remote_ip,
    });
    let login = Login {
        service: "pop3".to_owned(),
        username: user.name.clone(),
        fields: user.fields.clone(),
        session_id: request.session_id.clone(),
        local_ip: request.local_ip,
        remote_ip: request.remote_ip,
        hostname: mail_user::host_name(),
    };
    let text = |error: storage::Error| base::chain(&error).to_string();
    let logged_in = login.prepare(&settings, log).map_err(text)?;
    let pop3 = Arc::new(Pop3Settings::new(&logged_in.settings)?);
    let mail = logged_in.open().map_err(text)?;
    Ok((Session::new(mail, pop3, log.clone(), process::clock()), logged_in))
}

/// Whose sessions there are, for `verbose_proctitle`.
#[derive(Debug, Default)]
struct Titles(Mutex<Vec<String>>);

/// Takes a session out of the title when it ends.
struct Title {
    titles: Arc<Titles>,
    process: Process,
    own: String,
}

impl Titles {
    fn show(self: &Arc<Self>, process: &Process, user: &User, request: &Request) -> Title {
        let ip = request.remote_ip.map(|ip| format!(" {ip}")).unwrap_or_default();
        let own = format!("{}{ip}", user.name);
        self.change(process, |all| all.push(own.clone()));
        Title { titles: self.clone(), process: process.clone(), own }
    }

    /// One session is shown with its user, more are counted.
    fn change(&self, process: &Process, change: impl FnOnce(&mut Vec<String>)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut all);
        match all.as_slice() {
            [] => process.set_title("idling"),
            [only] => process.set_title(only),
            all => process.set_title(&format!("{} connections", all.len())),
        }
    }
}

impl Drop for Title {
    fn drop(&mut self) {
        self.titles.change(&self.process, |all| {
            if let Some(at) = all.iter().position(|other| *other == self.own) {
                all.swap_remove(at);
            }
        });
    }
}
