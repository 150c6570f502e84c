//! Titles of mail processes for `verbose_proctitle`: one session is shown with its user, address
//! and command, more are counted.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::process::Process;

/// The sessions of a process.
#[derive(Debug, Default)]
pub struct Titles(Mutex<Shown>);

#[derive(Debug, Default)]
struct Shown {
    sessions: Vec<(u64, String)>,
    next: u64,
}

/// One session's part. Dropping it takes the session out.
#[derive(Debug)]
pub struct Title {
    titles: Arc<Titles>,
    process: Process,
    number: u64,
    user: String,
}

impl Titles {
    /// Shows a session of `user`, who connects from `ip`.
    pub fn show(self: &Arc<Self>, process: &Process, user: &str, ip: Option<IpAddr>) -> Title {
        let ip = ip.map(|ip| format!(" {ip}")).unwrap_or_default();
        let user = format!("{user}{ip}");
        let number = self.change(process, |shown| {
            shown.next += 1;
            shown.sessions.push((shown.next, user.clone()));
            shown.next
        });
        Title { titles: self.clone(), process: process.clone(), number, user }
    }

    fn change<T>(&self, process: &Process, change: impl FnOnce(&mut Shown) -> T) -> T {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut shown);
        process.set_title(&text(&shown.sessions));
        result
    }
}

impl Title {
    /// Shows what the session does now.
    pub fn command(&self, command: Option<&str>) {
        if !self.process.has_titles() {
            return;
        }
        let own = match command {
            Some(command) => format!("{} {command}", self.user),
            None => self.user.clone(),
        };
        self.titles.change(&self.process, |shown| {
            if let Some((_, text)) = shown.sessions.iter_mut().find(|(number, _)| *number == self.number) {
                *text = own;
            }
        });
    }
}

impl Drop for Title {
    fn drop(&mut self) {
        self.titles.change(&self.process, |shown| {
            shown.sessions.retain(|(number, _)| *number != self.number);
        });
    }
}

fn text(sessions: &[(u64, String)]) -> String {
    match sessions {
        [] => "[idling]".to_owned(),
        [(_, only)] => format!("[{only}]"),
        many => format!("[{} connections]", many.len()),
    }
}
