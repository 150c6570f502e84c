//! `doveadm index`: puts into the cache what clients will ask of messages, before they ask; with `-q`
//! the indexer process is told to do so.

use std::io::Write;
use std::os::unix::net::UnixStream;

use base::tab::escape;
use mail_user::MailUser;
use storage::{Mailbox, OpenMode, SyncMode};

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Failure, Outcome, status};
use crate::mail::boxes::{self, Selected};
use crate::mail::progress::Progress;
use crate::mail::{Job, Told, Whose};

pub(crate) fn index(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let recent_max = match args.text("max-recent") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| Failure::Fatal(format!("Invalid -n parameter number: {text}"), status::USAGE))?,
    };
    let mask = args.text("mailbox-mask").ok_or_else(|| help("index"))?;
    let mut queue = args.flag("queue").then(|| Queue { socket: None, recent_max });
    whose.each(cx, &mut |job, user| {
        if let Some(queue) = &mut queue
            && !mask.contains(['*', '%'])
        {
            return queue.add(job, user.username(), mask);
        }
        let places = match boxes::of_masks(user, &[mask.to_owned()]) {
            Ok(places) => places,
            Err(error) => {
                job.fail("Listing mailboxes failed", &error);
                return Ok(());
            }
        };
        for place in places {
            match &mut queue {
                Some(queue) => queue.add(job, user.username(), &place.name)?,
                None => one(job, user, &place, recent_max),
            }
        }
        Ok(())
    })
}

/// The indexer process.
struct Queue {
    socket: Option<UnixStream>,
    recent_max: u32,
}

impl Queue {
    fn add(&mut self, job: &mut Job<'_>, user: &str, mailbox: &str) -> Outcome {
        let line = format!("APPEND\t0\t{}\t{}\t{}\n", escape(user), escape(mailbox), self.recent_max);
        let failed = |job: &Job<'_>, call: &str, error: &std::io::Error| {
            job.fatal(format_args!("{call} failed: {}", base::reason(error)), status::TEMPFAIL)
        };
        if self.socket.is_none() {
            let path = job.cx.in_base_dir("indexer")?;
            let connected = UnixStream::connect(&path);
            let mut socket =
                connected.map_err(|error| failed(job, &format!("net_connect_unix({path})"), &error))?;
            let greeted = socket.write_all(b"VERSION\tindexer\t1\t0\n");
            greeted.map_err(|error| failed(job, "write(indexer)", &error))?;
            self.socket = Some(socket);
        }
        let Some(socket) = &mut self.socket else { return Ok(()) };
        socket.write_all(line.as_bytes()).map_err(|error| failed(job, "write(indexer)", &error))
    }
}

fn one(job: &mut Job<'_>, user: &MailUser, place: &Selected, recent_max: u32) {
    let name = &place.name;
    let mut mailbox = match user.open_mailbox(name, OpenMode::ReadOnly) {
        Ok(mailbox) => mailbox,
        Err(error) => return job.fail(format_args!("Opening mailbox {name} failed"), &error),
    };
    if recent_max != 0 {
        match mailbox.status(storage::StatusItems::RECENT) {
            Ok(status) if status.recent > recent_max => return,
            Ok(_) => {}
            Err(error) => return job.fail(format_args!("Opening mailbox {name} failed"), &error),
        }
    }
    if let Err(error) = mailbox.sync(SyncMode::Full) {
        return job.fail(format_args!("Syncing mailbox {name} failed"), &error);
    }
    precache(job, name, &mut *mailbox);
}

fn precache(job: &mut Job<'_>, name: &str, mailbox: &mut dyn Mailbox) {
    let first = match mailbox.first_uncached() {
        Ok(first) => first,
        Err(error) => {
            job.log().error(format_args!("Mailbox {name}: Status lookup failed: {}", Told(&error)));
            return job.fail_as(status::TEMPFAIL);
        }
    };
    let view = mailbox.view();
    let Some(first) = first else {
        if job.cx.globals.verbose {
            job.log().info(format_args!("{name}: Cache is already up to date"));
        }
        return;
    };
    if job.cx.globals.verbose {
        job.log().info(format_args!("{name}: Caching mails seq={first}..{}", view.len()));
    }
    let mut progress = Progress::new(job.cx, Some(u64::from(view.len()) - first.index() as u64));
    for record in view.records().skip(first.index()) {
        match mailbox.precache(record.uid) {
            Ok(()) | Err(storage::Error::Expunged(_)) => progress.step(job.cx),
            Err(error) => {
                job.fail(format_args!("Mailbox {name}: Precache for UID={} failed", record.uid), &error);
                break;
            }
        }
    }
    progress.end(job.cx);
}
